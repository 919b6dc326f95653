"""The networks of a window: each model loaded once, in the background once a dock is on the screen. No Qt.

torch is imported when networks are loaded, not with this module.
"""

from __future__ import annotations

import ctypes
import logging
import os
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from napari_deepheme.analysis.engine import Engine
from napari_deepheme.analysis.options import AnalysisOptions, RunOptions
from napari_deepheme.classify.bundle import Bundle, BundleSpec, load_bundle
from napari_deepheme.errors import BundleError, DeepHemeError
from napari_deepheme.models.bundle import embedded_bundles

_log = logging.getLogger(__name__)
_MOST = 3
"""Models kept loaded: the run's own, one that learned from it, and one to compare with."""


class Networks:
    """Gives the engine of a model, loaded once; safe to use from several threads.

    Parameters
    ----------
    make : callable, optional
        Makes the engine of a bundle; tests give another.

    Attributes
    ----------
    run : RunOptions
        How the last run, or what was loaded ahead, runs: cells added later are asked about in the same way.
    """

    def __init__(self, make: Callable[[Bundle, RunOptions], Engine] = Engine) -> None:
        self._make, self._guard = make, threading.Lock()
        self.run = RunOptions()
        self._engines: OrderedDict[tuple[str, RunOptions], Engine] = OrderedDict()
        self._known: dict[str, Bundle] = {}

    def engine(self, bundle: Bundle, run: RunOptions) -> Engine:
        """The engine of a model; its networks are loaded when they are first needed."""
        key = bundle.spec.model_dump_json(), run
        with self._guard:
            self._known[key[0]], self.run = bundle, run
            engine = self._engines.pop(key, None) or self._make(bundle, run)
            self._engines[key] = engine
            while len(self._engines) > _MOST:
                self._engines.popitem(last=False)
        return engine

    def bundle_of(self, spec: BundleSpec, *places: str | Path) -> Bundle:
        """The bundle of a model that an analysis names.

        Parameters
        ----------
        spec : BundleSpec
        *places : str or Path
            Where it may lie, beside those that this window knows and those that come with the package.

        Raises
        ------
        BundleError
            It is nowhere.
        """
        with self._guard:
            known = self._known.get(spec.model_dump_json())
        if known is not None:
            return known
        for place in (*embedded_bundles(), *(str(each) for each in places if str(each))):
            bundle = _opened(place)
            if bundle is not None and bundle.spec == spec:
                with self._guard:
                    self._known[spec.model_dump_json()] = bundle
                return bundle
        raise BundleError(
            f"The model {spec.name} {spec.version} of this analysis is not at hand; choose its folder or zip "
            "with “Other…” under Model in Classify, then try again."
        )

    def take_note(self, source: str) -> None:
        """Know a bundle that a person chose; one that cannot be opened is left alone."""
        bundle = _opened(source)
        if bundle is not None:
            with self._guard:
                self._known[bundle.spec.model_dump_json()] = bundle

    def warm(self, source: str, run: RunOptions, options: AnalysisOptions) -> threading.Thread:
        """Load a model and its detector on a thread, so that the first run finds them ready."""
        thread = threading.Thread(
            target=self._load, args=(source, run, options), name="deepheme-networks", daemon=True
        )
        thread.start()
        return thread

    def _load(self, source: str, run: RunOptions, options: AnalysisOptions) -> None:
        try:
            map_torch()
            self.engine(load_bundle(source), run).load(options)
        except (DeepHemeError, RuntimeError, OSError, ImportError):
            _log.info("Networks were not loaded ahead; the run will say why", exc_info=True)


def map_torch() -> None:
    """Map torch's largest library before it is imported.

    An import holds the interpreter's lock while the system maps half a gigabyte, and a window stands still
    for a second; a foreign call does not hold it. The import then finds the library there.
    """
    found = find_spec("torch")
    if found is None or found.origin is None or "torch" in sys.modules or os.name != "posix":
        return
    system = ctypes.CDLL(None)
    for library in (Path(found.origin).parent / "lib").glob("libtorch_cpu.*"):
        system.dlopen.argtypes, system.dlopen.restype = [ctypes.c_char_p, ctypes.c_int], ctypes.c_void_p
        system.dlopen(os.fsencode(library), os.RTLD_LAZY)


def _opened(place: str) -> Bundle | None:
    try:
        return load_bundle(place)
    except DeepHemeError:
        return None
