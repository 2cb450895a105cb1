"""Build the wheel, install it beside napari and PySide6 alone, and segment in a window there.

    python tools/check_wheel.py [--keep FOLDER]

Needs `build` and `uv` (or pip) in the environment that runs it, and on Linux Xvfb where there is
no display. Everything else happens in a new environment without any of our extras: the manifest is
validated with its imports, the sample is opened, a nucleus is boxed, propagated, corrected,
committed, undone, measured and exported with mouse and keys. Exits 1 if any of it fails.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
GUEST = (
    "napari",
    # PySide6 6.12.0 drops a reference to None in every call, which ends Python 3.11 after a while;
    # from 3.12 on None is immortal
    'PySide6<6.12; python_version < "3.12"',
    'PySide6; python_version >= "3.12"',
)
UNWANTED = ("PyQt5", "PyQt6", "pytest", "pydicom", "transformers")
LEAST_DICE = 0.7


def main() -> int:
    """Do all of it, or with ``--drive`` only what happens in the new environment."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--keep", type=Path, help="work in this folder and leave it there")
    parser.add_argument("--drive", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.drive:
        return drive()
    folder = chosen.keep or Path(tempfile.mkdtemp(prefix="stacksam-wheel-"))
    try:
        wheel = build(folder / "dist")
        python = install(wheel, folder / "environment")
        return check(python, folder)
    finally:
        if chosen.keep is None:
            shutil.rmtree(folder, ignore_errors=True)


def build(folder: Path) -> Path:
    """Build the wheel into a folder."""
    run([sys.executable, "-m", "build", "--wheel", "--outdir", str(folder), str(ROOT)])
    return max(folder.glob("*.whl"), key=lambda path: path.stat().st_mtime)


def install(wheel: Path, folder: Path) -> Path:
    """Make an environment of the wheel, napari and PySide6; returns its Python."""
    run([sys.executable, "-m", "venv", "--clear", str(folder)])
    scripts = "Scripts" if sys.platform == "win32" else "bin"
    python = folder / scripts / ("python.exe" if sys.platform == "win32" else "python")
    wanted = ["-c", str(ROOT / "constraints.txt"), str(wheel), *GUEST]
    uv = shutil.which("uv")
    if uv:
        run([uv, "pip", "install", "-q", "--python", str(python), *wanted])
    else:
        run([str(python), "-m", "pip", "install", "-q", *wanted])
    return python


def check(python: Path, folder: Path) -> int:
    """Validate and drive, from a folder that is not the checkout."""
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTEST_QT_API")}
    environment |= {
        "QT_API": "pyside6",
        "NAPARI_CONFIG": str(folder / "napari-settings.yaml"),
        "STACKSAM_JOURNALS": str(folder / "journals"),
    }
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir(exist_ok=True)
    npe2 = python.with_name("npe2.exe" if sys.platform == "win32" else "npe2")
    run([str(npe2), "validate", "--imports", "napari-stacksam"], elsewhere, environment)
    command = [str(python), "-W", "default", str(Path(__file__).resolve()), "--drive"]
    if sys.platform.startswith("linux") and not os.environ.get("DISPLAY"):
        environment["QT_QPA_PLATFORM"] = "xcb"
        command = ["xvfb-run", "-a", "-s", "-screen 0 1400x1000x24", *command]
    run(command, elsewhere, environment)
    return 0


def run(command: list[str], folder: Path | None = None, environment: dict | None = None) -> None:
    """Run a program; exit with its output shown if it fails."""
    print("+", Path(command[0]).name, *command[1:], flush=True)
    environment = dict(environment or os.environ)
    if "PIP_FIND_LINKS" in environment:
        environment.setdefault("UV_FIND_LINKS", environment["PIP_FIND_LINKS"])
    subprocess.run(command, cwd=folder, env=environment, check=True)


def drive() -> int:
    """Segment in a window of the environment that runs this."""
    from importlib.metadata import PackageNotFoundError, version

    import qtpy
    from window_walk import ROOT, Walk, dice, sample_boxes, sample_folder

    import stacksam

    assert qtpy.API_NAME == "PySide6", qtpy.API_NAME
    assert ROOT not in Path(stacksam.__file__).parents, "the checkout is imported, not the wheel"
    for package in UNWANTED:
        try:
            raise AssertionError(f"{package} {version(package)} is here, it should not be")
        except PackageNotFoundError:
            pass
    truth = stacksam.read(sample_folder() / "nuclei_truth.tif").data
    walk = Walk("nuclei")
    name, (index, yxyx) = list(sample_boxes("nuclei").items())[2]
    number = walk.draw_box(index, yxyx)
    y0, x0, y1, x1 = yxyx
    label = truth[index, (y0 + y1) // 2, (x0 + x1) // 2]
    preview = dice(walk.preview_of(number, index), truth[index] == label)
    walk.propagate()
    walk.go_to(index + 1)
    walk.press(walk.dock.prompts.buttons["point+"])
    walk.hand.click(walk.image, (index + 1, (y0 + y1) / 2, (x0 + x1) / 2))
    walk.settle()
    assert len(walk.bench.session.objects[number].prompts) == 2, "the click was not heard"
    walk.commit()
    labels = walk.viewer.layers["Nuclei labels"].data
    found = dice(labels == 1, truth == label)
    undo_and_redo(walk, labels)
    files = export_and_measure(walk)
    picture = walk.viewer.screenshot(canvas_only=False, flash=False)
    assert picture.std() > 10, "the window is blank"
    walk.close()
    print(f"{name}: Dice {preview:.2f} on the marked slice, {found:.2f} through the stack")
    print(f"wrote {', '.join(files)}; {qtpy.API_NAME} {qtpy.QT_VERSION}")
    assert min(preview, found) >= LEAST_DICE, "the wheel segments, but badly"
    return 0


def undo_and_redo(walk, labels) -> None:
    """Take the commit back and do it again."""
    from qtpy.QtCore import Qt

    control = Qt.KeyboardModifier.ControlModifier
    walk.hand.key(Qt.Key.Key_Z, control)
    assert not labels.any(), "undo has left labels"
    walk.hand.key(Qt.Key.Key_Z, control | Qt.KeyboardModifier.ShiftModifier)
    assert labels.any(), "redo has not brought the labels back"


def export_and_measure(walk) -> list[str]:
    """Write labels and table into this folder, and read the labels back."""
    import stacksam

    walk.bench.commands.export("labels.tif")
    walk.settle()
    walk.dock.groups["measure"].set_open(True)
    walk.pause(0.1)
    walk.press(walk.dock.measure.measure_button)
    walk.settle()
    assert walk.dock.measure.table.rowCount() == 1
    walk.bench.commands.save_table("table.csv")
    assert stacksam.read("labels.tif").data.any()
    assert "voxels" in Path("table.csv").read_text(encoding="utf-8")
    return ["labels.tif", "table.csv"]


if __name__ == "__main__":
    sys.exit(main())
