"""Addresses that a person typed: what they may be, and the name they have in messages."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

from stacksam.core.errors import ReadError

SCHEMES = ("https", "http", "s3")
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")  # two letters at least: C:// is a drive


@dataclass(frozen=True)
class Address:
    """A Zarr folder on a server, with as much of `pathlib.Path` as readers of folders ask for.

    Hosts, folders, credentials and signatures stay out of `name` and of the representation, which
    may end up in messages, files and logs.

    Attributes
    ----------
    url : str
        Begins with https, http or s3.

    Examples
    --------
    >>> address = Address("https://me:secret@example.org/patient/heart.zarr/?sig=a1")
    >>> address, address.name
    (Address(name='heart.zarr'), 'heart.zarr')
    """

    url: str = field(repr=False)
    name: str = field(init=False)

    def __post_init__(self) -> None:
        try:
            parts = urlsplit(self.url)
            is_known = parts.scheme in SCHEMES and bool(parts.hostname)
        except ValueError:
            is_known = False
        if not is_known:
            raise ReadError("this address cannot be read; it has to begin with https, http or s3")
        name = unquote(parts.path).rstrip("/").rpartition("/")[2]
        object.__setattr__(self, "name", name or "the address")

    def is_dir(self) -> bool:
        """True: other things are not read from addresses."""
        return True


def located(path: str | os.PathLike[str] | Address) -> Path | Address:
    """Tell addresses from paths.

    Raises
    ------
    ReadError
        If it is an address of a kind that cannot be read.

    Examples
    --------
    >>> located("s3://bucket/heart.zarr"), located("heart.zarr").name
    (Address(name='heart.zarr'), 'heart.zarr')
    """
    if isinstance(path, Address):
        return path
    is_address = isinstance(path, str) and _ADDRESS.match(path.strip())
    return Address(str(path).strip()) if is_address else Path(path)
