"""Write constraints.txt from the environment that runs this file, which has passed the tests.

    python tools/constraints.py > constraints.txt

Only what the base install and the extras gui and test pull in on this system is listed, without
local version parts such as +cpu.
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, distribution

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Requirement("napari-stacksam[gui,test]")
HEADER = (
    "# Versions that passed the tests; pip install -c constraints.txt. See tools/constraints.py."
)


def closure(root: Requirement) -> dict[str, str]:
    """Follow requirements through installed distributions; canonical name to public version."""
    pins: dict[str, str] = {}
    seen: set[tuple[str, str]] = set()
    waiting = [(root.name, extra) for extra in ("", *root.extras)]
    while waiting:
        name, extra = waiting.pop()
        key = (canonicalize_name(name), extra)
        if key in seen:
            continue
        seen.add(key)
        try:
            found = distribution(name)
        except PackageNotFoundError:
            continue
        pins[key[0]] = Version(found.version).public
        for text in found.requires or []:
            needed = Requirement(text)
            if needed.marker is None or needed.marker.evaluate({"extra": extra}):
                waiting += [(needed.name, e) for e in ("", *needed.extras)]
    pins.pop(canonicalize_name(root.name))
    return pins


if __name__ == "__main__":
    print(HEADER)
    for name, version in sorted(closure(ROOT).items()):
        print(f"{name}=={version}")
