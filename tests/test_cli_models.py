"""``stacksam models``: what is known, fetched and taken over."""

import json

import pytest
from typer.testing import CliRunner

from models import TINY, tiny_network
from stacksam.cli import app
from stacksam.sam import registry
from stacksam.sam.checkpoints import save_compact
from stacksam.sam.registry import ModelEntry
from web_support import serving


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    folder = tmp_path / "meine Modelle"
    monkeypatch.setenv("STACKSAM_MODELS", str(folder))
    monkeypatch.delenv("STACKSAM_OFFLINE", raising=False)
    monkeypatch.delenv("STACKSAM_MIRROR", raising=False)
    return folder


@pytest.fixture
def run():
    def invoke(*arguments, **options):
        return CliRunner().invoke(app, ["models", *map(str, arguments)], **options)

    return invoke


@pytest.fixture
def published(tmp_path, monkeypatch):
    """A non-commercial model on a web server."""
    save_compact(tmp_path / "a.safetensors", tiny_network(), TINY, {})
    with serving() as web:
        web.files["/a.safetensors"] = (tmp_path / "a.safetensors").read_bytes()
        entry = ModelEntry(
            "tiny",
            "tests",
            "CC BY-NC 4.0",
            file_name="tiny.safetensors",
            url=f"{web.address}/a.safetensors",
            page="https://example.org/tiny",
            is_non_commercial=True,
        )
        monkeypatch.setitem(registry.MODELS, "tiny", entry)
        yield web


def test_list_names_models_licences_and_what_is_here(run, published):
    lines = run("list").stdout.splitlines()
    assert lines[0].split()[:3] == ["compact", "here", "BSD-3-Clause:"]
    (tiny,) = (line for line in lines if line.startswith("tiny "))
    assert "CC BY-NC 4.0 (NON-COMMERCIAL): tests" in tiny
    assert published.requests == []


def test_info_tells_source_and_checksum(run):
    text = run("info", "sam-vit-b").stdout
    assert "https://dl.fbaipublicfiles.com/segment_anything/sam_vit_b_01ec64.pth" in text
    assert "md5-prefix:01ec64" in text
    assert "375.0 MB" in text
    assert "here:        no" in text


def test_the_licence_is_shown_and_asked_before(run, published, folder):
    refused = run("download", "tiny", input="n\n")
    assert refused.exit_code == 1
    assert "tiny: licence CC BY-NC 4.0 (NON-COMMERCIAL), from https://example.org" in refused.stdout
    assert published.requests == []
    accepted = run("download", "tiny", input="y\n")
    assert accepted.exit_code == 0
    assert "tiny.safetensors is here; use it with --model tiny" in accepted.stdout
    assert (folder / "tiny.safetensors").is_file()


def test_yes_accepts(run, published):
    assert run("download", "tiny", "--yes").exit_code == 0


def test_a_failed_download_says_what_to_do(run, published):
    published.status = 403
    result = run("download", "tiny", "--yes")
    assert result.exit_code == 1
    assert "answered 403" in result.stderr
    assert "stacksam models import FILE --name tiny" in result.stderr


def test_import_takes_a_file_over(run, tmp_path, folder):
    save_compact(tmp_path / "own.safetensors", tiny_network(), TINY, {})
    result = run("import", tmp_path / "own.safetensors", "--licence", "private")
    assert "own.safetensors is here; use it with --model own" in result.stdout
    (entry,) = json.loads((folder / "models.json").read_text(encoding="utf-8"))
    assert (entry["name"], entry["licence"]) == ("own", "private")


def test_unknown_names_exit_with_a_sentence(run):
    for command in ("info", "download"):
        result = run(command, "compakt")
        assert result.exit_code == 1
        assert "model 'compakt' is unknown" in result.stderr
