"""What the state knows of a run under way. No Qt."""

from __future__ import annotations

from typing import Protocol

from napari_deepheme.jobs import Progress


class Running(Protocol):
    """A run under way."""

    @property
    def progress(self) -> Progress:
        """How far it is."""
        ...

    @property
    def line(self) -> str:
        """The same for a person."""
        ...

    def cancel(self) -> None:
        """Stop it; what was found stays."""
        ...

    def abandon(self) -> None:
        """Stop it and show nothing: the window is closing."""
        ...
