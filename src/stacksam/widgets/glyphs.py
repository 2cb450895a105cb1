"""Small drawings for buttons and lists, in any colour and size; each is drawn on a 16 x 16 grid."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtCore import QPointF, QRectF, Qt
from qtpy.QtGui import QBrush, QColor, QPainter, QPainterPath, QPen, QPolygonF

GRID = 16
PEN_WIDTH = 1.5


def draw_glyph(painter: QPainter, name: str, rect: QRectF, color: QColor) -> None:
    """Draw a glyph, as large as fits, in the middle of a rectangle.

    Parameters
    ----------
    painter : QPainter
    name : str
        A key of `GLYPHS`.
    rect : QRectF
    color : QColor
    """
    size = min(rect.width(), rect.height())
    painter.save()
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.translate(rect.center().x() - size / 2, rect.center().y() - size / 2)
    painter.scale(size / GRID, size / GRID)
    cap, join = Qt.PenCapStyle.RoundCap, Qt.PenJoinStyle.RoundJoin
    painter.setPen(QPen(QBrush(color), PEN_WIDTH, Qt.PenStyle.SolidLine, cap, join))
    painter.setBrush(Qt.BrushStyle.NoBrush)
    GLYPHS[name](painter)
    painter.restore()


def _line(painter: QPainter, *xy: float) -> None:
    points = [QPointF(x, y) for x, y in zip(xy[::2], xy[1::2], strict=True)]
    painter.drawPolyline(QPolygonF(points))


def _filled(painter: QPainter, *xy: float) -> None:
    points = [QPointF(x, y) for x, y in zip(xy[::2], xy[1::2], strict=True)]
    painter.setBrush(painter.pen().color())
    painter.drawPolygon(QPolygonF(points))


def _dot(painter: QPainter, x: float, y: float, radius: float) -> None:
    painter.setBrush(painter.pen().color())
    painter.drawEllipse(QPointF(x, y), radius, radius)


def _curve(painter: QPainter, start: tuple[float, float], *parts: tuple[float, ...]) -> None:
    path = QPainterPath(QPointF(*start))
    for x1, y1, x2, y2, x, y in parts:
        path.cubicTo(x1, y1, x2, y2, x, y)
    painter.drawPath(path)


def _plus(painter: QPainter) -> None:
    _line(painter, 8, 3, 8, 13)
    _line(painter, 3, 8, 13, 8)


def _point_plus(painter: QPainter) -> None:
    painter.drawEllipse(QPointF(8, 8), 6.2, 6.2)
    _line(painter, 8, 5, 8, 11)
    _line(painter, 5, 8, 11, 8)


def _point_minus(painter: QPainter) -> None:
    painter.drawEllipse(QPointF(8, 8), 6.2, 6.2)
    _line(painter, 5, 8, 11, 8)


def _box(painter: QPainter) -> None:
    painter.drawRect(QRectF(2.5, 3.5, 11, 9))
    for x, y in ((2.5, 3.5), (13.5, 3.5), (2.5, 12.5), (13.5, 12.5)):
        _dot(painter, x, y, 0.9)


def _scribble(painter: QPainter) -> None:
    _curve(painter, (2, 11), (4, 1, 8, 2, 7, 8), (6, 14, 11, 14, 14, 5))


def _lasso(painter: QPainter) -> None:
    _curve(painter, (5, 11), (-1, 9, 1, 2.5, 8, 2.5), (15, 2.5, 16.5, 11, 7, 11))
    _curve(painter, (7, 11), (4, 11, 4, 14.5, 7, 14))


def _paint(painter: QPainter) -> None:
    _line(painter, 13.5, 2.5, 7.5, 9)
    painter.setBrush(painter.pen().color())
    _curve(painter, (7.5, 9), (5, 8, 4, 10.5, 2.5, 13), (5.5, 14, 8.5, 12.5, 7.5, 9))


def _pan(painter: QPainter) -> None:
    _line(painter, 8, 2, 8, 14)
    _line(painter, 2, 8, 14, 8)
    for tip in ((6.2, 3.6, 8, 1.8, 9.8, 3.6), (6.2, 12.4, 8, 14.2, 9.8, 12.4)):
        _line(painter, *tip)
        _line(painter, *(v for x, y in zip(tip[::2], tip[1::2], strict=True) for v in (y, x)))


def _eye(painter: QPainter) -> None:
    _curve(painter, (1.5, 8), (5, 2.5, 11, 2.5, 14.5, 8), (11, 13.5, 5, 13.5, 1.5, 8))
    _dot(painter, 8, 8, 1.7)


def _eye_off(painter: QPainter) -> None:
    _curve(painter, (1.5, 8), (5, 12.2, 11, 12.2, 14.5, 8))
    _line(painter, 8, 11.2, 8, 13.2)
    _line(painter, 4.3, 10.2, 3.2, 12)
    _line(painter, 11.7, 10.2, 12.8, 12)


def _lock_body(painter: QPainter) -> None:
    painter.save()
    painter.setBrush(painter.pen().color())
    painter.drawRoundedRect(QRectF(3.5, 7.5, 9, 6), 1, 1)
    painter.restore()


def _locked(painter: QPainter) -> None:
    _lock_body(painter)
    _curve(painter, (5.2, 7.5), (5, 1, 11, 1, 10.8, 7.5))


def _unlocked(painter: QPainter) -> None:
    painter.drawRoundedRect(QRectF(3.5, 7.5, 9, 6), 1, 1)
    _curve(painter, (5.2, 7.5), (4.6, 1, 9.4, 0.5, 10.4, 3.6))


def _trash(painter: QPainter) -> None:
    _line(painter, 2.5, 4.5, 13.5, 4.5)
    _line(painter, 6, 4, 6.5, 2.5, 9.5, 2.5, 10, 4)
    _line(painter, 4, 5, 4.8, 13.5, 11.2, 13.5, 12, 5)


def _pencil(painter: QPainter) -> None:
    _line(painter, 2.8, 13.2, 3.6, 9.8, 10.8, 2.6, 13.4, 5.2, 6.2, 12.4, 2.8, 13.2)


def _undo(painter: QPainter) -> None:
    _curve(painter, (3, 6), (7, 3.5, 13.5, 4.5, 13.5, 9), (13.5, 12, 11, 13, 8, 13))
    _line(painter, 6.2, 9, 2.6, 6.2, 5, 2.6)


def _redo(painter: QPainter) -> None:
    painter.translate(GRID, 0)
    painter.scale(-1, 1)
    _undo(painter)


def _up(painter: QPainter) -> None:
    _line(painter, 8, 13.5, 8, 3)
    _line(painter, 4, 7, 8, 2.8, 12, 7)


def _down(painter: QPainter) -> None:
    _line(painter, 8, 2.5, 8, 13)
    _line(painter, 4, 9, 8, 13.2, 12, 9)


def _both(painter: QPainter) -> None:
    _line(painter, 8, 2.5, 8, 13.5)
    _line(painter, 5, 5, 8, 2, 11, 5)
    _line(painter, 5, 11, 8, 14, 11, 11)


def _open(painter: QPainter) -> None:
    _filled(painter, 4, 6, 12, 6, 8, 11)


def _closed(painter: QPainter) -> None:
    _filled(painter, 6, 4, 6, 12, 11, 8)


def _check(painter: QPainter) -> None:
    _line(painter, 3, 8.5, 6.5, 12, 13, 4.5)


def _cross(painter: QPainter) -> None:
    _line(painter, 4, 4, 12, 12)
    _line(painter, 4, 12, 12, 4)


def _target(painter: QPainter) -> None:
    painter.drawEllipse(QPointF(8, 8), 4.2, 4.2)
    for line in ((8, 1.5, 8, 5), (8, 11, 8, 14.5), (1.5, 8, 5, 8), (11, 8, 14.5, 8)):
        _line(painter, *line)


def _save(painter: QPainter) -> None:
    _line(painter, 8, 2, 8, 9.5)
    _line(painter, 4.8, 6.8, 8, 10, 11.2, 6.8)
    _line(painter, 2.5, 10, 2.5, 13.5, 13.5, 13.5, 13.5, 10)


def _load(painter: QPainter) -> None:
    _line(painter, 8, 10, 8, 2.5)
    _line(painter, 4.8, 5.5, 8, 2.3, 11.2, 5.5)
    _line(painter, 2.5, 10, 2.5, 13.5, 13.5, 13.5, 13.5, 10)


def _ruler(painter: QPainter) -> None:
    painter.drawRect(QRectF(1.5, 5.5, 13, 5.5))
    for x, length in ((4.5, 2), (7, 3), (9.5, 2), (12, 3)):
        _line(painter, x, 5.5, x, 5.5 + length)


def _interpolate(painter: QPainter) -> None:
    painter.drawEllipse(QRectF(4, 1.5, 8, 3.5))
    painter.drawEllipse(QRectF(2, 11, 12, 3.5))
    for line in ((4, 4.5, 2.8, 7), (2.4, 9, 2.1, 11), (12, 4.5, 13.2, 7), (13.6, 9, 13.9, 11)):
        _line(painter, *line)


def _keys(painter: QPainter) -> None:
    painter.drawRoundedRect(QRectF(1.5, 4, 13, 8.5), 1.5, 1.5)
    for x in (4.5, 8, 11.5):
        _dot(painter, x, 7, 0.5)
    _line(painter, 5, 10, 11, 10)


def _copy(painter: QPainter) -> None:
    _line(painter, 10, 4.5, 10, 2.5, 2.5, 2.5, 2.5, 10.5, 5, 10.5)
    painter.drawRect(QRectF(5.5, 5, 8, 8.5))


def _absent(painter: QPainter) -> None:
    painter.drawEllipse(QRectF(2, 2, 12, 12))
    _line(painter, 3.8, 12.2, 12.2, 3.8)


def _check_all(painter: QPainter) -> None:
    _line(painter, 1.5, 8.5, 4.5, 11.5, 10.5, 4)
    _line(painter, 7, 10.3, 8.2, 11.5, 14.5, 4)


GLYPHS: dict[str, Callable[[QPainter], None]] = {
    "plus": _plus,
    "point+": _point_plus,
    "point-": _point_minus,
    "box": _box,
    "scribble": _scribble,
    "lasso": _lasso,
    "paint": _paint,
    "pan": _pan,
    "eye": _eye,
    "eye-off": _eye_off,
    "locked": _locked,
    "unlocked": _unlocked,
    "trash": _trash,
    "pencil": _pencil,
    "undo": _undo,
    "redo": _redo,
    "up": _up,
    "down": _down,
    "both": _both,
    "open": _open,
    "closed": _closed,
    "check": _check,
    "check-all": _check_all,
    "absent": _absent,
    "cross": _cross,
    "target": _target,
    "save": _save,
    "load": _load,
    "ruler": _ruler,
    "interpolate": _interpolate,
    "keys": _keys,
    "copy": _copy,
}
