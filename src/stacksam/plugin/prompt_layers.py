"""The prompts of the active object as an ordinary Points and an ordinary Shapes layer.

Each row carries its prompt's id as a feature. After any change of a layer the rows are compared
with the session's prompts, and what differs is done in the session: added, moved or removed. The
other way round the layers are views: `show` draws the session's prompts and changes nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from stacksam.core.prompts import Prompt
from stacksam.plugin.coordinates import View, place_on_frame
from stacksam.plugin.later import Soon

if TYPE_CHECKING:
    from stacksam.plugin.desk import Desk

POSITIVE_COLOR = np.array([0.20, 0.85, 0.35, 1.0])
NEGATIVE_COLOR = np.array([0.95, 0.25, 0.25, 1.0])
BOX_COLOR = np.array([1.0, 0.85, 0.20, 1.0])
SIGNS = {True: "positive", False: "negative"}
Table = dict[str, np.ndarray]
CHANGES = ("added", "removed", "changed")


def color_of_sign(positive: bool) -> np.ndarray:
    """Green for what belongs to the object, red for what does not."""
    return POSITIVE_COLOR if positive else NEGATIVE_COLOR


class PromptLayer:
    """What both kinds of layers have in common.

    Parameters
    ----------
    desk : Desk
        The session, its image and the viewer.
    """

    name: ClassVar[str] = ""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.layer: Any = None
        self.positive = True  # of what is added next
        self._is_showing = False
        self._timer = Soon(self.follow)

    def open(self) -> Any:
        """The layer, made with the image's place in space if it is not there."""
        if self.layer is None:
            self.adopt(self._make(self.desk.place()))
        return self.layer

    def adopt(self, layer: Any) -> None:
        """Draw in this layer, which another desk has left."""
        self.layer = layer
        self.place(self.desk.place())
        self._show()
        layer.events.data.connect(self._on_data)

    def forget(self) -> Any:
        """Let go of the layer, as it was removed or goes to another desk; the prompts stay."""
        self._timer.stop()
        layer, self.layer = self.layer, None
        if layer is not None:
            layer.events.data.disconnect(self._on_data)
        return layer

    def place(self, options: dict[str, Any]) -> None:
        """Follow the image's place in space."""
        if self.layer is not None:
            place_on_frame(self.layer, options)

    def show(self) -> None:
        """Draw the active object's prompts, after anything the user has just done."""
        if self.layer is not None and not self._is_showing:
            self.flush()
            self._show()

    def flush(self) -> None:
        """Take over a change of the layer now rather than in the next turn of the event loop."""
        if self._timer.is_waiting:
            self._timer.stop()
            self.follow()

    def follow(self) -> None:
        """Do in the session what was done in the layer."""
        if self.layer is None or self._is_showing:
            return
        self._is_showing = True
        try:
            self._reconcile()
        finally:
            self._is_showing = False
        if self.layer is not None:
            self._show()

    def set_sign(self, positive: bool) -> None:
        """Say whether what is added next belongs to the object."""
        self.positive = positive
        if self.layer is not None:
            self.layer.feature_defaults = self._defaults()

    def _on_data(self, event: Any) -> None:
        if not self._is_showing and str(getattr(event, "action", "changed")) in CHANGES:
            self._timer.start()  # napari is still in the middle of its own change

    def _reconcile(self) -> None:
        """Compare rows and prompts, and bring the session up to date."""
        desk, known = self.desk, {p.prompt_id: p for p in self.prompts()}
        places = self._rows()
        table = self.layer.features
        ids = [int(i) for i in table["prompt_id"]] if "prompt_id" in table else [0] * len(places)
        signs = [str(s) != SIGNS[False] for s in table["sign"]] if "sign" in table else []
        kept: set[int] = set()
        edits: list[Callable[[], Any]] = []
        add, move, remove = self._add, self._move, desk.remove_prompt
        for row, place in enumerate(places):
            prompt = known.get(ids[row])
            if prompt is not None and prompt.prompt_id not in kept:
                kept.add(prompt.prompt_id)
                if not self._is_at(prompt, place):
                    edits.append(partial(move, prompt, place))
            else:
                positive = signs[row] if row < len(signs) else self.positive
                edits.append(partial(add, place, positive))
        removed: list[Callable[[], Any]] = [partial(remove, i) for i in known if i not in kept]
        for edit in removed + edits:
            desk.attempt(edit)

    def prompts(self) -> Sequence[Prompt]:
        """The active object's prompts that this layer draws."""
        raise NotImplementedError

    def _make(self, options: dict[str, Any]) -> Any:
        raise NotImplementedError

    def _show(self) -> None:
        raise NotImplementedError

    def _rows(self) -> list[Any]:
        raise NotImplementedError

    def _is_at(self, prompt: Any, place: Any) -> bool:
        raise NotImplementedError

    def _move(self, prompt: Any, place: Any) -> None:
        raise NotImplementedError

    def _add(self, place: Any, positive: bool) -> None:
        raise NotImplementedError

    def _defaults(self) -> Table:
        return {"prompt_id": np.array([0]), "sign": np.array([SIGNS[self.positive]])}

    def _table(self, prompts: Sequence[Prompt]) -> Table:
        signs = [SIGNS[bool(getattr(p, "positive", True))] for p in prompts]
        return {
            "prompt_id": np.array([p.prompt_id for p in prompts], dtype=int),
            "sign": np.array(signs, dtype="<U8"),
        }

    def _set_table(self, table: Table) -> None:
        """Give the rows their ids and signs, if they do not have them."""
        have = self.layer.features
        is_same = set(table) <= set(have.columns) and all(
            list(have[name].astype(str)) == list(table[name].astype(str)) for name in table
        )
        if not is_same or not len(have):
            self.layer.features = table
            self.layer.feature_defaults = self._defaults()

    def _view(self) -> View:
        """The slice on the screen; ValueError where prompts cannot be given."""
        view = self.desk.view
        if view is None or not view.is_flat:
            raise ValueError("prompts are given in the 2D display of the image's slices")
        return view
