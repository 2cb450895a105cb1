"""Up to three masks that a click may mean."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from psygnal import Signal
from qtpy.QtCore import QRectF, QSize, Qt
from qtpy.QtGui import QColor, QImage, QPainter, QPalette, QPen
from qtpy.QtWidgets import QAbstractButton, QHBoxLayout, QSizePolicy, QVBoxLayout, QWidget
from skimage.measure import find_contours

from stacksam.widgets.hint import QUIET
from stacksam.widgets.panel import SPACING, Panel
from stacksam.widgets.picture import draw_empty_frame, draw_outline, fit, to_qimage

MOST = 3
NONE_YET = "Other readings of a click appear here to choose from."


class Thumbnail(QAbstractButton):
    """A crop of the image with the outline of one mask and its score."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._image: QImage | None = None
        self._outline: list[np.ndarray] = []
        self.color: QColor | None = None
        self.setCheckable(True)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setAttribute(Qt.WidgetAttribute.WA_Hover)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.show_mask(None, None, 0.0)

    def show_mask(self, image: QImage | None, mask: np.ndarray | None, score: float) -> None:
        """Show a mask, or an empty place."""
        self._image = image
        self._outline = (
            [] if mask is None else find_contours(np.pad(mask.astype(np.float32), 1), 0.5)
        )
        self._outline = [line - 1 for line in self._outline]
        self.setEnabled(mask is not None)
        self.setText("" if mask is None else f"{score:.2f}")
        self.setToolTip("" if mask is None else f"Expected overlap with the object: {score:.0%}")
        self.setAccessibleName(f"Candidate, score {score:.2f}" if mask is not None else "")
        self.update()

    def sizeHint(self) -> QSize:
        return QSize(80, 64 + self.fontMetrics().height())

    def paintEvent(self, event: object) -> None:
        painter = QPainter(self)
        palette, line = self.palette(), self.fontMetrics().height()
        frame = QRectF(self.rect()).adjusted(0, 0, 0, -line)
        if self._image is None:
            return
        place = fit(self._image.size(), frame.adjusted(3, 3, -3, -3))
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        painter.drawImage(place, self._image)
        color = self.color or palette.color(QPalette.ColorRole.Highlight)
        painter.save()
        painter.setClipRect(place)
        draw_outline(painter, self._outline, self._image.size(), place, color)
        painter.restore()
        text = palette.color(QPalette.ColorRole.WindowText)
        if self.isChecked() or self.hasFocus() or self.underMouse():
            painter.setOpacity(1.0 if self.isChecked() else QUIET / 2)
            painter.setPen(QPen(text, 2))
            painter.drawRoundedRect(frame.adjusted(1, 1, -1, -1), 3, 3)
        painter.setOpacity(1.0 if self.isChecked() else QUIET)
        painter.setPen(text)
        below = QRectF(0, self.height() - line, self.width(), line)
        painter.drawText(below, int(Qt.AlignmentFlag.AlignCenter), self.text())


class CandidatePanel(Panel):
    """Choose between readings of an ambiguous click.

    Attributes
    ----------
    chosen : psygnal signal (int)
        Position in the list given to `set_candidates`.
    """

    follows: ClassVar[tuple[str, ...]] = ("active_changed", "objects_changed")
    chosen = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.thumbnails = [Thumbnail() for _ in range(MOST)]
        row = QHBoxLayout()
        row.setContentsMargins(0, 0, 0, 0)
        for number, thumbnail in enumerate(self.thumbnails):
            row.addWidget(thumbnail, 1)
            thumbnail.clicked.connect(lambda _=False, k=number: self._choose(k))
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(SPACING)
        layout.addLayout(row)

    @property
    def count(self) -> int:
        """How many candidates are shown."""
        return sum(t.isEnabled() for t in self.thumbnails)

    @property
    def shown(self) -> int | None:
        """Position of the one that is shown in the image."""
        return next((k for k, t in enumerate(self.thumbnails) if t.isChecked()), None)

    def set_candidates(
        self,
        image: np.ndarray,
        candidates: Sequence[tuple[np.ndarray, float]],
        shown: int | None = 0,
    ) -> None:
        """Show candidates; emits nothing.

        Parameters
        ----------
        image : ndarray of shape (H, W), float in [0, 1]
            The part of the slice around them.
        candidates : sequence of (mask, score)
            At most three are shown; each mask is (H, W) bool, each score in [0, 1].
        shown : int or None
            The one that the image shows.
        """
        picture = to_qimage(image)
        for number, thumbnail in enumerate(self.thumbnails):
            has_one = number < len(candidates)
            mask, score = candidates[number] if has_one else (None, 0.0)
            thumbnail.show_mask(picture if has_one else None, mask, score)
            thumbnail.setChecked(has_one and number == shown)
        if self.count and self.parentWidget() is not None:
            self.show()  # the dock keeps the place free for other things until the first one
        self.refresh()

    def clear(self) -> None:
        """Show none."""
        for thumbnail in self.thumbnails:
            thumbnail.show_mask(None, None, 0.0)
            thumbnail.setChecked(False)
        self.refresh()

    def cycle(self, step: int = 1) -> None:
        """Choose the next candidate; does nothing if there are fewer than two."""
        if self.count > 1:
            self._choose(((-1 if self.shown is None else self.shown) + step) % self.count)

    def refresh(self) -> None:
        """Take the active object's colour."""
        active = self.active
        if self.session is None and self.count:
            self.clear()
        color = None if active is None else QColor.fromRgbF(*active.color)
        for thumbnail in self.thumbnails:
            thumbnail.color = color
            thumbnail.update()
        self.update()

    def paintEvent(self, event: object) -> None:
        if self.count:
            return
        painter = QPainter(self)
        place = QRectF(self.rect()).adjusted(4, 0, 0, 0)
        draw_empty_frame(painter, place, self.palette())
        painter.setOpacity(QUIET)
        flags = int(Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap)
        painter.drawText(place.adjusted(8, 2, -8, -2), flags, NONE_YET)

    def _choose(self, number: int) -> None:
        for other, thumbnail in enumerate(self.thumbnails):
            thumbnail.setChecked(other == number)
        self.chosen.emit(number)
