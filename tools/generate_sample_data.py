"""Generate the volumes in ``src/stacksam/sample_data``: images, truth and prompts.

Run from anywhere: ``python tools/generate_sample_data.py [--out FOLDER]``. Fixed seeds, which
`stacksam.training.synthetic` refuses, so that no model is trained on the samples.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
import tifffile
from numpy.typing import NDArray

from stacksam.training.synthetic_abdomen import LABELS, NAMES, SPACING_ZYX, draw_abdomen
from stacksam.training.synthetic_fields import (
    Floats,
    Grid,
    blur,
    camera_noise,
    fractal_noise,
    illumination,
    smooth_noise,
)
from stacksam.training.synthetic_shapes import draw_blobs, keep_main_parts, scatter_centres

ABDOMEN_SEED = 9_000_000_001
NUCLEI_SEED = 9_000_000_002
DEFAULT_FOLDER = Path(__file__).resolve().parent.parent / "src" / "stacksam" / "sample_data"

PROMPTED_ORGANS = ("liver", "spleen", "right kidney", "left kidney", "aorta", "spine")
NUCLEI_SHAPE = (24, 192, 192)
NUCLEI_SPACING_UM = (1.0, 0.35, 0.35)
CAMERA_OFFSET = 100  # counts of a dark pixel


def draw_nuclei(seed: int) -> tuple[NDArray[np.uint16], NDArray[np.uint16]]:
    """Draw a fluorescence stack of nuclei, many of them touching.

    Returns
    -------
    image : ndarray of shape (24, 192, 192), uint16
        Camera counts, voxels of `NUCLEI_SPACING_UM`.
    truth : ndarray of the same shape, uint16
    """
    rng = np.random.default_rng(seed)
    step = NUCLEI_SPACING_UM[0] / NUCLEI_SPACING_UM[1]
    grid = Grid(NUCLEI_SHAPE, (step, 1.0, 1.0))
    radii = rng.uniform(13, 20, 30)
    centres, radii = scatter_centres(rng, grid, radii, touching=0.85, closest=0.8)
    raw, depth = draw_blobs(rng, grid, centres, radii, elongation=0.22, irregularity=0.07)
    truth = keep_main_parts(raw, 150)
    counts = _fluorescence(rng, grid, truth, np.where(truth > 0, depth, 0))
    return counts, truth


def _fluorescence(
    rng: np.random.Generator, grid: Grid, truth: NDArray[np.uint16], depth: Floats
) -> NDArray[np.uint16]:
    """Brightness per nucleus, chromatin, dark nucleoli, blur, haze, fading, photons, read noise."""
    brightness = np.append(0, rng.uniform(0.35, 1.0, int(truth.max()))).astype(np.float32)[truth]
    chromatin = 1 + 0.22 * fractal_noise(rng, grid, 1.4, 12)
    nucleoli = np.clip(smooth_noise(rng, grid, 3.0) - 1.2, 0, 1) * (depth > 0.25)
    dye = brightness * np.clip(chromatin - 0.7 * nucleoli, 0.15, None)
    sharp = blur(grid, dye, 0.9, along_z=3.2)
    haze = blur(grid, dye, 12, along_z=1.5)
    light = sharp + 0.35 * haze + 0.03
    light *= illumination(rng, grid, 0.3)
    light *= np.exp(-0.018 * np.arange(grid.shape[0], dtype=np.float32))[:, None, None]
    photons = 260 * camera_noise(rng, light.astype(np.float32), 260, 0.012)
    return np.clip(np.rint(photons + CAMERA_OFFSET), 0, 65535).astype(np.uint16)


def well_visible(image: NDArray[Any], truth: NDArray[Any], *, smallest: int = 250) -> list[int]:
    """Nuclei with a slice of `smallest` pixels, on four slices or more, brighter than the rest."""
    background = float(np.median(image[truth == 0]))
    chosen = []
    for label in range(1, int(truth.max()) + 1):
        inside = truth == label
        areas = inside.sum(axis=(1, 2))
        contrast = float(image[inside].mean()) - background
        if areas.max() >= smallest and (areas > 0).sum() >= 4 and contrast > 20:
            chosen.append(label)
    return chosen


def loose_box(rng: np.random.Generator, mask: NDArray[np.bool_]) -> tuple[int, list[int]]:
    """Slice of largest area and a half-open box (y0, x0, y1, x1) there, 1 to 3 pixels too large."""
    index = int(mask.sum(axis=(1, 2)).argmax())
    rows, columns = np.nonzero(mask[index])
    low = np.array([rows.min(), columns.min()]) - rng.integers(1, 4, 2)
    high = np.array([rows.max(), columns.max()]) + 1 + rng.integers(1, 4, 2)
    box = [*np.maximum(low, 0), *np.minimum(high, mask.shape[1:])]
    return index, [int(value) for value in box]


def box_prompts(
    truth: NDArray[Any], names: dict[int, str], *, window: str, seed: int
) -> dict[str, Any]:
    """Content of a prompts file with one box per named object."""
    rng = np.random.default_rng(seed)
    objects = []
    for label, name in names.items():
        index, box = loose_box(rng, truth == label)
        prompt = {"kind": "box", "axis": 0, "index": index, "yxyx": box}
        objects.append({"id": label, "name": name, "prompts": [prompt]})
    return {"version": 1, "window": window, "objects": objects}


def write_nifti(path: Path, array: NDArray[Any]) -> None:
    """Write with the abdomen's spacing, identity direction (LPS) and a centred origin."""
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(SPACING_ZYX[::-1])
    image.SetOrigin(
        [-0.5 * (n - 1) * s for n, s in zip(image.GetSize(), image.GetSpacing(), strict=True)]
    )
    sitk.WriteImage(image, str(path), useCompression=True, compressionLevel=9)


def write_tiff(path: Path, array: NDArray[Any]) -> None:
    """Write an ImageJ stack with its spacing in micrometres."""
    z, y, x = NUCLEI_SPACING_UM
    tifffile.imwrite(
        path,
        array,
        imagej=True,
        resolution=(1 / x, 1 / y),
        metadata={"axes": "ZYX", "spacing": z, "unit": "um"},
        compression="zlib",
        compressionargs={"level": 9},
    )


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write JSON with one entry (of a list: one element) per line."""
    lines = []
    for key, value in content.items():
        text = json.dumps(value)
        if isinstance(value, list):
            text = "[\n  " + ",\n  ".join(json.dumps(element) for element in value) + "\n ]"
        lines.append(f" {json.dumps(key)}: {text}")
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8", newline="\n")


def generate(folder: Path) -> None:
    """Write all sample files into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    image, truth = draw_abdomen(ABDOMEN_SEED)
    write_nifti(folder / "abdomen_ct.nii.gz", image)
    write_nifti(folder / "abdomen_ct_truth.nii.gz", truth)
    write_json(folder / "abdomen_ct_labels.json", {str(k): name for k, name in NAMES.items()})
    organs = {LABELS[name]: name for name in PROMPTED_ORGANS}
    prompts = box_prompts(truth, organs, window="ct-soft-tissue", seed=ABDOMEN_SEED)
    write_json(folder / "abdomen_ct_prompts.json", prompts)

    counts, instances = draw_nuclei(NUCLEI_SEED)
    write_tiff(folder / "nuclei.tif", counts)
    write_tiff(folder / "nuclei_truth.tif", instances)
    nuclei = {label: f"nucleus {label}" for label in well_visible(counts, instances)}
    prompts = box_prompts(instances, nuclei, window="auto", seed=NUCLEI_SEED)
    write_json(folder / "nuclei_prompts.json", prompts)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Generate the shipped sample data.")
    parser.add_argument("--out", type=Path, default=DEFAULT_FOLDER, help="folder to write into")
    generate(parser.parse_args().out)
