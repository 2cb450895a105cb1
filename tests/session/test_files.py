"""Sessions on disk."""

import json

import numpy as np
import pytest
import tifffile
import zarr

import stacksam
from models import TINY, ThresholdPredictor, stack_of, tiny_network, tiny_predictor
from stacksam.core.cleanup import CleanUp
from stacksam.core.errors import CheckpointError, ReadError, WriteError
from stacksam.sam import registry
from stacksam.sam.checkpoints import save_compact
from stacksam.sam.registry import ModelEntry
from stacksam.session import Session
from stacksam.session.lines import JOURNAL
from stacksam.session.snapshot import FACTS, _checksum

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


def edit(folder, change):
    """Change the facts behind the checksum's back."""
    path = folder / FACTS
    whole = json.loads(path.read_text(encoding="utf-8"))
    change(whole["facts"])
    whole["checksum"] = _checksum(whole["facts"])
    path.write_text(json.dumps(whole), encoding="utf-8")


def labels_file(folder):
    (path,) = folder.glob("labels-*.zarr.zip")
    return path


def test_everything_comes_back(worked, saved, truth):
    restored = Session.restore(saved, stack_of(truth), ThresholdPredictor())
    assert restored.objects == worked.objects
    assert np.array_equal(restored.labels, worked.labels)
    assert restored.labels.dtype == worked.labels.dtype
    assert restored.window == worked.window
    assert restored.result(1) == worked.result(1)
    assert restored.is_current(1)
    assert restored.result(2) is None
    for object_id in (1, 2):
        again, before = restored.propagate(object_id), worked.propagate(object_id)
        assert np.array_equal(again.mask, before.mask)
        assert np.array_equal(again.confidence, before.confidence)


def test_a_propagation_can_be_committed_after_restoring(session, truth, folder):
    session.add_box(1, 6, BOX_1)
    expected = session.propagate(1).mask
    session.save(folder)
    restored = Session.restore(folder, stack_of(truth), ThresholdPredictor())
    restored.commit(1)
    assert np.array_equal(restored.labels > 0, expected)


def test_clean_up_locks_and_colours_come_back(session, truth, folder):
    session.add_box(1, 6, BOX_1)
    session.set_clean_up(1, CleanUp(fill_holes=True, min_size=3))
    session.commit(1)
    session.set_locked(1, False)
    session.set_color(1, (0.25, 0.5, 1))
    session.new_object("empty")
    session.save(folder)
    restored = Session.restore(folder, stack_of(truth), ThresholdPredictor())
    assert restored.objects == session.objects
    assert restored.new_object() == 3


def test_work_goes_on(worked, saved, truth):
    restored = Session.restore(saved, stack_of(truth), ThresholdPredictor())
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
    (history,) = saved.glob("history-*.jsonl")
    assert {p.name for p in saved.iterdir()} == {FACTS, JOURNAL, history.name}  # no labels left


def test_sessions_on_other_images_are_not_replaced(saved, truth):
    other = Session(stack_of(truth[:-1]), ThresholdPredictor())
    for call in (other.save, other.start_journal):
        with pytest.raises(WriteError, match="Sitzung holds a session on another image"):
            call(saved)
    assert Session.restore(saved, stack_of(truth), ThresholdPredictor()).objects


def test_empty_session(folder, session, truth):
    session.save(folder)
    assert Session.restore(folder, stack_of(truth), ThresholdPredictor()).objects == {}


def test_files_hold_no_path_and_no_image(worked, saved):
    for path in saved.iterdir():
        assert str(saved.parent).encode() not in path.read_bytes()
    assert labels_file(saved).stat().st_size < 10_000


def test_name_of_the_image_is_written_down_only_if_it_lies_there_anyway(truth, tmp_path):
    volume = stack_of(truth, name="Meier_Anna.nii.gz")
    session = Session(volume, ThresholdPredictor())
    session.add_box(1, 6, BOX_1)
    for place in ("elsewhere", "beside"):
        folder = tmp_path / place / "session"
        folder.parent.mkdir()
        if place == "beside":
            (folder.parent / volume.name).touch()
        session.save(folder)
        content = b"".join(p.read_bytes() for p in folder.iterdir())
        assert (b"Meier" in content) == (place == "beside")
        assert volume.fingerprint.encode() in content


def test_a_folder_may_get_another_name(saved, worked, truth, tmp_path):
    moved = saved.rename(tmp_path / "moved")
    restored = Session.restore(moved, stack_of(truth), ThresholdPredictor())
    assert restored.objects == worked.objects


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
    labels, spacing = truth.copy(), None  # the truth makes the image
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


@pytest.mark.parametrize("content", ["[]", "{}", '{"version": 1}', "null", '"text"'])
def test_other_versions_are_said(saved, truth, content):
    (saved / FACTS).write_text(content, encoding="utf-8")
    with pytest.raises(ReadError, match="not of version 3"):
        Session.restore(saved, stack_of(truth), ThresholdPredictor())


def test_a_changed_number_is_noticed(saved, truth):
    path = saved / FACTS
    text = path.read_text(encoding="utf-8")
    assert "16.1" in text
    path.write_text(text.replace("16.1", "26.1"), encoding="utf-8")
    with pytest.raises(ReadError, match=r"damaged .its checksum is wrong"):
        Session.restore(saved, stack_of(truth), ThresholdPredictor())


POINT = {
    "kind": "point",
    "prompt_id": 99,
    "object_id": 1,
    "axis": 0,
    "index": 3,
    "yx": [1, 2],
    "positive": True,
}


def with_prompt(**changes):
    return lambda facts: facts["state"]["prompts"]["set"].append({**POINT, **changes})


def with_result(**changes):
    return lambda facts: facts["results"]["1"].update(changes)


@pytest.mark.parametrize(
    "change",
    [
        lambda facts: facts.update(window=[1]),
        lambda facts: facts.update(window=[2, 1]),
        lambda facts: facts.update(window=None),
        lambda facts: facts.update(next_ids="many"),
        lambda facts: facts.update(image=None),
        lambda facts: facts.update(shape=[1, 2]),
        lambda facts: facts.update(journal=5),
        lambda facts: facts["state"].update(prompts=5),
        lambda facts: facts["state"]["prompts"].update(set=[3]),
        lambda facts: facts["state"]["objects"].update(set="none"),
        lambda facts: facts["state"]["objects"].update(set=[{"object_id": 1}]),
        lambda facts: facts["state"]["objects"]["set"][0].update(color=[1, 2]),
        lambda facts: facts["state"]["objects"]["set"][0].update(clean_up={"wash": True}),
        with_prompt(kind="hope"),
        with_prompt(index=99),
        with_prompt(axis=7),
        with_prompt(object_id=44),
        with_result(axis=3),
        with_result(shape=[1, 2, 3]),
        with_result(slices={"99": [None, "", 1.0, 1.0, False]}),
        with_result(slices={"3": [[0, 0, 500, 4], "", 1.0, 1.0, False]}),
        with_result(slices={"3": [1]}),
    ],
)
def test_damaged_facts_are_said(saved, truth, change):
    edit(saved, change)
    with pytest.raises(ReadError, match="damaged"):
        Session.restore(saved, stack_of(truth), ThresholdPredictor())


@pytest.mark.parametrize(
    "key",
    [
        "image",
        "image_hash",
        "fingerprint",
        "shape",
        "model",
        "model_fingerprint",
        "window",
        "next_ids",
        "labels",
        "history",
        "hidden",
        "journal",
        "state",
        "results",
    ],
)
def test_missing_facts_are_said(saved, truth, key):
    edit(saved, lambda facts: facts.pop(key))
    with pytest.raises(ReadError, match=f"damaged.*{key}"):
        Session.restore(saved, stack_of(truth), ThresholdPredictor())


@pytest.mark.parametrize("damage", ["missing", "empty", "truncated", "no zip", "an npy file"])
def test_damaged_labels_are_said(saved, truth, damage):
    path = labels_file(saved)
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
    with pytest.raises(ReadError, match=r"labels-\w+\.zarr\.zip cannot be read"):
        Session.restore(saved, stack_of(truth), ThresholdPredictor())


@pytest.mark.parametrize(
    "labels", [np.zeros((1, 2, 3), np.uint8), np.zeros((12, 64, 72), np.float32)]
)
def test_labels_have_to_fit(saved, truth, labels):
    path = labels_file(saved)
    path.unlink()
    with zarr.storage.ZipStore(path, mode="w") as store:
        zarr.create_array(store, data=labels)
    with pytest.raises(ReadError, match="the image has"):
        Session.restore(saved, stack_of(truth), ThresholdPredictor())


def test_names_in_the_facts_do_not_lead_out_of_the_folder(saved, truth):
    outside = saved.parent / "labels.zarr.zip"
    labels_file(saved).rename(outside)
    edit(saved, lambda facts: facts.update(labels=str(outside)))
    with pytest.raises(ReadError, match=r"labels\.zarr\.zip cannot be read"):
        Session.restore(saved, stack_of(truth), ThresholdPredictor())


def test_another_model_is_told(worked, saved, truth):
    restored = Session.restore(saved, stack_of(truth), ThresholdPredictor(fingerprint="other"))
    assert restored.notes == (
        "the session was made with another model (threshold); new masks may differ",
    )
    assert Session.restore(saved, stack_of(truth), ThresholdPredictor()).notes == ()


def test_folder_that_is_a_file_is_refused(session, tmp_path):
    path = tmp_path / "taken"
    path.write_text("x", encoding="utf-8")
    with pytest.raises(WriteError, match="folder taken cannot be made"):
        session.save(path)


def test_full_disk_leaves_the_old_session(worked, saved, truth, monkeypatch):
    before = {p.name: p.read_bytes() for p in saved.iterdir()}

    def fail(path, labels):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("stacksam.session.snapshot._write_labels", fail)
    worked.remove_object(2)
    with pytest.raises(WriteError, match="disk is full"):
        worked.save(saved)
    assert {p.name: p.read_bytes() for p in saved.iterdir()} == before
