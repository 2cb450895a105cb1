"""The manifest: one file, valid, and everything it names can be imported."""

from importlib.metadata import entry_points
from pathlib import Path

import pytest

import stacksam
from stacksam.io.readers import read

npe2 = pytest.importorskip("npe2")

NAME = "napari-stacksam"
ROOT = Path(__file__).parents[1]
PACKAGED = Path(stacksam.__file__).parent / "napari.yaml"


@pytest.fixture(scope="module")
def manifest():
    return npe2.PluginManifest.from_file(PACKAGED)


def test_one_manifest():
    if not (ROOT / "napari.yaml").is_symlink():
        pytest.skip("this checkout was made without symbolic links")
    assert (ROOT / "napari.yaml").resolve() == (ROOT / "src/stacksam/napari.yaml").resolve()


def test_napari_finds_it():
    found = [e for e in entry_points(group="napari.manifest") if e.name == NAME]
    assert [e.value for e in found] == ["stacksam:napari.yaml"]
    assert npe2.PluginManifest.from_distribution(NAME).name == NAME


def test_what_it_names_can_be_imported(manifest):
    pytest.importorskip("qtpy.QtWidgets", exc_type=ImportError)
    manifest.validate_imports()


def test_what_it_offers(manifest):
    offers = manifest.contributions
    assert [w.display_name for w in offers.widgets] == ["StackSAM"]
    assert [s.key for s in offers.sample_data] == ["abdomen_ct", "nuclei"]
    commands = {c.id for c in offers.commands}
    used = [*offers.widgets, *offers.readers, *offers.writers, *offers.sample_data]
    assert {c.command for c in used} == commands


def test_the_readers_patterns_are_the_readers_suffixes(manifest):
    from stacksam.plugin.readers import SUFFIXES

    (reader,) = manifest.contributions.readers
    assert {p.removeprefix("*") for p in reader.filename_patterns} == set(SUFFIXES)


def test_the_writers_extensions_can_be_written(manifest, tmp_path):
    import numpy as np

    (writer,) = manifest.contributions.writers
    labels = np.ones((2, 3, 4), np.uint8)
    for extension in writer.filename_extensions:
        stacksam.write_labels(tmp_path / f"labels{extension}", labels)
        np.testing.assert_array_equal(read(tmp_path / f"labels{extension}").data, labels)


def test_the_hub_can_list_it(manifest):
    from importlib.metadata import metadata

    facts = metadata(NAME)
    assert manifest.visibility == "public"
    assert "Framework :: napari" in facts.get_all("Classifier")
    assert facts["Summary"]
    assert facts["License-Expression"] == "BSD-3-Clause"
    assert facts["Description-Content-Type"] == "text/markdown"
