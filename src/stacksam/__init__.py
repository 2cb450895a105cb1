"""Prompt once, get the whole stack: labels for 2D images, 3D stacks and time-lapses.

The names below load on first use, so that ``import stacksam`` stays quick and needs neither torch
nor a window.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stacksam.ahead import load_ahead as load_ahead
    from stacksam.core.volume import Volume as Volume
    from stacksam.io import read as read
    from stacksam.io import read_labels as read_labels
    from stacksam.io import write_labels as write_labels
    from stacksam.measurement import measure_labels as measure_labels
    from stacksam.sam import load_model as load_model
    from stacksam.session import Session as Session

__version__ = "0.1.0"

_HOMES = {
    "Session": "stacksam.session",
    "Volume": "stacksam.core.volume",
    "load_ahead": "stacksam.ahead",
    "load_model": "stacksam.sam",
    "measure_labels": "stacksam.measurement",
    "read": "stacksam.io",
    "read_labels": "stacksam.io",
    "write_labels": "stacksam.io",
}
__all__ = [
    "Session",
    "Volume",
    "__version__",
    "load_ahead",
    "load_model",
    "measure_labels",
    "read",
    "read_labels",
    "write_labels",
]


def __getattr__(name: str) -> Any:
    """Load a public name from the layer it lives in (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module 'stacksam' has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
