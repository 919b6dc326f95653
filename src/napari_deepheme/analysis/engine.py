"""The networks, loaded once for any number of slides."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from napari_deepheme.analysis.options import AnalysisOptions, RunOptions
from napari_deepheme.classify.bundle import Bundle
from napari_deepheme.detect.base import Detector
from napari_deepheme.detect.choose import STAIN, named_detector

if TYPE_CHECKING:
    from napari_deepheme.classify.ensemble import Ensemble


class Engine:
    """A model and the detectors it is used with, each loaded and self-tested when it is first needed.

    Nothing of a slide is kept in it. Threads that ask at once wait for one that loads.

    Parameters
    ----------
    bundle : Bundle
        The model.
    run : RunOptions, optional
    """

    def __init__(self, bundle: Bundle, run: RunOptions | None = None) -> None:
        self.bundle, self.run = bundle, run or RunOptions()
        self._guard = threading.RLock()
        self._ensemble: Ensemble | None = None
        self._detectors: dict[str, Detector] = {}

    @property
    def ensemble(self) -> Ensemble:
        """The members of the model, ready to run."""
        with self._guard:
            if self._ensemble is None:
                from napari_deepheme.classify.ensemble import Ensemble  # noqa: PLC0415  torch takes seconds

                run = self.run
                self._ensemble = Ensemble(
                    self.bundle, run.device, run.precision, run.batch_size, backend=run.backend
                )
            return self._ensemble

    def detector(self, options: AnalysisOptions) -> Detector:
        """The detector that an analysis asks for; for given cells the one that needs no network.

        Given cells are not searched for, but the slide's colours are measured on cells from all over it.
        """
        name = STAIN if options.cells is not None else options.detector
        with self._guard:
            if name not in self._detectors:
                batch_px = self.run.batch_size * self.bundle.spec.input_px**2
                self._detectors[name] = named_detector(name, self.run.device, self.run.precision, batch_px)
            return self._detectors[name]

    def load(self, options: AnalysisOptions) -> None:
        """Load all that an analysis needs.

        Raises
        ------
        BundleError, OptionError
            A bundle, the device or the precision cannot be used, or the model has no cascade.
        """
        if options.cascade:
            self.bundle.spec.settling()
        self.detector(options)
        _ = self.ensemble
