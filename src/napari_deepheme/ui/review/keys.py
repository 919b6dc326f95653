"""Which key gives which class: made from the model's classes, HemeLabel's, or a person's own. No Qt."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import tomli_w
from platformdirs import user_config_path
from pydantic import TypeAdapter, ValidationError

from napari_deepheme.errors import OptionError, OutputError
from napari_deepheme.taxonomy import DEEPHEME_23, CellClass, Lineage, Taxonomy, codes_meant

KEYS_FILE = user_config_path("napari-deepheme", appauthor=False) / "review-keys.toml"

NEXT_KEY, NO_CELL_KEY = "n", "x"
"""Next to review, and no cell; where a class has one of these keys, Ctrl-→ and Delete alone do it."""

HEMELABEL: Mapping[str, str] = {
    **dict(zip("123456", ("M1", "M2", "M3", "M4", "M5", "M6"), strict=True)),
    **dict(zip("qwerty", ("E1", "E4", "B1", "B2", "MO1", "MO2"), strict=True)),
    **dict(zip("asdfg", ("L0", "L1", "L2", "L3", "L4"), strict=True)),
    **dict(zip("zxcvbn", ("ER1", "ER2", "ER3", "ER4", "ER5", "ER6"), strict=True)),
    **dict(zip("m,./", ("PL1", "PL2", "PL3", "PL4"), strict=True)),
    **dict(zip("7890u", ("U1", "U2", "U3", "U4", "UL"), strict=True)),
}
"""The keys of HemeLabel, with which DeepHeme's cells were labelled."""

_ROWS: tuple[tuple[str, frozenset[Lineage]], ...] = (
    ("123456", frozenset({Lineage.GRANULOCYTIC})),
    ("qwerty", frozenset({Lineage.EOSINOPHILIC, Lineage.BASOPHILIC, Lineage.MONOCYTIC})),
    ("asdfghjkl", frozenset({Lineage.LYMPHOID, Lineage.PLASMA})),
    ("zcvbm,", frozenset({Lineage.ERYTHROID})),
    ("7890uiop", frozenset({Lineage.OTHER})),
)
"""A row of the keyboard for a lineage, as HemeLabel has it; n and x are left to the actions."""
_SPARE = "./;'[]-="


@dataclass(frozen=True, slots=True)
class ClassKeys:
    """Keys of classes.

    Attributes
    ----------
    codes : mapping
        Class code of each key; a key is one character, small.
    """

    codes: Mapping[str, str]

    def __post_init__(self) -> None:
        for key, code in self.codes.items():
            _check_key(key, code)

    def key_of(self, code: str) -> str:
        """The first key of a class; empty if it has none."""
        return next((key for key, each in self.codes.items() if each == code), "")

    def with_key(self, key: str, code: str) -> ClassKeys:
        """Give a class another key.

        Raises
        ------
        OptionError
            It is no single character, or another class has it.
        """
        key = key.lower()
        holder = self.codes.get(key, code)
        if holder != code:
            raise OptionError(
                f"The key {key!r} already means {holder}; give {holder} another key first, or choose one of "
                f"{' '.join(self._free())} for {code}."
            )
        others = {each: other for each, other in self.codes.items() if other != code}
        return ClassKeys({**others, key: code})

    def without(self, code: str) -> ClassKeys:
        """With no key for a class."""
        return ClassKeys({key: each for key, each in self.codes.items() if each != code})

    def _free(self) -> list[str]:
        every = "".join(row for row, _ in _ROWS) + NEXT_KEY + NO_CELL_KEY + _SPARE
        return [key for key in every if key not in self.codes]


def offered_classes(taxonomy: Taxonomy) -> tuple[CellClass, ...]:
    """The model's classes, then DeepHeme's that it does not know, such as blast and plasma cell."""
    lacking = [each for each in DEEPHEME_23.classes if not codes_meant(each.code, taxonomy)]
    return (*taxonomy.classes, *lacking)


def default_keys(classes: Iterable[CellClass]) -> ClassKeys:
    """A row of the keyboard for each lineage, in the order of the classes; what is left over follows."""
    given: dict[str, str] = {}
    left = sorted(classes, key=lambda each: each.code)
    for row, lineages in _ROWS:
        fitting = [each for each in left if each.lineage in lineages]
        given |= dict(zip(row, (each.code for each in fitting), strict=False))
    without = [each.code for each in left if each.code not in given.values()]
    free = [key for row, _ in _ROWS for key in row if key not in given]
    return ClassKeys({**given, **dict(zip([*free, *_SPARE], without, strict=False))})


def in_key_order(classes: Iterable[CellClass], keys: ClassKeys) -> list[CellClass]:
    """Classes as their keys lie on the keyboard, row by row; those without a key come last."""
    every = "1234567890-=qwertyuiop[]asdfghjkl;'zxcvbnm,./"
    place = {key: i for i, key in enumerate(every)}
    return sorted(classes, key=lambda each: place.get(keys.key_of(each.code), len(every)))


def read_keys(name: str, path: Path | None = None) -> ClassKeys | None:
    """The keys a person chose for the taxonomy ``name``; None if nobody did.

    Raises
    ------
    OptionError
        The file is no TOML, or does not hold a class code for each key.
    """
    chosen = _read(path or KEYS_FILE).get(name)
    return None if chosen is None else ClassKeys(chosen)


def write_keys(name: str, keys: ClassKeys, path: Path | None = None) -> None:
    """Keep the keys of a taxonomy beside those of others.

    Raises
    ------
    OptionError
        The file that is there cannot be read.
    OutputError
        It cannot be written.
    """
    path = path or KEYS_FILE
    every = {**_read(path), name: dict(keys.codes)}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(tomli_w.dumps(every), encoding="utf-8")
    except OSError as err:
        raise OutputError(
            f"{path}: the keys cannot be kept ({err.strerror}); they hold until the window closes."
        ) from err


def _read(path: Path) -> dict[str, dict[str, str]]:
    if not path.is_file():
        return {}
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
        return TypeAdapter(dict[str, dict[str, str]]).validate_python(values)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, ValidationError) as err:
        raise OptionError(
            f'{path}: expected a table for each taxonomy with lines such as 1 = "M1" ({_first(err)}); '
            "correct it or delete it, then the default keys are used."
        ) from err


def _first(err: Exception) -> str:
    return str(err).splitlines()[0]


def _check_key(key: str, code: str) -> None:
    if len(key) != 1 or not key.isprintable() or key.isspace() or key != key.lower():
        raise OptionError(
            f"The key {key!r} of {code} cannot be used; expected one small letter, digit or sign, such as q."
        )
