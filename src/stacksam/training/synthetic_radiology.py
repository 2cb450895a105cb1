"""Synthetic radiology: CT-like bodies, MR-like lesions, ultrasound, and random label maps.

Same form as `synthetic_microscopy`: each family takes a random generator and a `Grid` and returns a
float image and its label map.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage as ndi

from stacksam.training.synthetic_fields import (
    Floats,
    Grid,
    Labels,
    blur,
    camera_noise,
    fractal_noise,
    illumination,
    per_label,
    rician_noise,
    smooth_noise,
    texture,
)
from stacksam.training.synthetic_shapes import (
    blob,
    borders,
    connected_parts,
    draw_blobs,
    draw_tubes,
    ellipsoid,
    flat_rotation,
    scatter_centres,
    smooth_regions,
    wander,
    z_limit,
)

Drawing = tuple[Floats, Labels]


def _trunk(rng: np.random.Generator, grid: Grid, size: float) -> tuple[Floats, NDArray[np.float64]]:
    """Distance from the axis of a warped elliptic cylinder (1 at its surface) and its centre."""
    centre = grid.extent / 2 + rng.normal(0, 0.04, grid.ndim) * grid.side
    y, x = (c - m for c, m in zip(grid.coordinates()[-2:], centre[-2:], strict=True))
    half_y, half_x = (
        size * grid.side * rng.uniform(0.34, 0.46),
        size * grid.side * rng.uniform(0.42, 0.5),
    )
    power = rng.uniform(2, 2.8)
    distance = (np.abs(y / half_y) ** power + np.abs(x / half_x) ** power) ** (1 / power)
    warp = 0.06 * smooth_noise(rng, grid, 0.15 * grid.side)
    return (distance + warp).astype(np.float32), centre


def _streaks(rng: np.random.Generator, grid: Grid, centre: NDArray[np.float64]) -> Floats:
    """Rays of bright and dark from a dense spot, as metal and bone cause in CT."""
    y, x = (c - m for c, m in zip(grid.coordinates()[-2:], centre[-2:], strict=True))
    angle, length = np.arctan2(y, x), np.hypot(y, x)
    turn = ((angle / np.pi % 1) * 359).astype(np.intp).reshape(grid.shape[-2:])
    rays = rng.standard_normal((*grid.shape[:-2], 360))
    rays = ndi.gaussian_filter1d(rays, 2.5, axis=-1, mode="wrap")[..., turn]
    return (rays / (1 + (length / 40) ** 2)).astype(np.float32)


def ct_organs(rng: np.random.Generator, grid: Grid) -> Drawing:
    """A body in CT: fat, muscle, spine, organs of close grey values, gas, noise, streaks."""
    trunk, middle = _trunk(rng, grid, rng.choice([rng.uniform(0.8, 1.0), rng.uniform(1.1, 2.0)]))
    fat, muscle, air = rng.uniform(0.25, 0.4), rng.uniform(0.5, 0.6), rng.uniform(0.0, 0.2)
    ring = rng.uniform(0.7, 0.85)
    image = np.where(trunk < 1, fat, air).astype(np.float32)
    image[(trunk < 0.95) & (trunk > ring)] = muscle
    image[(trunk < 1) & (trunk > 0.98)] = muscle
    count = int(rng.integers(6, 22) * (1 if grid.ndim == 2 else 2.5))
    radii = grid.side * rng.uniform(0.05, 0.22, count)
    centres, radii = scatter_centres(rng, grid, np.sort(radii)[::-1], touching=0.7, closest=0.75)
    labels, depth = draw_blobs(
        rng, grid, centres, radii, elongation=0.45, irregularity=rng.uniform(0.1, 0.28)
    )
    labels[trunk > ring] = 0
    spread = rng.uniform(0.02, 0.12)
    greys = rng.uniform(0.5, 0.65) + spread * rng.standard_normal(
        labels.max() + 1, dtype=np.float32
    )
    greys = np.maximum(greys, fat + 0.08).astype(np.float32)
    organs = greys[labels] + rng.uniform(0, 0.03) * texture(rng, grid)
    image = np.where(labels > 0, organs, image)
    for label in np.flatnonzero(rng.random(labels.max()) < 0.15) + 1:  # bowel: gas within a wall
        image[(labels == label) & (depth > 0.3)] = rng.choice([air, greys[label] - 0.08])
    image, labels = _bones(rng, grid, image, labels, trunk, middle)
    image = blur(grid, image, rng.uniform(0.4, 1.3), along_z=rng.uniform(0.5, 1.5))
    noise = smooth_noise(rng, grid, rng.uniform(0.4, 1.1))
    image += rng.uniform(0.005, 0.05) * noise * (trunk < 1.1)
    if rng.random() < 0.2:
        source = rng.uniform(0.1, 0.9, grid.ndim) * grid.extent
        image += rng.uniform(0.03, 0.1) * _streaks(rng, grid, source) * (trunk < 1.1)
    if rng.random() < 0.6:  # a soft-tissue window cuts bone and air
        image = np.clip(image, fat - rng.uniform(0.05, 0.2), muscle + rng.uniform(0.15, 0.4))
    return image, labels


def _bones(
    rng: np.random.Generator,
    grid: Grid,
    image: Floats,
    labels: Labels,
    trunk: Floats,
    middle: NDArray[np.float64],
) -> Drawing:
    """Add a spine with its canal (an object) and ribs or pelvis in the wall (objects too)."""
    y, x = grid.coordinates()[-2:]
    radius = grid.side * rng.uniform(0.06, 0.1)
    spine_y = middle[-2] + 0.27 * grid.side
    warp = 0.15 * smooth_noise(rng, grid, 8)
    spine = np.hypot((y - spine_y) / radius, (x - middle[-1]) / radius) + warp
    canal = np.hypot(y - spine_y - 0.9 * radius, x - middle[-1]) < 0.45 * radius
    process = (np.abs(x - middle[-1]) < 0.25 * radius) & (
        np.abs(y - spine_y - 1.3 * radius) < radius
    )
    bone = ((spine < 1) | process) & ~canal & (trunk < 0.97)
    image = np.where(bone, 0.8 + 0.1 * texture(rng, grid) + 0.15 * (spine > 0.8), image)
    image[canal & (trunk < 0.97)] = 0.5
    labels = np.where(canal, 0, labels)
    labels[bone] = labels.max() + 1
    ribs = (
        (np.abs(trunk - 0.88) < 0.035)
        & (smooth_noise(rng, grid, 6) > rng.uniform(0.3, 1.2))
        & ~bone
    )
    image[ribs] = 0.95
    parts, count = ndi.label(ribs)
    labels = np.where(ribs & (count < 60), labels.max() + parts, labels)
    return image.astype(np.float32), labels.astype(np.int32)


def mr_lesions(rng: np.random.Generator, grid: Grid) -> Drawing:
    """A head in MR: irregular heterogeneous lesions of low contrast, bias field, Rician noise."""
    trunk, middle = _trunk(rng, grid, rng.choice([rng.uniform(0.7, 1.0), 1.8]))
    brain = trunk < 0.82
    tissue = smooth_regions(rng, grid, int(rng.integers(2, 4)), rng.uniform(3, 9))
    image = blur(grid, per_label(rng, tissue, 0.4, 0.7), rng.uniform(1, 4))
    image += rng.uniform(0.01, 0.06) * texture(rng, grid)
    shell = np.where(trunk < 0.9, 0.1, np.where(trunk < 1, rng.uniform(0.5, 1.1), 0.02))
    image = np.where(brain, image, shell).astype(np.float32)
    ventricle_grey, objects = rng.choice([0.15, 1.1]), np.zeros(grid.shape, np.int32)
    for side in (-1, 1):
        centre = middle.copy()
        centre[-1] += 0.07 * side * grid.side
        axes = grid.side * np.array([0.1] * (grid.ndim - 2) + [rng.uniform(0.08, 0.16), 0.04])
        matrix = ellipsoid(axes, flat_rotation(0.25 * side, grid.ndim), z_limit(grid))
        window, distance = blob(grid, centre, matrix, 0.2 * smooth_noise(rng, grid, 8))
        image[window][distance < 1] = ventricle_grey
        objects[window][distance < 1] = 1 if side < 0 else 2
    radii = grid.side * rng.uniform(0.03, 0.15, int(rng.integers(1, 6)))
    centres, radii = scatter_centres(rng, grid, radii, touching=0.1, closest=1.1)
    lesions, depth = draw_blobs(
        rng, grid, centres, radii, elongation=0.5, irregularity=rng.uniform(0.2, 0.4)
    )
    lesions[~brain] = 0
    patches = texture(rng, grid)
    contrast = rng.uniform(0.08, 0.4) * rng.choice([-1, 1])
    inside = contrast * (1 + rng.uniform(0, 0.8) * patches)
    inside = inside + rng.normal(0, 0.25) * (depth > rng.uniform(0.3, 0.6))  # core
    inside = inside + rng.uniform(0, 0.4) * (np.abs(depth - 0.3) < 0.1)  # enhancing rim
    edema = blur(grid, (lesions > 0).astype(np.float32), 6) * rng.uniform(0, 0.5) * contrast
    image += edema * brain + np.where(lesions > 0, inside, 0)
    image = blur(
        grid, image.astype(np.float32), rng.uniform(0.4, 1.2), along_z=rng.uniform(0.5, 1.5)
    )
    image = np.clip(image, 0, None) * illumination(rng, grid, rng.uniform(0.1, 0.6))
    image = rician_noise(rng, image, rng.uniform(0.01, 0.09))
    if rng.random() < 0.15:
        return image, brain.astype(np.int32)
    objects[lesions > 0] = lesions[lesions > 0] + 2
    return image, objects


def ultrasound(rng: np.random.Generator, grid: Grid) -> Drawing:
    """Ultrasound: speckle, dark or bright masses with partly missing borders, shadows, a sector."""
    y, x = grid.unit()
    layers = blur(grid, texture(rng, grid), 2) * 0.25 + 0.15 * np.sin(
        (3 * y + 0.4 * smooth_noise(rng, grid, 40)) * rng.uniform(1, 5)
    )
    echo = 0.6 + layers
    radii = grid.side * rng.uniform(0.05, 0.24, int(rng.integers(1, 6)))
    centres, radii = scatter_centres(rng, grid, np.sort(radii)[::-1], touching=0.2, closest=1.0)
    labels, _ = draw_blobs(
        rng, grid, centres, radii, elongation=0.45, irregularity=rng.uniform(0.05, 0.25)
    )
    low, high = [(0.01, 0.1), (0.02, 0.35), (0.9, 1.6)][rng.integers(3)]
    inside = per_label(rng, labels, low, high) * (1 + 0.3 * texture(rng, grid))
    echo = np.where(labels > 0, inside, echo)
    edge = blur(grid, borders(labels).astype(np.float32), 1.5)
    echo += rng.uniform(0, 2) * edge * np.clip(smooth_noise(rng, grid, 20), 0, None)
    missing = np.clip(smooth_noise(rng, grid, 25) - 0.3, 0, 1)
    echo = echo * (1 - missing) + blur(grid, echo.astype(np.float32), 7) * missing
    bands = ndi.gaussian_filter1d(rng.normal(size=grid.shape[1]), 6).astype(np.float32)
    shadow = 1 - rng.uniform(0, 0.9) * np.clip(4 * bands - 0.8, 0, 1)
    echo = np.clip(echo, 0.01, None) * shadow * np.exp(-rng.uniform(-0.3, 0.8) * (y + 1))
    real, imaginary = rng.standard_normal((2, *grid.shape), dtype=np.float32)
    grain = (rng.uniform(0.6, 1.2), rng.uniform(1.0, 3.0))
    speckle = np.hypot(ndi.gaussian_filter(real, grain), ndi.gaussian_filter(imaginary, grain))
    signal = echo * (speckle / speckle.mean()) ** rng.uniform(0.3, 0.9)
    image = np.log(np.clip(signal, 10 ** -rng.uniform(0.8, 1.6), None))
    if rng.random() < 0.6:
        apex = rng.uniform(-1.6, -1.05)
        sector = (np.abs(np.arctan2(x, y - apex)) < rng.uniform(0.5, 0.8)) & (
            np.hypot(x, y - apex) < 1 - apex
        )
        image = np.where(sector, image, image.min())
        labels = labels * sector
    return image.astype(np.float32), labels


def vessels_in_organ(rng: np.random.Generator, grid: Grid) -> Drawing:
    """An organ crossed by contrasted vessels, with round tumours; each of these is an object."""
    radius = np.array([0.5 * grid.side * rng.uniform(0.6, 0.95)])
    middle = grid.extent[None] / 2 + rng.normal(0, 0.08, (1, grid.ndim)) * grid.side
    if grid.ndim == 3:
        middle[0, 0] = grid.extent[0] * rng.uniform(0.4, 0.6)
    organ, _ = draw_blobs(rng, grid, middle, radius, elongation=0.3, irregularity=0.15)
    image = rng.uniform(0.2, 0.45) + rng.uniform(0.01, 0.05) * fractal_noise(rng, grid, 2, 40)
    image = np.where(organ > 0, 0.5 + rng.uniform(0.01, 0.04) * texture(rng, grid), image)
    paths = [
        wander(
            rng,
            grid.extent * rng.uniform(0.3, 0.7, grid.ndim),
            int(rng.integers(20, 60)),
            2.0,
            0.06,
        )
        for _ in range(rng.integers(1, 5))
    ]
    sizes = [np.linspace(rng.uniform(2, 5), 1.2, len(p)) for p in paths]
    owners = np.repeat(np.arange(1, len(paths) + 1), [len(p) for p in paths]).astype(np.int32)
    vessels, _ = draw_tubes(grid, np.concatenate(paths), np.concatenate(sizes), owners)
    vessels[organ == 0] = 0
    radii = grid.side * rng.uniform(0.025, 0.1, int(rng.integers(1, 7)))
    centres, radii = scatter_centres(rng, grid, radii, touching=0.1, closest=1.05)
    tumours, _ = draw_blobs(rng, grid, centres, radii, irregularity=rng.uniform(0.05, 0.25))
    tumours[organ == 0] = 0
    image = np.where(vessels > 0, 0.5 + rng.uniform(0.06, 0.3), image)
    lump = 0.5 + rng.choice([-1, 1]) * rng.uniform(0.04, 0.2) + 0.03 * texture(rng, grid)
    image = np.where(tumours > 0, lump, image).astype(np.float32)
    image = blur(grid, image, rng.uniform(0.6, 1.4), along_z=rng.uniform(0.5, 1.5))
    image += rng.uniform(0.01, 0.05) * smooth_noise(rng, grid, rng.uniform(0.4, 1.0))
    if rng.random() < 0.3:
        return image, organ
    labels = np.where(vessels > 0, vessels + tumours.max(), 0)
    return image, np.where(tumours > 0, tumours, labels).astype(np.int32)


def random_regions(rng: np.random.Generator, grid: Grid) -> Drawing:
    """Smooth label maps with random mean, spread and texture per label (the SynthSeg idea)."""
    sigma = grid.side * np.exp(rng.uniform(np.log(0.025), np.log(0.12)))
    level = rng.choice([-9.0, rng.uniform(0.4, 1.2)])
    regions = smooth_regions(rng, grid, int(rng.integers(2, 7)), sigma, level=level)
    if rng.random() < 0.5:  # smaller objects inside the regions
        radii = grid.side * rng.uniform(0.03, 0.12, int(rng.integers(2, 10)))
        centres, radii = scatter_centres(rng, grid, radii, touching=0.3)
        inner, _ = draw_blobs(rng, grid, centres, radii, elongation=0.5, irregularity=0.2)
        regions = np.where(inner > 0, inner + regions.max(), regions).astype(np.int32)
    kinds = [texture(rng, grid) for _ in range(3)]
    count = int(regions.max()) + 1
    chosen = rng.integers(len(kinds), size=count)[regions]
    pattern = np.choose(chosen, kinds)
    contrast = rng.uniform(0.15, 1)
    mean, spread = (
        per_label(rng, regions, 0.15 * contrast, contrast),
        per_label(rng, regions, 0.0, 0.15),
    )
    image = mean + spread * pattern + rng.uniform(0, 0.06) * texture(rng, grid)
    image = blur(grid, image.astype(np.float32), rng.uniform(0, 1.8), along_z=rng.uniform(0.5, 1.5))
    image = (image + 0.3) * illumination(rng, grid, rng.uniform(0, 0.4))
    return camera_noise(rng, image, np.exp(rng.uniform(4, 8)), rng.uniform(0, 0.06)), _islands(
        regions
    )


def _islands(regions: Labels) -> Labels:
    """One label per connected part, so that equal tissue in two places is two objects."""
    return connected_parts(regions)
