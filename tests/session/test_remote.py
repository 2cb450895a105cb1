"""Sessions on an image that a server holds."""

import json
import logging

import numpy as np
import pytest
import zarr
from typer.testing import CliRunner

from models import stack_of
from stacksam.cli import app
from stacksam.core.errors import ReadError
from stacksam.io import read, remote_store
from stacksam.session import Session
from web_support import put_folder, serving

BOX = (12, 14, 32, 34)


@pytest.fixture
def web(monkeypatch):
    monkeypatch.setattr(remote_store, "PAUSES", (0.0, 0.0))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serving() as web:
        yield web


@pytest.fixture
def address(web, truth, tmp_path):
    data = np.asarray(stack_of(truth).data)
    zarr.create_array(tmp_path / "tubes.zarr", data=data, chunks=(1, 64, 72))
    return put_folder(web, tmp_path / "tubes.zarr", "/doctor huber")


def test_a_slice_that_fails_in_the_middle_of_a_run_loses_nothing(web, address, truth, model):
    session = Session(read(address), model, window=(100, 900))
    session.add_point(2, (6, 44, 52))
    session.propagate(2)
    session.commit(2)
    labels = session.labels.copy()
    session = Session(read(address), model, window=(100, 900))  # nothing of it is in memory
    session.import_labels(labels)
    session.add_box(1, 6, BOX)
    web.statuses["/doctor%20huber/tubes.zarr/c/8/0/0"] = 503
    with pytest.raises(ReadError, match=r"the server of tubes\.zarr answered 503"):
        session.propagate(1)
    np.testing.assert_array_equal(session.labels, labels)
    assert 6 in session.result(1).slices
    web.statuses.clear()
    np.testing.assert_array_equal(session.propagate(1).mask, truth == 1)


def test_what_a_session_stores_does_not_tell_the_address(
    web, address, model, tmp_path, caplog, capfd
):
    caplog.set_level(logging.DEBUG)
    web.files = {f"{path}?sig=a1": data for path, data in web.files.items()}
    session = Session(read(address.replace("://", "://me:geheim@") + "?sig=a1"), model)
    session.start_journal(tmp_path / "work" / "session")
    session.add_box(1, 6, BOX)
    session.propagate(1)
    session.commit(1)
    session.save(tmp_path / "work" / "copy")
    told = "".join([*caplog.messages, *capfd.readouterr(), repr(session), repr(session.volume)])
    files = [path for path in (tmp_path / "work").rglob("*") if path.is_file()]
    told += "".join(path.read_bytes().decode("latin-1") for path in files)
    assert len(files) > 2
    for secret in ("127.0.0.1", "huber", "geheim", "sig=", "tubes"):
        assert secret not in told
    restored = Session.restore(tmp_path / "work" / "copy", read(tmp_path / "tubes.zarr"), model)
    np.testing.assert_array_equal(restored.labels, session.labels)


def test_the_command_line_takes_an_address(web, address, truth, tmp_path):
    objects = [{"id": 1, "prompts": [{"kind": "box", "axis": 0, "index": 6, "yxyx": BOX}]}]
    prompts = tmp_path / "prompts.json"
    prompts.write_text(json.dumps({"version": 1, "objects": objects}), encoding="utf-8")
    options = ["--prompts", prompts, "--out", tmp_path / "labels.nii.gz", "--slices", "5-7"]
    result = CliRunner().invoke(app, ["segment", address, *map(str, options)])
    assert result.exit_code == 0, result.output
    assert read(tmp_path / "labels.nii.gz").shape == truth.shape
    web.status = 404
    result = CliRunner().invoke(app, ["segment", address, *map(str, options)])
    assert result.exit_code == 1
    assert "tubes.zarr was not found or is not a Zarr array" in result.output
    assert "127.0.0.1" not in result.output
