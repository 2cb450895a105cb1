"""Pictures of the whole task for the documents, taken from the real window.

    python tools/screenshots.py [--only nuclei|abdomen_ct] [--out docs/images] [--theme light]

Opens each sample, works through it with mouse and buttons, and writes `docs/images/cells-*.png` and
`ct-*.png`. Needs a display; on Linux without one it starts itself again under Xvfb. Run it after
the model or the dock has changed, and look at every picture before you commit it.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from window_walk import ROOT, Walk, dice, sample_boxes, sample_folder

COLORS = 256
MOST_BYTES = 300_000
SIZE = (1240, 860)


@dataclass(frozen=True)
class Story:
    """What is done with a sample, and how its pictures are called.

    Attributes
    ----------
    first : str
        The object that is worked through alone.
    others : tuple of str
        Objects that are boxed and propagated together.
    towards, up : tuple of float
        How the camera looks at the labels in space, in (z, y, x).
    """

    sample: str
    prefix: str
    first: str
    others: tuple[str, ...]
    towards: tuple[float, float, float]
    up: tuple[float, float, float]


STORIES = {
    "nuclei": Story(
        "nuclei",
        "cells",
        "nucleus 7",
        ("nucleus 3", "nucleus 4", "nucleus 5", "nucleus 6", "nucleus 9", "nucleus 10"),
        (-1.0, 0.6, 0.4),
        (-0.6, -1.0, 0.0),
    ),
    "abdomen_ct": Story(
        "abdomen_ct",
        "ct",
        "left kidney",
        ("liver", "spleen", "right kidney", "aorta"),
        (-0.3, 1.0, 0.3),
        (1.0, 0.3, 0.0),
    ),
}


def main() -> int:
    """Take the pictures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=list(STORIES))
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "images")
    parser.add_argument("--theme", choices=("dark", "light"), default="dark")
    parser.add_argument("--width", type=int, help="of the dock, in pixels")
    chosen = parser.parse_args()
    if sys.platform.startswith("linux") and not os.environ.get("DISPLAY"):
        os.environ["QT_QPA_PLATFORM"] = "xcb"
        screen = ["xvfb-run", "-a", "-s", "-screen 0 1400x1000x24"]
        return subprocess.call([*screen, sys.executable, *sys.argv])
    own = Path(tempfile.mkdtemp(prefix="stacksam-pictures-"))
    os.environ["NAPARI_CONFIG"] = str(own / "settings.yaml")
    os.environ["STACKSAM_JOURNALS"] = str(own / "journals")
    chosen.out.mkdir(parents=True, exist_ok=True)
    try:
        for name, story in STORIES.items():
            if chosen.only in (None, name):
                tell(story, chosen)
    finally:
        shutil.rmtree(own, ignore_errors=True)
    return 0


def tell(story: Story, chosen: argparse.Namespace) -> None:
    """Work through a sample."""
    camera = Camera(Walk(story.sample, *SIZE, theme=chosen.theme), chosen.out, story.prefix)
    walk, boxes = camera.walk, sample_boxes(story.sample)
    if chosen.width:
        set_dock_width(walk, chosen.width)
    camera.aim(story)
    suffix = ".tif" if story.sample == "nuclei" else ".nii.gz"
    truth = np.asarray(stack_of(sample_folder() / f"{story.sample}_truth{suffix}"))
    index, yxyx = boxes[story.first]
    walk.go_to(index)
    camera.take("1-open")

    number = walk.draw_box(index, yxyx)
    camera.take("2-box")
    walk.propagate()
    camera.take("3-propagate", at=walk.dock.strip)

    label = label_in(truth, index, yxyx)
    mark_error(walk, number, truth == label)
    camera.take("4-correct", at=walk.dock.strip)
    walk.propagate()
    walk.bench.session.rename(number, story.first)
    walk.commit()
    walk.go_to(index)
    camera.take("5-commit", at=walk.dock.commit)

    for name in story.others:
        walk.bench.session.new_object(name)
        walk.draw_box(*boxes[name])
    walk.dock.propagation.all_check.setChecked(True)
    walk.propagate()
    camera.take("6-together", at=walk.dock.strip)
    objects = walk.bench.session.objects
    for number, info in list(objects.items()):
        if not info.is_locked:
            end_it(walk, number, truth == label_in(truth, *boxes[info.name]))
    walk.press(walk.dock.commit.all_button)
    walk.wait(lambda: "Committed" in walk.dock.message_line.text)
    walk.settle()
    walk.dock.groups["measure"].set_open(True)
    walk.pause(0.2)
    walk.press(walk.dock.measure.measure_button)
    walk.settle()
    camera.take("7-measure", at=walk.dock.measure)
    show_in_3d(walk, story)
    camera.take("8-3d", at=walk.dock.objects)
    report(walk, truth, boxes, (story.first, *story.others))
    walk.close()


class Camera:
    """Takes pictures of one window.

    Parameters
    ----------
    walk : Walk
    folder : Path
    prefix : str
        Of the files' names.
    """

    def __init__(self, walk: Walk, folder: Path, prefix: str) -> None:
        self.walk, self.folder, self.prefix = walk, folder, prefix

    def aim(self, story: Story) -> None:
        """Let the image fill the canvas."""
        self.walk.viewer.reset_view()
        self.walk.pause(0.3)

    def take(self, name: str, at: Any = None) -> None:
        """Write a picture, with a part of the dock scrolled into sight."""
        from PIL import Image

        area = self.walk.dock.area
        area.verticalScrollBar().setValue(0)
        if at is not None:
            area.ensureWidgetVisible(at, 0, 30)
        self.walk.pause(0.4)
        pixels = self.walk.viewer.screenshot(canvas_only=False, flash=False)
        picture = Image.fromarray(pixels[..., :3]).quantize(COLORS, dither=Image.Dither.NONE)
        path = self.folder / f"{self.prefix}-{name}.png"
        picture.save(path, optimize=True)
        size = path.stat().st_size
        print(f"{path.name}: {size / 1000:.0f} kB", flush=True)
        assert size < MOST_BYTES, f"{path.name} has {size} bytes"


def stack_of(path: Path) -> Any:
    """The data of a file."""
    import stacksam

    return stacksam.read(path).data


def set_dock_width(walk: Walk, width: int) -> None:
    """Give the dock a width."""
    window = walk.dock.window()
    holder = walk.dock
    while holder is not None and holder.metaObject().className() != "QtViewerDockWidget":
        holder = holder.parentWidget()
    from qtpy.QtCore import Qt

    window.resizeDocks([holder], [width], Qt.Orientation.Horizontal)
    walk.pause(0.2)


def label_in(truth: np.ndarray, index: int, yxyx: tuple[int, int, int, int]) -> int:
    """The label that fills most of a box."""
    y0, x0, y1, x1 = yxyx
    return int(np.argmax(np.bincount(truth[index, y0:y1, x0:x1].ravel())[1:])) + 1


def mark_error(walk: Walk, number: int, truth: np.ndarray) -> None:
    """Correct as a person would: where it runs on too far, or else the slice that is worst."""
    if not end_it(walk, number, truth):
        found = np.asarray(walk.bench.session.result(number).mask)
        click_into_error(walk, found != truth, truth)
        walk.settle()


def end_it(walk: Walk, number: int, truth: np.ndarray) -> bool:
    """Say where an object ends, if it was followed beyond that; returns whether it was."""
    result = walk.bench.session.result(number)
    found = np.asarray(result.mask)
    beyond = np.flatnonzero(found.any(axis=(1, 2)) & ~truth.any(axis=(1, 2)))
    if beyond.size:
        walk.bench.session.active_object = number
        walk.go_to(int(beyond[np.argmin(np.abs(beyond - result.keyframes[0]))]))
        walk.press(walk.dock.prompts.absent_button)
        walk.settle()
    return bool(beyond.size)


def click_into_error(walk: Walk, wrong: np.ndarray, truth: np.ndarray) -> None:
    """Go to the slice with the largest error and click into the middle of it."""
    from scipy import ndimage

    index = int(np.argmax(wrong.sum(axis=(1, 2))))
    parts, _ = ndimage.label(wrong[index])
    largest = parts == np.argmax(np.bincount(parts.ravel())[1:]) + 1
    depth = ndimage.distance_transform_edt(np.pad(largest, 1))[1:-1, 1:-1]
    y, x = np.unravel_index(np.argmax(depth), depth.shape)
    mode = "point+" if truth[index, y, x] else "point-"
    walk.go_to(index)
    walk.press(walk.dock.prompts.buttons[mode])
    walk.hand.click(walk.image, (index, y, x))


def show_in_3d(walk: Walk, story: Story) -> None:
    """Turn the labels in space."""
    viewer = walk.viewer
    viewer.dims.ndisplay = 3
    walk.image.visible = False
    viewer.layers[f"{walk.image.name} labels"].opacity = 1.0
    viewer.reset_view()
    viewer.scene.camera.set_view_direction(story.towards, story.up)
    walk.pause(0.5)


def report(walk: Walk, truth: np.ndarray, boxes: dict, names: tuple[str, ...]) -> None:
    """Print how good each object is."""
    session = walk.bench.session
    by_name = {info.name: info.label_id for info in session.objects.values()}
    for name in names:
        label = label_in(truth, *boxes[name])
        print(f"  {name}: Dice {dice(session.labels == by_name[name], truth == label):.2f}")


if __name__ == "__main__":
    sys.exit(main())
