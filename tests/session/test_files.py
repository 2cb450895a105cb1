"""Sessions on disk."""

import json

import numpy as np
import pytest
import tifffile

import stacksam
from models import TINY, ThresholdPredictor, stack_of, tiny_network, tiny_predictor
from stacksam.core.errors import CheckpointError, ReadError, WriteError
from stacksam.sam import registry
from stacksam.sam.checkpoints import save_compact
from stacksam.sam.registry import ModelEntry
from stacksam.session import Session
from stacksam.session.files import FACTS, LABELS

BOX_1, BOX_2 = (12, 14, 32, 34), (36, 44, 52, 60)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "Größe mit Leerzeichen" / "Sitzung"


@pytest.fixture
def worked(session, truth):
    """A session with every kind of prompt, one committed object and one that is begun."""
    session.add_box(1, 6, BOX_1)
    session.add_point(1, (6.25, 16.1, 24.3), positive=False)
    session.add_mask(1, 8, truth[8] == 1)
    session.propagate(1)
    session.commit(1, name="Röhre ß")
    session.add_scribble(2, 4, [(44, 50.5), (44, 54)], width=5)
    session.add_point(2, (4, 44, 52), axis=1)
    session.undo()
    return session


@pytest.fixture
def saved(worked, folder):
    worked.save(folder)
    return folder


def edit(folder, **changes):
    path = folder / FACTS
    facts = json.loads(path.read_text(encoding="utf-8")) | changes
    path.write_text(json.dumps(facts), encoding="utf-8")


def test_everything_comes_back(worked, saved, truth):
    restored = Session.restore(saved, stack_of(truth), ThresholdPredictor())
    assert restored.objects == worked.objects
    assert np.array_equal(restored.labels, worked.labels)
    assert restored.labels.dtype == worked.labels.dtype
    assert restored.window == worked.window
    for object_id in (1, 2):
        again, before = restored.propagate(object_id), worked.propagate(object_id)
        assert np.array_equal(again.mask, before.mask)
        assert np.array_equal(again.confidence, before.confidence)


def test_work_goes_on(worked, saved, truth):
    restored = Session.restore(saved, stack_of(truth), ThresholdPredictor())
    assert not restored.undo()
    used = {p.prompt_id for o in worked.objects.values() for p in o.prompts}
    assert restored.add_point(2, (4, 44, 52)) not in used | {5}  # 5 was taken back
    restored.propagate(2)
    assert restored.commit(2) == 2
    assert restored.undo()
    assert np.array_equal(restored.labels, worked.labels)


def test_saving_again_replaces(worked, saved, truth):
    worked.remove_object(1)
    worked.save(saved)
    restored = Session.restore(saved, stack_of(truth), ThresholdPredictor())
    assert list(restored.objects) == [2]
    assert not restored.labels.any()
    assert sorted(p.name for p in saved.iterdir()) == sorted([FACTS, LABELS])


def test_empty_session(folder, session, truth):
    session.save(folder)
    assert Session.restore(folder, stack_of(truth), ThresholdPredictor()).objects == {}


def test_files_hold_no_path_and_no_image(worked, saved):
    text = (saved / FACTS).read_text(encoding="utf-8")
    assert str(saved.parent) not in text
    assert (saved / LABELS).stat().st_size < 10_000


def test_image_beside_the_folder_is_found(folder, truth, tmp_path):
    folder.parent.mkdir()
    image = folder.parent / "bild.tif"
    tifffile.imwrite(image, np.asarray(stack_of(truth).data), metadata={"axes": "ZYX"})
    session = Session(stacksam.read(image), tiny_predictor())
    session.add_box(1, 6, BOX_1)
    session.save(folder)
    restored = stacksam.Session.restore(folder, model=tiny_predictor())
    assert np.array_equal(restored.propagate(1).mask, session.propagate(1).mask)
    image.unlink()
    with pytest.raises(ReadError, match="image is not beside its folder; give it as volume"):
        Session.restore(folder, model=tiny_predictor())


def test_model_of_the_same_name_is_loaded(folder, truth, tmp_path, monkeypatch):
    path = tmp_path / "tiny.safetensors"
    save_compact(path, tiny_network(), TINY, {})
    session = Session(stack_of(truth), stacksam.load_model(path, device="cpu"))
    session.save(folder)
    with pytest.raises(CheckpointError, match="'tiny' is unknown"):
        Session.restore(folder, stack_of(truth))
    monkeypatch.setitem(registry.MODELS, "tiny", ModelEntry("tiny", "s", "l", path))
    assert Session.restore(folder, stack_of(truth)).model.fingerprint == session.model.fingerprint


@pytest.mark.parametrize("change", ["voxel", "spacing", "shape"])
def test_another_image_is_refused(saved, truth, change):
    labels, spacing = truth.copy(), None
    if change == "voxel":
        labels[0, 0, 0] = 1
    elif change == "spacing":
        spacing = (2.0, 1.0, 1.0)
    else:
        labels = labels[:-1]
    with pytest.raises(ReadError, match="not the one this session was made on"):
        Session.restore(saved, stack_of(labels, spacing_zyx=spacing), ThresholdPredictor())


def test_missing_session_is_said(tmp_path, truth):
    for folder in (tmp_path, tmp_path / "none"):
        with pytest.raises(ReadError, match=r"there is no session\.json"):
            Session.restore(folder, stack_of(truth), ThresholdPredictor())


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe\x00", b"[" * 100, b'{"version": 1'])
def test_unreadable_facts_are_said(saved, truth, content):
    (saved / FACTS).write_bytes(content)
    with pytest.raises(ReadError, match=r"session\.json cannot be read"):
        Session.restore(saved, stack_of(truth), ThresholdPredictor())


@pytest.mark.parametrize("content", ["[]", "{}", '{"version": 2}', "null", '"text"'])
def test_other_versions_are_said(saved, truth, content):
    (saved / FACTS).write_text(content, encoding="utf-8")
    with pytest.raises(ReadError, match="not of version 1"):
        Session.restore(saved, stack_of(truth), ThresholdPredictor())


POINT = {"kind": "point", "prompt_id": 1, "object_id": 1, "axis": 0, "index": 3, "yx": [1, 2]}


@pytest.mark.parametrize(
    "changes",
    [
        {"window": [1]},
        {"window": [2, 1]},
        {"window": None},
        {"prompts": [{"kind": "hope"}]},
        {"prompts": [3]},
        {"prompts": 5},
        {"prompts": [POINT]},
        {"prompts": [{**POINT, "positive": True, "index": 99}]},
        {"prompts": [{**POINT, "positive": True, "axis": 7}]},
        {"prompts": [{**POINT, "positive": True, "object_id": 44}]},
        {"prompts": [{**POINT, "positive": True}, {**POINT, "positive": False}]},
        {"objects": [{"object_id": 1}]},
        {"objects": "none"},
        {"next_prompt_id": "many"},
        {"model": None, "image": None, "fingerprint": None, "window": "wide"},
    ],
)
def test_damaged_facts_are_said(saved, truth, changes):
    edit(saved, **changes)
    with pytest.raises(ReadError, match="damaged"):
        Session.restore(saved, stack_of(truth), ThresholdPredictor())


@pytest.mark.parametrize(
    "key", ["image", "fingerprint", "model", "window", "next_prompt_id", "objects", "prompts"]
)
def test_missing_facts_are_said(saved, truth, key):
    facts = json.loads((saved / FACTS).read_text(encoding="utf-8"))
    del facts[key]
    (saved / FACTS).write_text(json.dumps(facts), encoding="utf-8")
    with pytest.raises(ReadError, match=f"damaged.*{key}"):
        Session.restore(saved, stack_of(truth), ThresholdPredictor())


@pytest.mark.parametrize("damage", ["missing", "empty", "truncated", "no zip", "an npy file"])
def test_damaged_labels_are_said(saved, truth, damage):
    path = saved / LABELS
    whole = path.read_bytes()
    path.unlink()
    if damage == "empty":
        path.write_bytes(b"")
    elif damage == "truncated":
        path.write_bytes(whole[: len(whole) // 2])
    elif damage == "no zip":
        path.write_bytes(b"labels")
    elif damage == "an npy file":
        with open(path, "wb") as file:
            np.save(file, np.zeros(truth.shape, np.uint8))
    with pytest.raises(ReadError, match=r"labels\.npz cannot be read"):
        Session.restore(saved, stack_of(truth), ThresholdPredictor())


@pytest.mark.parametrize(
    "labels", [np.zeros((1, 2, 3), np.uint8), np.zeros((12, 64, 72), np.float32)]
)
def test_labels_have_to_fit(saved, truth, labels):
    np.savez(saved / LABELS, labels=labels)
    with pytest.raises(ReadError, match="the image has"):
        Session.restore(saved, stack_of(truth), ThresholdPredictor())


def test_folder_that_is_a_file_is_refused(session, tmp_path):
    path = tmp_path / "taken"
    path.write_text("x", encoding="utf-8")
    with pytest.raises(WriteError, match="folder taken cannot be made"):
        session.save(path)


def test_full_disk_leaves_the_old_session(worked, saved, truth, monkeypatch):
    before = {p.name: p.read_bytes() for p in saved.iterdir()}

    def fail(file, **arrays):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez_compressed", fail)
    worked.remove_object(2)
    with pytest.raises(WriteError, match="disk is full"):
        worked.save(saved)
    assert {p.name: p.read_bytes() for p in saved.iterdir()} == before
