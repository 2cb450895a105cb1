"""Some tests in this folder open windows."""

from types import SimpleNamespace

import numpy as np
import pytest

from models import ThresholdPredictor, stack_of, two_tubes
from window_support import skip_without_window, wait_for, why_no_window

if why_no_window() is None:
    from qtpy.QtWidgets import QApplication


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
def open_viewer(make_napari_viewer, qtbot):
    """Opens viewers; those that are to be seen are on the screen then."""

    def open_one(show=True):
        # napari's fixture would give up a window that is not on the screen after 5 s
        viewer = make_napari_viewer(show=False, strict_qt=True)
        if show:
            viewer.window.show()
            viewer.window.resize(1200, 900)
        return viewer

    return open_one


@pytest.fixture
def open_bench(open_viewer, qtbot, quick_model):
    """Opens viewers with an image and the dock at work; returns what a test needs of them."""
    from hand import Hand
    from stacksam.plugin.later import is_all_done

    opened = []

    def wait(condition):
        wait_for(qtbot, condition)

    def open_one(data=None, *, show=True, **options):
        viewer = open_viewer(show)
        if data is None:
            data = np.asarray(stack_of(two_tubes()).data)
        image = viewer.add_image(data, **{"name": "stack", **options})
        _, dock = viewer.window.add_plugin_dock_widget("napari-stacksam", "StackSAM")
        bench = dock.bench

        def is_idle():
            return is_all_done() and not (bench.engine.is_busy() or bench.errands.is_busy())

        def is_settled():
            if not is_idle():
                return False
            QApplication.processEvents()  # what was found last is on its way, and may ask for more
            return is_idle()

        def settle():
            wait(lambda: bench.session is not None)
            wait(is_settled)

        settle()
        hand = Hand(viewer, wait)
        if show:
            hand.look()
            viewer.reset_view()
        one = SimpleNamespace(
            viewer=viewer, image=image, dock=dock, bench=bench, hand=hand, wait=wait, settle=settle
        )
        opened.append(one)
        return one

    yield open_one
    for one in opened:
        one.bench.close()
        one.__dict__.clear()  # napari looks for viewers that somebody still holds
