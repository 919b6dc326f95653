"""Where a slide lies: a path of this machine, or the URL of another."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Annotated, TypeAlias
from urllib.parse import unquote, urlsplit

from pydantic import PlainSerializer, PlainValidator

from napari_deepheme.errors import SlideError

SCHEMES = ("http", "https", "s3", "gs")


@dataclass(frozen=True, slots=True, repr=False)
class RemotePath:
    """A slide on another machine.

    As text it goes without its query and user name, which may be the key to it: a signed link belongs
    neither into messages nor into analysis files.

    Attributes
    ----------
    url : str
        Whole, as it was given.
    """

    url: str

    def __str__(self) -> str:
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"

    def __repr__(self) -> str:
        """Without keys, too: libraries log what a function was called with."""
        return f"RemotePath('{self}')"

    def __truediv__(self, name: str) -> RemotePath:
        """A file in it, if it is a folder; the query goes along."""
        parts = urlsplit(self.url)
        return RemotePath(parts._replace(path=f"{parts.path.rstrip('/')}/{name}").geturl())

    @property
    def name(self) -> str:
        """The last part of its path, the host's name if there is none."""
        parts = urlsplit(self.url)
        return unquote(PurePosixPath(parts.path).name).replace("/", "_") or parts.netloc.rpartition("@")[2]

    @property
    def stem(self) -> str:
        """Its name without the last suffix."""
        return PurePosixPath(self.name).stem

    @property
    def suffix(self) -> str:
        """The last suffix of its name, with the dot."""
        return PurePosixPath(self.name).suffix


def slide_path(place: str | Path | RemotePath) -> Path | RemotePath:
    """A place as it was typed or stored: URLs of :data:`SCHEMES` are remote, all else is a path.

    Raises
    ------
    SlideError
        It begins as a URL and is none.
    """
    if isinstance(place, str) and "://" in place and place.partition("://")[0].lower() in SCHEMES:
        return RemotePath(_checked(place))
    return Path(place) if isinstance(place, str) else place


def _checked(url: str) -> str:
    try:
        host = urlsplit(url).hostname
    except ValueError:
        host = None
    if not host:  # the link itself may hold a key
        raise SlideError(
            f"A link that begins with {url.partition('://')[0]}:// names no host or bucket; check the link."
        )
    return url


def shown(place: str) -> str:
    """A place as it was typed, without the keys to it."""
    path = slide_path(place)
    return str(path) if isinstance(path, RemotePath) else place


def whole(place: Path | RemotePath) -> str:
    """The place as it was typed, keys to it included: to open it again, not to show or store it."""
    return place.url if isinstance(place, RemotePath) else str(place)


SlidePath: TypeAlias = Annotated[Path | RemotePath, PlainValidator(slide_path), PlainSerializer(str)]
"""Where a slide lies; a plain string in files."""
