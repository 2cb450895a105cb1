"""Answers of the napari dock on a CT of 512 x 512 x 100 voxels, with real mouse events.

``click_*`` and ``box_*`` are milliseconds from the release of the mouse to the preview layer's data
being set, with the fields that the model looks at encoded before (``cached``) or not (``new``);
``paint_*`` is from there to the end of the next drawing. ``late_*`` is how much later than asked a
timer of 5 ms comes during a propagation, ``late_napari_*`` the same while plain napari scrolls
through the stack. ``memory_*`` are MB of the process.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

FOLDER = Path(__file__).resolve().parent
SPACING = (2.0, 0.8, 0.8)
PATIENCE = 120.0  # seconds


def measure(repeats: int = 24, objects: int = 50, clicks: int = 100) -> dict[str, float]:
    """Percentiles in milliseconds, memory in MB.

    Parameters
    ----------
    repeats : int
        Clicks and boxes of each kind.
    objects, clicks : int
        For the memory figures: so many objects, and so many clicks on them.
    """
    _need_display()
    os.environ.setdefault("STACKSAM_JOURNALS", tempfile.mkdtemp(prefix="stacksam-bench-"))
    bench = Bench()
    figures: dict[str, float] = {}
    figures |= bench.answers("click", repeats)
    figures |= bench.answers("box", repeats)
    figures |= bench.lateness_of_propagation()
    figures |= bench.memory(objects, clicks)
    figures |= bench.lateness_of_scrolling()
    bench.close()
    return figures


class Bench:
    """A viewer with the dock, and a hand on the mouse."""

    def __init__(self) -> None:
        import napari
        from qtpy.QtWidgets import QApplication

        sys.path.insert(0, str(FOLDER.parent / "tests"))
        from hand import Hand

        self.image_data, self.organ = _stack()
        self.viewer = napari.Viewer(show=True)
        self.viewer.window.resize(1280, 900)
        self.app = QApplication.instance()
        self.image = self.viewer.add_image(
            self.image_data,
            name="ct",
            scale=SPACING,
            units=("mm",) * 3,
            contrast_limits=(-160, 240),
        )
        _, self.dock = self.viewer.window.add_plugin_dock_widget("napari-stacksam", "StackSAM")
        self.bench = self.dock.bench
        self.until(lambda: self.bench.session is not None)
        self.viewer.reset_view()
        self.pause(0.3)
        self.hand = Hand(self.viewer, self.until)
        self.drawn_at = 0.0
        canvas = self.viewer.window._qt_viewer.canvas._scene_canvas
        canvas.events.draw.connect(self._on_draw, position="last")

    def close(self) -> None:
        """Close dock and viewer."""
        self.bench.close()
        self.viewer.close()

    def _on_draw(self, event: Any) -> None:
        self.drawn_at = time.perf_counter()

    def until(self, condition: Callable[[], bool]) -> None:
        """Run the event loop until something is true."""
        from qtpy.QtCore import QEventLoop

        end = time.perf_counter() + PATIENCE
        while not condition():
            self.app.processEvents(QEventLoop.ProcessEventsFlag.AllEvents, 5)
            time.sleep(0.0005)
            if time.perf_counter() > end:
                raise TimeoutError("the dock did not answer")

    def pause(self, seconds: float) -> None:
        """Run the event loop for a while."""
        end = time.perf_counter() + seconds
        self.until(lambda: time.perf_counter() > end)

    def quiet(self) -> None:
        """Wait until nothing is asked for any more."""
        self.until(lambda: not self.bench.engine.is_busy())
        self.pause(0.02)

    def answers(self, kind: str, repeats: int) -> dict[str, float]:
        """Ask for new objects on slice after slice, twice on each."""
        taken: dict[str, list[float]] = {"new": [], "cached": [], "paint": []}
        self.bench.commands.run("point+" if kind == "click" else "box")
        # half of the slices for clicks, half for boxes, so that neither finds the other's fields
        slices = np.linspace(12, 84, repeats).round().astype(int) + (0 if kind == "click" else 1)
        for number, index in enumerate(slices):
            self.bench.desk.go_to(int(index))
            self.pause(0.05)
            for state, shift in (("new", 0.0), ("cached", 1.3)):
                self.quiet()
                self.bench.engine.hold_background(True)  # prefetching would fill the cache
                seconds, paint = self._ask(kind, int(index), number % 4, shift)
                self.bench.engine.hold_background(False)
                if number:  # the first one opens the layers
                    taken[state].append(1000 * seconds)
                    taken["paint"].append(1000 * paint)
                self.bench.session.remove_object(self.bench.session.active_object)
        figures = {}
        for state, values in taken.items():
            name = f"{kind}_{state}" if state != "paint" else f"paint_{kind}"
            figures |= {
                f"{name}_median_ms": float(np.median(values)),
                f"{name}_p95_ms": float(np.percentile(values, 95)),
            }
        return figures

    def _ask(self, kind: str, index: int, corner: int, shift: float) -> tuple[float, float]:
        """One click or box; seconds until the preview's data are set, and until it is painted."""
        from qtpy.QtTest import QTest

        import hand

        preview = self.bench.desk.preview
        y, x = 240 + shift + 20 * (corner % 2), 200 + shift + 20 * (corner // 2)
        path = [(index, y, x), (index, y + 1, x)]
        if kind == "box":
            path = [(index, 160 + shift, 100 + shift), (index, 320 + shift, 300 + shift)]
        spots = [self.hand.place(self.image, place) for place in path]
        before = preview.written
        QTest.mouseMove(self.hand.native, spots[0])
        QTest.mousePress(self.hand.native, hand.LEFT, pos=spots[0])
        if kind == "box":
            for step in range(1, 5):
                self.hand._move(spots[0] + (spots[1] - spots[0]) * step / 4, hand.LEFT)
        self.pause(0.05)
        released = time.perf_counter()
        QTest.mouseRelease(self.hand.native, hand.LEFT, pos=spots[-1 if kind == "box" else 0])
        self.until(lambda: preview.written > before)
        answered = preview.written_at
        self.until(lambda: self.drawn_at > answered)
        return answered - released, self.drawn_at - answered

    def lateness_of_propagation(self) -> dict[str, float]:
        """Carry the organ through the stack while a timer ticks."""
        session = self.bench.session
        session.active_object = None
        self.bench.desk.go_to(50)
        session.add_box(1 + max(session.objects, default=0), 50, (160, 100, 320, 300))
        self.quiet()
        started = time.perf_counter()
        with Ticks() as ticks:
            self.bench.commands.run("propagate")
            self.until(lambda: not self.bench.desk.run.is_running)
            self.until(lambda: not self.bench.desk.live._to_draw)
        seconds = time.perf_counter() - started
        n_slices = len(session.result(session.active_object).slices)
        return {**ticks.figures("late"), "propagated_slices_per_second": n_slices / seconds}

    def lateness_of_scrolling(self) -> dict[str, float]:
        """What napari itself does to the same timer, without the dock."""
        self.bench.close()
        self.pause(0.5)
        with Ticks() as ticks:
            for index in range(100):
                self.viewer.dims.set_point(0, index * SPACING[0])
                self.pause(0.03)
        return ticks.figures("late_napari")

    def memory(self, objects: int, clicks: int) -> dict[str, float]:
        """Mark many objects on few slices, then click on them again and again."""
        session, desk = self.bench.session, self.bench.desk
        rng = np.random.default_rng(0)
        first = 1 + max(session.objects, default=0)
        for number in range(objects):
            y, x = rng.integers(80, 400, 2)
            session.add_box(first + number, 40 + number % 4, (y, x, y + 40, x + 40))
            self.quiet()
        before = _resident()
        for number in range(clicks):
            object_id = first + number % objects
            prompt = session.objects[object_id].prompts[0]
            y0, x0, y1, x1 = prompt.yxyx
            place = (prompt.index, (y0 + y1) / 2, (x0 + x1) / 2)
            session.remove_prompt(session.add_point(object_id, place))
            self.quiet()
        del desk
        return {
            "memory_mb": _resident(),
            f"memory_after_{objects}_objects_mb": before,
            "memory_growth_per_click_mb": (_resident() - before) / clicks,
        }


class Ticks:
    """Notes when a timer of 5 ms comes."""

    def __init__(self) -> None:
        from qtpy.QtCore import Qt, QTimer

        self.times: list[float] = []
        self.timer = QTimer()
        self.timer.setTimerType(Qt.TimerType.PreciseTimer)
        self.timer.timeout.connect(lambda: self.times.append(time.perf_counter()))

    def __enter__(self) -> Ticks:
        self.times.append(time.perf_counter())
        self.timer.start(5)
        return self

    def __exit__(self, *exc: object) -> None:
        self.timer.stop()

    def figures(self, name: str) -> dict[str, float]:
        """Lateness: median, 99th percentile and maximum in milliseconds."""
        late = 1000 * np.maximum(np.diff(self.times) - 0.005, 0)
        return {
            f"{name}_median_ms": float(np.median(late)),
            f"{name}_p99_ms": float(np.percentile(late, 99)),
            f"{name}_max_ms": float(late.max()),
        }


def _stack() -> tuple[np.ndarray, np.ndarray]:
    """The propagation benchmark's body."""
    spec = importlib.util.spec_from_file_location("benchmark_body", FOLDER / "propagation.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.body_with_organ()


def _resident() -> float:
    import psutil

    return psutil.Process().memory_info().rss / 2**20


def _need_display() -> None:
    """Start again on a virtual screen where there is none."""
    if sys.platform.startswith("linux") and not os.environ.get("DISPLAY"):
        if shutil.which("xvfb-run") is None:
            raise SystemExit("no display; install the packages xvfb and xauth")
        os.environ["QT_QPA_PLATFORM"] = "xcb"  # 'offscreen' has no OpenGL
        screen = "-screen 0 1400x1000x24"
        os.execvp("xvfb-run", ["xvfb-run", "-a", "-s", screen, sys.executable, *sys.argv])
