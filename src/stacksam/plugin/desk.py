"""One image's session, the layers in which it is seen, and the work between them.

The session holds the facts. Layers and panels are drawn from it, and what a user does to them is
handed to it; nothing is remembered here that the session knows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from stacksam.plugin.coordinates import (
    Grid,
    View,
    current_view,
    frame_options,
    to_data,
    world_factors,
)
from stacksam.plugin.engine import Engine
from stacksam.plugin.labels_layer import LabelsLayer
from stacksam.plugin.live import LiveSlices
from stacksam.plugin.point_layer import PointLayer
from stacksam.plugin.prefetch import Prefetch
from stacksam.plugin.preview_layer import PreviewLayer
from stacksam.plugin.prompt_layers import PromptLayer
from stacksam.plugin.propagation_run import PropagationRun
from stacksam.plugin.shape_layer import ShapeLayer
from stacksam.plugin.strip import Strip

if TYPE_CHECKING:
    from stacksam.core.prompts import Prompt
    from stacksam.session import Session
    from stacksam.widgets.dock import SegmentDock

LOCKED = "this object is finished; press Edit again to change it"


class Desk:
    """Connects one session with a viewer.

    Parameters
    ----------
    viewer : napari.Viewer
    image : napari.layers.Image
    grid : Grid
        Which frame of the image the session is about.
    session : Session
    engine : Engine
    dock : SegmentDock
    labels : LabelsLayer
        Of the image's channel.
    fail : callable
        Shows an exception to the user.
    on_preview_opened : callable, optional
        Called with the preview layer.
    spare : sequence of layers
        Points, shapes and preview (or None) of the desk before, to be used again.
    """

    def __init__(
        self,
        viewer: Any,
        image: Any,
        grid: Grid,
        session: Session,
        engine: Engine,
        dock: SegmentDock,
        labels: LabelsLayer,
        fail: Callable[[Exception], None],
        on_preview_opened: Callable[[Any], None] | None = None,
        spare: Sequence[Any] = (),
    ) -> None:
        self.viewer, self.image, self.grid = viewer, image, grid
        self.session, self.engine, self.dock, self.fail = session, engine, dock, fail
        self.mode = "pan"
        self.is_open = True
        self.on_preview_opened = on_preview_opened
        self.points, self.shapes = PointLayer(self), ShapeLayer(self)
        self.preview = PreviewLayer(self, self._on_painted)
        self.labels = labels
        self.strip = Strip(self)
        self.live = LiveSlices(self)
        self.run = PropagationRun(self)
        self.prefetch = Prefetch(self)
        session.prompts_changed.connect(self._on_prompts_changed)
        session.objects_changed.connect(self._on_objects_changed)
        session.active_changed.connect(self._on_active_changed)
        parts: tuple[PromptLayer | PreviewLayer, ...] = self._parts
        for part, layer in zip(parts, spare, strict=False):
            if layer is not None:
                part.adopt(layer)
        labels.attach(session, grid)
        self.live.draw_all()
        self.strip.show()

    @property
    def _parts(self) -> tuple[PointLayer, ShapeLayer, PreviewLayer]:
        return self.points, self.shapes, self.preview

    def close(self) -> list[Any]:
        """Stop working; the session stays as it is.

        Returns
        -------
        spare : list of layers
            Points, shapes and preview, or None, for the next desk or to be removed.
        """
        if not self.is_open:
            return []
        self.is_open = False
        self.run.stop()
        self.prefetch.close()
        self.live.close()
        self.strip.close()
        for signal, slot in (
            (self.session.prompts_changed, self._on_prompts_changed),
            (self.session.objects_changed, self._on_objects_changed),
            (self.session.active_changed, self._on_active_changed),
        ):
            signal.disconnect(slot, missing_ok=True)
        self.labels.detach()
        return [part.forget() for part in self._parts]

    # What there is

    @property
    def view(self) -> View | None:
        """The slice on the screen."""
        return current_view(self.viewer, self.image, self.grid)

    @property
    def active_object(self) -> int | None:
        """The object that is worked on, locked or not."""
        active = self.session.active_object
        return active if active in self.session.objects else None  # in the middle of an undo

    @property
    def active_prompts(self) -> tuple[Prompt, ...]:
        """Prompts of the active object, in order."""
        active = self.active_object
        return () if active is None else self.session.objects[active].prompts

    def object_for_prompts(self) -> int:
        """The active object, or the id of a new one where there is none or it is finished."""
        active, objects = self.active_object, self.session.objects
        if active is not None and not objects[active].is_locked:
            return active
        return 1 + max(objects, default=0)

    def is_previewed(self, object_id: int) -> bool:
        """Whether an object belongs into the preview: it is not hidden and not finished."""
        info = self.session.objects.get(object_id)
        return info is not None and info.is_visible and not info.is_locked

    def shown_slice(self, axis: int, index: int) -> np.ndarray | None:
        """The active object's mask on a slice."""
        active = self.active_object
        return None if active is None else self.session.shown_slice(active, index, axis)

    def colors(self) -> dict[int, np.ndarray]:
        """RGBA of the objects, by object id."""
        return {i: np.array([*o.color, 1.0]) for i, o in self.session.objects.items()}

    # What a user does

    def attempt(self, edit: Callable[[], Any]) -> Any:
        """Do an edit; what the session refuses is shown, and None comes back."""
        try:
            return edit()
        except (ValueError, TypeError) as error:
            self.fail(error)
            return None

    def add_point(self, zyx: tuple[float, ...], positive: bool, axis: int) -> None:
        """A click at voxels (z, y, x)."""
        self.session.add_point(self.object_for_prompts(), zyx, positive, axis)

    def add_box(self, index: int, yxyx: tuple[float, ...], axis: int) -> None:
        """A box on a slice."""
        self.session.add_box(self.object_for_prompts(), index, yxyx, axis)

    def add_scribble(
        self, index: int, points_yx: list[tuple[float, float]], positive: bool, axis: int
    ) -> None:
        """A stroke on a slice."""
        self.session.add_scribble(self.object_for_prompts(), index, points_yx, positive, axis=axis)

    def add_mask(self, index: int, mask: np.ndarray, axis: int) -> None:
        """A slice's mask."""
        self.session.add_mask(self.object_for_prompts(), index, mask, axis)

    def move_prompt(self, prompt_id: int, **place: Any) -> None:
        """A prompt was dragged elsewhere."""
        self._check_unlocked()
        self.session.move_prompt(prompt_id, **place)

    def remove_prompt(self, prompt_id: int) -> None:
        """A prompt was deleted."""
        self._check_unlocked()
        self.session.remove_prompt(prompt_id)

    def _check_unlocked(self) -> None:
        active = self.active_object
        if active is not None and self.session.objects[active].is_locked:
            raise ValueError(LOCKED)

    def set_mode(self, mode: str) -> None:
        """Let the mouse do one of the prompt panel's modes."""
        self.mode = mode
        if mode in ("point+", "point-"):
            self.points.start(mode == "point+")
            self._select(self.points.layer)
        elif mode in ("box", "scribble", "lasso"):
            self.shapes.start(mode, not self.dock.prompts.is_negative)
            self._select(self.shapes.layer)
        elif mode == "paint":
            self.preview.start_painting(self.object_for_prompts())
            self._select(self.preview.layer)
        else:
            for part in self._parts:
                if part.layer is not None:
                    part.layer.mode = "pan_zoom"

    def _select(self, layer: Any) -> None:
        self.viewer.layers.selection.active = layer

    def go_to(self, index: int, axis: int | None = None) -> None:
        """Show a slice along an axis (by default the view's)."""
        view = self.view
        if axis is None:
            axis = 0 if view is None else view.axis
        if len(self.grid.spatial) < 3:
            return
        self.move_slider(self.grid.spatial[axis], index)

    def move_slider(self, layer_axis: int, index: int) -> None:
        """Show an index along an axis of the image layer."""
        coords = to_data(self.viewer, self.image, self.viewer.dims.point)
        coords[layer_axis] = index
        world = np.asarray(self.image.data_to_world(coords))
        world = world * world_factors(self.viewer, self.image)
        skipped = self.viewer.dims.ndim - self.grid.ndim
        self.viewer.dims.set_point(layer_axis + skipped, float(world[layer_axis]))

    def undo(self) -> None:
        """Take back the last step, after anything the user has just drawn."""
        self.flush()
        self.session.undo()

    def redo(self) -> None:
        """Do again what was undone."""
        self.flush()
        self.session.redo()

    def flush(self) -> None:
        """Take over what was drawn in this turn of the event loop."""
        self.points.flush()
        self.shapes.flush()

    # What happens around it

    def on_view_changed(self) -> None:
        """Another slice, axis or frame is on the screen."""
        if self.grid.channel is not None:
            self.replace_layers()
        elif self.shapes.layer is not None:
            self.shapes.place(self.place())
        self.points.show_size()
        self.live.on_view_changed()
        self.strip.show_current()
        self.prefetch.restart()

    def on_layers_changed(self, present: list[Any]) -> None:
        """Layers came or went: units may be others, and ours may have been removed."""
        for part in (*self._parts, self.labels):
            if part.layer is not None and not any(part.layer == layer for layer in present):
                part.forget()
        self.replace_layers()

    def place(self) -> dict[str, Any]:
        """Where our layers lie: on the session's frame, in the channel that is on the screen."""
        grid = self.grid
        if grid.channel is not None:
            shown = to_data(self.viewer, self.image, self.viewer.dims.point)[grid.channel]
            grid = replace(grid, channel_index=round(float(shown)))
        return frame_options(self.viewer, self.image, grid)

    def replace_layers(self) -> None:
        """Follow the image's place in space, the viewer's units, and the channel on the screen."""
        options = self.place()
        for part in self._parts:
            part.place(options)

    def _on_painted(self, object_id: int, axis: int, index: int, mask: np.ndarray) -> None:
        info = self.session.objects.get(object_id)
        if info is not None and info.is_locked:
            self.fail(ValueError(LOCKED))
            self.live.draw(object_id, axis, index)
            return
        self.attempt(lambda: self.session.add_mask(object_id, index, mask, axis))

    def _on_prompts_changed(self, object_id: int) -> None:
        if object_id == self.active_object:
            self._show_prompts()

    def _on_objects_changed(self, object_id: int) -> None:
        self.preview.set_colors(self.colors())
        self._aim_brush()

    def _on_active_changed(self) -> None:
        self._show_prompts()
        self._aim_brush()
        self.strip.show()
        self.live.on_active_changed()
        self.prefetch.restart()

    def _show_prompts(self) -> None:
        self.points.show()
        self.shapes.show()

    def _aim_brush(self) -> None:
        """Let a brush that is in use paint the object that prompts go to."""
        if self.mode == "paint" and self.preview.layer is not None:
            object_id = self.object_for_prompts()
            if int(self.preview.layer.selected_label) not in (0, object_id):
                self.preview.start_painting(object_id, str(self.preview.layer.mode))
