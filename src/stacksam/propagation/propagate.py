"""From prompted slices through the stack: keyframes, fronts between and beyond them, fusion, stop.

A *keyframe* is a slice whose mask follows from the prompts on it alone. Fronts leave each keyframe
in both directions, each slice being predicted from its neighbour's soft logits. Beyond the
outermost keyframes a front goes on until the object ends, and looks over short gaps (decision
0022); between two keyframes the two fronts are fused. Slices with corrections only (points, given
after the object was prompted elsewhere) refine what arrives there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, islice, pairwise, zip_longest
from threading import Event

from stacksam.core.cancelling import is_cancelled
from stacksam.core.prompts import Prompt
from stacksam.propagation.belief import WEIGHTS
from stacksam.propagation.between import Interval, fuse
from stacksam.propagation.box_limit import confine
from stacksam.propagation.competition import Contest
from stacksam.propagation.memory import has_memory, run_memory_plan
from stacksam.propagation.plan import Plan, has_positive
from stacksam.propagation.slice_prediction import SlicePrediction
from stacksam.propagation.slice_predictor import SlicePredictor
from stacksam.propagation.stop_rule import GAP_LOOKS, StopRule

Front = Iterator[tuple[int, SlicePrediction]]


def run_plan(
    predictor: SlicePredictor, plan: Plan, cancel: Event | None = None
) -> Iterator[tuple[int, SlicePrediction]]:
    """Predict slice after slice, nearest to the first keyframe first.

    Parameters
    ----------
    predictor : SlicePredictor
    plan : Plan
    cancel : Event, optional
        Checked before each slice; what was yielded stays valid.

    Yields
    ------
    index, prediction : int, SlicePrediction
        Each slice at most once. Slices on which the object is absent are left out.
    """
    for fronts in Way(predictor, plan, cancel).stages():
        for front in fronts:
            yield from front


def run_plans(
    predictor: SlicePredictor,
    plans: Mapping[int, Plan],
    contest: Contest,
    cancel: Event | None = None,
) -> Iterator[tuple[int, int, SlicePrediction]]:
    """Carry several objects through the stack side by side, each front a slice at a time.

    First all keyframes are predicted, then the intervals between them are filled, then fronts go
    on from the outermost ones. A front hands on what it has not lost to what the others have found
    by then, so the order of the objects does not matter. One object alone is `run_plan`.

    Parameters
    ----------
    predictor : SlicePredictor
    plans : mapping of object id to Plan
        All along the same axis.
    contest : Contest
        An empty one, which claims are added to.
    cancel : Event, optional
        As for `run_plan`.

    Yields
    ------
    object_id, index, prediction : int, int, SlicePrediction
        As `run_plan` yields them, before contested pixels are shared out.
    """
    if len(plans) == 1:
        ((object_id, plan),) = plans.items()
        for index, found in run_plan(predictor, plan, cancel):
            yield object_id, index, found
        return
    ways = []
    for object_id, plan in plans.items():
        cede = partial(contest.ceded, object_id)
        ways.append(Way(predictor, plan, cancel, cede).stages())
    for stage in zip_longest(*ways, fillvalue=()):
        running = [(i, front) for i, fronts in zip(plans, stage, strict=True) for front in fronts]
        while running:
            news, still = [], []
            for object_id, front in running:
                for index, found in islice(front, 1):
                    yield object_id, index, found
                    news.append((object_id, found))
                    still.append((object_id, front))
            for object_id, found in news:  # seen from the next round on, whoever came first in this
                contest.add(object_id, found)
            running = still


def run_slice(
    predictor: SlicePredictor, plan: Plan, index: int, cancel: Event | None = None
) -> SlicePrediction | None:
    """What `run_plan` gives for one slice, going no further than there.

    Only a slice that no front from a keyframe reaches may differ: its own prompts alone count.

    Parameters
    ----------
    predictor : SlicePredictor
    plan : Plan
    index : int
    cancel : Event, optional

    Returns
    -------
    prediction : SlicePrediction or None
        None where the object does not get to, and after cancel.
    """
    if index in plan.keyframes:
        return _predict(predictor, plan, index, plan.keyframes[index])
    if has_memory(predictor):  # what a slice shows depends on all that were seen before it
        return dict(run_memory_plan(predictor, plan, cancel)).get(index)
    way = Way(predictor, plan, cancel)
    low, high = (_next_of(plan.keyframes, index, step) for step in (-1, 1))
    known = {
        edge: _predict(predictor, plan, edge, plan.keyframes[edge])
        for edge in (low, high)
        if edge is not None
    }
    interval = None
    if low is not None and high is not None:
        interval = way.interval(known[low], known[high])
    arrived = []
    for origin in known.values():
        arrived += way.arriving(origin, index, is_inner=interval is not None)
    if is_cancelled(cancel):
        return None
    if interval is not None and plan.start <= index < plan.stop:
        return way.filled(interval, index, arrived)
    if len(arrived) == 2:
        assert low is not None
        assert high is not None
        return fuse(arrived[0], arrived[1], (high - index) / (high - low))
    alone = plan.corrections.get(index, ())
    if not arrived and has_positive(alone):
        return _predict(predictor, plan, index, alone)
    return arrived[0] if arrived else None


@dataclass(frozen=True)
class Way:
    """One object's way through the stack: its fronts, in stages that follow on each other."""

    predictor: SlicePredictor
    plan: Plan
    cancel: Event | None = None
    cede: Callable[[SlicePrediction], SlicePrediction] = lambda found: found

    def stages(self) -> Iterator[list[Front]]:
        """Keyframes, intervals between them, what lies beyond, and clicks that nothing reached.

        The fronts of a stage do not depend on each other; each stage needs those before it.
        """
        if has_memory(self.predictor):
            yield [run_memory_plan(self.predictor, self.plan, self.cancel)]
            return
        edges: list[SlicePrediction] = []
        yield [self._keyframes(edges)]
        if not edges or self._is_cancelled:
            return
        seen = {found.index for found in edges}
        yield [_noted(self._between(low, high), seen) for low, high in pairwise(edges)]
        beyond = (self.front(edges[-1], 1), self.front(edges[0], -1))
        yield [_noted(front, seen) for front in beyond]
        yield [self._unreached(seen)]

    def front(
        self, origin: SlicePrediction, step: int, goal: int | None = None, *, is_inner: bool = False
    ) -> Front:
        """Go on from a slice until the object ends, the range ends, or just before `goal`.

        An inner front goes to another keyframe with the object on it, so it does not stop in doubt.
        Any other one looks on over a short gap, whose slices are kept if the object comes back.
        """
        plan, index, current = self.plan, origin.index, origin
        rule = StopRule(self.predictor, plan.axis, plan.sensitivity)
        seen, gap = origin, list[SlicePrediction]()
        while True:
            index += step
            if index == goal or not plan.start <= index < plan.stop or index in plan.absent:
                return
            handed = self.cede(current)
            if handed.is_empty or self._is_cancelled:
                return
            current = self._continue(handed, index)
            if current.is_empty:
                return
            is_wanted = is_inner or has_positive(plan.corrections.get(index, ()))
            if gap and not is_wanted and rule.is_back(origin, seen, current):
                current = replace(current, key=current.key + b"back", belief=WEIGHTS.start)
            elif not is_wanted and (gap or not rule.goes_on(origin, current)):
                gap.append(current)
                if len(gap) > rule.longest_gap(seen) or not rule.is_unseen(gap[0]):
                    return
                continue
            yield from ((found.index, found) for found in gap)
            yield index, current
            seen, gap = current, []

    def arriving(
        self, origin: SlicePrediction, index: int, *, is_inner: bool
    ) -> list[SlicePrediction]:
        """What a front shows of one slice, which may be kept only as it lies in a gap; or none."""
        step = 1 if origin.index < index else -1
        for beyond in (1, 1 + GAP_LOOKS):
            front = self.front(origin, step, index + beyond * step, is_inner=is_inner)
            found = [prediction for here, prediction in front if here == index]
            if found or is_inner:
                return found
        return []

    def interval(self, low: SlicePrediction, high: SlicePrediction) -> Interval | None:
        """Two keyframes between which the object goes on; None where the user says otherwise."""
        is_gap = any(low.index < i < high.index for i in self.plan.absent)
        if low.is_empty or high.is_empty or is_gap:
            return None
        return Interval(low, high, self.predictor.slice_step(self.plan.axis))

    def filled(
        self, interval: Interval, index: int, arrived: list[SlicePrediction]
    ) -> SlicePrediction:
        """A slice of an interval, computed once."""
        is_corrected = index in self.plan.corrections
        return self.predictor.predictions.get_or_compute(
            interval.key(index, arrived) + b"!" * is_corrected,
            lambda: interval.fill(index, arrived, is_corrected=is_corrected),
        )

    @property
    def _is_cancelled(self) -> bool:
        return is_cancelled(self.cancel)

    def _keyframes(self, edges: list[SlicePrediction]) -> Front:
        """The keyframes in ascending order, which are also written down."""
        for index, prompts in self.plan.keyframes.items():
            if self._is_cancelled:
                return
            edges.append(_predict(self.predictor, self.plan, index, prompts))
            yield index, edges[-1]

    def _between(self, low: SlicePrediction, high: SlicePrediction) -> Front:
        interval = self.interval(low, high)
        if interval is None:
            return self._around_absence(low, high)
        return self._within(interval)

    def _within(self, interval: Interval) -> Front:
        """Fill an interval along the front from above, which is the second to run."""
        low, high, plan = interval.low, interval.high, self.plan
        up = dict(self.front(low, 1, high.index, is_inner=True))
        down = self.front(high, -1, low.index, is_inner=True)
        for index in reversed(range(max(low.index + 1, plan.start), min(high.index, plan.stop))):
            arrived = [up[index]] if index in up else []
            arrived += [found for _, found in islice(down, 1)]
            if self._is_cancelled:  # what waits for a front that was broken off is not final
                return
            yield index, self.filled(interval, index, arrived)

    def _around_absence(self, first: SlicePrediction, last: SlicePrediction) -> Front:
        """From two keyframes towards what lies between them, where the object is not throughout."""
        low, high = first.index, last.index
        barriers = sorted(i for i in self.plan.absent if low < i < high)
        up = dict(self.front(first, 1, barriers[0] if barriers else high))
        for index, found in self.front(last, -1, barriers[-1] if barriers else low):
            other = up.pop(index, None)
            weight = (high - index) / (high - low)
            yield index, found if other is None else fuse(other, found, weight)
        if not self._is_cancelled:  # what waits for a front that was broken off is not final
            yield from up.items()

    def _unreached(self, seen: set[int]) -> Front:
        """Clicks on slices that no front came to, and what goes on from there."""
        plan = self.plan
        for index in sorted(plan.corrections.keys() - seen):
            if index in seen or self._is_cancelled or not has_positive(plan.corrections[index]):
                continue
            alone = _predict(self.predictor, plan, index, plan.corrections[index])
            fronts = (self.front(alone, step, _next_of(seen, index, step)) for step in (1, -1))
            for here, found in chain([(index, alone)], *fronts):
                if here not in seen:
                    seen.add(here)
                    yield here, found

    def _continue(self, neighbour: SlicePrediction, index: int) -> SlicePrediction:
        prompts = self.plan.corrections.get(index, ())
        return _predict(self.predictor, self.plan, index, prompts, neighbour)


def _predict(
    predictor: SlicePredictor,
    plan: Plan,
    index: int,
    prompts: tuple[Prompt, ...],
    neighbour: SlicePrediction | None = None,
) -> SlicePrediction:
    found = predictor.from_prompts(plan.axis, index, prompts, neighbour)
    return found if plan.box is None else confine(found, plan.box)


def _noted(front: Front, seen: set[int]) -> Front:
    """A front that writes down where it has been."""
    for index, found in front:
        seen.add(index)
        yield index, found


def _next_of(indices: Iterable[int], index: int, step: int) -> int | None:
    """The nearest of the indices in a direction."""
    return min((i for i in indices if (i - index) * step > 0), key=lambda i: i * step, default=None)
