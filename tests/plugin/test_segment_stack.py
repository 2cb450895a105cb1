"""The dock widget in a real napari viewer; the Session is a stand-in that is quick and known."""

import threading
from types import SimpleNamespace

import numpy as np
import pytest

from window_support import PATIENCE, why_no_window

pytest.importorskip("qtpy.QtWidgets", reason=why_no_window(), exc_type=ImportError)
pytest.importorskip("napari")
from napari.utils.notifications import notification_manager

from stacksam.plugin import segment_stack
from stacksam.plugin.segment_stack import BOX_LAYER

SHAPE = (5, 40, 60)
SPACING = {"scale": (2.0, 0.5, 0.5), "units": ("mm",) * 3, "translate": (10.0, 0.0, 0.0)}


class BoxSession:
    """Fills the box on every slice; waits after the first one for `go` or a cancel."""

    def __init__(self, volume, window):
        self.volume, self.window = volume, window
        self.go = threading.Event()
        self.go.set()

    def add_box(self, object_id, index, box_yxyx, axis=0):
        self.index, self.box, self.axis = index, box_yxyx, axis

    def propagate(self, object_id, axis=0, progress=None, cancel=None):
        mask = np.zeros(self.volume.shape, bool)
        y0, x0, y1, x1 = self.box
        for done in range(len(mask)):
            if done == 1:
                while not (self.go.wait(0.01) or cancel.is_set()):
                    pass
            if cancel.is_set():
                break
            mask[done, y0:y1, x0:x1] = True
            progress(done + 1, len(mask))
        return SimpleNamespace(mask=mask, complete=not cancel.is_set())


@pytest.fixture
def sessions(monkeypatch):
    """The sessions that were opened, newest last."""
    opened = []

    def open_session(volume, window):
        opened.append(BoxSession(volume, window))
        return opened[-1]

    monkeypatch.setattr(segment_stack, "open_session", open_session)
    return opened


@pytest.fixture
def viewer(make_napari_viewer):
    return make_napari_viewer(strict_qt=True)


@pytest.fixture
def widget(viewer, sessions):
    _, widget = viewer.window.add_plugin_dock_widget("napari-stacksam", "StackSAM")
    return widget


@pytest.fixture
def errors(monkeypatch):
    """What was shown to the user."""
    shown = []
    monkeypatch.setattr(segment_stack, "show_error", shown.append)
    return shown


def add_ct(viewer, name="ct", **options):
    data = np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)
    return viewer.add_image(data, name=name, **(SPACING | options))


def draw(viewer, widget, index=2, box=(4, 6, 14, 26)):
    """Press Draw box and drag a rectangle along the outer edges of these pixels."""
    widget.draw_button.click()
    y0, x0, y1, x1 = np.array(box) - 0.5
    viewer.layers[BOX_LAYER].add_rectangles(
        np.array([[index, y0, x0], [index, y0, x1], [index, y1, x1], [index, y1, x0]])
    )


def test_box_to_labels(viewer, widget, sessions, qtbot):
    image = add_ct(viewer)
    draw(viewer, widget)
    widget.run_button.click()
    qtbot.waitUntil(lambda: "ct StackSAM labels" in viewer.layers, timeout=PATIENCE)
    labels = viewer.layers["ct StackSAM labels"]
    expected = np.zeros(SHAPE, int)
    expected[:, 4:14, 6:26] = 1
    np.testing.assert_array_equal(labels.data, expected)
    for name in ("scale", "translate", "units", "axis_labels"):
        np.testing.assert_array_equal(getattr(labels, name), getattr(image, name))
    (session,) = sessions
    assert (session.axis, session.index) == (0, 2)
    assert session.volume.spacing_zyx == pytest.approx(SPACING["scale"])
    assert session.window == tuple(image.contrast_limits)
    assert widget.status.text() == "Object 1: 5 slices."


def test_the_box_layer_is_ready_to_draw_on_the_images_grid(viewer, widget):
    image = add_ct(viewer)
    widget.draw_button.click()
    boxes = viewer.layers[BOX_LAYER]
    assert boxes.mode == "add_rectangle"
    assert viewer.layers.selection.active is boxes
    np.testing.assert_array_equal(boxes.scale, image.scale)
    draw(viewer, widget)
    widget.draw_button.click()
    assert len(viewer.layers[BOX_LAYER].data) == 0
    assert len(viewer.layers) == 2


def test_a_second_object_leaves_the_first_alone(viewer, widget, qtbot):
    add_ct(viewer)
    for count, box in enumerate([(4, 6, 14, 26), (4, 16, 14, 36)], start=1):
        draw(viewer, widget, box=box)
        widget.run_button.click()
        qtbot.waitUntil(
            lambda count=count: widget.status.text().startswith(f"Object {count}"), timeout=PATIENCE
        )
    labels = viewer.layers["ct StackSAM labels"].data
    assert (labels[:, 4:14, 6:26] == 1).all()
    assert (labels[:, 4:14, 26:36] == 2).all()
    viewer.layers["ct StackSAM labels"].undo()
    assert viewer.layers["ct StackSAM labels"].data.max() == 1


def test_cancel_keeps_what_is_done(viewer, widget, sessions, monkeypatch, qtbot):
    def slow(volume, window):
        sessions.append(BoxSession(volume, window))
        sessions[-1].go.clear()
        return sessions[-1]

    monkeypatch.setattr(segment_stack, "open_session", slow)
    add_ct(viewer)
    draw(viewer, widget)
    widget.run_button.click()
    qtbot.waitUntil(
        lambda: widget.progress_bar.value() == 1, timeout=PATIENCE
    )  # the window answers meanwhile
    assert not widget.run_button.isEnabled()
    widget.cancel_button.click()
    qtbot.waitUntil(lambda: "ct StackSAM labels" in viewer.layers, timeout=PATIENCE)
    labels = viewer.layers["ct StackSAM labels"].data
    assert labels[0].any()
    assert not labels[1:].any()
    assert "Cancelled; what was done is kept" in widget.status.text()
    assert widget.run_button.isEnabled()


def test_no_box_is_an_error_in_words(viewer, widget, errors, sessions):
    add_ct(viewer)
    widget.run_button.click()
    assert errors == ["no box yet; press Draw box and drag one around the object"]
    assert not sessions


def test_an_error_in_the_worker_is_shown(viewer, widget, errors, monkeypatch, qtbot):
    def broken(volume, window):
        raise ValueError("the box lies outside the volume")

    monkeypatch.setattr(segment_stack, "open_session", broken)
    add_ct(viewer)
    draw(viewer, widget)
    with qtbot.capture_exceptions():
        widget.run_button.click()
        qtbot.waitUntil(lambda: bool(errors), timeout=PATIENCE)
    assert errors == ["the box lies outside the volume"]
    assert widget.run_button.isEnabled()
    assert len(viewer.layers) == 2


def test_a_slip_reaches_naparis_handler(widget, monkeypatch, errors):
    received = []
    monkeypatch.setattr(notification_manager, "receive_error", lambda *args: received.append(args))
    slip = KeyError("a slip")
    widget.failed.emit(slip)
    assert received == [(KeyError, slip, None)]
    assert not errors


def test_nothing_found_adds_no_layer(viewer, widget):
    image = add_ct(viewer)
    widget._image = image
    widget.finished.emit(SimpleNamespace(mask=np.zeros(SHAPE, bool), complete=True))
    assert len(viewer.layers) == 1
    assert "Nothing was found" in widget.status.text()


def test_a_four_axis_image_is_refused(viewer, widget, errors):
    viewer.add_image(np.zeros((2, *SHAPE), np.float32), name="movie")
    draw_4d = np.array([[0, 1, 4, 6], [0, 1, 4, 9], [0, 1, 9, 9], [0, 1, 9, 6]])
    widget.draw_button.click()
    viewer.layers[BOX_LAYER].add_rectangles(draw_4d)
    widget.run_button.click()
    assert len(errors) == 1
    assert "4 axes" in errors[0]


@pytest.mark.parametrize(
    ("choice", "window"),
    [("contrast limits", (-1.5, 2.0)), ("ct-lung", "ct-lung"), ("auto", "auto")],
)
def test_window_is_what_the_user_chose(viewer, widget, sessions, qtbot, choice, window):
    add_ct(viewer, contrast_limits=(-1.5, 2.0))
    widget.window_box.setCurrentText(choice)
    draw(viewer, widget)
    widget.run_button.click()
    qtbot.waitUntil(lambda: widget.status.text().startswith("Object"), timeout=PATIENCE)
    assert sessions[-1].window == window


def test_flat_colour_image(viewer, widget, sessions, qtbot):
    viewer.add_image(np.zeros((40, 60, 3), np.uint8), rgb=True, name="photo")
    widget.draw_button.click()
    viewer.layers[BOX_LAYER].add_rectangles(
        np.array([[3.5, 5.5], [3.5, 25.5], [13.5, 25.5], [13.5, 5.5]])
    )
    widget.run_button.click()
    qtbot.waitUntil(lambda: "photo StackSAM labels" in viewer.layers, timeout=PATIENCE)
    assert viewer.layers["photo StackSAM labels"].data.shape == (40, 60)
    assert sessions[0].volume.rgb
    assert sessions[0].window == "auto"


def test_images_are_offered_as_layers_come_and_go(viewer, widget):
    assert not widget.run_button.isEnabled()
    image = add_ct(viewer)
    add_ct(viewer, name="mr")
    assert [widget.image_box.itemText(i) for i in range(2)] == ["ct", "mr"]
    viewer.layers.remove(image)
    assert widget.image_box.count() == 1


def test_two_images_have_labels_of_their_own(viewer, widget, qtbot):
    for name in ("ct", "mr"):
        add_ct(viewer, name=name)
        widget.image_box.setCurrentText(name)
        draw(viewer, widget)
        widget.run_button.click()
        qtbot.waitUntil(
            lambda name=name: f"{name} StackSAM labels" in viewer.layers, timeout=PATIENCE
        )


def test_samples_open_from_the_menu(viewer):
    for key in ("abdomen_ct", "nuclei"):
        viewer.open_sample("napari-stacksam", key)
    assert [layer.name for layer in viewer.layers] == ["Abdomen CT", "Nuclei"]
    assert viewer.layers["Abdomen CT"].contrast_limits == [-160.0, 240.0]


def test_closing_the_dock_leaves_the_viewer_working(viewer, widget, qtbot):
    viewer.window.remove_dock_widget(widget)
    with qtbot.waitSignal(widget.destroyed):
        widget.deleteLater()
    add_ct(viewer)
    assert len(viewer.layers) == 1
