"""Stacks of which only every N-th slice is kept, as if they had been taken with larger steps."""

from __future__ import annotations

from dataclasses import dataclass, replace

from stacksam.core.volume import Volume

LEAST_KEPT = 6
"""Slices of an object that have to be left for it to be measured in a thinned stack."""


@dataclass(frozen=True)
class Thinning:
    """Which slices are kept, and by which ones objects are chosen and scored.

    Runs with different `every` and one `kept_at` ask for the same objects from the same slice, and
    score them on the same slices.

    Parameters
    ----------
    every : int
        Every so many slices, from the first on, one is kept; 1 keeps all.
    kept_at : int, optional
        A multiple of `every`, by default `every` itself: objects are those that keep `LEAST_KEPT`
        slices at this number (if it is above 1), prompted and scored on slices that are kept at it.

    Raises
    ------
    ValueError
        If a number is below 1, or the slices kept at `kept_at` are not all in the stack.
    """

    every: int = 1
    kept_at: int = 0

    def __post_init__(self) -> None:
        if self.kept_at == 0:
            object.__setattr__(self, "kept_at", self.every)
        if self.every < 1 or self.kept_at < 1 or self.kept_at % self.every:
            raise ValueError(
                f"every is {self.every} and kept_at is {self.kept_at}; both have to be at least 1, "
                "and kept_at a multiple of every"
            )

    @property
    def is_off(self) -> bool:
        """Whether every slice is kept and scored."""
        return self.kept_at == 1

    @property
    def score_step(self) -> int:
        """Of the slices that are kept, every so many are scored."""
        return self.kept_at // self.every

    def thin(self, volume: Volume) -> Volume:
        """The stack without the other slices; distances along axis 0 grow accordingly."""
        if self.every == 1:
            return volume
        spacing, affine = volume.spacing_zyx, volume.affine
        if affine is not None:
            affine[:3, 0] *= self.every
        elif spacing is not None:
            spacing = (spacing[0] * self.every, *spacing[1:])
        positions = volume.scan.slice_positions
        if positions is not None:
            positions = positions[:: self.every] if volume.shape[0] > self.every else None
        scan = replace(
            volume.scan, slice_positions=positions, sources=volume.scan.sources[:: self.every]
        )
        return Volume(
            volume.data[:: self.every],
            None if affine is not None else spacing,
            affine,
            volume.rgb,
            volume.name,
            volume.notes,
            scan,
        )


FULL_STACK = Thinning()
