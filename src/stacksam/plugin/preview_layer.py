"""The objects being worked on, as a Labels layer that can be painted in.

The array is a view of the session: values are object ids. Slices are written in place and only
what is on the screen is drawn again, so nothing here works on the whole stack. A stroke of the
brush (or anything else that changes a slice, such as napari's own undo) becomes the slice's mask.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from stacksam.plugin.coordinates import place_on_frame
from stacksam.plugin.later import Later
from stacksam.plugin.placing import quietly_above
from stacksam.session.state import new_object

if TYPE_CHECKING:
    from stacksam.plugin.desk import Desk

NAME = "StackSAM preview"
OPACITY = 0.55
FLAT_PAUSE, SOLID_PAUSE = 15, 400
"""Milliseconds between drawings while slices stream in: in 2D, and in the 3D display."""

COLORS_AHEAD = 32
"""Objects to come that have their colours already: with others, napari compiles shaders anew."""

GREY = np.array([0.6, 0.6, 0.6, 1.0])
SMALLEST_TYPES = (np.uint8, np.uint16, np.uint32)
Painted = Callable[[int, int, int, np.ndarray], None]
Slice = tuple[int, int]


class PreviewLayer:
    """Draws the session's masks, and reads what is painted.

    Parameters
    ----------
    desk : Desk
    on_painted : callable
        Called with object id, axis, index and the slice's new mask (H, W) bool.
    """

    def __init__(self, desk: Desk, on_painted: Painted) -> None:
        self.desk = desk
        self.layer: Any = None
        self.written, self.written_at = 0, 0.0  # how often the screen's slice was renewed, and when
        self._on_painted = on_painted
        self._volume = np.zeros(desk.grid.volume_shape, np.uint8)
        self._seen: tuple[Slice, np.ndarray] | None = None  # what was on the screen last
        self._colors: dict[int, tuple[float, ...]] = {}  # of the layer, also of objects to come
        self._is_drawing = False
        self._timer = Later(self._draw)

    def open(self) -> Any:
        """The layer, made if it is not there."""
        if self.layer is None:
            desk = self.desk
            with quietly_above(desk.viewer, desk.image):
                self.layer = desk.viewer.add_labels(
                    self._shaped(),
                    name=NAME,
                    opacity=OPACITY,
                    **desk.place(),
                )
            self._follow_layer()
        return self.layer

    def adopt(self, layer: Any) -> None:
        """Draw in this layer, which another desk has left."""
        self.layer = layer
        layer.data = self._shaped()
        self.place(self.desk.place())
        self._follow_layer()

    def _follow_layer(self) -> None:
        self._colors = {}
        self.set_colors(self.desk.colors())
        self._remember()
        self.layer.events.paint.connect(self._on_paint)
        self.layer.events.set_data.connect(self._on_set_data)
        if self.desk.on_preview_opened is not None:
            self.desk.on_preview_opened(self.layer)

    def forget(self) -> Any:
        """Let go of the layer, as it was removed or goes to another desk."""
        self._timer.stop()
        layer, self.layer = self.layer, None
        if layer is not None:
            layer.events.paint.disconnect(self._on_paint)
            layer.events.set_data.disconnect(self._on_set_data)
        return layer

    def place(self, options: dict[str, Any]) -> None:
        """Follow the image's place in space."""
        if self.layer is not None:
            place_on_frame(self.layer, options)

    def start_painting(self, object_id: int, tool: str = "paint") -> None:
        """Let the mouse paint an object."""
        self._fit(object_id)
        layer = self.open()
        layer.n_edit_dimensions = 2
        layer.selected_label = object_id
        layer.mode = tool

    def set_colors(self, colors: Mapping[int, np.ndarray]) -> None:
        """Colours (RGBA) by object id; anything else is drawn in grey."""
        shown = {i: tuple(color) for i, color in colors.items()}
        if self.layer is None or shown.items() <= self._colors.items():
            return
        from napari.utils.colormaps import DirectLabelColormap

        first = 1 + max(shown, default=0)
        coming = {i: (*new_object(i).color, 1.0) for i in range(first, first + COLORS_AHEAD)}
        self._colors = {**coming, **shown}
        table: dict[int | None, np.ndarray] = {None: GREY, 0: np.zeros(4)}
        table.update((i, np.array(color)) for i, color in self._colors.items())
        self.layer.colormap = DirectLabelColormap(color_dict=table)

    def write(self, object_id: int, axis: int, index: int, mask: np.ndarray | None) -> None:
        """Show an object on a slice as this mask (H, W), or not at all.

        The active object is drawn over others, others only where nothing is.
        """
        if mask is None and self.layer is None:
            return
        self._fit(object_id)
        plane = self._plane(axis, index)
        is_own = plane == object_id
        if mask is None:
            changed = is_own
            plane[is_own] = 0
        else:
            is_free = mask if object_id == self.desk.active_object else mask & (plane == 0)
            changed = is_own ^ (is_free | (is_own & mask))
            plane[is_own & ~mask] = 0
            plane[is_free] = object_id
        if self.layer is None:
            self.open()
            self._note()
        elif changed.any():
            self._renew(axis, index)

    def erase(self, object_id: int, slices: Iterable[Slice]) -> None:
        """Take an object off these slices."""
        for axis, index in slices:
            self.write(object_id, axis, index, None)

    def _renew(self, axis: int, index: int) -> None:
        """Draw again if the slice is on the screen; at once in 2D, in a while if busy or in 3D."""
        view = self.desk.view
        if self.layer is None or view is None:
            return
        if not view.is_flat:
            if not self._timer.is_waiting:
                self._timer.start(SOLID_PAUSE)
        elif (view.axis, view.index) == (axis, index):
            self._draw()
        elif view.axis != axis and not self._timer.is_waiting:
            self._timer.start(FLAT_PAUSE)

    def _draw(self) -> None:
        if self.layer is None:
            return
        self._is_drawing = True
        try:
            self._remember()
            self.layer.refresh(thumbnail=False, extent=False, highlight=False)
            self._note()
        finally:
            self._is_drawing = False

    def _note(self) -> None:
        self.written += 1
        self.written_at = perf_counter()

    def _on_paint(self, event: Any) -> None:
        """One stroke: the slice on the screen, and others that a thick brush reached."""
        reached = self._reached(getattr(event, "value", ()))
        view = self._shown_slice()
        for place in reached - {view}:
            self._read(place, None)
        self._look()

    def _reached(self, atoms: Iterable[Any]) -> set[Slice]:
        """Slices along the view's axis that a stroke changed, as far as napari tells."""
        view, grid = self.desk.view, self.desk.grid
        if view is None or len(grid.spatial) == 2:
            return set()
        axis = grid.spatial[view.axis]
        found: set[Slice] = set()
        for atom in atoms:
            key = getattr(atom, "slice_key", None)
            if key is not None:
                part = set(range(*key[axis].indices(grid.shape[axis])))
            else:
                part = {int(i) for i in np.unique(atom[0][axis])}
            found |= {(view.axis, index) for index in part}
        return found

    def _on_set_data(self, event: Any) -> None:
        if not self._is_drawing:
            self._look()

    def _look(self) -> None:
        """See whether the slice on the screen is still what was drawn there."""
        place = self._shown_slice()
        if place is None or self._seen is None or self._seen[0] != place:
            self._remember()
            return
        self._read(place, self._seen[1])
        self._remember()

    def _read(self, place: Slice, before: np.ndarray | None) -> None:
        """Hand on the masks that changed on a slice."""
        plane = self._plane(*place)
        if before is None:
            changed = {int(self.layer.selected_label)} - {0}
        else:
            differs = plane != before
            if not differs.any():
                return
            now = {int(v) for v in np.unique(plane[differs])} - {0}
            is_erased = differs & (plane == 0)
            changed = now | ({int(v) for v in np.unique(before[is_erased])} - {0})
        masks = {object_id: plane == object_id for object_id in sorted(changed)}
        for object_id, mask in masks.items():
            self._on_painted(object_id, *place, mask)

    def _remember(self) -> None:
        place = self._shown_slice()
        self._seen = None if place is None else (place, self._plane(*place).copy())

    def _shown_slice(self) -> Slice | None:
        view = self.desk.view
        return None if view is None or not view.is_flat else (view.axis, view.index)

    def _plane(self, axis: int, index: int) -> np.ndarray:
        return np.moveaxis(self._volume, axis, 0)[index]

    def _shaped(self) -> np.ndarray:
        return self._volume.reshape(self.desk.grid.frame_shape)

    def _fit(self, object_id: int) -> None:
        """Take a larger dtype where an object's id needs it."""
        if object_id <= np.iinfo(self._volume.dtype).max:
            return
        dtype = next(t for t in SMALLEST_TYPES if object_id <= np.iinfo(t).max)
        self._volume = self._volume.astype(dtype)
        if self.layer is not None:
            self._is_drawing = True
            try:
                self.layer.data = self._shaped()
            finally:
                self._is_drawing = False
            self._remember()
