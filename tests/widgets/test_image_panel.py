"""Choosing an image, a channel, a time point."""

import pytest

from widget_support import Qt, record, show, widgets


@pytest.fixture
def panel(qtbot):
    return show(qtbot, widgets.ImagePanel())


def test_without_images_it_says_what_to_do(panel):
    assert not panel.layer_combo.isEnabled()
    assert "Open an image first" in panel.hint.text()
    assert panel.layer_key is None


def test_a_layer_is_chosen_by_key(panel, qtbot):
    chosen = record(panel.layer_chosen)
    panel.set_layers([("a", "ct"), ("b", "mr")])
    assert panel.layer_key == "a"
    assert chosen == []
    panel.layer_combo.setFocus()
    qtbot.keyClick(panel.layer_combo, Qt.Key.Key_Down)
    assert chosen == ["b"]


def test_the_choice_survives_new_names_and_orders(panel):
    panel.set_layers([("a", "ct"), ("b", "mr")], current="b")
    panel.set_layers([("c", "pet"), ("b", "mr renamed"), ("a", "ct")])
    assert panel.layer_key == "b"
    assert panel.layer_combo.currentText() == "mr renamed"
    panel.set_layers([("c", "pet")])
    assert panel.layer_key == "c"


def test_keys_need_not_be_text(panel):
    key = object()
    panel.set_layers([(1, "ct"), (key, "mr")], current=key)
    assert panel.layer_key is key


@pytest.mark.parametrize("count", [None, 1])
def test_one_channel_and_one_time_point_are_no_choice(panel, count):
    panel.set_axes(count, count)
    assert not panel.channel_combo.isVisible()
    assert not panel.time_spin.isVisible()


def test_channels_and_time_points(panel, qtbot):
    channels, times = record(panel.channel_chosen), record(panel.time_chosen)
    panel.set_axes(3, 10, channel=1, time=4)
    assert (channels, times) == ([], [])
    assert panel.channel_combo.isVisible()
    assert panel.time_spin.value() == 4
    qtbot.keyClick(panel.channel_combo, Qt.Key.Key_Down)
    qtbot.keyClick(panel.time_spin, Qt.Key.Key_Up)
    assert (channels, times) == ([2], [5])


def test_it_tells_size_and_spacing(panel, session):
    panel.set_layers([("a", "ct")])
    assert panel.hint.text() == "Choose an image to begin."
    panel.set_session(session)
    assert panel.hint.text() == "12 slices of 64 × 72, 2 × 0.5 × 0.5 mm"
    panel.set_session(None)
    assert panel.hint.text() == "Choose an image to begin."
