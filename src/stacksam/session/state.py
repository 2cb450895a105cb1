"""The facts of a session: frozen, comparable, small. Labels live beside them, not in them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from stacksam.core.cleanup import CleanUp
from stacksam.core.prompts import Prompt, PromptSet
from stacksam.core.windows import Window
from stacksam.session.results import PropagationResult

Color = tuple[float, float, float]

GOLDEN_TURN = 0.618033988749895


@dataclass(frozen=True)
class ObjectInfo:
    """What a user sees of an object in the list.

    Attributes
    ----------
    object_id : int
    name : str
    label_id : int or None
        Its value in the labels once it is committed.
    color : (red, green, blue) in [0, 1]
    is_locked : bool
        Whether later objects may not overwrite it.
    prompts : tuple of Prompt
        In order.
    clean_up : CleanUp or None
        What is done to each of its masks, except to those that the user gave.
    is_visible : bool
        Whether a viewer should show it.
    """

    object_id: int
    name: str
    label_id: int | None
    color: Color
    is_locked: bool = False
    prompts: tuple[Prompt, ...] = ()
    clean_up: CleanUp | None = None
    is_visible: bool = True

    @property
    def locked(self) -> bool:
        """Alias of `is_locked`."""
        return self.is_locked


@dataclass(frozen=True)
class KeptResult:
    """A propagation result, before clean-up, and the prompts it follows from."""

    prompts: PromptSet
    result: PropagationResult


@dataclass(frozen=True)
class State:
    """Everything that undo brings back, except the labels themselves.

    Attributes
    ----------
    window : Window
    prompts : PromptSet
    objects : mapping of object id to ObjectInfo
        Without their prompts, which `prompts` holds.
    results : mapping of object id to KeptResult
    window_name : str
        Such as ``ct-liver``; empty where the window was given by its limits.
    last_label : int
        The largest label ever given: the label of an object that was deleted means it for ever, as
        files may hold it.
    """

    window: Window
    prompts: PromptSet = field(default_factory=PromptSet)
    objects: Mapping[int, ObjectInfo] = field(default_factory=lambda: MappingProxyType({}))
    results: Mapping[int, KeptResult] = field(default_factory=lambda: MappingProxyType({}))
    window_name: str = ""
    last_label: int = 0

    def with_object(self, info: ObjectInfo) -> State:
        """A new state in which the object is as described."""
        objects = MappingProxyType({**self.objects, info.object_id: info})
        return replace(self, objects=objects, last_label=max(self.last_label, info.label_id or 0))

    def without_object(self, object_id: int) -> State:
        """A new state without the object, its prompts and its result."""
        kept = {k: v for k, v in self.objects.items() if k != object_id}
        state = replace(self, objects=MappingProxyType(kept))
        return state.with_prompts(self.prompts.cleared(object_id)).with_results({object_id: None})

    def with_prompts(self, prompts: PromptSet) -> State:
        """A new state with other prompts; an object that has none left loses its result."""
        state = replace(self, prompts=prompts)
        left = set(prompts.object_ids)
        return state.with_results({i: None for i in self.results if i not in left})

    def with_results(self, results: Mapping[int, KeptResult | None]) -> State:
        """A new state in which some results are others, or gone."""
        changed = {**self.results, **results}
        kept = {i: result for i, result in changed.items() if result is not None}
        return self if kept == self.results else replace(self, results=MappingProxyType(kept))


def new_object(object_id: int) -> ObjectInfo:
    """An object with a default name and a colour far from its neighbours'."""
    return ObjectInfo(object_id, f"object {object_id}", None, _color_of(object_id))


def _color_of(number: int) -> Color:
    from colorsys import hsv_to_rgb

    red, green, blue = hsv_to_rgb((number * GOLDEN_TURN) % 1.0, 0.75, 1.0)
    return (red, green, blue)
