"""Checksums of every published kind."""

import hashlib
import subprocess

import pytest

from stacksam.sam.checksums import can_check, check_file, sha256_of

CONTENT = b"abc" * 1000


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "a.pth"
    path.write_bytes(CONTENT)
    return path


def published():
    md5 = hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()
    git = hashlib.sha1(b"blob 3000\0" + CONTENT, usedforsecurity=False).hexdigest()
    return {
        "sha256": hashlib.sha256(CONTENT).hexdigest(),
        "sha1": hashlib.sha1(CONTENT, usedforsecurity=False).hexdigest(),
        "md5": md5,
        "md5-prefix": md5[:6],
        "git": git,
    }


@pytest.mark.parametrize("kind", published())
def test_right_and_wrong(path, kind):
    right = f"{kind}:{published()[kind]}"
    assert check_file(path, (right,)) == (right,)
    wrong = right[:-1] + ("0" if right[-1] != "0" else "1")
    with pytest.raises(ValueError, match=f"its {kind} is .* is published"):
        check_file(path, (wrong,))


def test_several_are_all_compared(path):
    all_of_them = tuple(f"{kind}:{digest}" for kind, digest in published().items())
    assert check_file(path, all_of_them) == all_of_them
    with pytest.raises(ValueError, match="its md5 is"):
        check_file(path, (*all_of_them, "md5:0"))


def test_none_verifies_nothing(path):
    assert check_file(path, ()) == ()


def test_xxhash(path):
    xxhash = pytest.importorskip("xxhash", reason="needs the extra 'models'")
    checksum = f"xxh128:{xxhash.xxh128(CONTENT).hexdigest()}"
    assert check_file(path, (checksum,)) == (checksum,)


def test_without_xxhash_nothing_is_claimed(path, monkeypatch):
    monkeypatch.setattr("stacksam.sam.checksums.find_spec", lambda name: None)
    assert not can_check("xxh128:00")
    assert check_file(path, ("xxh128:00",)) == ()


@pytest.mark.parametrize("bad", ["sha257:00", "abc", "sha256:", ""])
def test_other_kinds_are_refused(path, bad):
    with pytest.raises(ValueError, match="is not KIND:DIGEST with one of sha256"):
        check_file(path, (bad,))


def test_git_kind_is_gits(path):
    try:
        made = subprocess.run(
            ["git", "hash-object", "--no-filters", str(path)], capture_output=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("needs git")
    assert check_file(path, (f"git:{made.stdout.decode().strip()}",))


def test_sha256_of_a_file(path):
    assert sha256_of(path) == published()["sha256"]
