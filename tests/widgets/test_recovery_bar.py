"""Offers of unfinished work."""

import pytest

from widget_support import Qt, click, record, show, widgets


@pytest.fixture
def bar(qtbot):
    bar = widgets.RecoveryBar()
    qtbot.addWidget(bar)
    return bar


def test_without_offers_it_is_hidden(bar, qtbot):
    bar.offer([])
    assert bar.isHidden()


def test_one_offer(bar, qtbot):
    bar.offer([{"text": "liver.nii.gz, 12 steps", "key": "a"}])
    show(qtbot, bar)
    assert bar.hint.text() == "liver.nii.gz, 12 steps"
    assert not bar.combo.isVisible()
    asked = record(bar.restore_asked)
    click(qtbot, bar.restore_button)
    assert asked == ["a"]
    assert bar.isHidden()


def test_several_offers_are_answered_one_by_one(bar, qtbot):
    bar.offer([{"text": f"image {k}", "key": k} for k in range(3)])
    show(qtbot, bar)
    restored, discarded = record(bar.restore_asked), record(bar.discard_asked)
    qtbot.keyClick(bar.combo, Qt.Key.Key_Down)
    click(qtbot, bar.discard_button)
    assert (restored, discarded) == ([], [1])
    click(qtbot, bar.restore_button)
    assert restored == [0]
    assert bar.hint.text() == "image 2"
    assert not bar.isHidden()
