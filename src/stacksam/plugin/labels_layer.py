"""The committed objects as an ordinary Labels layer.

For a stack its data are the session's labels themselves, not a copy. A time-lapse of stacks has one
layer for all time points, into which each session's labels are copied when they change.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from stacksam.core.sparse_stack import SparseStack
from stacksam.plugin.coordinates import Grid
from stacksam.plugin.layers import grid_options
from stacksam.plugin.placing import quietly_above

if TYPE_CHECKING:
    from stacksam.session import Session

OPACITY = 0.6
GREY = np.array([0.6, 0.6, 0.6, 1.0])


class LabelsLayer:
    """Shows the labels of one session after the other, all of one channel of one image.

    Parameters
    ----------
    viewer : napari.Viewer
    image : napari.layers.Image
    """

    def __init__(self, viewer: Any, image: Any) -> None:
        self.viewer, self.image = viewer, image
        self.layer: Any = None
        self._session: Session | None = None
        self._grid: Grid | None = None
        self._colors: dict[int | None, np.ndarray] = {}
        self._names: dict[int, str] = {}

    def attach(self, session: Session, grid: Grid) -> None:
        """Follow a session, which is about this frame of the image."""
        self.detach()
        self._session, self._grid = session, grid
        session.labels_changed.connect(self._on_labels_changed)
        session.objects_changed.connect(self._on_objects_changed)
        if any(o.label_id is not None for o in session.objects.values()):
            self.update()

    def detach(self) -> None:
        """Follow no session; the layer stays."""
        if self._session is not None:
            self._session.labels_changed.disconnect(self._on_labels_changed, missing_ok=True)
            self._session.objects_changed.disconnect(self._on_objects_changed, missing_ok=True)
        self._session = None

    def forget(self) -> None:
        """The layer has been removed by the user; the next commit makes it again."""
        self.layer = None

    def update(self) -> None:
        """Show the session's labels, in a new layer if there is none."""
        session, grid = self._session, self._grid
        if session is None or grid is None:
            return
        labels = session.labels
        if self.layer is None:
            self._make(labels, grid)
        elif grid.time is not None:
            self._copy(labels, grid)
        elif not _is_same(self.layer.data, labels):
            self.layer.data = labels.reshape(grid.frame_shape)
        self._set_colors()
        self.layer.refresh(extent=False, highlight=False)

    def _make(self, labels: np.ndarray, grid: Grid) -> None:
        channel = np.zeros(grid.ndim)
        if grid.channel is not None:
            channel[grid.channel] = grid.channel_index
        options = grid_options(self.image)
        options["translate"] = np.asarray(self.image.translate) + self.image.scale * channel
        if grid.time is None:
            data = labels.reshape(grid.frame_shape)
        else:
            shape = list(grid.frame_shape)
            shape[grid.time] = grid.shape[grid.time]
            data = np.zeros(shape, np.uint16)  # untouched parts take no memory
        name = f"{self.image.name} labels"
        if grid.channel is not None:
            name += f" (channel {grid.channel_index})"
        with quietly_above(self.viewer, self.image):
            self.layer = self.viewer.add_labels(data, name=name, opacity=OPACITY, **options)
        if grid.time is not None:
            self._copy(labels, grid)

    def _copy(self, labels: np.ndarray, grid: Grid) -> None:
        """Write one time point."""
        if labels.dtype.itemsize > self.layer.data.dtype.itemsize:
            self.layer.data = self.layer.data.astype(labels.dtype)
        key: list[Any] = [slice(None)] * grid.ndim
        assert grid.time is not None
        key[grid.time] = slice(grid.time_index, grid.time_index + 1)
        self.layer.data[tuple(key)] = labels.reshape(grid.frame_shape)

    def _set_colors(self) -> None:
        """Give each label its object's colour; those of hidden objects are left out."""
        if self.layer is None or self._session is None:
            return
        self._set_names()
        from napari.utils.colormaps import DirectLabelColormap

        colors = dict(self._colors)
        for info in self._session.objects.values():
            if info.label_id is not None:
                colors[info.label_id] = np.array([*info.color, float(info.is_visible)])
        if colors.keys() != self._colors.keys() or any(
            not np.array_equal(colors[k], self._colors[k]) for k in colors
        ):
            self._colors = colors
            table = {None: GREY, 0: np.zeros(4), **colors}
            self.layer.colormap = DirectLabelColormap(color_dict=table)

    def _set_names(self) -> None:
        """Let napari's status bar name the object under the mouse."""
        objects = self._session.objects.values() if self._session is not None else ()
        self._names |= {o.label_id: o.name for o in objects if o.label_id is not None}
        ids = sorted(self._names)
        table = {"index": [0, *ids], "name": ["", *(self._names[i] for i in ids)]}
        known = self.layer.features
        if "name" not in known or list(known["name"]) != table["name"]:
            self.layer.features = table

    def _on_labels_changed(self, object_id: int) -> None:
        self.update()

    def _on_objects_changed(self, object_id: int) -> None:
        self._set_colors()


def _is_same(shown: Any, labels: Any) -> bool:
    """Whether a layer shows these very labels."""
    if isinstance(labels, SparseStack):
        return shown is labels
    return isinstance(shown, np.ndarray) and np.shares_memory(shown, labels)
