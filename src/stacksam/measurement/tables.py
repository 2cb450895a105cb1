"""Tables of figures as CSV or Parquet, and the whole way from two files to one table."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from stacksam.core.errors import ReadError, WriteError
from stacksam.io import read, read_labels
from stacksam.io.atomic import atomic_path, full_suffix
from stacksam.io.remote import located
from stacksam.measurement.counts import count_objects
from stacksam.measurement.objects import Row, measure_labels

_SUFFIXES = (".csv", ".parquet")


def write_table(path: str | os.PathLike[str], rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows of figures, completely or not at all.

    Parameters
    ----------
    path : str or path-like
        ``.csv`` (UTF-8, comma and point whatever the system's language) or ``.parquet`` (extra
        ``tables``).
    rows : list of dict with the same keys
        None becomes an empty cell.

    Raises
    ------
    WriteError
        If the extension is another one, pyarrow is missing, or the disk is full.

    Examples
    --------
    >>> path = getfixture("tmp_path") / "table.csv"
    >>> write_table(path, [{"label": 1, "name": "liver", "volume_ml": 1500.25}])
    >>> path.read_text(encoding="utf-8").split()
    ['label,name,volume_ml', '1,liver,1500.25']
    """
    path = Path(path)
    check_table_path(path)
    with atomic_path(path) as temporary:
        if full_suffix(path) == ".parquet":
            _write_parquet(temporary, rows)
        else:
            _write_csv(temporary, rows)


def check_table_path(path: Path) -> None:
    """Raise `WriteError` where `write_table` could not write, before anything is measured."""
    if full_suffix(path) not in _SUFFIXES:
        raise WriteError(
            f"{path.name} has an extension tables cannot be written to; use .csv or .parquet"
        )
    if full_suffix(path) == ".parquet":
        _pyarrow()


def measure_file(
    labels: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    image: str | os.PathLike[str] | None = None,
    names: str | os.PathLike[str] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[list[Row], dict[str, float | int]]:
    """Measure the objects of a label file and write the table.

    Parameters
    ----------
    labels : path-like
        A label image, DICOM SEG, or an RTSTRUCT together with its image.
    out : path-like
        ``.csv`` or ``.parquet``.
    image : path-like, optional
        What the labels belong to; adds intensities.
    names : path-like, optional
        JSON file of names by label id, ``{"1": "liver"}``.
    progress : callable, optional
        Called with (objects done, objects in all).

    Returns
    -------
    rows : list of dict
        As `measure_labels` gives them.
    counts : dict
        As `count_objects` gives them.
    """
    check_table_path(Path(out))
    given = None if names is None else _read_names(Path(names))
    volume = None if image is None else read(image)
    stack = read_labels(labels, like=volume)
    rows = measure_labels(stack, volume, names=given, progress=progress)
    if not rows:
        raise ReadError(f"{located(labels).name} holds no object; every voxel is 0")
    write_table(out, rows)
    return rows, count_objects(rows, stack, volume)


def _read_names(path: Path) -> dict[int, str]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return {int(label): str(name) for label, name in content.items()}
    except OSError as error:
        raise ReadError(f"{path.name} cannot be opened: {error.strerror}") from error
    except (ValueError, AttributeError, RecursionError) as error:
        raise ReadError(f'{path.name} has to hold names by label id, {{"1": "liver"}}') from error


def _write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]) if rows else ["label"])
        writer.writeheader()
        writer.writerows({key: _cell(value) for key, value in row.items()} for row in rows)


def _cell(value: Any) -> Any:
    """Keep a name from being taken for a formula when the table is opened as a spreadsheet."""
    if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r"):
        return f"'{value}"
    return value


def _write_parquet(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    _pyarrow()
    from pyarrow import Table, parquet

    parquet.write_table(Table.from_pylist([dict(row) for row in rows]), str(path))


def _pyarrow() -> None:
    try:
        import pyarrow  # noqa: F401
    except ImportError as error:
        raise WriteError(
            'Parquet needs pyarrow; pip install "napari-stacksam[tables]" brings it, or write .csv'
        ) from error
