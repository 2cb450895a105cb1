"""What happens around the work: windows, layers, viewers, crashes."""

import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from models import two_tubes
from window_support import why_no_window

pytest.importorskip("qtpy.QtWidgets", reason=why_no_window(), exc_type=ImportError)
pytest.importorskip("napari")
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication

from hand import RIGHT, press

TUBES = two_tubes()
HU = np.where(TUBES > 0, 90, -60).astype(np.int16)
MM = {"scale": (3.0, 0.7, 0.7), "units": ("mm",) * 3}


def test_the_window_follows_the_layer_and_the_layer_a_preset(open_bench):
    one = open_bench(HU, contrast_limits=(-100, 100), **MM)
    session = one.bench.session
    assert (session.window.low, session.window.high) == (-100, 100)
    one.image.contrast_limits = (-50, 150)
    one.wait(lambda: session.window.low == -50)
    session.undo()
    assert list(one.image.contrast_limits) == [-100, 100]

    one.dock.window_panel.follow_check.setChecked(False)
    one.dock.window_panel.choose("ct-lung")
    assert list(one.image.contrast_limits) == [-1350, 150]
    one.image.contrast_limits = (0, 10)
    one.settle()
    assert session.window.low == -1350


def test_right_drag_changes_the_window_of_a_scan(open_bench):
    one = open_bench(HU, contrast_limits=(-100, 100), **MM)
    zoom = one.viewer.scene.camera.zoom
    one.hand.drag(one.image, [(6, 20, 20), (6, 40, 60)], button=RIGHT)
    low, high = one.image.contrast_limits
    assert high - low > 220  # to the right: wider
    assert (low + high) / 2 > 10  # down: brighter
    assert one.viewer.scene.camera.zoom == zoom
    one.wait(lambda: one.bench.session.window.high == pytest.approx(high))


def test_right_drag_zooms_into_other_images(open_bench):
    one = open_bench()
    limits, zoom = list(one.image.contrast_limits), one.viewer.scene.camera.zoom
    one.hand.drag(one.image, [(6, 20, 20), (6, 40, 60)], button=RIGHT)
    assert list(one.image.contrast_limits) == limits
    assert one.viewer.scene.camera.zoom != zoom


def test_patient_letters(open_bench):
    from stacksam.core.volume import Volume
    from stacksam.plugin.layers import volume_to_layer

    flipped = np.diag([3.0, -0.7, 0.7, 1.0])
    data, options, _ = volume_to_layer(Volume(HU, affine=flipped))
    one = open_bench(data, show=False, **options)
    overlay = one.viewer.canvas.overlays.text
    assert overlay.visible
    assert overlay.text.split() == ["A", "R", "+", "L", "P"]
    one.viewer.dims.order = (1, 0, 2)
    assert overlay.text.split() == ["I", "R", "+", "L", "S"]
    one.viewer.dims.ndisplay = 3
    assert not overlay.visible


def test_patients_are_not_mirrored_in_3d(open_bench):
    from stacksam.core.volume import Volume
    from stacksam.plugin.layers import volume_to_layer

    data, options, _ = volume_to_layer(Volume(HU, affine=np.diag([3.0, 0.7, 0.7, 1.0])))
    one = open_bench(data, show=False, **options)
    camera = one.viewer.scene.camera
    one.viewer.dims.ndisplay = 3
    assert camera.orientation[0] == "away"
    assert camera.handedness == "left"  # of z, y, x: x, y, z are right-handed, as patients are
    one.bench.close()
    assert camera.orientation[0] == "towards"


def draw_box(one):
    one.bench.desk.go_to(6)
    press(one.dock.prompts.buttons["box"])
    one.hand.drag(one.image, [(6, 11, 13), (6, 33, 35)])
    one.wait(lambda: one.bench.desk.preview.layer is not None)
    one.settle()


def test_layers_may_be_renamed_and_moved(open_bench):
    one = open_bench()
    layers = one.viewer.layers
    draw_box(one)
    layers["StackSAM shapes"].name = "my boxes"
    layers["StackSAM preview"].name = "my masks"
    one.image.name = "my image"
    layers.move(0, 2)
    layers.reverse()
    one.settle()
    assert one.dock.image.layer_combo.currentText() == "my image"
    press(one.dock.propagation.run_button)
    one.wait(lambda: not one.bench.desk.run.is_running)
    one.bench.desk.live.finish_drawing()
    np.testing.assert_array_equal(layers["my masks"].data == 1, TUBES == 1)
    one.hand.drag(layers["my boxes"], [(6, 36, 42), (6, 54, 62)])
    one.settle()
    assert len(one.bench.session.objects[1].prompts) == 2
    press(one.dock.commit.commit_button)
    one.wait(lambda: "my image labels" in layers)


def test_the_prompts_layer_may_be_removed(open_bench):
    one = open_bench()
    draw_box(one)
    one.viewer.layers.remove("StackSAM shapes")
    one.settle()
    assert len(one.bench.session.objects[1].prompts) == 1  # removing a view takes nothing back
    press(one.dock.prompts.buttons["box"])
    np.testing.assert_allclose(one.viewer.layers["StackSAM shapes"].data[0][:, 0], 6)


def test_the_preview_may_be_removed(open_bench):
    one = open_bench()
    desk, session = one.bench.desk, one.bench.session
    draw_box(one)
    press(one.dock.propagation.run_button)
    one.viewer.layers.remove("StackSAM preview")
    one.wait(lambda: not desk.run.is_running)
    one.settle()
    np.testing.assert_array_equal(session.result(1).mask, TUBES == 1)
    session.remove_prompt(1)
    session.undo()
    one.settle()
    desk.live.finish_drawing()
    np.testing.assert_array_equal(one.viewer.layers["StackSAM preview"].data == 1, TUBES == 1)


def test_the_labels_may_be_removed(open_bench):
    one = open_bench()
    session = one.bench.session
    draw_box(one)
    press(one.dock.commit.commit_button)
    one.viewer.layers.remove("stack labels")
    one.settle()
    session.undo()
    session.redo()
    np.testing.assert_array_equal(one.viewer.layers["stack labels"].data[6] == 1, TUBES[6] == 1)


def test_an_image_that_is_removed_and_opened_again_goes_on(open_bench):
    one = open_bench()
    session = one.bench.session
    session.add_box(1, 6, (12, 14, 33, 35))
    one.bench.desk.set_mode("box")
    one.settle()
    one.viewer.layers.remove("stack")
    one.wait(lambda: one.bench.session is None)
    one.wait(lambda: not len(one.viewer.layers))
    assert not one.dock.prompts.buttons["box"].isEnabled()
    one.viewer.add_image(np.where(TUBES > 0, 900, 100).astype(np.uint16), name="again")
    one.wait(lambda: one.bench.session is session)
    one.settle()
    assert np.asarray(one.bench.desk.preview.layer.data)[6].any()


def test_two_viewers_at_once(open_bench):
    first, second = open_bench(), open_bench(HU, **MM)
    for one in (first, second):
        one.bench.session.add_box(1, 6, (12, 14, 33, 35))
        one.bench.commands.run("propagate")
    for one in (first, second):
        one.settle()
        one.wait(lambda one=one: one.bench.session.result(1) is not None)
        one.bench.commands.run("commit")
        np.testing.assert_array_equal(one.viewer.layers["stack labels"].data == 1, TUBES == 1)
    assert first.bench.session is not second.bench.session
    second.hand.look()
    second.bench.close()  # takes its layers away, while the other window was drawn last
    first.bench.session.add_box(2, 6, (34, 42, 55, 63))
    first.settle()
    first.hand.look()
    first.viewer.layers.remove("stack labels")
    first.bench.desk.go_to(6)
    first.hand.look()
    second.hand.look()
    for one in (first, second):  # in colour: labels and masks are still drawn in both
        canvas = one.viewer.screenshot(canvas_only=True, flash=False)[..., :3].astype(int)
        assert np.ptp(canvas, axis=-1).max() > 50


def test_closing_the_dock_ends_its_threads_and_takes_its_layers(open_bench):
    one = open_bench()
    one.bench.session.add_box(1, 6, (12, 14, 33, 35))
    one.bench.desk.set_mode("box")
    one.settle()
    assert len(one.viewer.layers) == 3
    bench = one.bench
    one.viewer.window.remove_dock_widget(one.dock)
    one.dock.close()
    one.dock.deleteLater()
    one.wait(lambda: bench._is_closed)
    assert not bench.engine.is_alive
    assert not bench.errands.is_alive
    one.wait(lambda: [layer.name for layer in one.viewer.layers] == ["stack"])
    one.viewer.dims.set_point(0, 3)  # nobody is left who minds


def test_labels_become_objects_or_keyframes(open_bench):
    one = open_bench(show=False)
    one.viewer.add_labels(TUBES.astype(np.uint16), name="mine")
    one.settle()
    commit = one.dock.commit
    assert commit.layer_combo.currentText() == "mine"
    commit.imports.set_open(True)
    press(commit.objects_button)
    np.testing.assert_array_equal(one.bench.session.labels, TUBES)
    assert [o.is_locked for o in one.bench.session.objects.values()] == [True, True]
    assert commit.layer_combo.count() == 1  # our own labels are not offered

    one.bench.session.new_object()
    one.viewer.layers["mine"].data = np.where(TUBES == 2, 1, 0)
    press(commit.keyframes_button)
    prompts = one.bench.session.objects[3].prompts
    assert [p.index for p in prompts] == list(range(12))
    one.settle()
    one.bench.desk.live.finish_drawing()
    np.testing.assert_array_equal(np.asarray(one.bench.desk.preview.layer.data) == 3, TUBES == 2)


def test_measurements_and_diagnostics(open_bench, tmp_path):
    one = open_bench(show=False, **MM)
    one.viewer.add_labels(TUBES.astype(np.uint16), name="mine")
    one.settle()
    one.bench.commands.import_labels(as_keyframes=False)
    one.bench.commands.measure()
    one.wait(lambda: one.dock.measure.table.rowCount() == 2)
    one.bench.commands.save_table(str(tmp_path / "table.csv"))
    table = (tmp_path / "table.csv").read_text(encoding="utf-8").splitlines()
    assert len(table) == 3
    assert "volume_mm3" in table[0]

    one.bench.commands.copy_diagnostics()
    text = QApplication.clipboard().text()
    assert "napari-stacksam" in text
    assert "threshold" in text
    assert str(Path.home()) not in text
    assert "mine" not in text


def test_an_object_can_be_hidden_and_coloured(open_bench):
    one = open_bench()
    session, desk = one.bench.session, one.bench.desk
    session.add_box(1, 6, (12, 14, 33, 35))
    one.settle()
    desk.go_to(6)
    assert np.asarray(desk.preview.layer.data)[6].any()
    one.hand.key(Qt.Key.Key_H)
    desk.live.finish_drawing()
    assert not np.asarray(desk.preview.layer.data)[6].any()
    one.hand.key(Qt.Key.Key_H)
    session.set_color(1, (0.1, 0.9, 0.2))
    np.testing.assert_allclose(desk.preview.layer.get_color(1)[:3], (0.1, 0.9, 0.2), atol=0.01)


CHILD = """
import os, sys
import numpy as np
sys.path.insert(0, {tests!r})
from models import ThresholdPredictor, stack_of, two_tubes
import stacksam.plugin.models as models
models.load_and_warm = lambda name: ThresholdPredictor()
import napari
from qtpy.QtCore import QTimer
viewer = napari.Viewer(show=False)
viewer.add_image(np.asarray(stack_of(two_tubes()).data), name="stack")
_, dock = viewer.window.add_plugin_dock_widget("napari-stacksam", "StackSAM")
bench = dock.bench
def work():
    if bench.session is None:
        return
    timer.stop()
    bench.session.add_box(1, 6, (12, 14, 33, 35))
    bench.session.propagate(1)
    bench.session.commit(1, name="tube")
    bench.session.add_point(2, (6, 44, 52))
    bench.session.rename(2, "other")  # the last action may be lost, the one before never
    os._exit(9)
timer = QTimer()
timer.timeout.connect(work)
timer.start(20)
napari.run()
"""


def test_work_is_offered_again_after_a_crash(open_bench, journals):
    script = CHILD.format(tests=str(Path(__file__).parents[1]))
    ended = subprocess.run(  # the limit is against hanging only: machines may be very busy
        [sys.executable, "-c", script], timeout=900, capture_output=True, text=True
    )
    assert ended.returncode == 9, ended.stderr
    one = open_bench()
    recovery = one.dock.recovery
    one.wait(lambda: not recovery.isHidden())
    assert "steps" in recovery.hint.text()
    press(recovery.restore_button)
    one.wait(lambda: bool(one.bench.session.objects))
    session = one.bench.session
    assert session.objects[1].name == "tube"
    assert [p.kind for p in session.objects[2].prompts] == ["point"]
    np.testing.assert_array_equal(one.viewer.layers["stack labels"].data == 1, TUBES == 1)
    one.settle()
    assert np.asarray(one.bench.desk.preview.layer.data)[6, 44, 52] == 2
    assert recovery.isHidden()
    one.bench.close()
    again = open_bench()  # closed by its user, perhaps too early: still offered
    again.wait(lambda: not again.dock.recovery.isHidden())
    press(again.dock.recovery.discard_button)
    assert again.dock.recovery.isHidden()
    again.bench.close()
    assert not list(journals.glob("*/journal*"))


def test_old_work_is_deleted_and_an_untouched_window_leaves_nothing(
    open_bench, journals, monkeypatch
):
    one = open_bench()
    one.bench.close()
    assert not list(journals.glob("*/journal*"))
    two = open_bench()
    two.bench.session.add_box(1, 6, (12, 14, 32, 34))
    two.settle()
    two.bench.close()
    (left,) = journals.glob("*/journal*")
    monkeypatch.setattr("stacksam.plugin.recovery.KEPT", timedelta(0))
    three = open_bench()
    three.wait(lambda: not left.exists())
    assert three.dock.recovery.isHidden()
