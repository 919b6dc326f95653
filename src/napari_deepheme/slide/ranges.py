"""Ranges of files on web servers and in object stores, through fsspec."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from napari_deepheme.errors import SlideError
from napari_deepheme.slide.location import RemotePath

if TYPE_CHECKING:
    from fsspec.asyn import AsyncFileSystem

_LIBRARIES = {"http": "aiohttp", "https": "aiohttp", "s3": "s3fs", "gs": "gcsfs"}
_FAULTS = {
    "http": (("aiohttp", "ClientError"),),
    "https": (("aiohttp", "ClientError"),),
    "s3": (("botocore.exceptions", "BotoCoreError"), ("botocore.exceptions", "ClientError")),
    "gs": (
        ("aiohttp", "ClientError"),
        ("gcsfs.retry", "HttpError"),
        ("google.auth.exceptions", "GoogleAuthError"),
    ),
}
"""What the libraries raise when a request fails, besides OSError: they share no narrower kind."""
_MISSING = {"NoSuchBucket", "NoSuchKey"}
_URL = re.compile(r"(\w+://)(?:[^/\s?#@]*@)?([^/\s?#\"']*)[^\s\"']*")
_PASSING = {408, 425, 429}
"""Statuses of HTTP below 500 after which another try may do."""
_NO_RANGES = "its server gives no parts of files, and all of it would have to be fetched; download it first"


class RefusedError(Exception):
    """A server refuses, and would do so again; the message says what, and what to do."""


class MissingError(RefusedError):
    """A server has no such file."""


class RangeStore:
    """The content of one URL.

    Parameters
    ----------
    path : RemotePath

    Raises
    ------
    SlideError
        The library for such URLs is not installed.
    """

    def __init__(self, path: RemotePath) -> None:
        self._path = path
        self._scheme = urlsplit(path.url).scheme.lower()
        library = _LIBRARIES[self._scheme]
        if find_spec(library) is None:
            raise SlideError(
                f"{path}: slides at {self._scheme}:// need {library}, which is not installed; "
                "pip install 'napari-deepheme[remote]'."
            )
        faults = (getattr(import_module(module), name) for module, name in _FAULTS[self._scheme])
        self._faults: tuple[type[Exception], ...] = (OSError, *faults)
        self._system = self._opened()

    def renew(self) -> None:
        """Start afresh in a child process: the thread that talked to the server is the parent's."""
        self._system = self._opened()

    def size(self, seconds: float) -> int:
        """Bytes there are.

        Raises
        ------
        RefusedError
            There is no such file, it must not be read, or its server gives no ranges.
        OSError
            The request failed.
        """
        with self._translated():
            facts = self._system.info(self._path.url, timeout=seconds)
            if facts["size"] is None or not facts.get("partial", True):
                raise RefusedError(_NO_RANGES)
            size = int(facts["size"])
            if self._scheme in ("http", "https") and size > 1:
                self._check_ranges(size, seconds)
        return size

    def fetch(self, start: int, end: int | None, seconds: float) -> bytes:
        """The bytes from ``start`` up to ``end``, or the last ``-start``; raises as :meth:`size`."""
        with self._translated():
            data: bytes = self._system.cat_file(self._path.url, start=start, end=end, timeout=seconds)
        return data

    def _opened(self) -> AsyncFileSystem:
        import fsspec  # noqa: PLC0415  slides of this machine do without

        options: dict[str, object] = {}
        if self._scheme in ("http", "https"):
            # what is compressed on its way has other ranges; proxies and .netrc are the system's
            options = {"headers": {"Accept-Encoding": "identity"}, "client_kwargs": {"trust_env": True}}
        kind = fsspec.get_filesystem_class(self._scheme)
        if self._scheme == "gs":
            # its heir asks by gRPC what kind a bucket is, and where it may not know that, before each range
            kind = import_module("gcsfs.core").GCSFileSystem
        return kind(**options)

    def _check_ranges(self, size: int, seconds: float) -> None:
        """See that the last bytes can be had alone: a server that ignores the request would send all."""
        from fsspec.asyn import sync  # noqa: PLC0415

        file = self._system.open(self._path.url, size=size)
        try:
            sync(self._system.loop, file.async_fetch_range, size - 2, size, timeout=seconds)
        except ValueError as err:
            raise RefusedError(_NO_RANGES) from err
        finally:
            file.close()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except self._faults as err:
            cause = err.__cause__ if isinstance(err.__cause__, self._faults) else err
            status = _status(cause)
            missing = cause is err and isinstance(err, FileNotFoundError)
            if missing or status == 404 or _code(cause) in _MISSING:
                raise MissingError("there is no such file on the server; check the link") from err
            if isinstance(err, PermissionError) or status in (401, 403):
                raise RefusedError(
                    "its server does not let you read it; check the link, and how you are known there "
                    "(docs/scale.md)"
                ) from err
            if status is not None and 400 <= status < 500 and status not in _PASSING:
                raise RefusedError(f"its server refuses with status {status}; check the link") from err
            raise OSError(_reason(cause, status)) from err


def _status(err: BaseException) -> int | None:
    """Status of HTTP that an exception of aiohttp or gcsfs carries."""
    said = str(getattr(err, "status", None) or getattr(err, "code", None))
    return int(said) if said.isdigit() else None


def _code(err: BaseException) -> str:
    """What an exception of botocore calls the fault."""
    response = getattr(err, "response", None)
    return str(response.get("Error", {}).get("Code", "")) if isinstance(response, dict) else ""


def _reason(err: BaseException, status: int | None) -> str:
    """Why a request failed, in a few words; of URLs the host alone, for a key may be part of the rest."""
    if status is not None:
        return f"status {status}"
    if isinstance(err, TimeoutError):
        return "no answer in time"
    lines = str(err).strip().splitlines()
    return _URL.sub(r"\1\2", lines[0] if lines else type(err).__name__)[:120]
