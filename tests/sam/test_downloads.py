"""Fetching files over a connection that fails in every way a connection can."""

import errno
import hashlib
import shutil
import socket
import threading
from pathlib import Path

import numpy as np
import pytest

from stacksam.core.errors import WriteError
from stacksam.sam import downloads
from stacksam.sam.downloads import DownloadCancelled, DownloadError, fetch_file
from web_support import serving

DATA = np.random.default_rng(0).integers(0, 256, 3_000_000, dtype=np.uint8).tobytes()
SHA = f"sha256:{hashlib.sha256(DATA).hexdigest()}"


@pytest.fixture
def web():
    with serving() as web:
        web.files["/a.pth"] = DATA
        yield web


@pytest.fixture
def path(tmp_path):
    return tmp_path / "für Modelle" / "a.pth"


def names(path):
    return sorted(p.name for p in path.parent.iterdir())


def test_a_file_arrives_whole_and_verified(web, path):
    seen = []
    checked = fetch_file(
        f"{web.address}/a.pth",
        path,
        size=len(DATA),
        checksums=(SHA,),
        progress=lambda done, total: seen.append((done, total)),
    )
    assert checked == (SHA,)
    assert path.read_bytes() == DATA
    assert names(path) == ["a.pth"]
    assert seen[-1] == (len(DATA), len(DATA))
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


def test_an_interrupted_transfer_goes_on_where_it_stopped(web, path):
    web.cut_after = [1_000_000, 500_000]
    fetch_file(f"{web.address}/a.pth", path, checksums=(SHA,))
    assert path.read_bytes() == DATA
    ranges = [asked for _, asked in web.requests]
    assert ranges == [None, "bytes=1000000-", "bytes=1500000-"]


def test_after_too_many_interruptions_the_next_download_goes_on(web, path):
    web.cut_after = [1000] * downloads.ATTEMPTS
    with pytest.raises(DownloadError, match=r"broke off .* what has arrived is kept"):
        fetch_file(f"{web.address}/a.pth", path)
    assert names(path) == ["a.pth.part", "a.pth.part.tag"]
    fetch_file(f"{web.address}/a.pth", path, checksums=(SHA,))
    assert web.requests[-1] == ("/a.pth", "bytes=3000-")
    assert names(path) == ["a.pth"]


def test_another_version_is_fetched_from_the_start(web, path):
    web.cut_after = [1000] * downloads.ATTEMPTS
    with pytest.raises(DownloadError):
        fetch_file(f"{web.address}/a.pth", path)
    web.files["/a.pth"], web.tag = DATA[::-1], '"two"'
    fetch_file(f"{web.address}/a.pth", path)
    assert path.read_bytes() == DATA[::-1]


@pytest.mark.parametrize("tag", ["", 'W/"weak"'])
def test_without_a_version_tag_nothing_is_pieced_together(web, path, tag):
    web.tag = tag
    web.cut_after = [1000]
    fetch_file(f"{web.address}/a.pth", path, checksums=(SHA,))
    assert [asked for _, asked in web.requests] == [None, None]


def test_a_server_that_ignores_ranges_sends_all_again(web, path):
    web.takes_ranges = False
    web.cut_after = [1000]
    fetch_file(f"{web.address}/a.pth", path, checksums=(SHA,))
    assert path.read_bytes() == DATA


def test_a_complete_part_is_taken(web, path):
    path.parent.mkdir()
    path.with_name("a.pth.part").write_bytes(DATA)
    path.with_name("a.pth.part.tag").write_text(web.tag, encoding="ascii")
    fetch_file(f"{web.address}/a.pth", path, checksums=(SHA,))
    assert path.read_bytes() == DATA


def test_cancel_keeps_what_has_arrived(web, path):
    cancel = threading.Event()
    with pytest.raises(DownloadCancelled, match="was stopped; what has arrived is kept"):
        fetch_file(f"{web.address}/a.pth", path, progress=lambda *_: cancel.set(), cancel=cancel)
    have = path.with_name("a.pth.part").stat().st_size
    assert 0 < have < len(DATA)
    fetch_file(f"{web.address}/a.pth", path, checksums=(SHA,))
    assert web.requests[-1] == ("/a.pth", f"bytes={have}-")
    assert path.read_bytes() == DATA


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"checksums": (f"sha256:{'0' * 64}",)}, "its sha256 is .* where 0000"),
        ({"checksums": (SHA, "md5:00")}, "its md5 is .* where 00 is published"),
        ({"size": 5}, "it has 3000000 bytes where 5 are published"),
    ],
)
def test_a_wrong_file_is_not_kept(web, path, options, reason):
    path.parent.mkdir()
    path.write_bytes(b"the old one")
    with pytest.raises(DownloadError, match=f"arrived damaged or is not the published .*{reason}"):
        fetch_file(f"{web.address}/a.pth", path, **options)
    assert names(path) == ["a.pth"]
    assert path.read_bytes() == b"the old one"


def test_redirects_are_followed(web, path):
    web.redirects["/latest"] = f"{web.address}/a.pth"
    web.cut_after = [1000]
    fetch_file(f"{web.address}/latest", path, checksums=(SHA,))
    assert web.requests[-1] == ("/a.pth", "bytes=1000-")


@pytest.mark.parametrize("target", ["file:///etc/hostname", "ftp://127.0.0.1/a.pth"])
def test_redirects_to_elsewhere_are_not(web, path, target):
    web.redirects["/latest"] = target
    with pytest.raises(DownloadError, match=r"unsafe address|not allowed"):
        fetch_file(f"{web.address}/latest", path)


@pytest.mark.parametrize("address", ["file:///etc/hostname", "a.pth", "ftp://host/a.pth"])
def test_other_addresses_are_refused(path, address):
    with pytest.raises(DownloadError, match="neither http nor https"):
        fetch_file(address, path)


def test_nobody_answers(path):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        with pytest.raises(DownloadError, match=r"127\.0\.0\.1 cannot be reached"):
            fetch_file(f"http://127.0.0.1:{port}/a.pth", path, timeout=5)


def test_without_a_network(path, monkeypatch):
    def no_network(*arguments, **options):
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", no_network)
    with pytest.raises(DownloadError, match=r"publisher\.invalid cannot be reached .*resolution"):
        fetch_file("https://publisher.invalid/a.pth", path)
    assert not path.exists()


def test_a_server_that_falls_silent(path):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        port = silent.getsockname()[1]
        with pytest.raises(DownloadError, match="timed out"):
            fetch_file(f"http://127.0.0.1:{port}/a.pth", path, timeout=0.2)


@pytest.mark.parametrize(("status", "message"), [(404, "answered 404"), (503, "answered 503")])
def test_refusals_are_told(web, path, status, message):
    web.status = status
    with pytest.raises(DownloadError, match=message):
        fetch_file(f"{web.address}/a.pth", path)


def test_a_login_page_is_not_a_checkpoint(web, path):
    web.content_type = "text/html; charset=utf-8"
    with pytest.raises(DownloadError, match=r"a web page instead of a\.pth; .*firewall"):
        fetch_file(f"{web.address}/a.pth", path)
    assert not path.exists()


def test_a_disk_without_room_is_told_before(web, path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 5, 5))
    with pytest.raises(WriteError, match=r"a\.pth was not written: the disk is full; free some"):
        fetch_file(f"{web.address}/a.pth", path, size=len(DATA))
    assert web.requests == []


def test_a_disk_that_fills_up_keeps_what_fits(web, path, monkeypatch):
    real_open = open

    class Full:
        def __init__(self, file):
            self.file, self.room = file, 1_000_000

        def __getattr__(self, name):
            return getattr(self.file, name)

        def write(self, data):
            if len(data) > self.room:
                raise OSError(errno.ENOSPC, "No space left on device")
            self.room -= len(data)
            return self.file.write(data)

        def __enter__(self):
            return self

        def __exit__(self, *error):
            self.file.close()

    with monkeypatch.context() as patch:
        patch.setattr(downloads, "open", lambda *a: Full(real_open(*a)), raising=False)
        with pytest.raises(WriteError, match="the disk is full"):
            fetch_file(f"{web.address}/a.pth", path, checksums=(SHA,))
    assert 0 < path.with_name("a.pth.part").stat().st_size <= 1_000_000
    fetch_file(f"{web.address}/a.pth", path, checksums=(SHA,))
    assert path.read_bytes() == DATA


def test_a_folder_that_cannot_be_made(web, tmp_path):
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(WriteError, match="choose another models folder"):
        fetch_file(f"{web.address}/a.pth", Path(tmp_path / "file" / "a.pth"))
