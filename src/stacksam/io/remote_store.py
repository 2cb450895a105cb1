"""A Zarr store that reads from one server, what is asked for and nothing else.

Needs the extra ``remote``. What goes wrong is told in one sentence, without the address.
"""

from __future__ import annotations

import asyncio
import math
from base64 import b64encode
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
import numpy as np
import zarr
from fsspec.implementations.asyn_wrapper import AsyncFileSystemWrapper
from fsspec.implementations.http import HTTPFileSystem
from zarr.storage import FsspecStore

from stacksam.core.errors import ReadError
from stacksam.io.remote import Address
from stacksam.io.zarr_chunks import SPARE, declared_size

CONNECT_SECONDS = 10.0
SILENT_SECONDS = 30.0
"""Without a byte for so long, a server counts as gone."""

PAUSES = (0.5, 2.0)
"""Seconds before a request that broke off is made again."""

MOST_METADATA = 2**26


class RemoteStore(FsspecStore):
    """What lies at an address, read only.

    Until `expect` names an array, files are metadata: none is large, and one that the server
    refuses counts as missing, as storage services that hide their listing answer 403 for it.

    Parameters
    ----------
    address : Address
    """

    def __init__(self, address: Address) -> None:
        system, path = _system_of(address)
        super().__init__(AsyncFileSystemWrapper(system, asynchronous=True), True, path)
        self.name = address.name
        self.was_refused = False
        self._system = system
        self._is_web = isinstance(system, _Web)
        self._chunk_bytes: int | None = None
        self._has_shards = False

    def expect(self, array: zarr.Array) -> None:
        """Let chunks of an array be read from now on, and nothing larger."""
        self._has_shards = array.shards is not None
        self._chunk_bytes = math.prod(array.shards or array.chunks) * np.dtype(array.dtype).itemsize
        if self._is_web:
            self._system.most_bytes = max(MOST_METADATA, 2 * self._chunk_bytes + SPARE)

    async def get(self, key: str, prototype: Any, byte_range: Any = None) -> Any:
        """Read a file or a part of one; None where there is none."""
        for pause in (*PAUSES, None):
            try:
                value = await super().get(key, prototype, byte_range)
                break
            except Exception as error:  # noqa: BLE001 (each protocol has its own)
                if self._chunk_bytes is None and _status(error) in (401, 403):
                    self.was_refused = True
                    return None
                if pause is None or not _may_pass(error):
                    raise self.explained(error) from None
            await asyncio.sleep(pause)
        if value is not None and self._chunk_bytes is not None and not self._has_shards:
            self._check_chunk(value.as_numpy_array()[:18].tobytes(), len(value))
        return value

    async def exists(self, key: str) -> bool:
        """Say whether there is a file."""
        return await self.get(key, zarr.core.buffer.default_buffer_prototype()) is not None

    async def list_dir(self, prefix: str) -> AsyncIterator[str]:
        """List a folder, which web servers cannot."""
        if self._is_web:
            raise ReadError(
                f"{self.name} is a Zarr group, which a web server does not list; open the image in "
                f"it, such as {self.name}/0"
            )
        try:
            async for name in super().list_dir(prefix):
                yield name
        except Exception as error:  # noqa: BLE001 (what is told may hold the address)
            raise self.explained(error) from None

    def explained(self, error: Exception) -> ReadError:
        """One sentence, without the address, of what a server or the network did."""
        status = _status(error)
        if isinstance(error, ReadError):
            return error
        if _is_timeout(error):
            return ReadError(f"the server of {self.name} did not answer in time; try again later")
        if status in (401, 403):
            return ReadError(
                f"the server gives no access to {self.name}; check the address and the credentials"
            )
        if status:
            return ReadError(f"the server of {self.name} answered {status}; try again later")
        if isinstance(error, aiohttp.ClientSSLError):
            return ReadError(
                f"the server of {self.name} has a certificate that is not trusted; ask who runs it"
            )
        if isinstance(error, aiohttp.ClientPayloadError | aiohttp.ServerDisconnectedError):
            return ReadError(f"the transfer of {self.name} broke off; try again")
        return ReadError(
            f"the server of {self.name} cannot be reached; check the address and the network"
        )

    def _check_chunk(self, head: bytes, stored: int) -> None:
        assert self._chunk_bytes is not None
        if declared_size(head, stored, self._chunk_bytes) > 2 * self._chunk_bytes + SPARE:
            raise ReadError(
                f"{self.name} has a chunk that would decode to far more than the array can hold; "
                "it was not opened"
            )

    def __repr__(self) -> str:
        return f"<RemoteStore {self.name}>"

    __str__ = __repr__


class _Web(HTTPFileSystem):
    """One web server; redirects to others are refused, and so are answers without end."""

    cachable = False  # it holds credentials
    most_bytes = MOST_METADATA
    name = ""

    async def _cat_file(
        self, url: str, start: int | None = None, end: int | None = None, **kwargs: Any
    ) -> bytes:
        is_part = start is not None or end is not None
        headers = {"Range": await self._process_limits(url, start, end)} if is_part else {}
        session = await self.set_session()
        async with session.get(self.encode_url(url), headers=headers, **self.kwargs) as answer:
            self._raise_not_found_for_status(answer, self.name)
            if is_part and answer.status != 206:
                raise ReadError(
                    f"the server of {self.name} sends whole files only, and its shards are read "
                    "in parts; download it and open the folder"
                )
            data = bytearray()
            async for block in answer.content.iter_chunked(2**18):
                data += block
                if len(data) > self.most_bytes:
                    raise ReadError(
                        f"{self.name} has a file that is far larger than the array can hold; it "
                        "was not opened"
                    )
        return bytes(data)


def _system_of(address: Address) -> tuple[Any, str]:
    """The file system for an address, and the path in it."""
    parts = urlsplit(address.url)
    if parts.scheme == "s3":
        return _s3(), f"{parts.netloc}{unquote(parts.path)}".rstrip("/")
    headers = {"Accept-Encoding": "identity"}
    if parts.username is not None:
        user = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        headers["Authorization"] = f"Basic {b64encode(user.encode()).decode()}"
    trace = aiohttp.TraceConfig()
    trace.on_request_redirect.append(_stay_on_server)
    client = {
        "headers": headers,
        "trace_configs": [trace],
        "timeout": aiohttp.ClientTimeout(
            total=None, sock_connect=CONNECT_SECONDS, sock_read=SILENT_SECONDS
        ),
    }
    proxy = None if proxy_bypass(parts.hostname or "") else getproxies().get(parts.scheme)
    web = _Web(client_kwargs=client, params=parse_qsl(parts.query), proxy=proxy)
    web.name = address.name
    host = parts.netloc.rpartition("@")[2]
    return web, f"{parts.scheme}://{host}{parts.path}".rstrip("/")


async def _stay_on_server(session: Any, context: Any, found: Any) -> None:
    """Refuse a redirect to another server, or to a weaker protocol, before it is followed."""
    here = found.response.url
    there = here.join(here.__class__(found.response.headers["Location"]))
    is_upgrade = (here.scheme, there.scheme) == ("http", "https") and here.host == there.host
    if here.origin() != there.origin() and not is_upgrade:
        raise _Moved


class _Moved(ReadError):
    """The server sends its visitors elsewhere."""

    def __init__(self) -> None:
        super().__init__(
            "the server leads to another one, which was not asked; open the address the image has "
            "there"
        )


def _s3() -> Any:
    """S3 with the credentials of this computer, without any where it has none."""
    import s3fs
    from botocore.session import Session

    chain = Session().get_component("credential_provider")
    for provider in ("container-role", "iam-role"):  # would ask other servers
        chain.remove(provider)
    found = chain.load_credentials()
    options: dict[str, Any] = {"anon": True}
    if found is not None:
        key, secret, token = found.get_frozen_credentials()[:3]
        options = {"key": key, "secret": secret, "token": token}
    limits = {
        "connect_timeout": CONNECT_SECONDS,
        "read_timeout": SILENT_SECONDS,
        "retries": {"total_max_attempts": 1},
    }
    system = s3fs.S3FileSystem(
        **options,
        config_kwargs=limits,
        max_concurrency=1,  # otherwise every file is asked for its size first
        skip_instance_cache=True,
    )
    system.retries = 1  # the store tries again
    return system


def _status(error: Exception) -> int:
    """The answer of a server that an error stands for, 0 for none."""
    if isinstance(error, aiohttp.ClientResponseError):
        return error.status
    if isinstance(error, PermissionError):
        return 403
    answer = getattr(error.__cause__, "response", None) or {}
    return int(answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def _is_timeout(error: Exception) -> bool:
    """Whether a server was silent; botocore's errors for it share no base class."""
    return isinstance(error, TimeoutError) or type(error).__name__.endswith("TimeoutError")


def _may_pass(error: Exception) -> bool:
    """Whether the same request may go through a little later."""
    is_final = isinstance(error, ReadError | aiohttp.ClientSSLError | aiohttp.InvalidURL)
    if is_final or _is_timeout(error):
        return False
    status = _status(error)
    return not status or status == 429 or status >= 500
