"""Work that is journalled survives whatever ends the program."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from models import ThresholdPredictor, stack_of
from session_support import (
    BOX_1,
    BOX_2,
    TRUTH,
    act,
    assert_same,
    crash,
    state_of,
    steps,
    work,
)
from stacksam.core.errors import ReadError, WriteError
from stacksam.session import Session, journal, journals
from stacksam.session.folder_lock import LOCK, FolderInUseError, _host
from stacksam.session.lines import JOURNAL, read_lines
from stacksam.session.snapshot import FACTS


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "Größe mit Leerzeichen" / "Sitzung"


@pytest.fixture
def journalled(session, folder):
    session.start_journal(folder)
    yield session
    if session._journal is not None:
        session._journal.close()


def restored(folder, **options):
    return Session.restore(folder, stack_of(TRUTH), ThresholdPredictor(), **options)


def assert_equal(first, second):
    assert_same(first, state_of(second))
    for object_id in second.objects:
        assert first.is_current(object_id) == second.is_current(object_id)
    assert first._next_prompt_id == second._next_prompt_id
    assert first._next_object_id == second._next_object_id


# Restoring


def test_a_step_that_returned_is_in_the_file(journalled, folder, monkeypatch):
    is_allowed, sync = threading.Event(), os.fsync
    monkeypatch.setattr(journal, "LONGEST_WAIT", 30.0)
    monkeypatch.setattr(journal.os, "fsync", lambda d: is_allowed.wait(30) and sync(d))
    journalled.add_box(1, 6, BOX_1)  # which is not synced yet
    (entry,) = read_lines(folder / JOURNAL).entries[1:]
    assert entry["text"] == "add box to object 1"
    is_allowed.set()
    journalled.commit(1)
    assert journalled._journal._waiting == deque()


def test_every_step_is_on_the_disk(journalled, folder):
    work(journalled)
    crash(journalled)
    again = restored(folder)
    assert_equal(again, journalled)
    assert again.notes == ()
    assert again.undo_text == journalled.undo_text


def test_each_moment_can_be_restored(journalled, folder):
    seen = []
    for name in ("prompts", "objects", "labels", "results"):
        getattr(journalled, f"{name}_changed").connect(lambda _: None)
    journalled.history_changed.connect(lambda: seen.append(1))
    work(journalled)
    crash(journalled)
    whole = (folder / JOURNAL).read_bytes().splitlines(keepends=True)
    assert len(whole) == len(seen) + 1  # and the line that begins
    for count in range(1, len(whole)):
        (folder / JOURNAL).write_bytes(b"".join(whole[:count]))
        again = restored(folder)
        assert again.notes == ()
        assert len(again._log) == count


@settings(
    max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(steps=steps)
def test_any_work_can_be_restored(steps, tmp_path_factory):
    folder = tmp_path_factory.mktemp("any") / "session"
    session = Session(stack_of(TRUTH), ThresholdPredictor())
    session.add_box(2, 4, BOX_2)
    session.start_journal(folder)
    session.add_box(1, 6, BOX_1)
    for step in steps:
        try:
            if step[0] in ("undo", "redo"):
                getattr(session, step[0])()
            else:
                act(session, step)
        except ValueError:
            continue
    crash(session)
    assert_equal(restored(folder), session)


def test_work_before_the_journal_is_there_too(session, folder):
    work(session)
    session.start_journal(folder)
    session.add_box(3, 6, BOX_1)
    crash(session)
    assert_equal(restored(folder), session)


def test_work_goes_on_after_a_crash(journalled, folder):
    work(journalled)
    crash(journalled)
    second = restored(folder)
    second.start_journal(folder)
    second.add_box(1, 8, BOX_1)
    second.propagate(1)
    second.commit(1)
    crash(second)
    third = restored(folder)
    assert_equal(third, second)
    assert [e["kind"] for e in third._log].count("begin") == 1
    assert len(third._log) == len(journalled._log) + 3


def test_saving_into_the_journals_own_folder_sees_to_the_disk(journalled, folder):
    work(journalled)
    journalled.save(folder)
    assert len(read_lines(folder / JOURNAL).entries) == len(journalled._log)
    journalled.save(folder.parent / "copy")
    assert_equal(restored(folder.parent / "copy"), journalled)


def test_snapshots_follow_now_and_then(session, folder, monkeypatch):
    monkeypatch.setattr(journal, "LINES_PER_SNAPSHOT", 3)
    session.start_journal(folder)
    first = (folder / FACTS).read_bytes()
    work(session)
    crash(session)
    facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))["facts"]
    assert (folder / FACTS).read_bytes() != first
    assert 3 < facts["journal"]["lines"] <= len(session._log)
    assert len(list(folder.glob("labels-*.zarr.zip"))) == 1
    assert_equal(restored(folder), session)


def test_other_models_are_remembered(journalled, folder):
    journalled.add_box(1, 6, BOX_1)
    journalled.set_model(ThresholdPredictor(fingerprint="second"))
    journalled.add_box(1, 7, BOX_1)
    crash(journalled)
    other = ThresholdPredictor(fingerprint="second")
    assert Session.restore(folder, stack_of(TRUTH), other).notes == ()
    assert "another model" in restored(folder).notes[0]


def test_the_image_has_to_be_the_same(journalled, folder):
    journalled.add_box(1, 6, BOX_1)
    crash(journalled)
    changed = TRUTH.copy()
    changed[0, 0, 0] = 1
    with pytest.raises(ReadError, match="not the one this session was made on, or it has changed"):
        Session.restore(folder, stack_of(changed), ThresholdPredictor())
    with pytest.raises(ReadError, match=r"has .11, 64, 72. voxels and is not the one"):
        Session.restore(folder, stack_of(TRUTH[:-1]), ThresholdPredictor())


def test_a_folder_may_be_moved(journalled, folder, tmp_path):
    work(journalled)
    crash(journalled)
    assert_equal(restored(folder.rename(tmp_path / "moved")), journalled)


def test_journals_hold_no_paths(journalled, folder):
    journalled.volume.name = "/data/Meier_Anna.nii.gz"
    work(journalled)
    crash(journalled)
    content = b"".join(p.read_bytes() for p in folder.iterdir())
    assert b"Meier" not in content
    assert b"Sitzung" not in content
    assert os.fsencode(folder.parent) not in content


# Damage


@pytest.fixture
def crashed(journalled, folder):
    work(journalled)
    crash(journalled)
    return journalled


def test_a_cut_off_tail_loses_the_last_action_only(crashed, folder):
    path = folder / JOURNAL
    whole = path.read_bytes()
    last = len(whole.splitlines()[-1])
    crashed.redo()  # what the cut takes away is the last undo
    expected = state_of(crashed)
    for cut in (1, last // 2, last):
        path.write_bytes(whole[:-cut])
        again = restored(folder)
        assert_same(again, expected)
        assert again.notes == ()


def test_any_cut_leaves_what_was_before_it(crashed, folder):
    path = folder / JOURNAL
    whole = path.read_bytes()
    ends = np.cumsum([len(line) for line in whole.splitlines(keepends=True)])
    for cut in np.random.default_rng(0).integers(ends[0], len(whole), 30):
        path.write_bytes(whole[:cut])
        again = restored(folder)
        assert again.notes == ()
        assert len(again._log) == np.searchsorted(ends, cut, side="right")


@pytest.mark.parametrize("line", [3, 8, -1])
@pytest.mark.parametrize("place", [0, 5, 16, 17, 40, -1])
def test_flipped_bits_lose_what_follows_and_it_is_told(crashed, folder, line, place):
    path = folder / JOURNAL
    lines = path.read_bytes().splitlines(keepends=True)
    line %= len(lines)
    position = sum(map(len, lines[:line])) + place % len(lines[line])
    content = bytearray(b"".join(lines))
    content[position] ^= 4
    path.write_bytes(content)
    again = restored(folder)
    assert len(again._log) in (line, line + 1)
    if position < len(content) - 1:
        assert "is damaged" in again.notes[0]
    again.start_journal(folder)
    crash(again)
    assert_equal(restored(folder), again)
    if position < len(content) - 1:  # nothing is thrown away
        assert (folder / "journal.damaged.jsonl").read_bytes() == content


def test_lines_that_are_missing_or_swapped_are_noticed(crashed, folder):
    path = folder / JOURNAL
    lines = path.read_bytes().splitlines(keepends=True)
    for damaged in (lines[:5] + lines[6:], [*lines[:5], lines[6], lines[5], *lines[7:]]):
        path.write_bytes(b"".join(damaged))
        again = restored(folder)
        assert "is damaged" in again.notes[0]
        assert len(again._log) == 5


def test_a_journal_replaces_a_damaged_snapshot(crashed, folder):
    for content in (b"", b"{}", b"\xff" * 50):
        (folder / FACTS).write_bytes(content)
        assert_equal(restored(folder), crashed)
    (folder / JOURNAL).unlink()
    with pytest.raises(ReadError, match="restore a backup"):
        restored(folder)


def test_a_snapshot_replaces_a_damaged_journal(session, folder):
    work(session)
    session.save(folder)
    for content in (b"", b"rubbish\n" * 5, b"\x00" * 10_000):
        (folder / JOURNAL).write_bytes(content)
        again = restored(folder)
        assert_equal(again, session)
        again.save(folder.parent / "copy")
        assert_equal(restored(folder.parent / "copy"), session)


def test_an_entry_that_does_not_fit_is_said(crashed, folder, monkeypatch):
    monkeypatch.setattr("stacksam.session.files.check_places", _refuse)
    with pytest.raises(ReadError, match=r"does not fit its snapshot .a prompt does not fit"):
        restored(folder)


def _refuse(state, shape):
    raise ValueError("a prompt does not fit the image")


# Full disk


def full_disk(monkeypatch):
    def fail(descriptor, data):
        os.write(descriptor, bytes(data)[:7])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(journal, "write_all", fail)


def test_full_disk_is_told_and_nothing_is_lost(journalled, folder, monkeypatch):
    told = []
    journalled.journal_failed.connect(told.append)
    journalled.add_box(1, 6, BOX_1)
    journalled._journal.flush()
    with monkeypatch.context() as patch:
        full_disk(patch)
        journalled.propagate(1)
        journalled.commit(1)
        assert "disk is full" in told[-1]
        assert str(folder) not in told[-1]
        with pytest.raises(WriteError, match="disk is full"):
            journalled.save(folder)
        assert len(restored(folder)._log) == 2
    journalled.add_box(2, 6, BOX_2)
    assert told[-1] == ""
    crash(journalled)
    assert_equal(restored(folder), journalled)


@pytest.mark.parametrize("seed", range(4))
def test_a_disk_that_is_full_now_and_then_loses_nothing(journalled, folder, monkeypatch, seed):
    rng, write = np.random.default_rng(seed), os.write

    def now_and_then(descriptor, data):
        if rng.random() < 0.4:
            write(descriptor, bytes(data)[: rng.integers(len(data))])
            raise OSError(28, "No space left on device")
        return write(descriptor, data)

    monkeypatch.setattr(journal.os, "write", now_and_then)
    monkeypatch.setattr(journal, "RETRY_AFTER", 0.01)
    work(journalled)
    crash(journalled)
    assert_equal(restored(folder), journalled)


def test_full_disk_at_the_beginning_leaves_the_folder_as_it_was(session, folder, monkeypatch):
    session.add_box(1, 6, BOX_1)
    session.save(folder)
    session.propagate(1)
    before = {p.name: p.read_bytes() for p in folder.iterdir()}

    def full(descriptor):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("stacksam.io.atomic.os.fsync", full)
        with pytest.raises(WriteError, match="disk is full"):
            session.start_journal(folder)
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == before
    session.propagate(1)  # works on


def test_a_folder_that_becomes_read_only_is_told(journalled, folder, monkeypatch):
    told = []
    journalled.journal_failed.connect(told.append)

    def refuse(descriptor, data):
        raise OSError(30, "Read-only file system")

    with monkeypatch.context() as patch:
        patch.setattr(journal, "write_all", refuse)
        journalled.add_box(1, 6, BOX_1)
        journalled.commit(1)
        assert "no permission" in told[-1]
    journalled.add_box(2, 6, BOX_2)
    assert told[-1] == ""
    crash(journalled)
    assert_equal(restored(folder), journalled)


def test_closing_on_a_full_disk_is_told(journalled, folder, monkeypatch):
    journalled.add_box(1, 6, BOX_1)
    journalled._journal.flush()
    with monkeypatch.context() as patch:
        full_disk(patch)
        with pytest.raises(WriteError, match="disk is full"):
            journalled.stop_journal()
    assert_equal(restored(folder), journalled)
    journalled.save(folder)  # the folder is free again


def test_folder_that_cannot_be_written_is_told(session, tmp_path, monkeypatch):
    (tmp_path / "taken").write_text("x", encoding="utf-8")
    with pytest.raises(WriteError, match="folder taken cannot be made"):
        session.start_journal(tmp_path / "taken")

    def refuse(*args, **options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("stacksam.session.folder_lock.open", refuse, raising=False)
    with pytest.raises(WriteError, match=r"cannot be written to .Permission denied"):
        session.start_journal(tmp_path / "locked")
    session.add_box(1, 6, BOX_1)  # works on


# Two programs


def test_second_session_is_told(journalled, folder):
    journalled.add_box(1, 6, BOX_1)
    journalled._journal.flush()
    second = restored(folder)  # looking is fine
    for call in (second.start_journal, second.save):
        with pytest.raises(FolderInUseError, match="Sitzung is in use by another program"):
            call(folder)
    journalled.stop_journal()
    second.start_journal(folder)
    second.stop_journal()
    assert not (folder / LOCK).exists()


HOLD = """
import sys, time
from pathlib import Path
from stacksam.session.folder_lock import FolderLock
lock = FolderLock(Path(sys.argv[1]))
print("held", flush=True)
time.sleep(60)
"""


def test_lock_of_another_program_ends_with_it(session, folder):
    folder.mkdir(parents=True)
    program = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)], stdout=subprocess.PIPE, text=True
    )
    with program:
        assert program.stdout.readline() == "held\n"
        with pytest.raises(FolderInUseError):
            session.start_journal(folder)
        program.kill()
    assert (folder / LOCK).exists()
    session.start_journal(folder)
    session.stop_journal()


@pytest.mark.parametrize(
    ("owner", "age", "is_free"),
    [
        ({"pid": 1, "host": "another"}, 0, False),
        ({"pid": 1, "host": "another"}, 1000, True),
        ({"pid": 999_999_999, "host": _host()}, 0, True),
        ({"pid": os.getpid(), "host": _host()}, 0, True),  # a number that was given again
        ("rubbish", 0, True),
        ([], 0, True),
    ],
)
def test_locks_that_were_left_behind(session, folder, owner, age, is_free):
    folder.mkdir(parents=True)
    (folder / LOCK).write_text(json.dumps(owner), encoding="utf-8")
    os.utime(folder / LOCK, (time.time() - age,) * 2)
    if is_free:
        session.start_journal(folder)
        session.stop_journal()
    else:
        with pytest.raises(FolderInUseError):
            session.start_journal(folder)


# Unfinished work


def test_crashed_work_is_offered(journalled, folder):
    work(journalled)
    assert journals.unfinished(folder.parent) == []  # still running
    crash(journalled)
    (found,) = journals.unfinished(folder.parent)
    assert found.folder == folder
    assert found.fingerprint == journalled.volume.fingerprint
    assert found.image == ""
    assert found.n_steps == len(journalled._log) - 1
    assert abs(found.time.timestamp() - time.time()) < 60
    assert journals.unfinished(folder) == [found]
    journals.discard(folder)
    assert journals.unfinished(folder.parent) == []
    assert not folder.exists()


def test_closed_saved_empty_and_broken_work_is_not_offered(session, folder):
    home = folder.parent
    session.start_journal(home / "empty")
    crash(session)
    session.start_journal(home / "closed")
    session.add_box(1, 6, BOX_1)
    session.stop_journal()
    session.stop_journal()
    session.save(home / "saved")
    (home / "broken").mkdir()
    (home / "broken" / JOURNAL).write_bytes(b"rubbish\n")
    assert journals.unfinished(home) == []
    assert journals.unfinished(home / "missing") == []
    assert_equal(restored(home / "closed"), session)


def test_reopened_work_is_offered_again(session, folder):
    session.start_journal(folder)
    session.add_box(1, 6, BOX_1)
    session.stop_journal()
    again = restored(folder)
    again.start_journal(folder)
    again.add_box(1, 7, BOX_1)
    crash(again)
    (found,) = journals.unfinished(folder)
    assert found.n_steps == 2


def test_work_that_was_set_aside_is_offered_again(journalled, folder):
    journalled.add_box(1, 6, BOX_1)
    journalled.stop_journal(is_finished=False)
    (found,) = journals.unfinished(folder)
    assert found.n_steps == 1
    assert not (folder / LOCK).exists()
    assert_equal(restored(folder), journalled)


def test_half_written_files_go_with_the_next_saving(crashed, folder):
    (folder / ".stacksam-0123.npz").write_bytes(b"half")
    crashed.save(folder)
    assert not list(folder.glob(".stacksam-*"))
    (folder / ".stacksam-4567.json").write_bytes(b"half")
    journals.discard(folder)
    assert not folder.exists()


def test_discarding_leaves_other_files_and_other_programs_alone(journalled, folder):
    journalled.add_box(1, 6, BOX_1)
    journals.discard(folder)
    assert (folder / JOURNAL).exists()
    crash(journalled)
    (folder / "mine.txt").touch()
    journals.discard(folder)
    assert [p.name for p in folder.iterdir()] == ["mine.txt"]


# Kill

CHILD = """
import sys
sys.path[:0] = sys.argv[2:]
from models import ThresholdPredictor, stack_of, two_tubes
from stacksam.session import Session

session = Session(stack_of(two_tubes()), ThresholdPredictor())
session.start_journal(sys.argv[1])
for number in range(1, 10_000):
    z = 3 + number % 6
    session.add_box(number, z, (12, 14, 32, 34))
    print("box", number, flush=True)
    session.propagate(number, z_range=(z, z + 2))
    print("result", number, flush=True)
    session.commit(number, overwrite=True)
    print("commit", number, flush=True)
"""


@pytest.mark.parametrize("wait", [0.05, 0.2, 0.37])
def test_killed_work_is_there_but_for_the_last_action(folder, wait):
    folder.parent.mkdir()
    program = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(folder), str(Path(__file__).parents[1])],
        stdout=subprocess.PIPE,
        text=True,
    )
    with program:
        said = [program.stdout.readline()]
        time.sleep(wait)
        program.send_signal(getattr(signal, "SIGKILL", signal.SIGTERM))
        said += program.stdout.readlines()
    done = [line.split() for line in said if line.endswith("\n")]
    assert done
    again = restored(folder)
    assert again.notes == ()
    texts = [entry["text"] for entry in [*again._log][1:]]
    assert len(done) - 1 <= len(texts) <= len(done) + 1
    committed = [int(number) for kind, number in done if kind == "commit"]
    assert all(again.objects[number].label_id == number for number in committed)
    assert again.labels.max() >= max(committed, default=0)
    (found,) = journals.unfinished(folder)
    assert found.n_steps == len(texts)
    again.start_journal(folder)
    again.stop_journal()
