"""Some tests in this folder open windows."""

from types import SimpleNamespace

import numpy as np
import pytest

from models import ThresholdPredictor, stack_of, two_tubes
from window_support import PATIENCE, skip_without_window


def pytest_collection_modifyitems(items):
    skip_without_window(items, "plugin")


@pytest.fixture(autouse=True)
def journals(tmp_path, monkeypatch):
    """Journals go into a folder of the test's own."""
    folder = tmp_path / "journals"
    monkeypatch.setenv("STACKSAM_JOURNALS", str(folder))
    return folder


@pytest.fixture
def quick_model(monkeypatch):
    """A model that thresholds instead of thinking."""
    model = ThresholdPredictor()
    for module in ("models", "workbench"):
        monkeypatch.setattr(f"stacksam.plugin.{module}.load_and_warm", lambda name: model)
    return model


@pytest.fixture
def open_bench(make_napari_viewer, qtbot, quick_model):
    """Opens viewers with an image and the dock at work; returns what a test needs of them."""
    from hand import Hand

    opened = []

    def open_one(data=None, *, show=True, **options):
        viewer = make_napari_viewer(show=show, strict_qt=True)
        if show:
            viewer.window.resize(1200, 900)
        if data is None:
            data = np.asarray(stack_of(two_tubes()).data)
        image = viewer.add_image(data, **{"name": "stack", **options})
        _, dock = viewer.window.add_plugin_dock_widget("napari-stacksam", "StackSAM")
        bench = dock.bench

        def wait(condition):
            qtbot.waitUntil(condition, timeout=PATIENCE)

        def settle():
            wait(lambda: bench.session is not None)
            wait(lambda: not bench.engine.is_busy() and not bench.errands.is_busy())
            qtbot.wait(1)
            wait(lambda: not bench.engine.is_busy())

        settle()
        if show:
            qtbot.wait(50)  # until the window has its size
            viewer.reset_view()
            qtbot.wait(20)
        hand = Hand(viewer, wait)
        one = SimpleNamespace(
            viewer=viewer, image=image, dock=dock, bench=bench, hand=hand, wait=wait, settle=settle
        )
        opened.append(one)
        return one

    yield open_one
    for one in opened:
        one.bench.close()
        one.__dict__.clear()  # napari looks for viewers that somebody still holds
