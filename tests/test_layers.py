"""The order of the layers: who may import whom, and who stays free of Qt and napari."""

import ast
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import stacksam

ROOT = Path(stacksam.__file__).parent
ORDER = [
    "core",
    "io",
    "sam",
    "propagation",
    "training",
    "session",
    "measurement",
    "evaluation",
    "batch",
    "widgets",
    "plugin",
    "cli",
]
WINDOWS = ("widgets", "plugin")
FILES = sorted(p for p in ROOT.rglob("*.py") if p.parent != ROOT or p.name == "cli.py")


def layer_of(path):
    return path.relative_to(ROOT).with_suffix("").parts[0]


def imports(path):
    """Yield the modules a file imports at run time, `if TYPE_CHECKING:` left out."""
    waiting = [ast.parse(path.read_text(encoding="utf-8"))]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            waiting += node.orelse
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name} uses a relative import"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        waiting += ast.iter_child_nodes(node)


def imported_layers(path):
    parts = (name.split(".") for name in imports(path))
    return {p[1] for p in parts if p[0] == "stacksam" and len(p) > 1 and p[1] in ORDER}


def test_every_folder_has_its_place():
    folders = {p.name for p in ROOT.iterdir() if p.is_dir() and any(p.glob("*.py"))}
    assert folders <= set(ORDER)
    assert {layer_of(p) for p in FILES} <= set(ORDER)


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_a_folder_imports_only_from_folders_above_it(path):
    place = ORDER.index(layer_of(path))
    assert not {name for name in imported_layers(path) if ORDER.index(name) > place}


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_qt_and_napari_stay_in_their_folders(path):
    tops = {name.split(".")[0] for name in imports(path)}
    if layer_of(path) not in WINDOWS:
        assert not tops & {"qtpy", "superqt", "magicgui", "PyQt6", "PySide6", "napari"}
    if layer_of(path) != "plugin":
        assert "napari" not in tops


def test_core_needs_numpy_scipy_and_scikit_image_only():
    allowed = {"numpy", "scipy", "skimage", "stacksam", *sys.stdlib_module_names}
    for path in (ROOT / "core").glob("*.py"):
        assert {name.split(".")[0] for name in imports(path)} <= allowed, path.name


def run_fresh(code):
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, encoding="utf-8"
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.split()


def test_everything_else_imports_without_qt_and_napari():
    names = [m.name for m in pkgutil.walk_packages([str(ROOT)], "stacksam.", onerror=print)]
    names = [n for n in names if not n.startswith(tuple(f"stacksam.{w}" for w in WINDOWS))]
    assert "stacksam.cli" in names
    loaded = run_fresh(
        f"import importlib, sys\nfor name in {names!r}: importlib.import_module(name)\n"
        "print(*{name.split('.')[0] for name in sys.modules})"
    )
    assert "stacksam" in loaded
    assert not {"qtpy", "PyQt6", "PySide6", "napari"} & set(loaded)


def test_import_stacksam_is_light():
    loaded = run_fresh("import stacksam, sys; print(*sys.modules)")
    assert not {"torch", "numpy", "SimpleITK", "skimage"} & set(loaded)


def test_the_training_step_needs_torch_numpy_scipy_and_safetensors_only():
    loaded = run_fresh(
        "import sys, numpy, safetensors.torch, scipy.ndimage, scipy.spatial, torch\n"
        "needed = set(sys.modules)\nimport stacksam.training.loop\n"
        "print(*{name.split('.')[0] for name in set(sys.modules) - needed})"
    )
    others = set(loaded) - set(sys.stdlib_module_names)
    assert others <= {"stacksam", "numpy", "safetensors", "scipy", "torch"}


def test_public_names_come_from_their_layers():
    assert stacksam.Volume.__module__ == "stacksam.core.volume"
    assert set(stacksam.__all__) <= set(dir(stacksam))
    for name in stacksam.__all__:
        assert getattr(stacksam, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = stacksam.nonsense
