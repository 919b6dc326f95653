"""One tree of exceptions; a message says what is wrong, where, what was expected and the remedy."""

from __future__ import annotations

_LONGEST = 1500
"""Characters of a message: a file may have a word of megabytes where a number should be."""


class DeepHemeError(Exception):
    """Something the user gave or asked for cannot be used; the message is one clear sentence."""

    def __str__(self) -> str:
        # what a library or a file says in it may have lines of its own
        text = " ".join(super().__str__().splitlines())
        half = _LONGEST // 2
        return text if len(text) <= _LONGEST else f"{text[:half]} … {text[-half:]}"


class SlideError(DeepHemeError):
    """A slide file cannot be opened or read."""


class UnreachableError(SlideError):
    """A slide cannot be read at the moment: its disk or server fails; another try may do."""


class DamagedTileError(SlideError):
    """A tile of an open slide is damaged; the rest of the slide can be read."""


class ScaleError(SlideError):
    """The µm/px of a slide is missing or implausible."""


class BundleError(DeepHemeError):
    """A model bundle is incomplete, altered or does not fit."""


class TaxonomyError(DeepHemeError):
    """A class name is not known to the taxonomy."""


class OptionError(DeepHemeError):
    """An option's value is out of its range or does not fit the others."""


class OutputError(DeepHemeError):
    """A result cannot be written where it was asked for."""


class TableError(DeepHemeError):
    """A table of cells cannot be read."""


class AnalysisFileError(DeepHemeError):
    """An analysis file cannot be read or written."""


class BusyError(AnalysisFileError):
    """Another process writes an analysis file."""


class JobError(Exception):
    """A job failed through a fault that is not the user's (see :func:`napari_deepheme.jobs.guard`)."""
