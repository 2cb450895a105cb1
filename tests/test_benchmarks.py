"""The benchmarks' dispatcher."""

import importlib.util
import json

import pytest

import sam_models
from reference_support import BENCHMARKS as FOLDER
from reference_support import benchmark

pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="benchmarks are in the repository only")

EXAMPLE = '''"""Counts.

More about it."""
def measure(times: int = 2, name: str = "a", is_slow: bool = False) -> dict[str, float]:
    return {"times": float(times), "letters": float(len(name)), "slow": float(is_slow)}
'''


@pytest.fixture
def run(tmp_path, monkeypatch):
    """The dispatcher, looking for benchmarks in a folder with one example."""
    spec = importlib.util.spec_from_file_location("benchmarks_run", FOLDER / "run.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    (tmp_path / "counts.py").write_text(EXAMPLE, encoding="utf-8")
    (tmp_path / "broken.py").write_text("import there_is_no_such_library", encoding="utf-8")
    monkeypatch.setattr(module, "FOLDER", tmp_path)
    return module


def test_figures_are_printed_and_stored(run, tmp_path, capsys):
    out = tmp_path / "out.json"
    run.main(["counts", "--times", "5", "--name", "abc", "--is-slow", "--json", str(out)])
    stored = json.loads(out.read_text(encoding="utf-8"))
    assert stored["name"] == "counts"
    assert stored["figures"] == {"times": 5, "letters": 3, "slow": 1}
    assert {"processor", "cores", "system", "python"} <= stored["machine"].keys()
    printed = capsys.readouterr().out
    assert printed.startswith("counts: Counts.\n")
    assert "letters" in printed


def test_defaults_are_those_of_the_function(run, capsys):
    run.main(["counts"])
    assert "times                                         2" in capsys.readouterr().out


def test_unknown_names_list_the_known_ones(run, capsys):
    with pytest.raises(SystemExit):
        run.main(["nonsense"])
    message = capsys.readouterr().err
    assert "counts" in message
    assert "broken" in message


@pytest.mark.parametrize(
    "name",
    [
        "encoder",
        "half",
        "int8",
        "interaction",
        "memory",
        "reference",
        "readers",
        "propagation",
        "many",
        "every",
        "calibration",
        "crash",
        "dicom",
        "fuzz",
    ],
)
def test_our_benchmarks_are_found(run, monkeypatch, name):
    monkeypatch.setattr(run, "FOLDER", FOLDER)
    assert name in run.benchmark_names()
    assert run.option_parser(run.load(name), name).parse_args([]).json is None


@pytest.mark.parametrize("kind", ["transformers", "segment_anything"])
def test_a_small_sam_equals_its_references(kind):
    """Embedding, logits and scores for all prompts; masks of the published predictor."""
    if importlib.util.find_spec(kind) is None:
        pytest.skip(f"needs {kind}")
    reference = benchmark("reference")
    config = sam_models.TINY_SAM
    compare = dict(reference.references())[kind]
    figures = compare(reference.random_sam(config, 0), config, 0)
    assert max(reference.differences_in(figures)) < 1e-4
    assert figures["embedding_largest_value"] > 1
    assert figures.get("slice_pixels_that_differ", 0) == 0


def test_differences_are_found():
    reference = benchmark("reference")
    pytest.importorskip("transformers")
    config = sam_models.TINY_SAM
    ours, other = reference.random_sam(config, 0), reference.random_sam(config, 1)
    theirs = reference.transformers_sam(other, config)
    found = reference.Differences()
    image, _ = reference.random_inputs(config, 0)
    found.add("embedding", ours.image_encoder(image)[0], theirs.get_image_embeddings(image))
    assert max(reference.differences_in(found.figures)) > 0.1


def test_memory_that_grows_is_told_from_few_clicks_on():
    growth = benchmark("gui")._growth
    assert growth("memory", [5.0]) == growth("memory", []) == {}
    values = [1.0, 1.5, 2.0, 2.5]
    assert growth("memory", values) == {"memory_growth_per_click_2_4_mb": pytest.approx(0.5)}
    first, second = growth("memory", [*values, 2.5, 2.5, 2.5, 2.5]).values()
    assert (first, second) == (pytest.approx(0.5), pytest.approx(0))
