"""A web server on this computer that can break off, redirect and answer wrongly."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


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
    takes_ranges : bool
    content_type : str
    requests : list of (path, Range header or None)
    """

    address: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    tag: str = '"one"'
    cut_after: list[int] = field(default_factory=list)
    redirects: dict[str, str] = field(default_factory=dict)
    status: int = 200
    takes_ranges: bool = True
    content_type: str = "application/octet-stream"
    requests: list[tuple[str, str | None]] = field(default_factory=list)


@contextlib.contextmanager
def serving() -> Iterator[Web]:
    """Serve on a free port until the block ends."""
    web = Web()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *arguments: object) -> None:
            pass

        def do_GET(self) -> None:
            asked = self.headers.get("Range")
            web.requests.append((self.path, asked))
            if self.path in web.redirects:
                self.send_response(302)
                self.send_header("Location", web.redirects[self.path])
                self.end_headers()
            elif web.status != 200 or self.path not in web.files:
                self.send_error(web.status if web.status != 200 else 404)
            else:
                self.send_file(web.files[self.path], asked)

        def send_file(self, data: bytes, asked: str | None) -> None:
            start = 0
            if asked and web.takes_ranges and self.headers.get("If-Range") == web.tag:
                start = int(asked.removeprefix("bytes=").removesuffix("-"))
                if start >= len(data):
                    self.send_error(416)
                    return
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
            self.send_header("Content-Type", web.content_type)
            self.send_header("Content-Length", str(len(data) - start))
            if web.tag:
                self.send_header("ETag", web.tag)
            self.end_headers()
            body = data[start:]
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
