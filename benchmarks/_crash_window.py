"""Trials of `crash` in a napari window with the dock, on the screen or on a virtual one."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from _crash_script import CENTRES, TRUTH, Step, ThresholdPredictor, digest
from gui import _need_display as need_display

__all__ = ["judge", "need_display", "warm", "work"]

N_STEPS = 12
PATIENCE = 240.0
BEGINNING = ("box", "propagate", "commit")
KINDS = ("box", "point", "propagate", "commit", "rename", "undo", "redo", "delete", "new")


def warm() -> None:
    """Import what a window needs; none is opened before the fork."""
    import napari
    import napari.layers  # noqa: F401
    import torch
    from napari._qt import qt_viewer  # noqa: F401

    import stacksam.plugin.dock_widget
    import stacksam.session  # noqa: F401

    torch.set_num_threads(1)


def script(seed: int) -> Iterator[Step]:
    """The same steps for the same seed."""
    rng = random.Random(seed)
    kinds = [*BEGINNING, *(rng.choice(KINDS) for _ in range(N_STEPS))]
    for kind in kinds:
        yield kind, rng.randrange(2), rng.randrange(4, 8)


def image_layer() -> Any:
    """The image as napari holds it."""
    from napari.layers import Image

    data = np.where(TRUTH > 0, 900, 100).astype(np.uint16)
    return Image(data, name="tubes", contrast_limits=(0, 1000))


def work(folder: Path, seed: int, say: Callable[[str], None]) -> None:
    """Do the steps in a window; each is said with what the session is after it."""
    os.environ["STACKSAM_JOURNALS"] = str(folder / "journals")
    window = Window()
    say("ready")
    for step in script(seed):
        window.do(step)
        session = window.bench.session
        say(f"{step[0]} {digest(session)} {digest(session, with_history=False)}")


class Window:
    """A viewer with an image and the dock."""

    def __init__(self) -> None:
        import napari
        from qtpy.QtWidgets import QApplication

        self.viewer = napari.Viewer(show=True)
        self.app = QApplication.instance()
        self.viewer.add_layer(image_layer())
        _, dock = self.viewer.window.add_plugin_dock_widget("napari-stacksam", "StackSAM")
        self.bench = dock.bench
        self.until(lambda: self.bench.session is not None)
        self.until(lambda: not self.bench.engine.is_busy())

    def until(self, condition: Callable[[], bool]) -> None:
        """Run the event loop until something is true."""
        end = time.monotonic() + PATIENCE
        while not condition():
            self.app.processEvents()
            time.sleep(0.001)
            if time.monotonic() > end:
                raise TimeoutError("the dock did not answer")

    def do(self, step: Step) -> None:
        """One step; what the dock refuses is none."""
        kind, number, z = step
        bench, session = self.bench, self.bench.session
        y, x = CENTRES[1 + number]
        active = session.active_object
        if kind == "box":
            bench.desk.add_box(z, (y - 10, x - 10, y + 10, x + 10), 0)
        elif kind == "point":
            bench.desk.add_point((z, y, x), True, 0)
        elif kind == "new":
            bench.commands.run("new_object")
        elif kind in ("rename", "delete"):
            if active is not None and kind == "rename":
                session.rename(active, f"name {z}")
            elif active is not None:
                session.remove_object(active)
        else:
            bench.commands.run(kind)
        self.until(lambda: not bench.engine.is_busy() and not bench.desk.run.is_running)


def judge(folder: Path, seed: int, said: list[str]) -> dict[str, Any]:
    """Restore and compare with what was said; an unfinished step has to be undone for that."""
    from stacksam.core.errors import ReadError
    from stacksam.plugin.layers import layer_to_volume
    from stacksam.session import Session, journals

    done = [line.split() for line in said]
    counts = {"steps": len(done), "killed_before_first_step": int(not done)}
    offered = journals.unfinished(folder / "journals")
    if not offered:
        fault = f"nothing is offered after {len(done)} steps" if done else ""
        return _verdict(counts | {"refused_with_a_reason": 1}, fault)
    try:
        model = ThresholdPredictor()
        found = Session.restore(offered[0].folder, layer_to_volume(image_layer()), model)
    except ReadError as error:
        return _verdict(counts, f"restoring was refused after {len(done)} steps: {error}")
    if done and digest(found) == done[-1][1]:
        return _verdict(counts | {"unfinished_step_lost": int(len(done) < N_STEPS + 3)}, "")
    following = list(script(seed))[len(done)][0] if len(done) < N_STEPS + 3 else ""
    (found.redo if following == "undo" else found.undo)()
    expected = done[-1][2] if done else digest(Session(found.volume, model), with_history=False)
    is_same = not done and not found.objects
    if is_same or digest(found, with_history=False) == expected:
        return _verdict(counts | {"unfinished_step_kept": 1}, "")
    lost = [line[2] for line in done].index
    try:
        behind = len(done) - 1 - lost(digest(found, with_history=False))
    except ValueError:
        behind = 0
    counts["lost_finished_steps"] = behind
    return _verdict(counts, f"differs after {len(done)} steps, in the midst of {following!r}")


def _verdict(counts: dict[str, int], fault: str) -> dict[str, Any]:
    return {"counts": counts | {"faults": int(bool(fault))}, "fault": fault}
