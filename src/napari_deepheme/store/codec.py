"""The facts of an analysis as JSON, and back."""

from __future__ import annotations

import io
import json
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from pydantic import TypeAdapter

from napari_deepheme.analysis.audit_draw import AuditDraw
from napari_deepheme.analysis.options import AnalysisOptions
from napari_deepheme.analysis.result import Facts, Notice, SlideCalibration
from napari_deepheme.cells import Cells, Region
from napari_deepheme.classify.bundle import BundleSpec
from napari_deepheme.detect.base import DetectionThresholds
from napari_deepheme.fields import Field
from napari_deepheme.slide.metadata import SlideInfo
from napari_deepheme.stats.assessment import AssessmentOptions

if TYPE_CHECKING:
    from napari_deepheme.stats.planning import StopRule

T = TypeVar("T")

Values = dict[str, str | bytes]

_CELL_COLUMNS = ("yx", "diameter_um", "score", "region")


def encoded(facts: Facts) -> Values:
    """Values of the table ``meta`` by their keys; fields are a table of their own."""
    return {
        "slide": _json(SlideInfo, facts.slide),
        "bundle": facts.bundle.model_dump_json(),
        "detector": facts.detector,
        "thresholds": _json(DetectionThresholds, facts.thresholds),
        "calibration": _json(SlideCalibration, facts.calibration),
        "regions": _regions_json(() if facts.fields else facts.regions),
        "notices": notices_json(facts.notices),
        "calibration_cells": facts.calibration_cells,
        **encoded_options(facts.options),
    }


def encoded_options(options: AnalysisOptions) -> Values:
    """Of the options alone, which a run that goes on may change."""
    chosen = {
        "target_cells": options.target_cells,
        "until": None if options.until is None else asdict(options.until),
        "detector": options.detector,
        "match_stain": options.match_stain,
        "cascade": options.cascade,
        "assessment": json.loads(_json(AssessmentOptions, options.assessment)),
    }
    values: Values = {"options": json.dumps(chosen), "asked_regions": _regions_json(options.regions)}
    if options.cells is not None:
        values["given_cells"] = _cells_bytes(options.cells)
    return values


def calibration_json(calibration: SlideCalibration) -> str:
    """The calibration of a slide alone."""
    return _json(SlideCalibration, calibration)


def calibration_from(value: str) -> SlideCalibration:
    """A calibration again."""
    return _read(SlideCalibration, value)


def notices_json(notices: tuple[Notice, ...]) -> str:
    """Notices as a list."""
    return _json(tuple[Notice, ...], notices)


def audit_json(draw: AuditDraw) -> str:
    """The cells of an audit."""
    return _json(AuditDraw, draw)


def audit_from(value: str | bytes | None) -> AuditDraw | None:
    """The cells of an audit again; None where none was drawn."""
    return None if value is None else _read(AuditDraw, value)


def decoded(values: Values, fields: tuple[Field, ...], chosen: tuple[Region, ...]) -> Facts:
    """The facts again; ``chosen`` are the fields to count, in their order.

    Raises
    ------
    KeyError, ValueError
        A value is missing or of another form (pydantic's errors are ValueErrors).
    """
    options = json.loads(values["options"])
    given, calibration = values.get("given_cells"), values.get("calibration_cells")
    return Facts(
        slide=_read(SlideInfo, values["slide"]),
        bundle=BundleSpec.model_validate_json(values["bundle"]),
        detector=str(values["detector"]),
        thresholds=_read(DetectionThresholds, values["thresholds"]),
        options=AnalysisOptions(
            target_cells=options["target_cells"],
            until=_until(options.get("until")),
            regions=_regions(values["asked_regions"]),
            detector=options["detector"],
            cells=_cells(given) if isinstance(given, bytes) else None,
            match_stain=options["match_stain"],
            cascade=options.get("cascade", False),  # not in older files
            assessment=TypeAdapter(AssessmentOptions).validate_python(options["assessment"]),
        ),
        calibration=_read(SlideCalibration, values["calibration"]),
        regions=chosen if fields else _regions(values["regions"]),
        fields=fields,
        notices=_read(tuple[Notice, ...], values["notices"]),
        calibration_cells=calibration if isinstance(calibration, bytes) else b"",
    )


def _until(values: dict[str, Any] | None) -> StopRule | None:
    if values is None:
        return None
    from napari_deepheme.stats.planning import StopRule  # noqa: PLC0415  info answers without scipy

    return StopRule(**values)


def with_path(facts: Facts, info: SlideInfo) -> Facts:
    """The same facts of a slide that lies elsewhere now."""
    return replace(facts, slide=info)


def _json(kind: Any, value: object) -> str:  # noqa: ANN401 - pydantic takes any type
    return TypeAdapter(kind).dump_json(value).decode()


def _read(kind: type[T], value: str | bytes) -> T:
    return TypeAdapter(kind).validate_json(value)


def _regions_json(regions: tuple[Region, ...]) -> str:
    return json.dumps([{"name": each.name, "outline": each.outline.tolist()} for each in regions])


def _regions(value: str | bytes) -> tuple[Region, ...]:
    return tuple(Region(each["name"], np.array(each["outline"], np.float64)) for each in json.loads(value))


def _cells_bytes(cells: Cells) -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, **{name: getattr(cells, name) for name in _CELL_COLUMNS})
    return file.getvalue()


def _cells(content: bytes) -> Cells:
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        return Cells(*(arrays[name] for name in _CELL_COLUMNS))
