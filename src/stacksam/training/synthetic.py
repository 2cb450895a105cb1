"""Seeded training images and volumes for a promptable segmentation network.

A seed picks one of many families (nuclei, membranes, EM, CT, MR, ultrasound, ...) and its random
parameters. Numpy and scipy only, so that they can be drawn where the training runs.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from stacksam.training import synthetic_microscopy as microscopy
from stacksam.training import synthetic_radiology as radiology
from stacksam.training.synthetic_fields import Floats, Grid, Labels, to_uint8
from stacksam.training.synthetic_shapes import keep_main_parts

#: Seeds of the volumes shipped in `sample_data`: never trained on, so the generator refuses them.
SAMPLE_SEEDS = frozenset({9_000_000_001, 9_000_000_002})

IMAGE_SHAPE = (256, 256)
MAX_VOXELS = 700_000
_SALT = 0x57AC  # keeps these random streams apart from other users of the same seed

Family = Callable[[np.random.Generator, Grid], tuple[Floats, Labels]]

IMAGE_FAMILIES: dict[str, tuple[Family, float]] = {
    "nuclei": (microscopy.nuclei, 3.0),
    "cell_bodies": (microscopy.cell_bodies, 2.0),
    "phase_contrast": (microscopy.phase_contrast, 2.0),
    "membranes": (microscopy.membranes, 1.5),
    "rods": (microscopy.rods, 1.0),
    "tubes": (microscopy.tubes, 1.5),
    "electron_microscopy": (microscopy.electron_microscopy, 2.0),
    "myelin": (microscopy.myelin, 1.0),
    "particles": (microscopy.particles, 1.0),
    "histology": (microscopy.histology, 1.5),
    "ct_organs": (radiology.ct_organs, 3.0),
    "mr_lesions": (radiology.mr_lesions, 2.5),
    "ultrasound": (radiology.ultrasound, 1.5),
    "vessels_in_organ": (radiology.vessels_in_organ, 1.5),
    "random_regions": (radiology.random_regions, 2.5),
}

VOLUME_FAMILIES: dict[str, tuple[Family, float]] = {
    "nuclei": (microscopy.nuclei, 2.5),
    "cell_bodies": (microscopy.cell_bodies, 1.0),
    "membranes": (microscopy.membranes, 1.0),
    "tubes": (microscopy.tubes, 1.5),
    "electron_microscopy": (microscopy.electron_microscopy, 1.5),
    "particles": (microscopy.particles, 0.5),
    "ct_organs": (radiology.ct_organs, 3.0),
    "mr_lesions": (radiology.mr_lesions, 2.0),
    "vessels_in_organ": (radiology.vessels_in_organ, 2.0),
    "random_regions": (radiology.random_regions, 1.5),
}


def generate_image(
    seed: int, *, family: str | None = None
) -> tuple[NDArray[np.uint8], NDArray[np.uint16]]:
    """Draw a random training image and its objects.

    Parameters
    ----------
    seed : int
        Non-negative and not in `SAMPLE_SEEDS`; equal seeds give equal images.
    family : str, optional
        A key of `IMAGE_FAMILIES`; by default the seed picks one.

    Returns
    -------
    image : ndarray of shape (256, 256), uint8
    labels : ndarray of shape (256, 256), uint16
        0 background, 1, 2, ... one number per object, each connected; at least one object.

    Raises
    ------
    ValueError
        If `seed` is reserved or negative, or `family` is unknown.

    Examples
    --------
    >>> image, labels = generate_image(3)
    >>> image.shape, image.dtype.name, labels.dtype.name
    ((256, 256), 'uint8', 'uint16')
    """
    rng = _generator(seed, stream=0)
    draw = _pick_family(rng, IMAGE_FAMILIES, family)
    return _draw(rng, Grid(IMAGE_SHAPE, (1.0, 1.0)), draw, smallest=16)


def generate_volume(
    seed: int, *, family: str | None = None
) -> tuple[NDArray[np.uint8], NDArray[np.uint16], tuple[float, float, float]]:
    """Draw a random small volume with anisotropic spacing, whose objects begin and end along z.

    Parameters
    ----------
    seed : int
        Non-negative and not in `SAMPLE_SEEDS`; equal seeds give equal volumes.
    family : str, optional
        A key of `VOLUME_FAMILIES`; by default the seed picks one.

    Returns
    -------
    volume : ndarray of shape (Z, Y, X), uint8
        12 to 40 slices of 96 to 192 pixels.
    labels : ndarray of shape (Z, Y, X), uint16
    spacing_zyx : tuple of 3 floats
        Millimetres.

    Raises
    ------
    ValueError
        If `seed` is reserved or negative, or `family` is unknown.
    """
    rng = _generator(seed, stream=1)
    draw = _pick_family(rng, VOLUME_FAMILIES, family)
    side = int(rng.choice([96, 128, 144, 160, 192]))
    depth = int(rng.integers(12, min(40, MAX_VOXELS // side**2) + 1))
    thickness = float(np.round(rng.uniform(1, 6) if depth < 24 else rng.uniform(1, 4), 2))
    thickness = max(thickness, round(0.3 * side / depth, 2))
    finest = (
        10 ** rng.uniform(-4.0, -3.0)
        if draw.__module__.endswith("microscopy")
        else rng.uniform(0.4, 1.6)
    )
    image, labels = _draw(rng, Grid((depth, side, side), (thickness, 1.0, 1.0)), draw, smallest=40)
    return image, labels, (thickness * finest, finest, finest)


def _generator(seed: int, stream: int) -> np.random.Generator:
    if seed in SAMPLE_SEEDS:
        raise ValueError(
            f"seed {seed} is reserved for the shipped sample data; choose another seed"
        )
    if seed < 0:
        raise ValueError(f"seed is {seed}; it has to be 0 or more")
    return np.random.default_rng([_SALT, stream, seed])


def _pick_family(
    rng: np.random.Generator, families: dict[str, tuple[Family, float]], name: str | None
) -> Family:
    """The named family, or a random one by weight; `rng` advances equally in both cases."""
    weights = np.array([weight for _, weight in families.values()])
    drawn = list(families)[int(rng.choice(len(weights), p=weights / weights.sum()))]
    if name is not None and name not in families:
        raise ValueError(f"family is {name!r}; it has to be one of {', '.join(families)}")
    return families[name or drawn][0]


def _draw(
    rng: np.random.Generator, grid: Grid, draw: Family, *, smallest: int
) -> tuple[NDArray[np.uint8], NDArray[np.uint16]]:
    """Draw until there is an object (mostly at once), clean the labels, quantise the image."""
    while True:
        image, raw = draw(rng, grid)
        labels = keep_main_parts(raw, smallest)
        if labels.any():
            return to_uint8(rng, image), labels
