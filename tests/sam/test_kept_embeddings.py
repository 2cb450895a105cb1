"""Embeddings that a later program finds on disk."""

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from models import tiny_network
from stacksam.cli import app
from stacksam.sam.kept_embeddings import VARIABLE, embedding_files, encode_once
from stacksam.sam.predictor import Predictor

CROP = np.random.default_rng(0).random((64, 64), np.float32)


def predictor(fingerprint="a", dtype="float32"):
    return Predictor(
        tiny_network(), name="tiny", fingerprint=fingerprint, device="cpu", dtype=dtype
    )


@pytest.fixture
def calls(monkeypatch, tmp_path):
    """What is encoded while a folder is named."""
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    seen, encode = [], Predictor.encode
    monkeypatch.setattr(Predictor, "encode", lambda self, c: seen.append(c) or encode(self, c))
    return seen


def test_nothing_is_kept_unless_asked_for(monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    assert embedding_files() is None
    assert encode_once(predictor(), CROP).image_embedding.dtype == torch.float16


def test_a_later_program_finds_it(calls):
    first = encode_once(predictor(), CROP)
    again = encode_once(predictor(), CROP)
    assert len(calls) == 1
    assert torch.equal(first.image_embedding, again.image_embedding)
    assert all(torch.equal(a, b) for a, b in zip(first.skips, again.skips, strict=True))


def test_other_pixels_weights_and_precisions_are_others(calls):
    encode_once(predictor(), CROP)
    encode_once(predictor(), CROP + np.float32(0.001))
    encode_once(predictor("b"), CROP)
    encode_once(predictor(dtype="bfloat16"), CROP)
    assert len(calls) == 4
    assert embedding_files().used()[0] == 4


def test_the_command_tells_and_removes(calls):
    encode_once(predictor(), CROP)
    runner = CliRunner()
    assert runner.invoke(app, ["embeddings"]).output.startswith("1 embeddings")
    assert "0 embeddings, 0 MB" in runner.invoke(app, ["embeddings", "--keep", "0"]).output
    assert embedding_files().used() == (0, 0)


def test_the_command_says_that_nothing_is_kept(monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    result = CliRunner().invoke(app, ["embeddings"])
    assert result.exit_code != 0
    assert VARIABLE in result.output
