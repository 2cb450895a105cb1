"""A grey picture with, if wanted, the outline of a mask."""

from __future__ import annotations

import numpy as np
from qtpy.QtCore import QPointF, QRectF, QSize, Qt
from qtpy.QtGui import QColor, QImage, QPainter, QPalette, QPen, QPolygonF
from qtpy.QtWidgets import QSizePolicy, QWidget

from stacksam.widgets.hint import QUIET


class Picture(QWidget):
    """Shows an array; keeps its proportions; says so when there is nothing.

    Parameters
    ----------
    size : int
        Side of the square in device independent pixels.
    """

    def __init__(self, size: int, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._size = size
        self._image: QImage | None = None
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)

    @property
    def is_empty(self) -> bool:
        """Whether nothing is shown."""
        return self._image is None

    def sizeHint(self) -> QSize:
        return QSize(self._size, self._size)

    def set_image(self, image: np.ndarray | None) -> None:
        """Show an ndarray (H, W) of float in [0, 1], or nothing."""
        self._image = None if image is None else to_qimage(image)
        self.update()

    def paintEvent(self, event: object) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        if self._image is not None:
            painter.drawImage(fit(self._image.size(), QRectF(self.rect())), self._image)
            return
        draw_empty_frame(painter, QRectF(self.rect()), self.palette())


def to_qimage(image: np.ndarray) -> QImage:
    """Turn an ndarray (H, W) of float in [0, 1] into a grey QImage that owns its pixels."""
    grey = np.nan_to_num(np.clip(np.asarray(image, np.float32), 0, 1)) * 255
    grey = np.ascontiguousarray(np.round(grey), dtype=np.uint8)
    height, width = grey.shape
    return QImage(grey.tobytes(), width, height, width, QImage.Format.Format_Grayscale8).copy()


def fit(size: QSize, place: QRectF) -> QRectF:
    """The largest rectangle of these proportions in the middle of `place`."""
    scale = min(place.width() / max(size.width(), 1), place.height() / max(size.height(), 1))
    width, height = size.width() * scale, size.height() * scale
    center = place.center()
    return QRectF(center.x() - width / 2, center.y() - height / 2, width, height)


def draw_empty_frame(painter: QPainter, place: QRectF, palette: QPalette) -> None:
    """Draw a quiet dashed frame where a picture will be."""
    painter.setOpacity(QUIET / 2)
    painter.setPen(QPen(palette.color(QPalette.ColorRole.WindowText), 1, Qt.PenStyle.DashLine))
    painter.drawRoundedRect(place.adjusted(1, 1, -1, -1), 3, 3)


def draw_outline(
    painter: QPainter, outline: list[np.ndarray], size: QSize, place: QRectF, color: QColor
) -> None:
    """Draw contours over a picture that was drawn into `place`.

    Parameters
    ----------
    painter : QPainter
    outline : list of ndarray of shape (N, 2)
        Rows of (y, x) in pixels of the picture, as `skimage.measure.find_contours` gives them.
    size : QSize
        Of the picture in its own pixels.
    place : QRectF
    color : QColor
    """
    painter.save()
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setPen(QPen(color, 1.8))
    scale = np.array([place.height() / size.height(), place.width() / size.width()])
    for line in outline:
        places = (line + 0.5) * scale + (place.y(), place.x())
        painter.drawPolyline(QPolygonF([QPointF(x, y) for y, x in places.tolist()]))
    painter.restore()
