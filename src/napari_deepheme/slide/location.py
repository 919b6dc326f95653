"""Where a slide lies: a path of this machine, or the URL of another."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Annotated, TypeAlias
from urllib.parse import unquote, urlsplit

from pydantic import PlainSerializer, PlainValidator

SCHEMES = ("http", "https", "s3", "gs")


@dataclass(frozen=True, slots=True)
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
    """A place as it was typed or stored: URLs of :data:`SCHEMES` are remote, all else is a path."""
    if isinstance(place, str) and "://" in place and place.partition("://")[0].lower() in SCHEMES:
        return RemotePath(place)
    return Path(place) if isinstance(place, str) else place


def whole(place: Path | RemotePath) -> str:
    """The place as it was typed, keys to it included: to open it again, not to show or store it."""
    return place.url if isinstance(place, RemotePath) else str(place)


SlidePath: TypeAlias = Annotated[Path | RemotePath, PlainValidator(slide_path), PlainSerializer(str)]
"""Where a slide lies; a plain string in files."""
