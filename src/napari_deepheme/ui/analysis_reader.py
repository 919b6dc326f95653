"""napari reader: an analysis file as its slide, the fields it was counted in, and its cells."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from napari.layers import Image
from napari.utils.notifications import show_warning
from qtpy.QtWidgets import QApplication, QFileDialog

from napari_deepheme.analysis.result import Analysis
from napari_deepheme.errors import DeepHemeError
from napari_deepheme.slide import Slide, open_slide
from napari_deepheme.slide.fingerprint import fingerprint
from napari_deepheme.store import SUFFIX, open_analysis
from napari_deepheme.ui.docks import open_docks_soon
from napari_deepheme.ui.fields_layer import fields_layer
from napari_deepheme.ui.layer_keys import LayerKey
from napari_deepheme.ui.layers import LayerData, cells_layer, moved_to, placement
from napari_deepheme.ui.reader import SUFFIXES, slide_layer
from napari_deepheme.ui.session import Session
from napari_deepheme.ui.slides import GIVEN

_MOST_LOOKED_AT = 50  # slides beside the file whose fingerprints are taken


def get_analysis_reader(path: str | Sequence[str]) -> Callable[[str | Sequence[str]], list[LayerData]] | None:
    """Tell whether these files are analyses, by their names.

    Parameters
    ----------
    path : str or sequence of str

    Returns
    -------
    callable or None
        Reads the same ``path`` into napari layers; None if another reader should be asked.
    """
    return read_analyses if all(each.name.endswith(SUFFIX) for each in _paths(path)) else None


def read_analyses(path: str | Sequence[str]) -> list[LayerData]:
    """Read each analysis with its slide and fields.

    Raises
    ------
    AnalysisFileError
        A file is damaged, or of a newer version.
    """
    return [layer for each in _paths(path) for layer in _layers(each)]


def _layers(path: Path) -> list[LayerData]:
    with open_analysis(path) as file:
        analysis, known = file.analysis(), file.signature.get("slide", "")
    slide = _slide(analysis, path, known)
    name = path.name.removesuffix(SUFFIX)
    layers: list[LayerData] = []
    place = None
    if slide is not None:
        analysis = moved_to(analysis, slide.info.path)
        data, options, kind = slide_layer(slide)
        layers.append((data, options, kind))
        image = Image(data, **options)
        place = placement(image)
        if analysis.facts.fields:
            taken = {region.name for region in analysis.regions}
            layers.append(fields_layer(analysis.facts.fields, taken, image).as_layer_data_tuple())
    session = Session.of_analysis(analysis, f"{name} cells")
    data, options, kind = cells_layer(session.table, session.origin, session.name, place, session.taxonomy)
    options["metadata"][LayerKey.ANALYSIS] = str(path.absolute())
    open_docks_soon()
    return [*layers, (data, options, kind)]


def _slide(analysis: Analysis, path: Path, known: str) -> Slide | None:
    """The slide where it was, else one beside the file with its fingerprint, else one that a person shows."""
    info = analysis.facts.slide
    mpp = info.mpp[0] if info.mpp is not None and info.mpp_source == GIVEN else None
    # a file of someone else must not make this machine call a server
    known_place = (info.path,) if isinstance(info.path, Path) else ()
    for each in (*known_place, *_beside(path)):
        slide = _opened(each, mpp)
        if slide is None:
            continue
        if fingerprint(slide.info) == known:
            return slide
        slide.close()
    chosen = _ask(f"Where is {info.path.name}, the slide of {path.name}?")
    slide = _opened(chosen, mpp) if chosen is not None else None
    if slide is not None and fingerprint(slide.info) == known:
        return slide
    if slide is not None:
        slide.close()
    show_warning(
        f"{path.name}: the slide {info.path.name} was not found; its cells are shown alone. "
        "Put it beside the file and open that again."
    )
    return None


def _beside(path: Path) -> list[Path]:
    slides = [
        each for each in sorted(path.absolute().parent.iterdir()) if each.name.lower().endswith(SUFFIXES)
    ]
    return slides[:_MOST_LOOKED_AT]


def _opened(path: Path, mpp: float | None) -> Slide | None:
    if not path.exists():
        return None
    try:
        return open_slide(path, mpp=mpp)
    except DeepHemeError:
        return None  # another file beside the analysis that is no slide of ours


def _ask(title: str) -> Path | None:
    if QApplication.instance() is None:
        return None
    chosen, _ = QFileDialog.getOpenFileName(None, title)
    return Path(chosen) if chosen else None


def _paths(path: str | Sequence[str]) -> list[Path]:
    return [Path(path)] if isinstance(path, str | Path) else [Path(each) for each in path]
