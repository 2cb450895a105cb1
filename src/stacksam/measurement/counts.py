"""How many objects there are, and how densely they lie."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from stacksam.core.volume import Volume
from stacksam.measurement.grids import grid_of


def count_objects(
    rows: Sequence[Mapping[str, Any]],
    labels: Any,
    volume: Volume | None = None,
    spacing_zyx: Sequence[float] | None = None,
) -> dict[str, float | int]:
    """Count measured objects and relate them to the measured field.

    Parameters
    ----------
    rows : list of dict
        From `measure_labels`.
    labels, volume, spacing_zyx
        As given to `measure_labels`; only their geometry is used.

    Returns
    -------
    counts : dict
        ``objects``, ``components`` (pieces that do not touch: the number of cells where one label
        stands for all of them), ``field_mm3`` (the whole stack), ``density_per_mm3`` and
        ``volume_fraction``. A single slice gives ``field_mm2`` and ``density_per_mm2``; without a
        spacing the unit is px.

    Examples
    --------
    >>> import numpy as np
    >>> from stacksam.measurement import measure_labels
    >>> labels = np.zeros((1, 10, 10), np.uint8)
    >>> labels[0, 1:3, 1:3], labels[0, 6:9, 6:9] = 1, 2
    >>> rows = measure_labels(labels, spacing_zyx=(1.0, 0.1, 0.1))
    >>> counts = count_objects(rows, labels, spacing_zyx=(1.0, 0.1, 0.1))
    >>> counts["objects"], round(counts["density_per_mm2"], 6), counts["volume_fraction"]
    (2, 2.0, 0.13)
    """
    _, grid = grid_of(labels, volume, spacing_zyx)
    z, y, x = grid.shape
    power = 2 if z == 1 else 3
    size = y * x * (grid.pixel_area if z == 1 else float(grid.voxel_volumes.sum()))
    filled = sum(row[f"volume_{grid.unit}3"] for row in rows)
    return {
        "objects": len(rows),
        "components": sum(row["components"] for row in rows),
        f"field_{grid.unit}{power}": size,
        f"density_per_{grid.unit}{power}": len(rows) / size,
        "volume_fraction": filled / (y * x * float(grid.voxel_volumes.sum())),
    }
