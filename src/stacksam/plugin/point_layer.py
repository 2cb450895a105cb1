"""Point prompts: green ones belong to the object, red ones do not."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from stacksam.core.prompts import PointPrompt
from stacksam.plugin.coordinates import slice_index
from stacksam.plugin.prompt_layers import PromptLayer, color_of_sign

SMALLEST, LARGEST = 8, 18
"""Limits of a point's diameter on the screen, in pixels."""


class PointLayer(PromptLayer):
    """The active object's points."""

    name: ClassVar[str] = "StackSAM points"

    def prompts(self) -> list[PointPrompt]:
        """The active object's points, in order."""
        return [p for p in self.desk.active_prompts if isinstance(p, PointPrompt)]

    def show_size(self) -> None:
        """Keep points large enough to grab, where there are some.

        napari draws one point of no size on slices that have none, which a smallest size would
        bring to light in the image's corner.
        """
        if self.layer is not None:
            view = self.desk.view
            has_one = view is not None and any(
                not view.is_flat or round(p.zyx[view.axis]) == view.index for p in self.prompts()
            )
            limits = (SMALLEST if has_one else 0, LARGEST)
            if tuple(self.layer.canvas_size_limits) != limits:
                self.layer.canvas_size_limits = limits

    def start(self, positive: bool) -> None:
        """Let clicks add points."""
        layer = self.open()
        layer.selected_data = set()  # otherwise napari recolours what is selected
        self.set_sign(positive)
        layer.current_face_color = color_of_sign(positive)
        layer.mode = "add"

    def _make(self, options: dict[str, Any]) -> Any:
        plane = min(self.desk.grid.volume_shape[1:])
        return self.desk.viewer.add_points(
            np.empty((0, self.desk.grid.ndim)),
            ndim=self.desk.grid.ndim,
            name=self.name,
            size=max(1.0, plane / 80),
            canvas_size_limits=(SMALLEST, LARGEST),
            border_color="white",
            border_width=0.12,
            face_color=color_of_sign(self.positive),
            features=self._table([]),
            feature_defaults={"prompt_id": 0, "sign": "positive"},
            **options,
        )

    def _show(self) -> None:
        layer, prompts = self.layer, self.prompts()
        data = self.desk.grid.from_zyx(np.array([p.zyx for p in prompts]).reshape(-1, 3))
        table = self._table(prompts)
        self._is_showing = True
        try:
            if not np.array_equal(layer.data, data):
                layer.selected_data = set()
                layer.data = data
            self._set_table(table)
            colors = np.array([color_of_sign(p.positive) for p in prompts]).reshape(-1, 4)
            if len(colors) and not np.allclose(layer.face_color, colors):
                layer.face_color = colors
        finally:
            self._is_showing = False
        self.show_size()

    def _rows(self) -> list[np.ndarray]:
        return list(np.asarray(self.layer.data, float))

    def _is_at(self, prompt: PointPrompt, place: np.ndarray) -> bool:
        return bool(np.allclose(self.desk.grid.from_zyx(prompt.zyx), place, atol=1e-6))

    def _add(self, place: np.ndarray, positive: bool) -> None:
        view = self._view()
        self._check_frame(place)
        self.desk.add_point(self._zyx(place, view.axis), positive, view.axis)

    def _move(self, prompt: PointPrompt, place: np.ndarray) -> None:
        self._check_frame(place)
        zyx = self._zyx(place, prompt.axis)
        self.desk.move_prompt(prompt.prompt_id, zyx=zyx)

    def _zyx(self, place: np.ndarray, axis: int) -> tuple[float, ...]:
        """Voxels, on the slice that napari shows, which is not always the nearest by our rule."""
        zyx = self.desk.grid.to_zyx(place)
        n_slices = self.desk.grid.volume_shape[axis]
        if -0.5 <= zyx[axis] <= n_slices - 0.5:
            zyx[axis] = slice_index(zyx[axis], n_slices)
        return tuple(float(v) for v in zyx)

    def _check_frame(self, place: np.ndarray) -> None:
        grid = self.desk.grid
        others = [a for a in range(grid.ndim) if a not in grid.spatial]
        if np.abs(place[others]).max(initial=0) > 0.5:
            raise ValueError("the point lies on another time point; wait until it is open")
