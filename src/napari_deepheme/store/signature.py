"""Which analysis a file belongs to: the slide, the model, the detector and the options of science."""

from __future__ import annotations

import json
from hashlib import sha256

from napari_deepheme.analysis.options import AnalysisOptions
from napari_deepheme.classify.bundle import Bundle
from napari_deepheme.detect.bundle import load_detector
from napari_deepheme.detect.choose import STAIN
from napari_deepheme.slide.fingerprint import fingerprint
from napari_deepheme.slide.reader import Slide


def signature_of(slide: Slide, bundle: Bundle, options: AnalysisOptions) -> dict[str, str]:
    """What must be the same for a run to go on with an analysis.

    The target is not among it, nor is what can be changed after a run: more cells may be counted into the
    same analysis.

    Returns
    -------
    dict of str to str
        By what a person calls it.

    Raises
    ------
    BundleError, OptionError, SlideError
        The detector's bundle or the slide cannot be read, or the model has no cascade.
    """
    mpp = slide.info.mpp
    # a cascade that is not asked for changes nothing
    described = bundle.spec.model_dump_json(exclude={"cascade"})
    return {
        "slide": fingerprint(slide.info),
        "µm/px": "unknown" if mpp is None else f"{mpp[0]!r} × {mpp[1]!r}",
        "model": f"{bundle.spec.name} {bundle.spec.version} {_digest(described)}",
        "detector": _detector(options),
        "parts of the slide": _parts(options),
        "stain matching": str(options.match_stain),
        **({"cascade": f"from {bundle.spec.settling().threshold:g}"} if options.cascade else {}),
    }


def _detector(options: AnalysisOptions) -> str:
    if options.cells is not None:
        return "cells given"
    if options.detector == STAIN:
        return STAIN
    spec = load_detector(options.detector).spec
    return f"{spec.name} {spec.version} {_digest(spec.model_dump_json())}"


def _parts(options: AnalysisOptions) -> str:
    if options.cells is not None:
        return f"given cells {_digest(options.cells.yx.tobytes().hex())}"
    if options.by_fields:
        return "fields to count"
    outlines = [[region.name, region.outline.tolist()] for region in options.regions]
    return f"regions {_digest(json.dumps(outlines))}" if outlines else "all"


def _digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()[:16]
