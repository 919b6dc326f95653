"""The cells of an analysis in the formats of other programs, a part of the table at a time."""

from __future__ import annotations

import gzip
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import IO, TYPE_CHECKING

from napari_deepheme.analysis.result import Analysis
from napari_deepheme.errors import OptionError
from napari_deepheme.export.files import guarded
from napari_deepheme.export.table import PROBABILITY, table_parts
from napari_deepheme.stats.assessment import AssessmentOptions
from napari_deepheme.tables import write_whole
from napari_deepheme.taxonomy import Taxonomy
from napari_deepheme.taxonomy.own_colours import Palette, in_palette

if TYPE_CHECKING:
    import pandas as pd


class Format(StrEnum):
    """What cells can be written as; the value ends the file's name."""

    CSV = "csv"
    GEOJSON = "geojson"
    GEOJSON_GZ = "geojson.gz"
    PARQUET = "parquet"


_MEASUREMENTS = ("confidence", "entropy", "mutual_information", "agreement", "detector_score", "ood_distance")


def format_of(path: Path, also: Sequence[str] = ()) -> Format:
    """What a file's name asks for; :class:`OptionError` for any other, which names what else may be asked."""
    for each in sorted(Format, key=len, reverse=True):
        if path.name.lower().endswith(f".{each}"):
            return each
    endings = ", ".join([*(f".{each}" for each in Format), *also])
    raise OptionError(f"{path}: expected a name that ends in {endings}.")


def export_cells(
    analysis: Analysis, path: Path, options: AssessmentOptions | None = None, palette: Palette | None = None
) -> None:
    """Write the cells of an analysis as its file's name asks for; whole or not at all.

    Parameters
    ----------
    analysis : Analysis
    path : Path
        ``.csv``; ``.geojson`` or ``.geojson.gz``, points for QuPath; ``.parquet``.
    options : AssessmentOptions, optional
    palette : mapping of str to str, optional
        Own colours ``#rrggbb`` by class code; GeoJSON has colours.

    Raises
    ------
    OptionError
        Another name.
    OutputError
        The file cannot be written.
    """
    kind, parts = format_of(path), table_parts(analysis, options)
    if kind is Format.CSV:
        write_whole(path, lambda part: _write_csv(parts, part))
    elif kind is Format.PARQUET:
        write_whole(path, lambda part: _write_parquet(parts, part))
    else:
        classes = in_palette(analysis.taxonomy, palette or {})
        write_whole(path, lambda part: _write_geojson(parts, part, kind, classes))


def _write_csv(parts: Iterator[pd.DataFrame], path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        for number, part in enumerate(parts):
            guarded(part).to_csv(file, index=False, header=number == 0, lineterminator="\n")


def _write_parquet(parts: Iterator[pd.DataFrame], path: Path) -> None:
    import pyarrow as pa  # noqa: PLC0415  only this format needs it
    import pyarrow.parquet as pq  # noqa: PLC0415

    writer = None
    try:
        for part in parts:
            table = pa.Table.from_pandas(part, preserve_index=False)
            writer = writer or pq.ParquetWriter(path, table.schema)
            writer.write_table(table)
    finally:
        if writer is not None:
            writer.close()


def _write_geojson(parts: Iterator[pd.DataFrame], path: Path, kind: Format, taxonomy: Taxonomy) -> None:
    """A feature collection as QuPath reads it: detections that are points, x before y, level-0 pixels."""
    classes = {c.code: {"name": c.name, "color": _rgb(c.colour)} for c in taxonomy.classes}
    opened = gzip.open if kind is Format.GEOJSON_GZ else open
    with opened(path, "wt", encoding="utf-8") as file:
        file.write('{"type":"FeatureCollection","features":[')
        first = True
        for part in parts:
            first = _write_features(file, part, classes, first=first)
        file.write("]}\n")


def _write_features(
    file: IO[str], table: pd.DataFrame, classes: Mapping[str, Mapping[str, object]], *, first: bool
) -> bool:
    numbers = [*_MEASUREMENTS, *(name for name in table.columns if name.startswith(PROBABILITY))]
    measured = table[numbers].to_dict("records")
    rows = zip(
        table["cell_id"],
        table["x_px"],
        table["y_px"],
        table["label"],
        table["needs_review"],
        measured,
        strict=True,
    )
    for cell, x, y, label, review, values in rows:
        feature = {
            "type": "Feature",
            "id": f"cell-{cell}",
            # QuPath's pixels begin at their corner, ours have their centre at integers
            "geometry": {"type": "Point", "coordinates": [round(x + 0.5, 2), round(y + 0.5, 2)]},
            "properties": {
                "objectType": "detection",
                "name": f"{cell}",
                "classification": classes.get(
                    label, {"name": label or "unlabelled", "color": [140, 140, 140]}
                ),
                # JSON has no NaN
                "measurements": {name: value for name, value in values.items() if not math.isnan(value)}
                | {"needs_review": int(review)},
            },
        }
        file.write(("" if first else ",\n") + json.dumps(feature, separators=(",", ":")))
        first = False
    return first


def _rgb(colour: str) -> list[int]:
    return [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
