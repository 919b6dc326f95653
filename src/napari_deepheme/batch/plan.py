"""How the slides of a batch are classified, and where their results go."""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from napari_deepheme.analysis.options import AnalysisOptions, RunOptions
from napari_deepheme.classify.bundle import DEFAULT_BUNDLE, Bundle, load_bundle
from napari_deepheme.export.formats import Format
from napari_deepheme.slide.location import SlidePath
from napari_deepheme.taxonomy.own_colours import Palette


@dataclass(frozen=True, slots=True)
class Plan:
    """All that is the same for the slides of a batch; small enough to travel with each of them.

    Attributes
    ----------
    out : Path
        Folder of the results; of a cluster one that all its machines see at the same path.
    model : str
        An embedded model, or a bundle's folder or zip.
    options : AnalysisOptions
    run : RunOptions
    formats : tuple of Format
        To write the cells in.
    mpp : float or None
        µm/px in place of what the files say.
    store : bool
        Whether an analysis file is written.
    fresh : bool
        Whether an earlier one is left alone.
    cells, roi : Path or None
        Given cells and regions; they belong to one slide.
    palette : mapping of str to str
        Own colours of classes, by code.
    """

    out: Path
    model: str = DEFAULT_BUNDLE
    options: AnalysisOptions = field(default_factory=AnalysisOptions)
    run: RunOptions = field(default_factory=RunOptions)
    formats: tuple[Format, ...] = (Format.CSV,)
    mpp: float | None = None
    store: bool = True
    fresh: bool = False
    cells: Path | None = None
    roi: Path | None = None
    palette: Palette = field(default_factory=dict)

    def results(self, slide: SlidePath) -> list[Path]:
        """Files of a slide: its cells in each format, and the differential."""
        cells = [self.out / f"{slide.stem}.cells.{each}" for each in self.formats]
        return [*cells, self.out / f"{slide.stem}.differential.csv"]


def bundle_digest(model: str) -> tuple[Bundle, str]:
    """A model, and a hash of all that its card promises: of the weights, too.

    Raises
    ------
    BundleError
        It cannot be used.
    """
    bundle = load_bundle(model)
    return bundle, sha256(bundle.spec.model_dump_json().encode()).hexdigest()
