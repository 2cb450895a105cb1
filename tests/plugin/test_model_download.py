"""A listed model is fetched from the dock: licence first, progress, cancel, then in use."""

import threading

import pytest

from models import TINY, tiny_network
from window_support import why_no_window

pytest.importorskip("qtpy.QtWidgets", reason=why_no_window(), exc_type=ImportError)
pytest.importorskip("napari")

from hand import press
from stacksam.sam import downloads, registry
from stacksam.sam.checkpoints import save_compact
from stacksam.sam.registry import ModelEntry
from web_support import serving


@pytest.fixture
def published(tmp_path, monkeypatch):
    """A model with restrictions on a web server of this computer."""
    monkeypatch.setenv("STACKSAM_MODELS", str(tmp_path / "models"))
    monkeypatch.delenv("STACKSAM_OFFLINE", raising=False)
    monkeypatch.delenv("STACKSAM_MIRROR", raising=False)
    save_compact(tmp_path / "a.safetensors", tiny_network(), TINY, {})
    with serving() as web:
        web.files["/a.safetensors"] = (tmp_path / "a.safetensors").read_bytes()
        entry = ModelEntry(
            "tiny",
            "a tiny model",
            "CC BY-NC 4.0",
            file_name="tiny.safetensors",
            url=f"{web.address}/a.safetensors",
            page="https://example.org/tiny",
            is_non_commercial=True,
        )
        monkeypatch.setitem(registry.MODELS, "tiny", entry)
        web.target = tmp_path / "models" / "tiny.safetensors"
        yield web


@pytest.fixture
def at_the_model(open_bench, published):
    """The dock with that model chosen, and not fetched."""
    one = open_bench(show=False)
    panel = one.dock.model
    one.dock.groups["model"].set_open(True)
    one.wait(lambda: panel.combo.findData("tiny") >= 0)
    panel.combo.setCurrentIndex(panel.combo.findData("tiny"))
    panel.combo.activated.emit(panel.combo.currentIndex())
    return one


def test_its_licence_is_said_before_anything_is_fetched(at_the_model, published):
    assert "CC BY-NC 4.0 (NON-COMMERCIAL)" in at_the_model.dock.model.hint.text()
    assert not at_the_model.dock.model.get_button.isHidden()
    assert published.requests == []


def test_it_is_fetched_and_used(at_the_model, published):
    one, bench = at_the_model, at_the_model.bench
    press(one.dock.model.get_button)
    one.wait(lambda: bench.model_name == "tiny")
    assert published.target.is_file()
    assert one.dock.model.combo.currentData() == "tiny"
    assert one.dock.model.get_button.isHidden()
    assert one.dock.groups["model"].header.summary == "tiny"


def test_a_download_shows_how_far_it_is_and_can_be_stopped(at_the_model, published, monkeypatch):
    one, panel = at_the_model, at_the_model.dock.model
    started, go = threading.Event(), threading.Event()
    fetch_file = downloads.fetch_file

    def slowly(url, path, *, progress, cancel, **options):
        progress(3_000_000, 12_000_000)
        started.set()
        go.wait(30)
        return fetch_file(url, path, progress=progress, cancel=cancel, **options)

    monkeypatch.setattr("stacksam.sam.model_files.fetch_file", slowly)
    press(panel.get_button)
    one.wait(started.is_set)
    one.wait(lambda: panel.progress_bar.text() == "3 of 12 MB")
    assert one.dock.groups["model"].header.summary == "Fetching the model ..."
    press(panel.cancel_button)
    go.set()
    one.wait(lambda: panel.get_button.isEnabled())
    assert panel.progress_bar.isHidden() or not panel.progress_bar.isVisible()
    assert one.bench.model_name == "compact"
    assert not published.target.exists()
    assert not one.dock.message_line.is_error


def test_a_failed_download_says_how_to_go_on_by_hand(at_the_model, published):
    published.status = 403
    press(at_the_model.dock.model.get_button)
    at_the_model.wait(lambda: at_the_model.dock.message_line.is_error)
    text = at_the_model.dock.message_line.text
    assert "by hand" in text
    assert published.address in text
    assert at_the_model.bench.model_name == "compact"
