"""Boxes, scribbles and lassos, drawn as ordinary shapes.

A rectangle is a box, a line or path a scribble. A polygon or ellipse is a lasso: it becomes the
slice's mask, which the preview shows and the brush changes, and the outline goes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from stacksam.core.prompts import BoxPrompt, MaskPrompt, Prompt, ScribblePrompt
from stacksam.plugin.coordinates import slice_index
from stacksam.plugin.prompt_layers import BOX_COLOR, PromptLayer, color_of_sign

TOOLS = {"box": "add_rectangle", "scribble": "add_path", "lasso": "add_polygon_lasso"}
LEAST_EXCESS, MOST_EXCESS = 1e-6, 0.45
"""How far the slider may stand above a shape's slice for napari to draw it."""

SMALLEST_BOX = 1.0
"""Pixels; a smaller rectangle is a slip of the mouse."""


@dataclass(frozen=True)
class Outline:
    """A drawn shape in voxels: its kind, its slice, and its corners (N, 2) in that slice."""

    kind: str
    axis: int
    index: int
    corners: np.ndarray

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Half-open (y0, x0, y1, x1); napari counts from pixel centres, a box from their edges."""
        (y0, x0), (y1, x1) = self.corners.min(axis=0) + 0.5, self.corners.max(axis=0) + 0.5
        return float(y0), float(x0), float(y1), float(x1)

    @property
    def points_yx(self) -> list[tuple[float, float]]:
        """The corners in order."""
        return [(float(y), float(x)) for y, x in self.corners]


class ShapeLayer(PromptLayer):
    """The active object's boxes and scribbles."""

    name: ClassVar[str] = "StackSAM shapes"

    def prompts(self) -> list[Prompt]:
        """The active object's boxes and scribbles, in order."""
        return [p for p in self.desk.active_prompts if isinstance(p, BoxPrompt | ScribblePrompt)]

    def start(self, tool: str, positive: bool = True) -> None:
        """Let the mouse draw a ``box``, a ``scribble`` or a ``lasso``."""
        layer = self.open()
        layer.selected_data = set()
        self.set_sign(positive)
        layer.current_edge_color = BOX_COLOR if tool == "box" else color_of_sign(positive)
        layer.mode = TOOLS[tool]

    def place(self, options: dict[str, Any]) -> None:
        """Follow the image's place in space, and let shapes be seen on the slice on the screen.

        napari draws a shape only where its slice, cut off to a whole number, is at most half a
        slice below the slider. Where the slider stands below the slice's centre, be it by a
        rounding error, the layer is shifted along the axis that is not seen.
        """
        view = self.desk.view
        if self.layer is None or view is None:
            return
        if len(self.desk.grid.spatial) == 3:
            axis = self.desk.grid.spatial[view.axis]
            probe = np.asarray(options["translate"], float).copy()
            excess = self._slider(options, axis) - view.index
            if not 0 <= excess <= MOST_EXCESS:
                probe[axis] += (excess - LEAST_EXCESS) * options["scale"][axis]
            options = {**options, "translate": probe}
        super().place(options)

    def _slider(self, options: dict[str, Any], axis: int) -> float:
        """The slider's place in the coordinates of a layer with these options."""
        from napari.utils.transforms import Affine

        point = np.asarray(self.desk.viewer.dims.point, float)[-self.desk.grid.ndim :]
        matrix = Affine(affine_matrix=options["affine"])
        placed = Affine(
            scale=options["scale"],
            translate=options["translate"],
            rotate=options["rotate"],
            shear=options["shear"],
        )
        return float(placed.inverse(matrix.inverse(point))[axis])

    def _make(self, options: dict[str, Any]) -> Any:
        return self.desk.viewer.add_shapes(
            ndim=self.desk.grid.ndim,
            name=self.name,
            face_color="transparent",
            edge_color=BOX_COLOR,
            edge_width=self._edge_width,
            features=self._table([]),
            feature_defaults={"prompt_id": 0, "sign": "positive"},
            **options,
        )

    @property
    def _edge_width(self) -> float:
        return max(0.5, min(self.desk.grid.volume_shape[1:]) / 250)

    def _show(self) -> None:
        layer, prompts = self.layer, self.prompts()
        wanted = [self._drawn(p) for p in prompts]
        table = self._table(prompts)
        self._is_showing = True
        try:
            if not self._is_drawn(wanted):
                layer.selected_data = set()
                mode = layer.mode
                layer.data = []
                if wanted:
                    layer.add(
                        [corners for corners, _, _ in wanted],
                        shape_type=[kind for _, kind, _ in wanted],
                        edge_color=np.array([color for _, _, color in wanted]),
                        face_color="transparent",
                        edge_width=self._edge_width,
                    )
                layer.mode = mode
            self._set_table(table)
        finally:
            self._is_showing = False

    def _drawn(self, prompt: Any) -> tuple[np.ndarray, str, np.ndarray]:
        """Corners in the layer, shape type and colour of a prompt."""
        if isinstance(prompt, BoxPrompt):
            y0, x0, y1, x1 = np.array(prompt.yxyx) - 0.5
            corners = np.array([[y0, x0], [y0, x1], [y1, x1], [y1, x0]])
            kind, color = "rectangle", BOX_COLOR
        else:
            points = prompt.points_yx if len(prompt.points_yx) > 1 else prompt.points_yx * 2
            corners, kind, color = np.array(points), "path", color_of_sign(prompt.positive)
        zyx = np.insert(corners, prompt.axis, prompt.index, axis=1)
        return self.desk.grid.from_zyx(zyx), kind, color

    def _is_drawn(self, wanted: list[tuple[np.ndarray, str, np.ndarray]]) -> bool:
        layer = self.layer
        if len(layer.data) != len(wanted):
            return False
        return all(
            have.shape == corners.shape
            and np.allclose(have, corners, atol=1e-4)
            and str(have_kind) == kind
            for have, have_kind, (corners, kind, _) in zip(
                layer.data, layer.shape_type, wanted, strict=True
            )
        )

    def _rows(self) -> list[Outline]:
        kinds = self.layer.shape_type
        return [self._outline(d, str(k)) for d, k in zip(self.layer.data, kinds, strict=True)]

    def _outline(self, data: Any, kind: str) -> Outline:
        zyx = self.desk.grid.to_zyx(np.asarray(data, float))
        view = self.desk.view
        spread = np.ptp(zyx, axis=0)
        axis = 0 if view is None else view.axis
        if spread[axis] > 0.5 and len(self.desk.grid.spatial) == 3:
            axis = int(np.argmin(spread))  # drawn in another view
        index = slice_index(float(zyx[:, axis].mean()), self.desk.grid.volume_shape[axis])
        corners = np.delete(zyx, axis, axis=1)
        if kind == "ellipse":
            corners = _ellipse(corners)
        return Outline(kind, axis, index, corners)

    def _is_at(self, prompt: Any, place: Outline) -> bool:
        corners, _, _ = self._drawn(prompt)
        drawn = self._outline(corners, place.kind)
        if isinstance(prompt, BoxPrompt):
            return drawn.index == place.index and np.allclose(drawn.box, place.box, atol=1e-4)
        return (
            drawn.index == place.index
            and drawn.corners.shape == place.corners.shape
            and np.allclose(drawn.corners, place.corners, atol=1e-4)
        )

    def _move(self, prompt: Any, place: Outline) -> None:
        if isinstance(prompt, BoxPrompt):
            self.desk.move_prompt(prompt.prompt_id, yxyx=place.box)
        else:
            self.desk.move_prompt(prompt.prompt_id, points_yx=self._inside(place))

    def _add(self, place: Outline, positive: bool) -> None:
        self._view()
        if place.kind == "rectangle":
            y0, x0, y1, x1 = place.box
            if min(y1 - y0, x1 - x0) < SMALLEST_BOX:
                raise ValueError("drag the mouse to draw a box around the object")
            self.desk.add_box(place.index, place.box, place.axis)
        elif place.kind in ("polygon", "ellipse"):
            self._add_mask(place, positive)
        else:
            self.desk.add_scribble(place.index, self._inside(place), positive, place.axis)

    def _inside(self, place: Outline) -> list[tuple[float, float]]:
        """A stroke's points within the slice; ValueError if there are none."""
        shape = np.delete(self.desk.grid.volume_shape, place.axis)
        inside = (np.all((p >= -0.5) & (p < shape - 0.5)) for p in place.corners)
        kept = [p for p, is_in in zip(place.points_yx, inside, strict=True) if is_in]
        if not kept:
            raise ValueError("the stroke lies outside of the image; draw it over the object")
        return kept

    def _add_mask(self, place: Outline, positive: bool) -> None:
        """The lasso, together with (or taken from) a mask that the slice has already."""
        from skimage.draw import polygon2mask

        height, width = np.delete(self.desk.grid.volume_shape, place.axis)
        mask = polygon2mask((int(height), int(width)), place.corners)
        given = [
            p
            for p in self.desk.active_prompts
            if isinstance(p, MaskPrompt) and (p.axis, p.index) == (place.axis, place.index)
        ]
        if not positive:
            shown = self.desk.shown_slice(place.axis, place.index)
            mask = (np.zeros_like(mask) if shown is None else shown) & ~mask
        elif given:
            mask = mask | given[-1].to_array()
        elif not mask.any():
            raise ValueError("the lasso holds no pixel; draw it around the object")
        self.desk.add_mask(place.index, mask, place.axis)


def _ellipse(corners: np.ndarray, count: int = 64) -> np.ndarray:
    """Points on the ellipse in four corners."""
    center, first, second = corners.mean(axis=0), corners[1] - corners[0], corners[3] - corners[0]
    angles = np.linspace(0, 2 * np.pi, count, endpoint=False)[:, None]
    return center + 0.5 * (np.cos(angles) * first + np.sin(angles) * second)
