"""Names of lengths as microscopes and file formats spell them, in mm."""

from __future__ import annotations

import math

_PER_MM = {
    "pm": 1e-9,
    "å": 1e-7,
    "a": 1e-7,
    "angstrom": 1e-7,
    "nm": 1e-6,
    "um": 1e-3,
    "micron": 1e-3,
    "mm": 1.0,
    "cm": 10.0,
    "dm": 100.0,
    "m": 1000.0,
    "in": 25.4,
    "inch": 25.4,
}
_PREFIXES = {
    "pico": 1e-9,
    "nano": 1e-6,
    "micro": 1e-3,
    "milli": 1.0,
    "centi": 10.0,
    "deci": 100.0,
    "": 1000.0,
}
for _prefix, _factor in _PREFIXES.items():
    _PER_MM |= {f"{_prefix}meter": _factor, f"{_prefix}metre": _factor}


def in_mm(unit: str | None) -> float:
    """Return the length of a unit in mm, NaN if it is no length.

    Examples
    --------
    >>> in_mm("µm"), in_mm("Nanometers"), in_mm("pixel")
    (0.001, 1e-06, nan)
    """
    plain = (unit or "").strip().replace("\\u00B5", "u").replace("µ", "u").replace("μ", "u").lower()
    singular = plain[:-1] if len(plain) > 3 and plain.endswith("s") else plain
    return _PER_MM.get(singular, math.nan)
