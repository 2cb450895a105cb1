"""A small folder of data sets, and a Session that thresholds instead of thinking."""

import json
from dataclasses import dataclass

import numpy as np
import pytest
import tifffile
from scipy import ndimage
from skimage.io import imsave

from stacksam.core.masks import component_at


def disc(shape, centre, radius):
    y, x = np.ogrid[: shape[0], : shape[1]]
    return (y - centre[0]) ** 2 + (x - centre[1]) ** 2 < radius**2


def picture(seed, radii=(9, 7, 2)):
    """A grey image of discs with a little noise, and its labels; the last disc is too small."""
    labels = np.zeros((64, 80), np.uint16)
    for label, (centre, radius) in enumerate(
        zip([(16, 18), (40, 55), (55, 10)], radii, strict=True), start=1
    ):
        labels[disc(labels.shape, centre, radius)] = label
    noise = np.random.default_rng(seed).normal(0, 4, labels.shape)
    return (np.where(labels > 0, 180, 60) + noise).astype(np.uint8), labels


def stack():
    """Ten slices with a long bright ball, a thin one over two slices, and a loose piece."""
    labels = np.zeros((10, 40, 50), np.uint16)
    for z in range(1, 9):
        labels[z][disc((40, 50), (15, 20), 10 - abs(z - 4))] = 1
    labels[5:7, 30:38, 35:45] = 2
    labels[9, 2:8, 40:48] = 1
    volume = np.where(labels > 0, 900, 100) + np.random.default_rng(0).normal(0, 10, labels.shape)
    return volume.astype(np.uint16), labels


@pytest.fixture
def data(tmp_path):
    """Four data sets: grey pictures and a stack (microscopy), a picture and a colour one."""
    root = tmp_path / "Daten mit Umlaut ü"
    files = {}
    for i in range(3):
        image, labels = picture(i)
        files[_add(root, "microscopy/cells", "images", f"c{i}.png", image, labels)] = "test"
    image, labels = picture(9)
    files[_add(root, "microscopy/cells", "images", "v.png", image, labels)] = "val"
    files[_add(root, "radiology/lesions", "images", "l.png", image, labels)] = "test"
    colour = np.stack([image, image // 2, image], axis=-1)
    files[_add(root, "microscopy/stain", "images", "s.png", colour, labels)] = "test"
    volume, labels = stack()
    files[_add(root, "microscopy/nuclei", "volumes", "n.tif", volume, labels)] = "test"
    content = {"files": files, "unseen_data_sets": ["nuclei", "lesions"], "not_for_training": {}}
    (root / "SPLIT.json").write_text(json.dumps(content), encoding="utf-8")
    manifest = [
        {"dataset": "cells", "modality": "phase contrast, time-lapse"},
        {"dataset": "nuclei", "modality": "confocal fluorescence volume (nuclei)"},
    ]
    (root / "microscopy/MANIFEST.json").write_text(json.dumps(manifest), encoding="utf-8")
    manifest = [{"dataset": "lesions", "modality": "CT (portal)", "path": "lesions/images/l.png"}]
    (root / "radiology/MANIFEST.json").write_text(json.dumps(manifest), encoding="utf-8")
    return root


def _add(root, dataset, kind, name, image, labels):
    masks = {"images": "masks", "volumes": "volume_masks"}[kind]
    for folder in (kind, masks):
        (root / dataset / folder).mkdir(parents=True, exist_ok=True)
    path = root / dataset / kind / name
    if name.endswith(".tif"):
        tifffile.imwrite(path, image, metadata={"axes": "ZYX"})
    else:
        imsave(path, image, check_contrast=False)
    mask_path = root / dataset / masks / (path.stem + ".tif")
    axes = {"axes": "ZYX"} if labels.ndim == 3 else None
    tifffile.imwrite(mask_path, labels, metadata=axes)
    return f"{dataset}/{kind}/{name}"


@dataclass
class Answer:
    mask: np.ndarray
    score: float = 1.0

    @property
    def confidence(self):
        return self.score * self.mask.any(axis=(1, 2))


class ThresholdSession:
    """The public methods of a Session, answered by a threshold between the extremes."""

    def __init__(self, volume, model):
        array = np.asarray(volume.data)
        array = array.mean(axis=-1) if volume.rgb else array
        self.is_bright = array > (float(array.min()) + float(array.max())) / 2
        self.prompts = {}
        model.sessions.append(self)

    def add_point(self, object_id, zyx, positive=True, axis=0):
        self.prompts.setdefault(object_id, []).append(("point", zyx, positive))

    def add_box(self, object_id, index, yxyx, axis=0):
        self.prompts.setdefault(object_id, []).append(("box", index, yxyx))

    def add_mask(self, object_id, index, mask, axis=0):
        self.prompts.setdefault(object_id, []).append(("mask", index, mask))

    def predict(self, object_id, index, axis=0):
        plane = self.is_bright[index]
        out = np.zeros(plane.shape, bool)
        for kind, where, what in self.prompts[object_id]:
            if kind == "point":
                piece = component_at(plane, where[1:])
                out = out | piece if what else out & ~piece
            elif kind == "box" and where == index:
                y0, x0, y1, x1 = (int(v) for v in what)
                out[y0:y1, x0:x1] = plane[y0:y1, x0:x1]
        return Answer(out)

    def propagate(self, object_id, axis=0, z_range=None, progress=None, cancel=None):
        pieces, _ = ndimage.label(self.is_bright)
        found = set()
        for kind, index, what in self.prompts[object_id]:
            plane = self.predict(object_id, index).mask if kind == "box" else what
            found |= set(pieces[index][plane].tolist()) - {0}
        return Answer(np.isin(pieces, sorted(found)))

    def remove_object(self, object_id):
        del self.prompts[object_id]


class Model:
    name = "threshold"

    def __init__(self):
        self.sessions = []


@pytest.fixture
def model():
    return Model()


@pytest.fixture
def make_session():
    return ThresholdSession
