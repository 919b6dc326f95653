"""Colours that a person gave to classes, kept in the user's settings for all slides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Annotated

import tomli_w
from platformdirs import user_config_path
from pydantic import Field, TypeAdapter

from napari_deepheme.errors import OptionError, OutputError
from napari_deepheme.files import is_file, read_toml
from napari_deepheme.taxonomy.classes import Taxonomy

COLOURS_FILE = user_config_path("napari-deepheme", appauthor=False) / "class-colours.toml"

Palette = Mapping[str, str]
"""Colours ``#rrggbb`` by class code; classes that it lacks keep theirs."""

Colour = Annotated[str, Field(pattern="^#[0-9a-f]{6}$")]
_OWN = TypeAdapter(dict[str, Colour])


@cache
def own_colours(path: Path | None = None) -> Palette:
    """The colours ``#rrggbb`` that a person chose, by class code.

    Raises
    ------
    OptionError
        The file is no TOML, or does not hold a colour for each code.
    """
    path = path or COLOURS_FILE
    if not is_file(path):
        return {}
    try:
        return _OWN.validate_python(read_toml(path))
    except (OSError, ValueError) as err:  # what does not fit is a ValueError too
        raise OptionError(
            f'{path}: expected lines such as M3 = "#1c7ed6" ({str(err).splitlines()[0]}); '
            "correct it or delete it, then the usual colours are used."
        ) from err


def keep_colour(code: str, colour: str | None, path: Path | None = None) -> None:
    """Keep a colour of a class; None takes the usual one again.

    Raises
    ------
    OptionError
        The file that is there cannot be read.
    OutputError
        It cannot be written.
    """
    chosen = {known: own for known, own in own_colours(path).items() if known != code}
    if colour is not None:
        chosen[code] = colour
    target = path or COLOURS_FILE
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(tomli_w.dumps(chosen), encoding="utf-8")
    except OSError as err:
        raise OutputError(f"{target}: the colour cannot be kept ({err.strerror}).") from err
    own_colours.cache_clear()


def in_palette(taxonomy: Taxonomy, palette: Palette) -> Taxonomy:
    """A taxonomy in the colours of a palette."""
    if not palette:
        return taxonomy
    classes = tuple(replace(each, colour=palette.get(each.code, each.colour)) for each in taxonomy.classes)
    return replace(taxonomy, classes=classes)


def in_own_colours(taxonomy: Taxonomy) -> Taxonomy:
    """A taxonomy in the colours that a person chose; the usual ones where their file cannot be read."""
    try:
        chosen = own_colours()
    except OptionError:
        return taxonomy  # said where one chooses a colour
    return in_palette(taxonomy, chosen)
