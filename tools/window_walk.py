"""A napari window at work, for scripts that drive it as a person would: mouse, keys, buttons.

The hand is that of the tests (`tests/hand.py`); everything else comes from the installed package.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))
PATIENCE = 180.0  # seconds until something that should happen is given up


class Walk:
    """A viewer with an open sample and the dock beside it.

    Parameters
    ----------
    sample : {"nuclei", "abdomen_ct"}
    width, height : int
        Of the window, in pixels.
    theme : {"dark", "light"}
    """

    def __init__(
        self, sample: str, width: int = 1360, height: int = 900, theme: str = "dark"
    ) -> None:
        import napari

        from hand import Hand

        self.viewer = napari.Viewer(title="napari", show=True)
        self.viewer.theme = theme
        self.viewer.window.resize(width, height)
        self.viewer.open_sample("napari-stacksam", sample)
        self.image = self.viewer.layers[0]
        _, self.dock = self.viewer.window.add_plugin_dock_widget("napari-stacksam", "StackSAM")
        self.bench = self.dock.bench
        self.wait(lambda: self.bench.session is not None)
        self.settle()
        self.viewer.reset_view()
        self.pause(0.2)
        self.hand = Hand(self.viewer, self.wait)

    @property
    def desk(self) -> Any:
        """The workbench's desk."""
        return self.bench.desk

    def pause(self, seconds: float) -> None:
        """Let the window work for a while."""
        from qtpy.QtCore import QEventLoop, QTimer

        loop = QEventLoop()
        QTimer.singleShot(round(seconds * 1000), loop.quit)
        loop.exec()

    def wait(self, condition: Callable[[], bool]) -> None:
        """Let the window work until a condition holds."""
        end = time.monotonic() + PATIENCE
        while not condition():
            if time.monotonic() > end:
                said = self.dock.message_line.text
                raise TimeoutError(f"gave up waiting; the message line says: {said!r}")
            self.pause(0.02)

    def settle(self) -> None:
        """Wait until nothing is computed or drawn any more."""
        for _ in range(2):
            self.wait(lambda: not self.bench.engine.is_busy() and not self.bench.errands.is_busy())
            self.pause(0.05)
        if self.desk is not None:
            self.desk.live.finish_drawing()

    def press(self, button: Any) -> None:
        """Click a button of the dock."""
        from hand import press

        press(button)

    def go_to(self, index: int, axis: int = 0) -> None:
        """Show a slice."""
        self.desk.go_to(index, axis)
        self.pause(0.1)

    def draw_box(self, index: int, yxyx: tuple[float, float, float, float]) -> int:
        """Drag a box, half-open in voxels, on a slice; returns the object that it marks."""
        self.go_to(index)
        self.press(self.dock.prompts.buttons["box"])
        y0, x0, y1, x1 = np.array(yxyx, float) - 0.5  # napari counts from pixel centres
        self.hand.drag(self.image, [(index, y0, x0), (index, y1, x1)])
        self.wait(lambda: bool(self.preview_of(self.desk.active_object, index).any()))
        self.settle()
        return int(self.desk.active_object)

    def preview_of(self, object_id: int | None, index: int) -> np.ndarray:
        """What the preview layer shows of an object on a slice."""
        layer = self.desk.preview.layer
        return np.zeros(1, bool) if layer is None else np.asarray(layer.data[index]) == object_id

    def propagate(self) -> None:
        """Press Propagate and wait for the end."""
        self.press(self.dock.propagation.run_button)
        self.wait(lambda: not self.desk.run.is_running)
        self.settle()

    def commit(self) -> None:
        """Press Commit and wait until the object is in the labels."""
        number = self.desk.active_object
        self.press(self.dock.commit.commit_button)
        self.wait(lambda: self.bench.session.objects[number].label_id is not None)
        self.settle()

    def close(self) -> None:
        """Close the window, as its user would."""
        self.settle()
        self.viewer.close()
        self.pause(0.1)


def sample_boxes(sample: str) -> dict[str, tuple[int, tuple[int, int, int, int]]]:
    """Name of each object of a sample: the slice and the box (y0, x0, y1, x1) that mark it."""
    path = sample_folder() / f"{sample}_prompts.json"
    objects = json.loads(path.read_text(encoding="utf-8"))["objects"]
    marks = {o["name"]: o["prompts"][0] for o in objects}
    return {name: (mark["index"], tuple(mark["yxyx"])) for name, mark in marks.items()}


def sample_folder() -> Path:
    """Where the installed package keeps its samples."""
    import stacksam

    return Path(stacksam.__file__).parent / "sample_data"


def dice(found: np.ndarray, truth: np.ndarray) -> float:
    """Twice the overlap by the sum of both."""
    total = np.count_nonzero(found) + np.count_nonzero(truth)
    return 2 * np.count_nonzero(found & truth) / total if total else 1.0
