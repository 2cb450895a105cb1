"""A web server on this computer that can break off, redirect and answer wrongly."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote


@dataclass
class Web:
    """What the server serves and how it misbehaves.

    Attributes
    ----------
    files : dict of path to bytes
    tag : str
        ETag of every file; empty for none.
    cut_after : list of int
        Bytes after which the next answers break off, first come first served.
    redirects : dict of path to address
    status : int
        Answered to everything if not 200.
    statuses : dict of path to int
        Answered instead of a file.
    next_statuses : list of int
        Answered to the next requests, first come first served.
    takes_ranges : bool
    content_type : str
    requests : list of (path, Range header or None)
    authorization : str
        Of the latest request.
    """

    address: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    tag: str = '"one"'
    cut_after: list[int] = field(default_factory=list)
    redirects: dict[str, str] = field(default_factory=dict)
    status: int = 200
    statuses: dict[str, int] = field(default_factory=dict)
    next_statuses: list[int] = field(default_factory=list)
    takes_ranges: bool = True
    content_type: str = "application/octet-stream"
    requests: list[tuple[str, str | None]] = field(default_factory=list)
    authorization: str = ""


@contextlib.contextmanager
def serving() -> Iterator[Web]:
    """Serve on a free port until the block ends."""
    web = Web()

    class Handler(BaseHTTPRequestHandler):
        error_content_type = "application/xml"
        error_message_format = "<Error><Code>%(code)d</Code><Message>no</Message></Error>"  # as S3

        def log_message(self, *arguments: object) -> None:
            pass

        def do_GET(self) -> None:
            asked = self.headers.get("Range")
            web.requests.append((self.path, asked))
            web.authorization = self.headers.get("Authorization", "")
            if self.path in web.redirects:
                self.send_response(302)
                self.send_header("Location", web.redirects[self.path])
                self.send_header("Content-Length", "0")
                self.end_headers()
            elif (status := self.status()) != 200:
                self.send_error(status)
            else:
                self.send_file(web.files[self.path], asked)

        def status(self) -> int:
            if web.next_statuses:
                return web.next_statuses.pop(0)
            known = 200 if self.path in web.files else 404
            return web.status if web.status != 200 else web.statuses.get(self.path, known)

        def send_file(self, data: bytes, asked: str | None) -> None:
            start, stop = 0, len(data)
            is_part = bool(asked) and web.takes_ranges
            if is_part and self.headers.get("If-Range", web.tag) == web.tag:
                first, _, last = asked.removeprefix("bytes=").partition("-")
                start = int(first) if first else max(0, len(data) - int(last))
                stop = min(int(last) + 1, len(data)) if first and last else len(data)
                if start >= len(data):
                    self.send_error(416)
                    return
            is_part = start > 0 or stop < len(data)
            self.send_response(206 if is_part else 200)
            if is_part:
                self.send_header("Content-Range", f"bytes {start}-{stop - 1}/{len(data)}")
            self.send_header("Content-Type", web.content_type)
            self.send_header("Content-Length", str(stop - start))
            if web.tag:
                self.send_header("ETag", web.tag)
            self.end_headers()
            body = data[start:stop]
            with contextlib.suppress(ConnectionError):  # a client that stops hangs up
                self.wfile.write(body[: web.cut_after.pop(0)] if web.cut_after else body)
            self.close_connection = True

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    web.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield web
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def put_folder(web: Web, folder: Path, prefix: str = "/data") -> str:
    """Put a folder on the server and forget what was asked for; the folder's address."""
    for path in folder.rglob("*"):
        if path.is_file():
            place = f"{prefix}/{folder.name}/{path.relative_to(folder).as_posix()}"
            web.files[quote(place)] = path.read_bytes()
    web.requests.clear()
    return web.address + quote(f"{prefix}/{folder.name}")
