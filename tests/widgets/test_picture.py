"""Arrays as pictures, and the drawings on buttons."""

import numpy as np
import pytest

from widget_support import QtCore, QtGui, widgets  # noqa: F401 (skips without Qt)


def test_grey_values_and_orientation_survive():
    from stacksam.widgets.picture import to_qimage

    image = to_qimage(np.array([[0.0, 0.5, 1.0], [np.nan, -3.0, 7.0]]))
    assert (image.width(), image.height()) == (3, 2)
    values = [[image.pixelColor(x, y).red() for x in range(3)] for y in range(2)]
    assert values == [[0, 128, 255], [0, 0, 255]]


@pytest.mark.parametrize(
    ("size", "expected"), [((20, 10), (0, 25, 100, 50)), ((1, 2), (25, 0, 50, 100))]
)
def test_pictures_keep_their_proportions(size, expected):
    from stacksam.widgets.picture import fit

    place = fit(QtCore.QSize(*size), QtCore.QRectF(0, 0, 100, 100))
    assert (place.x(), place.y(), place.width(), place.height()) == expected


def test_every_glyph_draws_something_inside_its_place(qtbot):
    from stacksam.widgets.glyphs import GLYPHS, draw_glyph

    for name in GLYPHS:
        image = QtGui.QImage(48, 48, QtGui.QImage.Format.Format_ARGB32)
        image.fill(0)
        painter = QtGui.QPainter(image)
        color = QtGui.QColor(255, 0, 0)
        draw_glyph(painter, name, QtCore.QRectF(8, 8, 32, 32), color)
        painter.end()
        drawn = np.array([[image.pixelColor(x, y).alpha() for x in range(48)] for y in range(48)])
        assert drawn[8:40, 8:40].any(), name
        drawn[7:41, 7:41] = 0
        assert not drawn.any(), name
