"""Facts for a bug report: versions, device, kind of image. No data, no names, no paths."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

PACKAGES = (
    "napari-stacksam",
    "napari",
    "torch",
    "numpy",
    "scipy",
    "scikit-image",
    "SimpleITK",
    "zarr",
    "psygnal",
    "superqt",
    "vispy",
)


def diagnostics(session: Any = None) -> str:
    """Text for a bug report.

    Parameters
    ----------
    session : Session, optional
        Whose model and kind of image are told.
    """
    from qtpy import API_NAME, QT_VERSION

    system = f"{platform.system()} {platform.release()} {platform.machine()}"
    lines = [f"{name} {_version_of(name)}" for name in PACKAGES]
    lines += [
        f"{API_NAME}, Qt {QT_VERSION}",
        f"Python {platform.python_version()}, {system}, {os.cpu_count()} cores",
    ]
    if session is not None:
        lines += _about(session)
    return "\n".join(lines)


def _about(session: Any) -> list[str]:
    volume, model = session.volume, session.model
    size = " x ".join(map(str, volume.shape))
    kind = f"{volume.dtype}{', rgb' if volume.rgb else ''}"
    spacing = "unknown" if volume.spacing_zyx is None else "known"
    library = type(volume.data).__module__.split(".")[0]
    return [
        f"model {model.name} {model.fingerprint}, device {getattr(model, 'device', 'unknown')}",
        f"image {size} {kind}, spacing {spacing}, {library}",
        f"{len(session.objects)} objects",
    ]


def _version_of(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
