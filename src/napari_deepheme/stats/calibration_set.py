"""Cells a model was calibrated on, kept with it: what later slides are compared with and corrected by."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save
from scipy.special import entr

from napari_deepheme.errors import BundleError

FILE = "calibration.safetensors"
"""Its name in a bundle."""
FEWEST_LABELS = 100
"""Labelled cells from which an adapted model has calibration cells (measured: docs/numbers.md)."""


@dataclass(frozen=True, slots=True, eq=False)
class CalibrationSet:
    """n cells of known class that the model did not learn from.

    Attributes
    ----------
    probabilities : ndarray of float32, shape (n, k)
        Calibrated ensemble probabilities, before any class prior of a slide.
    truth : ndarray of int64, shape (n,)
        Class indices.
    distance : ndarray of float32, shape (n,)
        Out-of-distribution distance; nan where the model knows none.
    at_random : bool
        Whether the cells were drawn at random, or held back whole; False where people chose which cells to
        label, so that doubtful and rare ones may be more among them than among a slide's.
    cross_validated : bool
        Whether the probabilities are cross-validated, and the model was then trained on all these cells: its
        entropy on new cells is then slightly lower than on these.
    """

    probabilities: NDArray[np.float32]
    truth: NDArray[np.int64]
    distance: NDArray[np.float32]
    at_random: bool = True
    cross_validated: bool = False

    def __post_init__(self) -> None:
        n, k = self.probabilities.shape
        if self.truth.shape != (n,) or self.distance.shape != (n,):
            raise ValueError(
                f"CalibrationSet: {n} cells with truth {self.truth.shape} and distance {self.distance.shape}"
            )
        if n and not 0 <= self.truth.min() <= self.truth.max() < k:
            raise ValueError(f"CalibrationSet: truth must lie in 0 to {k - 1}")

    def __len__(self) -> int:
        return len(self.truth)

    @property
    def calls(self) -> NDArray[np.intp]:
        """Class index the model calls each cell."""
        calls: NDArray[np.intp] = self.probabilities.argmax(axis=1)
        return calls

    @property
    def entropy(self) -> NDArray[np.float64]:
        """Entropy of each cell's probabilities, nats."""
        entropy: NDArray[np.float64] = entr(self.probabilities.astype(np.float64)).sum(axis=1)
        return entropy

    @property
    def prior(self) -> NDArray[np.float64]:
        """Share of each class among the cells."""
        return np.bincount(self.truth, minlength=self.probabilities.shape[1]) / max(len(self), 1)

    def take(self, index: NDArray[np.intp] | NDArray[np.bool_]) -> CalibrationSet:
        """The cells at ``index``."""
        return replace(
            self,
            probabilities=self.probabilities[index],
            truth=self.truth[index],
            distance=self.distance[index],
        )

    def to_bytes(self) -> bytes:
        """As a file of a bundle: safetensors, probabilities as float16 (a cell takes 2 k + 6 bytes)."""
        return save(
            {
                "probabilities": self.probabilities.astype(np.float16),
                "truth": self.truth.astype(np.int16),
                "distance": self.distance.astype(np.float32),
                "at_random": np.array([self.at_random], np.uint8),
                "cross_validated": np.array([self.cross_validated], np.uint8),
            }
        )

    @classmethod
    def from_bytes(cls, content: bytes) -> CalibrationSet:
        """What :meth:`to_bytes` wrote, rows brought back to a sum of one.

        Raises
        ------
        BundleError
            The content is no such file.
        """
        try:
            arrays = load(content)
            probabilities = arrays["probabilities"].astype(np.float32)
            probabilities /= probabilities.sum(axis=1, keepdims=True)
            truth, distance = arrays["truth"].astype(np.int64), arrays["distance"].astype(np.float32)
            # files before these were kept are of cells that a training held back
            at_random = bool(arrays.get("at_random", np.ones(1)).all())
            return cls(
                probabilities,
                truth,
                distance,
                at_random,
                bool(arrays.get("cross_validated", np.zeros(1)).any()),
            )
        except (SafetensorError, KeyError, ValueError) as err:
            raise BundleError(
                f"The calibration cells ({FILE}) cannot be read ({err}); get the bundle again."
            ) from err
