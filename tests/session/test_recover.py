"""Labels from a session folder, on the command line."""

import numpy as np
import pytest
import tifffile
from typer.testing import CliRunner

import stacksam
from models import stack_of, tiny_predictor
from session_support import BOX_1, TRUTH, crash
from stacksam.cli import app
from stacksam.core.errors import ReadError
from stacksam.session.lines import JOURNAL
from stacksam.session.recover import replay_labels, restore_labels


@pytest.fixture(autouse=True)
def tiny_model(monkeypatch):
    for module in ("files", "replay"):
        name = f"stacksam.session.{module}.load_model"
        monkeypatch.setattr(name, lambda name, **options: tiny_predictor())


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "Bild eins.tif"
    tifffile.imwrite(path, np.asarray(stack_of(TRUTH).data), metadata={"axes": "ZYX"})
    return path


@pytest.fixture
def session(image):
    """A session whose program was ended."""
    session = stacksam.Session(stacksam.read(image), tiny_predictor())
    session.start_journal(image.parent / "work")
    session.add_box(1, 6, BOX_1)
    session.propagate(1, z_range=(5, 8))
    session.add_mask(2, 6, TRUTH[6] == 2)
    session.commit(1)
    session.commit(2)
    crash(session)
    return session


@pytest.fixture
def folder(image, session):
    return image.parent / "work"


def run(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments])


def test_labels_of_a_crashed_session(folder, session, tmp_path):
    out = tmp_path / "labels.tif"
    content = restore_labels(folder, out)
    assert not content.is_closed
    assert content.notes == ()
    assert np.array_equal(tifffile.imread(out), session.labels)


def test_image_may_lie_elsewhere(folder, image, session, tmp_path):
    moved = image.rename(tmp_path / "other.tif")
    with pytest.raises(ReadError, match="not beside its folder; give it"):
        restore_labels(folder, tmp_path / "labels.tif")
    restore_labels(folder, tmp_path / "labels.tif", moved)
    replayed = replay_labels(folder, tmp_path / "again.tif", moved)
    assert replayed.n_different == 0
    assert np.array_equal(tifffile.imread(tmp_path / "again.tif"), session.labels)


def test_restore_on_the_command_line(folder, session, tmp_path):
    result = run("restore", folder, "--out", tmp_path / "labels.tif")
    assert result.exit_code == 0
    assert "(2 objects)" in result.output
    assert np.array_equal(tifffile.imread(tmp_path / "labels.tif"), session.labels)
    with open(folder / JOURNAL, "r+b") as file:
        file.seek(-3, 2)
        file.write(b"x")
    assert "is damaged" in run("restore", folder, "--out", tmp_path / "labels.tif").output


def test_replay_on_the_command_line(folder, monkeypatch):
    result = run("replay", folder)
    assert result.exit_code == 0
    assert "Replayed 5 steps; the labels are identical" in result.output
    monkeypatch.setattr(
        "stacksam.session.replay.load_model", lambda name, **options: tiny_predictor(seed=3)
    )
    result = run("replay", folder)
    assert result.exit_code == 1
    assert "voxels have another label" in result.output


def test_another_image_is_said_on_the_command_line(folder, image, tmp_path):
    tifffile.imwrite(image, np.asarray(stack_of(TRUTH).data) + 1, metadata={"axes": "ZYX"})
    for arguments in (("restore", folder, "--out", tmp_path / "labels.tif"), ("replay", folder)):
        result = run(*arguments)
        assert result.exit_code == 1
        assert "it has changed; give the right image" in result.output
    assert not (tmp_path / "labels.tif").exists()
