"""What a file says about its values and slices that an array and an affine cannot hold."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple


class SourceSlice(NamedTuple):
    """The DICOM file a slice came from.

    Attributes
    ----------
    path : str
        The file, or the ZIP archive that holds it.
    member : str
        Its name within the archive, empty for a plain file.
    frame : int
        Counted from 0 within the file.
    """

    path: str
    member: str = ""
    frame: int = 0

    def __repr__(self) -> str:  # paths are nobody's business in a log
        return f"SourceSlice(frame={self.frame})"


@dataclass(frozen=True)
class ScanInfo:
    """Facts of a scan; each may be unknown.

    Attributes
    ----------
    unit : str
        Of the stored values: "HU", "Bq/ml", "SUVbw" or empty.
    suv_factor : float or None
        Stored value × factor = standardised uptake value by body weight, in g/ml.
    window : (low, high) or None
        The display window the file asks for, in the stored unit.
    slice_positions : tuple of (z, y, x) or None
        In mm, of the centre of voxel (i, 0, 0) of each slice, in LPS; only where an affine alone
        would misplace slices, because their distance changes or is rounded.
    label_names : tuple of (label id, name)
        Where the file holds labels.
    sources : tuple of SourceSlice
        One per slice, where the volume is a DICOM series. Paths stay on this computer: they belong
        into no journal, log or picture.
    """

    unit: str = ""
    suv_factor: float | None = None
    window: tuple[float, float] | None = None
    slice_positions: tuple[tuple[float, float, float], ...] | None = None
    label_names: tuple[tuple[int, str], ...] = ()
    sources: tuple[SourceSlice, ...] = field(default=(), repr=False)
