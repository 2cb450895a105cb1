"""The list of objects, with real mouse and keys."""

import time

import pytest

from stacksam.widgets.amounts import size_text
from stacksam.widgets.object_table import Column
from widget_support import Qt, QtCore, QtGui, QtWidgets, click, record, show, widgets
from window_support import wait_for


@pytest.fixture
def panel(qtbot, session):
    panel = show(qtbot, widgets.ObjectPanel())
    panel.set_session(session)
    return panel


def place_of(panel, row, column):
    return panel.view.visualRect(panel.table.index(row, column)).center()


def click_cell(qtbot, panel, row, column):
    place = place_of(panel, row, column)
    qtbot.mouseClick(panel.view.viewport(), Qt.MouseButton.LeftButton, pos=place)


def texts(panel, row):
    return [panel.table.index(row, column).data() for column in Column]


def settled(panel, qtbot):
    wait_for(qtbot, lambda: not panel._timer.isActive())


def three_objects(panel, session):
    for name in ("liver", "spleen", "kidney"):
        session.new_object(name)
    panel.refresh()


def test_an_empty_list_says_what_to_do_and_offers_only_that(panel):
    assert panel.table.rowCount() == 0
    assert panel.new_button.isEnabled()
    assert not panel.delete_button.isEnabled()
    assert not panel.edit_button.isEnabled()
    assert not panel.go_button.isEnabled()


def test_new_object_is_listed_and_active(panel, qtbot, session):
    click(qtbot, panel.new_button)
    settled(panel, qtbot)
    assert session.active_object == 1
    assert texts(panel, 0)[Column.NAME] == "object 1"
    assert panel.view.currentIndex().row() == 0
    assert panel.delete_button.isEnabled()
    assert not panel.go_button.isEnabled()  # it is nowhere yet


def test_a_click_on_a_row_makes_it_active(panel, qtbot, session):
    three_objects(panel, session)
    assert session.active_object == 3
    click_cell(qtbot, panel, 0, Column.NAME)
    assert session.active_object == 1
    qtbot.keyClick(panel.view, Qt.Key.Key_Down)
    assert session.active_object == 2


def test_the_list_follows_the_active_object(panel, qtbot, session):
    three_objects(panel, session)
    session.active_object = 2
    settled(panel, qtbot)
    assert panel.view.selectionModel().selectedRows()[0].row() == 1
    session.active_object = None
    settled(panel, qtbot)
    assert not panel.view.selectionModel().hasSelection()


def test_rename_in_place(panel, qtbot, session):
    three_objects(panel, session)
    place = place_of(panel, 1, Column.NAME)
    qtbot.mouseClick(panel.view.viewport(), Qt.MouseButton.LeftButton, pos=place)
    qtbot.mouseDClick(panel.view.viewport(), Qt.MouseButton.LeftButton, pos=place)
    editor = panel.view.viewport().findChild(QtWidgets.QLineEdit)
    editor.selectAll()
    qtbot.keyClicks(editor, "Milz")
    qtbot.keyClick(editor, Qt.Key.Key_Return)  # Qt takes it over in its next turn
    wait_for(qtbot, lambda: session.objects[2].name == "Milz")
    settled(panel, qtbot)
    assert texts(panel, 1)[Column.NAME] == "Milz"
    session.undo()
    settled(panel, qtbot)
    assert texts(panel, 1)[Column.NAME] == "spleen"


def test_an_empty_name_is_not_taken(panel, session):
    three_objects(panel, session)
    assert not panel.table.setData(panel.table.index(0, Column.NAME), "  ")
    assert session.objects[1].name == "liver"


@pytest.mark.parametrize(
    ("column", "fact", "first"),
    [(Column.SHOWN, "is_visible", True), (Column.LOCKED, "is_locked", False)],
)
def test_eye_and_lock_by_mouse_and_space(panel, qtbot, session, column, fact, first):
    three_objects(panel, session)
    assert getattr(session.objects[2], fact) is first
    click_cell(qtbot, panel, 1, column)
    assert getattr(session.objects[2], fact) is not first
    assert getattr(session.objects[1], fact) is first
    panel.view.setFocus()
    qtbot.keyClick(panel.view, Qt.Key.Key_Space)
    assert getattr(session.objects[2], fact) is first


def test_delete_by_key_and_undo(panel, qtbot, session):
    three_objects(panel, session)
    session.active_object = 2
    settled(panel, qtbot)
    qtbot.keyClick(panel.view, Qt.Key.Key_Delete)
    assert list(session.objects) == [1, 3]
    assert session.active_object == 3  # the one below
    settled(panel, qtbot)
    click(qtbot, panel.delete_button)
    assert session.active_object == 1
    session.undo()
    session.undo()
    settled(panel, qtbot)
    assert panel.table.rowCount() == 3


def test_edit_again_unlocks_and_asks(panel, qtbot, marked):
    panel.set_session(marked)
    marked.commit(1)
    settled(panel, qtbot)
    asked = record(panel.edit_asked)
    assert marked.objects[1].is_locked
    click(qtbot, panel.edit_button)
    assert asked == [1]
    assert not marked.objects[1].is_locked
    settled(panel, qtbot)
    assert not panel.edit_button.isEnabled()


def test_go_to_an_object_that_is_somewhere(panel, qtbot, marked):
    panel.set_session(marked)
    asked = record(panel.go_to_asked)
    click(qtbot, panel.go_button)
    assert asked == [1]


def test_sizes_come_from_the_result_or_from_measuring(panel, qtbot, marked):
    panel.set_session(marked)
    assert texts(panel, 0)[Column.SLICES :] == ["", ""]
    result = marked.propagate(1)
    settled(panel, qtbot)
    volume = size_text(int(result.mask.sum()), marked.volume.spacing_zyx)
    counted = [str(len(result.slices)), volume]
    assert texts(panel, 0)[Column.SLICES :] == counted
    panel.set_sizes({1: (7, "1.2 cm³")})
    assert texts(panel, 0)[Column.SLICES :] == ["7", "1.2 cm³"]
    marked.undo()
    settled(panel, qtbot)
    assert texts(panel, 0)[Column.SLICES :] == ["", ""]
    marked.redo()
    settled(panel, qtbot)
    assert texts(panel, 0)[Column.SLICES :] == counted  # what was measured is outdated


def test_colour_by_double_click(panel, qtbot, session, monkeypatch):
    three_objects(panel, session)
    red = QtGui.QColor.fromRgbF(1.0, 0.0, 0.0)
    monkeypatch.setattr(QtWidgets.QColorDialog, "getColor", lambda *args: red)
    place = place_of(panel, 0, Column.COLOR)
    click_cell(qtbot, panel, 0, Column.COLOR)
    qtbot.mouseDClick(panel.view.viewport(), Qt.MouseButton.LeftButton, pos=place)
    assert session.objects[1].color == (1.0, 0.0, 0.0)


def test_a_colour_dialog_that_was_left_changes_nothing(panel, session):
    three_objects(panel, session)
    before = session.objects[1].color
    panel.choose_color(1, QtGui.QColor())
    assert session.objects[1].color == before


def test_show_only_one_and_all_again(panel, session):
    three_objects(panel, session)
    panel.show_only(2)
    assert [o.is_visible for o in session.objects.values()] == [False, True, False]
    panel.show_only(None)
    assert all(o.is_visible for o in session.objects.values())


def test_the_menu_offers_what_can_be_done(panel, session):
    three_objects(panel, session)
    actions = {a.text(): a for a in panel.menu(0).actions()}
    assert not actions["Go to it"].isEnabled()
    assert not actions["Edit again"].isEnabled()
    actions["Delete"].trigger()
    assert 3 not in session.objects  # the active one, which a right click has made active


def test_the_colour_chip_has_the_objects_colour_and_a_readable_id(panel, qtbot, session):
    from stacksam.widgets.object_view import readable_on

    session.new_object()
    session.set_color(1, (1.0, 1.0, 0.0))
    panel.refresh()
    rect = panel.view.visualRect(panel.table.index(0, Column.COLOR))
    image = panel.view.viewport().grab(rect).toImage()
    corner = image.pixelColor(5, image.height() // 2)
    assert (corner.red(), corner.green(), corner.blue()) == (255, 255, 0)
    assert readable_on(QtGui.QColor.fromRgbF(1.0, 1.0, 0.0)).lightness() == 0
    assert readable_on(QtGui.QColor.fromRgbF(0.0, 0.0, 0.6)).lightness() == 255


def test_300_objects_are_quick(panel, qtbot, session):
    for _ in range(300):
        session.new_object()
    settled(panel, qtbot)
    assert panel.table.rowCount() == 300
    times = []
    for object_id in range(1, 301, 30):
        start = time.perf_counter()
        session.active_object = object_id
        session.rename(object_id, f"cell {object_id}")
        settled(panel, qtbot)
        QtCore.QCoreApplication.processEvents()
        times.append(time.perf_counter() - start)
    assert min(times) < 0.1


def test_many_changes_are_shown_once(panel, qtbot, session):
    shown = []
    panel.table.modelReset.connect(lambda: shown.append("reset"))
    for _ in range(50):
        session.new_object()
    settled(panel, qtbot)
    assert shown == ["reset"]
    assert panel.view.currentIndex().row() == 49


def test_without_session_it_is_empty(panel, session):
    three_objects(panel, session)
    panel.set_session(None)
    assert panel.table.rowCount() == 0
    assert not panel.new_button.isEnabled()
    session.new_object()
    assert panel.table.rowCount() == 0
