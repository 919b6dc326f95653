"""A taxonomy of one's own, from a TOML file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from napari_deepheme.errors import TaxonomyError
from napari_deepheme.files import is_file, read_toml
from napari_deepheme.taxonomy.classes import CellClass, Taxonomy, fault_of
from napari_deepheme.taxonomy.presets import PRESETS


def read_taxonomy(source: str) -> Taxonomy:
    """The preset of that name, or a taxonomy of one's own from a TOML file.

    The file has a ``name`` and, in the order of the outputs, a table ``[[classes]]`` per class with the
    fields of :class:`CellClass`.

    Raises
    ------
    TaxonomyError
        Neither a preset nor a file, a fault of the file, fewer than two classes, or a code that comes twice.
    """
    if source in PRESETS:
        return PRESETS[source]
    path = Path(source)
    if not is_file(path):
        raise TaxonomyError(f"{source} is no file and no taxonomy; there are {', '.join(PRESETS)}.")
    try:
        values = read_toml(path)
        taxonomy = TypeAdapter(Taxonomy).validate_python(values)
    except ValidationError as err:  # before ValueError, which it is one of
        first = err.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise TaxonomyError(f"{path}: {where}: {first['msg']}, got {first['input']!r}.") from err
    except (OSError, ValueError) as err:
        raise TaxonomyError(f"{path} cannot be read as TOML ({err}).") from err
    _check(taxonomy, values, path)
    return taxonomy


def _check(taxonomy: Taxonomy, values: Mapping[str, object], path: Path) -> None:
    """Refuse what the types allow: a misspelt field would be left out in silence."""
    classes = TypeAdapter(list[dict[str, object]]).validate_python(values["classes"])
    unknown = ({*values} - {"name", "classes"}) | ({k for c in classes for k in c} - {*CellClass.__slots__})
    if unknown:
        raise TaxonomyError(
            f"{path}: unknown fields {', '.join(sorted(unknown))}; "
            f"a class has {', '.join(CellClass.__slots__)}."
        )
    fault = fault_of(taxonomy)
    if fault:
        raise TaxonomyError(f"{path}: {fault}.")
