"""One short walk through the real thing: sample, box, the real Session on the built-in model."""

from pathlib import Path

import numpy as np
import pytest

from window_support import wait_for, why_no_window

pytest.importorskip("qtpy.QtWidgets", reason=why_no_window(), exc_type=ImportError)
pytest.importorskip("napari")

import stacksam
from stacksam.core.metrics import dice
from stacksam.core.windows import PRESETS
from stacksam.io.prompt_files import load_prompts

FOLDER = Path(stacksam.__file__).parent / "sample_data"


@pytest.fixture
def truth():
    return np.asarray(stacksam.read(FOLDER / "abdomen_ct_truth.nii.gz").data)


def test_one_box_gives_the_aorta(open_viewer, qtbot, truth):
    from hand import Hand, press

    def wait(condition):
        wait_for(qtbot, condition)

    viewer = open_viewer()
    viewer.open_sample("napari-stacksam", "abdomen_ct")
    _, dock = viewer.window.add_plugin_dock_widget("napari-stacksam", "StackSAM")
    bench, image = dock.bench, viewer.layers["Abdomen CT"]
    wait(lambda: bench.session is not None)
    assert bench.session.window == PRESETS["ct-soft-tissue"]
    box = load_prompts(FOLDER / "abdomen_ct_prompts.json", image.data.shape).prompts.get(5)
    bench.desk.go_to(box.index)
    hand = Hand(viewer, wait)
    hand.look()
    viewer.reset_view()
    press(dock.prompts.buttons["box"])
    y0, x0, y1, x1 = np.array(box.yxyx) - 0.5  # napari counts from pixel centres
    hand.drag(image, [(box.index, y0, x0), (box.index, y1, x1)])
    wait(lambda: bench.desk.preview.layer is not None)
    press(dock.propagation.run_button)
    wait(lambda: not bench.desk.run.is_running)
    press(dock.commit.commit_button)
    assert dice(truth == 5, viewer.layers["Abdomen CT labels"].data == 1) > 0.7
    bench.close()


def test_the_demo_opens_in_windows(make_napari_viewer, monkeypatch):
    from stacksam.plugin.demo_viewer import open_demo

    monkeypatch.setattr("napari.Viewer", lambda title: make_napari_viewer(title=title))
    viewers = open_demo({"nuclei": FOLDER / "nuclei_truth.tif"})
    (viewer,) = viewers
    image, labels = viewer.layers
    assert "nuclei" in viewer.title
    assert labels.data.shape == image.data.shape
    np.testing.assert_allclose(labels.scale, image.scale)
