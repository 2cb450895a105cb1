"""One short walk through the real thing: sample, box, the real Session on the built-in model."""

from pathlib import Path

import numpy as np
import pytest

from window_support import PATIENCE, why_no_window

pytest.importorskip("qtpy.QtWidgets", reason=why_no_window(), exc_type=ImportError)
pytest.importorskip("napari")

import stacksam
from stacksam.core.metrics import dice
from stacksam.io.prompt_files import load_prompts

FOLDER = Path(stacksam.__file__).parent / "sample_data"


def test_one_box_gives_the_aorta(make_napari_viewer, qtbot):
    viewer = make_napari_viewer()
    viewer.open_sample("napari-stacksam", "abdomen_ct")
    _, widget = viewer.window.add_plugin_dock_widget("napari-stacksam", "StackSAM")
    image = viewer.layers["Abdomen CT"]
    box = load_prompts(FOLDER / "abdomen_ct_prompts.json", image.data.shape).prompts.get(5)
    widget.draw_button.click()
    y0, x0, y1, x1 = np.array(box.yxyx) - 0.5  # napari counts from pixel centres
    z = box.index
    viewer.layers["StackSAM box"].add_rectangles(
        np.array([[z, y0, x0], [z, y0, x1], [z, y1, x1], [z, y1, x0]])
    )
    widget.run_button.click()
    name = "Abdomen CT StackSAM labels"
    qtbot.waitUntil(lambda: not widget.is_running, timeout=3 * PATIENCE)
    truth = np.asarray(stacksam.read(FOLDER / "abdomen_ct_truth.nii.gz").data) == 5
    assert dice(truth, viewer.layers[name].data == 1) > 0.7


def test_the_demo_opens_in_windows(make_napari_viewer, monkeypatch):
    from stacksam.plugin.demo_viewer import open_demo

    monkeypatch.setattr("napari.Viewer", lambda title: make_napari_viewer(title=title))
    viewers = open_demo({"nuclei": FOLDER / "nuclei_truth.tif"})
    (viewer,) = viewers
    image, labels = viewer.layers
    assert "nuclei" in viewer.title
    assert labels.data.shape == image.data.shape
    np.testing.assert_allclose(labels.scale, image.scale)
