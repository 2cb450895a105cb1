"""Lengths and volumes in units that people read: a nucleus in µm, an organ in cm³."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

SMALL_MM = 0.1
"""Pixels below this are told in micrometres."""

LEAST = {1: 1e-1, 2: 1e-2, 3: 1e-3}
"""Columns whose largest figure is below this, by its power of mm, are shown in micrometres."""


def spacing_text(spacing_mm: Sequence[float]) -> str:
    """Voxel size.

    Examples
    --------
    >>> spacing_text((4.0, 2.0, 2.0))
    '4 × 2 × 2 mm'
    >>> spacing_text((0.001, 0.00035, 0.00035))
    '1 × 0.35 × 0.35 µm'
    """
    factor, unit = (1000.0, "µm") if max(spacing_mm) < SMALL_MM else (1.0, "mm")
    return f"{' × '.join(f'{s * factor:.3g}' for s in spacing_mm)} {unit}"


def volume_text(volume_mm3: float) -> str:
    """Volume of an object.

    Examples
    --------
    >>> [volume_text(v) for v in (1.77e6, 94700.0, 5.0, 2.085e-6)]
    ['1770 cm³', '94.7 cm³', '5 mm³', '2085 µm³']
    """
    for factor, unit, least in ((1e-3, "cm³", 0.1), (1.0, "mm³", 1e-3)):
        if volume_mm3 * factor >= least:
            return f"{plain(volume_mm3 * factor)} {unit}"
    return f"{plain(volume_mm3 * 1e9)} µm³"


def size_text(n_voxels: int, spacing_mm: Sequence[float] | None) -> str:
    """Volume of so many voxels, or their number where their size is unknown.

    Examples
    --------
    >>> size_text(1000, (4.0, 2.0, 2.0)), size_text(1000, None)
    ('16 cm³', '1000 px')
    """
    return f"{n_voxels} px" if spacing_mm is None else volume_text(n_voxels * prod(spacing_mm))


def plain(value: float) -> str:
    """Three digits or all before the point, without an exponent."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def readable_column(name: str, values: Sequence[object]) -> tuple[str, float]:
    """How to show a column of measurements: its title and the factor for its figures.

    Examples
    --------
    >>> readable_column("volume_mm3", [2.1e-6, None])
    ('volume µm³', 1000000000.0)
    >>> readable_column("longest_3d_mm", [35.0])
    ('longest 3d mm', 1.0)
    """
    stem, _, unit = name.rpartition("_")
    power = {"mm": 1, "mm2": 2, "mm3": 3}.get(unit)
    title = name.replace("_", " ")
    if power is None or not stem:
        return title, 1.0
    sign = {1: "", 2: "²", 3: "³"}[power]
    numbers = [abs(v) for v in values if isinstance(v, int | float)]
    is_small = bool(numbers) and 0 < max(numbers) < LEAST[power]
    title = stem.replace("_", " ")
    return (f"{title} µm{sign}", 1000.0**power) if is_small else (f"{title} mm{sign}", 1.0)
