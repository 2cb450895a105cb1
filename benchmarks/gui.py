"""Answers of the napari dock on a CT of 512 x 512 x 100 voxels, with real mouse events.

``click_*`` and ``box_*`` are milliseconds from the release of the mouse to the preview layer's data
being set, with the fields that the model looks at encoded before (``cached``) or not (``new``);
``paint_*`` is from there to the end of the next drawing, ``computing_*`` what the window's thread
computes itself until the data are set, which other programs hardly change. ``late_*`` is how much
later than asked a timer of 5 ms comes during a propagation, ``late_napari_*`` the same while plain
napari scrolls through the stack, before the dock is opened. ``memory_*`` are MB of the process,
``*_growth_per_click_A_B_mb`` by how much it, and what its stores hold, grows with each click from
A to B that is undone at once.
``many_*`` are for a session of many objects: milliseconds that the window's thread computes for a
new box until all is quiet, how late the timer is at most meanwhile, and the same for a commit.
``--volume vast`` is a logical (4096, 1600, 1600) array whose chunks, one a slice, are made when
they are read; ``--volume blocks`` has chunks of (64, 512, 512). Many objects are left out there.
"""

from __future__ import annotations

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
PATIENCE = 300.0  # seconds
SIDE = 18  # of the boxes around many objects, in pixels


def measure(
    repeats: int = 24,
    objects: int = 50,
    clicks: int = 200,
    many: int = 300,
    volume: str = "ct",
) -> dict[str, float]:
    """Percentiles in milliseconds, memory in MB.

    Parameters
    ----------
    repeats : int
        Clicks and boxes of each kind.
    objects, clicks : int
        For the memory figures: so many objects, and so many clicks on them.
    many : int
        Objects in one session for the last figures.
    volume : {"ct", "vast", "blocks"}
    """
    _need_display()
    with tempfile.TemporaryDirectory(prefix="stacksam-bench-") as folder:
        os.environ["STACKSAM_JOURNALS"] = folder
        bench = Bench(volume)
        figures = bench.lateness_of_scrolling()
        bench.open_dock()
        figures |= bench.answers("click", repeats)
        figures |= bench.answers("box", repeats)
        figures |= bench.lateness_of_propagation()
        if volume == "ct":
            figures |= bench.memory(objects, clicks)
            figures |= bench.many_objects(many)
        figures["memory_mb"] = _resident()
        bench.close()
    return figures


class Bench:
    """A viewer, with the dock once it is opened, and a hand on the mouse."""

    def __init__(self, volume: str = "ct") -> None:
        import napari
        from qtpy.QtWidgets import QApplication

        sys.path.insert(0, str(FOLDER.parent / "tests"))
        from hand import Hand

        self.image_data, contrast = _stack(volume)
        self.viewer = napari.Viewer(show=True)
        self.viewer.window.resize(1280, 900)
        self.app = QApplication.instance()
        self.image = self.viewer.add_image(
            self.image_data,
            name="ct",
            scale=SPACING,
            units=("mm",) * 3,
            contrast_limits=contrast,
        )
        self.hand = Hand(self.viewer, self.until)
        self.drawn_at = 0.0
        canvas = self.viewer.window._qt_viewer.canvas._scene_canvas
        canvas.events.draw.connect(self._on_draw, position="last")
        self.hand.look()

    def open_dock(self) -> None:
        """Open the dock and wait for its session."""
        _, self.dock = self.viewer.window.add_plugin_dock_widget("napari-stacksam", "StackSAM")
        self.bench = self.dock.bench
        self.until(lambda: self.bench.session is not None)
        self.quiet()
        self.hand.look()
        self.viewer.reset_view()

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
        from stacksam.plugin.later import is_all_done

        engine = self.bench.engine
        self.until(lambda: is_all_done() and not engine.is_busy())
        self.pause(0.02)
        self.until(lambda: is_all_done() and not engine.is_busy())

    def answers(self, kind: str, repeats: int) -> dict[str, float]:
        """Ask for new objects on slice after slice, twice at the same place of each."""
        taken: dict[str, list[float]] = {"new": [], "cached": [], "paint": [], "computing": []}
        self.bench.commands.run("point+" if kind == "click" else "box")
        # half of the slices for clicks, half for boxes, so that neither finds the other's fields
        slices = np.linspace(12, 84, repeats + 1).round().astype(int)
        slices += 0 if kind == "click" else 1
        for number, index in enumerate(slices):
            self.bench.desk.go_to(int(index))
            for state in ("new", "cached"):
                self.quiet()
                self.bench.session.predictor.predictions.clear()  # only fields stay known
                self.bench.engine.hold_background(True)  # prefetching would fill the cache
                seconds, paint, computing = self._ask(kind, int(index), number % 4)
                self.bench.engine.hold_background(False)
                if number:  # the first one opens the layers
                    taken[state].append(1000 * seconds)
                    taken["paint"].append(1000 * paint)
                    taken["computing"].append(1000 * computing)
                self.quiet()
                self.bench.session.remove_object(self.bench.session.active_object)
        figures = {}
        for state, values in taken.items():
            name = f"{kind}_{state}" if state in ("new", "cached") else f"{state}_{kind}"
            figures |= _percentiles(name, values)
        return figures

    def _ask(self, kind: str, index: int, corner: int) -> tuple[float, float, float]:
        """One click or box; seconds until the preview's data are set, until it is painted then, and
        that this thread computed for the first.
        """
        y, x = 240 + 20 * (corner % 2), 200 + 20 * (corner // 2)
        path = [(index, y, x)]
        if kind == "box":
            path = [(index, 160, 100), (index, 320, 300)]
        preview = self.bench.desk.preview
        before = preview.written
        released, began = self._draw(path)
        self.until(lambda: preview.written > before)
        answered, computing = preview.written_at, time.thread_time() - began
        self.until(lambda: self.drawn_at > answered)
        return answered - released, self.drawn_at - answered, computing

    def _draw(self, path: list[tuple[float, float, float]]) -> tuple[float, float]:
        """Press at the first place and drag to the last one.

        Returns when the mouse was released, by the clock and in time that this thread computed.
        What napari does about the press and the moves is over then: a hand is slower than that.
        """
        from qtpy.QtTest import QTest

        import hand

        self.hand.look()
        spots = [self.hand.place(self.image, place) for place in path]
        QTest.mouseMove(self.hand.native, spots[0])
        QTest.mousePress(self.hand.native, hand.LEFT, pos=spots[0])
        for step in range(1, 5 if len(path) > 1 else 0):
            self.hand._move(spots[0] + (spots[-1] - spots[0]) * step / 4, hand.LEFT)
        self.pause(0.05)
        released = time.perf_counter(), time.thread_time()
        QTest.mouseRelease(self.hand.native, hand.LEFT, pos=spots[-1])
        return released

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
            self.quiet()
        seconds = time.perf_counter() - started
        n_slices = len(session.result(session.active_object).slices)
        return {**ticks.figures("late"), "propagated_slices_per_second": n_slices / seconds}

    def lateness_of_scrolling(self) -> dict[str, float]:
        """What napari itself does to the same timer, without the dock."""
        with Ticks() as ticks:
            for index in range(100):
                self.viewer.dims.set_point(0, index * SPACING[0])
                self.pause(0.03)
        return ticks.figures("late_napari")

    def memory(self, objects: int, clicks: int) -> dict[str, float]:
        """Mark many objects with the mouse, then click on them and undo that, again and again.

        No two clicks are at the same place, so each is computed. From a quarter of them on, the
        predictor's stores may not take more than they do then: they are full. Memory is looked at
        after what was freed has been given back, as the dock does itself when it is idle.
        """
        from stacksam.core.freed_memory import give_back_freed_memory

        session, desk, predictor = self.bench.session, self.bench.desk, self.bench.session.predictor
        stores = (predictor.embeddings, predictor.slices, predictor.predictions)
        self.bench.commands.run("box")
        marked = [(40 + k % 4, *_place(k)) for k in range(objects)]
        ids = [self._mark(*place) for place in marked]
        self.bench.commands.run("point+")
        give_back_freed_memory()
        rng, used, filled, most = np.random.default_rng(0), [_resident()], [], 0.0
        for number in range(clicks):
            if number == clicks // 4:
                for store in stores:
                    store.budget = store.used
            object_id, (index, y, x) = ids[number % objects], marked[number % objects]
            dy, dx = rng.uniform(-SIDE / 3, SIDE / 3, 2)
            session.active_object = object_id
            desk.go_to(index)
            self.quiet()
            self._draw([(index, y + dy, x + dx)])
            self.quiet()
            self.bench.commands.run("undo")
            self.quiet()
            most = max(most, _resident())
            give_back_freed_memory()
            used.append(_resident())
            filled.append(sum(store.used for store in stores) / 2**20)
        figures = {f"memory_after_{objects}_objects_mb": used[0]}
        figures[f"memory_after_{clicks}_clicks_mb"] = used[-1]
        figures |= {"memory_most_mb": most, "memory_of_stores_mb": filled[-1]}
        figures |= _growth("memory", used[1:]) | _growth("stores", filled)
        return figures

    def _mark(self, index: int, y: float, x: float) -> int:
        """Drag a box around a place as a new object; returns its id."""
        self.bench.session.active_object = None
        self.bench.desk.go_to(index)
        self.quiet()
        half = SIDE / 2
        self._draw([(index, y - half, x - half), (index, y + half, x + half)])
        self.quiet()
        return int(self.bench.session.active_object)

    def many_objects(self, many: int) -> dict[str, float]:
        """Fill the session up with finished objects; then one more box, and its commit."""
        from qtpy.QtTest import QTest

        import hand

        session = self.bench.session
        labels = np.zeros(self.image_data.shape, np.uint16)
        for number in range(many - len(session.objects)):
            y, x = (int(v) for v in _place(number))
            labels[60 + number // 64, y - 6 : y + 6, x - 6 : x + 6] = number + 1
        if labels.any():  # there may be as many objects already
            session.import_labels(labels)
        self.quiet()
        self.bench.commands.run("box")
        taken: dict[str, list[float]] = {n: [] for n in ("box", "box_late", "commit", "write")}
        for number in range(8):
            with Busy() as busy:
                self._mark(80, *_place(20 + 3 * number))
            taken["box"].append(busy.milliseconds)
            taken["box_late"].append(float(busy.late.max()))
            button = self.dock.commit.commit_button
            with Busy() as busy:
                started = time.perf_counter()
                QTest.mouseClick(button, hand.LEFT, pos=button.rect().center())
                taken["write"].append(1000 * (time.perf_counter() - started))
                self.quiet()
            taken["commit"].append(busy.milliseconds)
            assert session.objects[session.active_object].label_id
        return {
            "many_objects": float(len(session.objects)),
            "many_box_computing_max_ms": max(taken["box"]),
            "many_box_late_max_ms": max(taken["box_late"]),
            "many_commit_computing_max_ms": max(taken["commit"]),
            "many_commit_max_ms": max(taken["write"]),
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

    @property
    def late(self) -> np.ndarray:
        """Milliseconds."""
        return 1000 * np.maximum(np.diff(self.times) - 0.005, 0)

    def figures(self, name: str) -> dict[str, float]:
        """Lateness: median, 99th percentile and maximum in milliseconds."""
        return {
            f"{name}_median_ms": float(np.median(self.late)),
            f"{name}_p99_ms": float(np.percentile(self.late, 99)),
            f"{name}_max_ms": float(self.late.max()),
        }


class Busy(Ticks):
    """Also notes how long this thread computes, waiting for other programs not counted."""

    def __enter__(self) -> Busy:
        self.began = time.thread_time()
        super().__enter__()
        return self

    def __exit__(self, *exc: object) -> None:
        super().__exit__()
        self.milliseconds = 1000 * (time.thread_time() - self.began)


def _percentiles(name: str, values: list[float]) -> dict[str, float]:
    return {
        f"{name}_median_ms": float(np.median(values)),
        f"{name}_p95_ms": float(np.percentile(values, 95)),
        f"{name}_max_ms": float(max(values)),
    }


def _growth(name: str, values: list[float]) -> dict[str, float]:
    """How much values rise per click in the second quarter and the second half of the clicks."""
    clicks, figures = len(values), {}
    for start, stop in ((clicks // 4, clicks // 2), (clicks // 2, clicks)):
        if stop - start > 1:  # a single click has no slope
            slope = np.polyfit(np.arange(stop - start), values[start:stop], 1)[0]
            figures[f"{name}_growth_per_click_{start}_{stop}_mb"] = float(slope)
    return figures


def _place(number: int) -> tuple[float, float]:
    """Where one of many objects lies, (y, x) within the body; they do not touch."""
    return 120.0 + 28 * (number // 8 % 8), 100.0 + 36 * (number % 8)


def _stack(volume: str) -> tuple[Any, tuple[int, int]]:
    """The propagation benchmark's body, or one of about its size in a vast volume; contrast."""
    sys.path.insert(0, str(FOLDER))
    from _generated_store import GeneratedStore

    from propagation import body_with_organ

    if volume == "ct":
        return body_with_organ()[0], (-160, 240)
    chunks = {"vast": (1, 1600, 1600), "blocks": (64, 512, 512)}[volume]
    store = GeneratedStore((4096, 1600, 1600), chunks, (50, 240, 200), (60, 80, 100))
    return store.array(), (700, 2200)


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
