"""Arrays on disk, shared by programs."""

import os
import subprocess
import sys

import numpy as np
import pytest

from stacksam.io import array_files
from stacksam.io.array_files import ArrayFiles

ARRAYS = (np.arange(6, dtype=np.float16).reshape(2, 3), np.ones(4, np.float32))


def aged(store, key, seconds):
    path = store._path(key)
    time = path.stat().st_mtime - seconds
    os.utime(path, (time, time))


def test_what_is_put_comes_back(tmp_path):
    store = ArrayFiles(tmp_path / "new", 10**6)
    assert store.get("ab") is None
    assert store.used() == (0, 0)
    store.put("ab", ARRAYS)
    found = store.get("ab")
    assert [a.dtype for a in found] == [np.float16, np.float32]
    assert all(np.array_equal(a, b) for a, b in zip(found, ARRAYS, strict=True))
    assert store.used()[0] == 1


@pytest.mark.parametrize("damage", [b"", b"PK nonsense", None])
def test_damaged_files_were_never_there(tmp_path, damage):
    store = ArrayFiles(tmp_path, 10**6)
    store.put("ab", ARRAYS)
    path = store._path("ab")
    content = bytearray(path.read_bytes())
    content[150] ^= 255  # within the first array: its checksum is wrong
    path.write_bytes(bytes(content) if damage is None else damage)
    assert store.get("ab") is None
    assert not path.exists()


def test_the_least_recently_used_go_first(tmp_path):
    store = ArrayFiles(tmp_path, 0)
    for age, key in enumerate(("aa", "ab", "cc")):
        store.put(key, ARRAYS)
        aged(store, key, 100 - age)
    assert store.get("aa") is not None  # used again
    size = store.used()[1] // 3
    assert store.clean(2 * size) == size
    assert store.get("ab") is None
    assert store.get("aa") is not None
    assert store.clean() == 2 * size
    assert store.used() == (0, 0)


def test_writing_cleans_up(tmp_path, monkeypatch):
    monkeypatch.setattr(array_files, "CLEAN_EVERY", 2)
    store = ArrayFiles(tmp_path, 0)
    store.put("aa", ARRAYS)
    assert store.used()[0] == 1
    store.put("ab", ARRAYS)
    assert store.used()[0] == 0


def test_leftovers_of_a_program_that_ended_go_too(tmp_path):
    (tmp_path / "aa").mkdir()
    (tmp_path / "aa" / ".123.part").write_bytes(b"123")
    store = ArrayFiles(tmp_path, 0)
    assert store.used() == (1, 3)
    assert store.clean() == 3


def test_a_folder_that_cannot_be_written_to_is_no_error(tmp_path):
    (tmp_path / "file").write_text("")
    store = ArrayFiles(tmp_path / "file", 10)
    store.put("ab", ARRAYS)
    assert store.get("ab") is None


def test_negative_budgets_are_refused(tmp_path):
    with pytest.raises(ValueError, match="budget is -1 bytes"):
        ArrayFiles(tmp_path, -1)


PROGRAM = """
import sys
import numpy as np
from stacksam.io import array_files
array_files.CLEAN_EVERY = 3
store = array_files.ArrayFiles(sys.argv[1], 30_000)
hits = 0
for number in range(300):
    key = f"{number % 7:02d}"
    found = store.get(key)
    if found is not None:
        assert (found[0] == number % 7).all(), found
        hits += 1
    store.put(key, (np.full(2000, number % 7, np.float32),))
print(hits)
"""


def test_two_programs_share_a_folder(tmp_path):
    command = [sys.executable, "-c", PROGRAM, str(tmp_path)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    running = [subprocess.Popen(command, **pipes) for _ in range(2)]
    for process in running:
        printed, errors = process.communicate(timeout=100)
        assert process.returncode == 0, errors
        assert int(printed) > 0
    store = ArrayFiles(tmp_path, 30_000)
    store.clean()
    assert store.used()[1] <= 30_000
    assert not list(tmp_path.glob("*/.*.part"))
