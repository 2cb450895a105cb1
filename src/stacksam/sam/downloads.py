"""Fetch a file so that an interrupted transfer goes on and a wrong file is never kept.

What has arrived lies beside the target as ``NAME.part``, with the server's tag for that version in
``NAME.part.tag``; the next attempt asks for the rest of the same version. Only a complete file
whose checksums agree takes the target's name.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from threading import Event
from urllib.parse import urlsplit

from stacksam.core.cancelling import is_cancelled
from stacksam.core.errors import StackSAMError, WriteError
from stacksam.sam.checksums import check_file

Progress = Callable[[int, int], None]

CHUNK = 1 << 18
TIMEOUT = 30.0
"""Seconds without a byte after which a server counts as gone."""

ATTEMPTS = 3
"""How often a transfer that broke off is taken up again before giving up."""


class DownloadError(StackSAMError):
    """A file was not fetched; the text says why and what to do."""


class DownloadCancelled(DownloadError):
    """The user stopped a transfer; what has arrived is kept."""


class _Broken(Exception):
    """The transfer broke off and may be taken up again."""


def fetch_file(
    url: str,
    path: Path,
    *,
    size: int | None = None,
    checksums: tuple[str, ...] = (),
    progress: Progress | None = None,
    cancel: Event | None = None,
    timeout: float = TIMEOUT,
) -> tuple[str, ...]:
    """Fetch a file over http or https.

    Parameters
    ----------
    url : str
    path : Path
        The file to write; its folder is made. Replaced only once the new file is complete and
        verified.
    size : int, optional
        Bytes, if published.
    checksums : tuple of ``KIND:DIGEST``
        As published; see `stacksam.sam.checksums`.
    progress : callable, optional
        Called with (bytes so far, bytes in all or 0 if the server does not say).
    cancel : threading.Event, optional
        Set by another thread to stop.
    timeout : float
        Seconds.

    Returns
    -------
    checked : tuple of str
        The checksums that were compared; empty if none is published.

    Raises
    ------
    DownloadCancelled
        What has arrived is kept, and the next call goes on from there.
    DownloadError
        If the server cannot be reached, answers with something else, or the file is a wrong one.
    WriteError
        If the folder cannot be written to or the disk is full.
    """
    if urlsplit(url).scheme not in ("http", "https"):
        raise DownloadError(f"the address of {path.name} is neither http nor https")
    with _explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(path.name + ".part")
        _need_space(part, size)
        for attempt in range(ATTEMPTS):
            try:
                _transfer(url, part, size, progress, cancel, timeout)
                break
            except _Broken as error:
                if attempt == ATTEMPTS - 1:
                    raise DownloadError(
                        f"the transfer of {path.name} broke off ({error}); what has arrived is "
                        "kept, and the next download goes on from there"
                    ) from error
        return _accept(part, path, size, checksums)


def _transfer(
    url: str,
    part: Path,
    size: int | None,
    progress: Progress | None,
    cancel: Event | None,
    timeout: float,
) -> None:
    """Bring `part` to the end, from where it stopped if the server still has that version."""
    have = part.stat().st_size if part.exists() else 0
    tag = _tag_of(part)
    if have and not tag:  # nothing says that the rest would belong to it
        have = 0
    response = _open(url, have, tag, timeout)
    if response is None:  # the server has nothing beyond what is here
        return
    with response:
        if response.headers.get_content_type() == "text/html":
            raise DownloadError(
                f"the server answered with a web page instead of {part.stem}; perhaps a proxy or "
                "a firewall wants you to log in"
            )
        start = _start_of(response, have)
        total = _total_of(response, start) or size or 0
        _write_tag(part, response)
        done = _save(response, part, start, total, progress, cancel)
    if total and done < total:
        raise _Broken(f"{done} of {total} bytes")


def _save(
    response: HTTPResponse,
    part: Path,
    start: int,
    total: int,
    progress: Progress | None,
    cancel: Event | None,
) -> int:
    """Write what arrives from `start` on; how many bytes there are then."""
    done = start
    with open(part, "r+b" if start else "wb") as file:
        file.seek(start)
        file.truncate()
        while chunk := _read(response):
            file.write(chunk)
            done += len(chunk)
            if progress:
                progress(done, total)
            if is_cancelled(cancel):
                raise DownloadCancelled(
                    f"the download of {part.stem} was stopped; what has arrived is kept"
                )
    return done


def _open(url: str, have: int, tag: str, timeout: float) -> HTTPResponse | None:
    headers = {"User-Agent": "stacksam", "Accept-Encoding": "identity"}
    if have:
        headers |= {"Range": f"bytes={have}-", "If-Range": tag}
    opener = urllib.request.build_opener(_SafeRedirect)
    host = urlsplit(url).hostname
    try:
        return opener.open(urllib.request.Request(url, headers=headers), timeout=timeout)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416:  # range not satisfiable: it was complete
            return None
        if error.code >= 500:
            raise _Broken(f"{host} answered {error.code}") from error
        raise DownloadError(f"{host} answered {error.code} ({error.reason})") from error
    except urllib.error.URLError as error:
        if isinstance(error.reason, ConnectionResetError):
            raise _Broken(str(error.reason)) from error
        raise DownloadError(f"{host} cannot be reached ({error.reason})") from error
    except (HTTPException, ConnectionError, TimeoutError) as error:
        raise _Broken(str(error) or type(error).__name__) from error


class _SafeRedirect(urllib.request.HTTPRedirectHandler):
    """Follow redirects, but never from https to something weaker."""

    def redirect_request(self, req, fp, code, msg, headers, newurl):
        schemes = urlsplit(req.full_url).scheme, urlsplit(newurl).scheme
        if schemes[1] not in ("http", "https") or schemes == ("https", "http"):
            raise DownloadError(f"{urlsplit(req.full_url).hostname} leads to an unsafe address")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _read(response: HTTPResponse) -> bytes:
    try:
        return response.read(CHUNK)
    except (HTTPException, ConnectionError, TimeoutError) as error:
        raise _Broken(str(error) or type(error).__name__) from error


def _start_of(response: HTTPResponse, have: int) -> int:
    """Where in the file the answer begins: 0 if the server sends it from the start."""
    if response.status != 206:
        return 0
    found = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
    if not found or int(found[1]) > have:
        raise DownloadError("the server sent another part of the file than was asked for")
    return int(found[1])


def _total_of(response: HTTPResponse, start: int) -> int:
    length = response.headers.get("Content-Length", "")
    return start + int(length) if length.isdigit() else 0


def _tag_path(part: Path) -> Path:
    return part.with_name(part.name + ".tag")


def _tag_of(part: Path) -> str:
    path = _tag_path(part)
    return path.read_text(encoding="ascii", errors="replace") if path.is_file() else ""


def _write_tag(part: Path, response: HTTPResponse) -> None:
    """Remember which version of the file this is; weak tags do not promise equal bytes."""
    tag = response.headers.get("ETag", "")
    if not tag or tag.startswith("W/"):
        tag = response.headers.get("Last-Modified", "")
    _tag_path(part).write_text(tag, encoding="ascii", errors="replace")


def _accept(
    part: Path, path: Path, size: int | None, checksums: tuple[str, ...]
) -> tuple[str, ...]:
    """Give a complete file its name if it is the right one, and remove it otherwise."""
    found = part.stat().st_size
    try:
        if size is not None and found != size:
            raise ValueError(f"it has {found} bytes where {size} are published")
        checked = check_file(part, checksums)
    except ValueError as error:
        part.unlink()
        raise DownloadError(
            f"{path.name} arrived damaged or is not the published file ({error}); nothing was "
            "kept, try again"
        ) from error
    finally:
        _tag_path(part).unlink(missing_ok=True)
    os.replace(part, path)
    return checked


def _need_space(part: Path, size: int | None) -> None:
    have = part.stat().st_size if part.exists() else 0
    if size is not None and shutil.disk_usage(part.parent).free < size - have:
        raise OSError(errno.ENOSPC, "disk full")


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turn what the operating system says about our own files into one sentence."""
    try:
        yield
    except StackSAMError:
        raise
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", -1)):
            reason = "the disk is full; free some space, the next download goes on from here"
        else:
            reason = f"{error.strerror or 'the system refused'}; choose another models folder"
        raise WriteError(f"{path.name} was not written: {reason}") from error
