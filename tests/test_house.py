"""What the files around the code promise each other."""

import json
import re
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

import stacksam

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def text_of(name):
    return (ROOT / name).read_text(encoding="utf-8")


def commands(text, language="bash"):
    """The code blocks of a Markdown file."""
    return re.findall(rf"```{language}\n(.*?)\n```", text, flags=re.DOTALL)


def test_ci_ends_with_the_readmes_test_command():
    _, test_command, *_ = commands(text_of("README.md"))
    assert "tools/test.sh" in test_command
    assert text_of(".ci/run").rstrip().endswith("\n" + test_command)


def test_the_first_readme_command_makes_the_demo():
    first, *_ = commands(text_of("README.md"))
    assert first.endswith(".venv/bin/stacksam demo")
    assert first.count("\n") == 0


def test_readme_python_example_is_python():
    (example,) = commands(text_of("README.md"), "python")
    compile(example, "README.md", "exec")
    names = set(re.findall(r"stacksam\.(\w+)", example))
    assert names <= set(stacksam.__all__)


def test_readme_prompts_are_valid(tmp_path):
    from stacksam.io.prompt_files import load_prompts

    (example,) = commands(text_of("README.md"), "json")
    (tmp_path / "prompts.json").write_text(example, encoding="utf-8")
    given = load_prompts(tmp_path / "prompts.json", (60, 300, 320))
    assert given.names == {1: "liver"}
    assert len(given.prompts) == 2


@pytest.mark.parametrize("name", ["README.md", "NOTICE.md"])
def test_it_is_said_that_this_is_for_research(name):
    assert "Research use only, not a medical device" in text_of(name)


def test_installed_version_is_the_packages():
    assert version("napari-stacksam") == stacksam.__version__


def test_constraints_hold_every_dependency_at_a_public_version():
    lines = [line for line in text_of("constraints.txt").splitlines() if not line.startswith("#")]
    pins = {name: Version(pin) for name, pin in (line.split("==") for line in lines)}
    extras = PROJECT["optional-dependencies"]
    for text in [*PROJECT["dependencies"], *extras["gui"], *extras["test"]]:
        needed = Requirement(text)
        assert pins[canonicalize_name(needed.name)] in needed.specifier, text
    assert not any(pin.local for pin in pins.values())


def test_base_install_has_neither_qt_nor_napari():
    names = {canonicalize_name(Requirement(text).name) for text in PROJECT["dependencies"]}
    assert not names & {"napari", "pyqt5", "pyqt6", "pyside6", "matplotlib"}


def test_notice_names_every_set_that_was_trained_on(shared_data):
    split = json.loads((shared_data / "SPLIT.json").read_text(encoding="utf-8"))
    sets = {file.split("/")[1] for file, side in split["files"].items() if side == "train"}
    notice = text_of("NOTICE.md")
    assert sets
    assert not {name for name in sets if name not in notice}
    assert not {name for name in split["not_for_training"] if name in notice}
