"""Nucleated cells from the stain alone: fast, without a network, for thin films."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree
from skimage.measure import regionprops_table
from skimage.morphology import remove_small_objects
from skimage.segmentation import watershed

from napari_deepheme.detect.base import (
    UNMEASURED,
    Detections,
    DetectionThresholds,
    DetectorCalibration,
    Image,
)
from napari_deepheme.detect.choose import STAIN
from napari_deepheme.detect.white import DEFAULT_WHITE, White, white_of

Absorbance = NDArray[np.float32]
Labels = NDArray[np.int32]
Pairs = NDArray[np.intp]

"""Name of the detector that needs no network."""

_LEAST_SCORE = 0.5  # what scores less has the size of a platelet, or no contrast
# share of the red absorbance that nuclei reach in blue; red cells, however thick, lie above
_BLUE = 0.78
# absorbance of anything stained, and of the nuclei of the palest stains
_STAINED, _NUCLEAR, _FEWEST_PX = 0.07, 0.13, 40
_SMOOTHING_UM = 1.2
# a nucleus narrower than this, relative to its parts, is two that touch
_WAIST = 0.85
# the lobes of a granulocyte against the smallest nuclei that lie side by side
_LOBE_DISTANCE_UM, _LOBE_UM2, _NUCLEUS_UM2 = 8.0, 40.0, 90.0


class StainDetector:
    """The detector that needs no network."""

    name = STAIN
    mpp = 0.5
    halo_um = 24.0  # one large cell
    batch_px = 0
    thresholds = DetectionThresholds(_LEAST_SCORE, _LEAST_SCORE)

    def calibrate(self, samples: Sequence[Image]) -> DetectorCalibration:
        """White, and half the absorbance of nuclei, from fields of the slide."""
        nuclei = NuclearStain(mpp=self.mpp).fitted(samples)
        return DetectorCalibration(nuclei.white, nuclei.threshold)

    def detect(
        self, images: Sequence[Image], calibration: DetectorCalibration = UNMEASURED
    ) -> list[Detections]:
        """Cells of RGB images at the detector's µm/px."""
        nuclei = NuclearStain(calibration.white, calibration.nuclear, self.mpp)
        return [nuclei.cells(image) for image in images]


@dataclass(frozen=True, slots=True)
class NuclearStain:
    """Nuclei are where much more red than blue light is absorbed; red cells absorb blue.

    Parameters
    ----------
    white : tuple of float
        RGB of the empty background, 0–255.
    threshold : float
        Nuclear absorbance (see :meth:`absorbance`) from which a pixel belongs to a nucleus.
    mpp : float
        µm/px of the images.
    """

    white: White = DEFAULT_WHITE
    threshold: float = 0.22
    mpp: float = 0.5

    def fitted(self, samples: Sequence[Image]) -> NuclearStain:
        """With the white and half the nuclear absorbance of a slide's fields; without samples, unchanged."""
        if not samples:
            return self
        fitted = replace(self, white=white_of(samples))
        fields = map(fitted.absorbance, samples)
        stained = np.concatenate([field[field > _STAINED] for field in fields])
        level = float(np.percentile(stained, 90)) if len(stained) >= _FEWEST_PX else 0.0
        if level < _NUCLEAR:
            return fitted  # no nucleus among the samples
        return replace(fitted, threshold=float(np.clip(level / 2, 0.08, 0.25)))

    def absorbance(self, image: Image) -> Absorbance:
        """Optical density in red less half of that in blue, smoothed; 0 where blue is absorbed as well."""
        red, blue = (
            ndimage.gaussian_filter(
                np.log10(self.white[c] / np.clip(image[..., c].astype(np.float32), 1.0, self.white[c])),
                0.4 / self.mpp,
            )
            for c in (0, 2)
        )
        field: Absorbance = np.where(blue < _BLUE * red, red - 0.5 * blue, 0.0)
        return field

    def cells(self, image: Image) -> Detections:
        """Cells of one RGB image."""
        absorbed = self.absorbance(image)
        nuclei = remove_small_objects(absorbed > self.threshold, max_size=int(2.0 / self.mpp**2))
        nuclei = ndimage.binary_fill_holes(nuclei)
        cells = self._labelled(nuclei)
        table = regionprops_table(cells, absorbed, properties=("bbox", "area", "intensity_mean"))
        area_um2 = table["area"] * self.mpp**2
        found = Detections(
            # the middle of a bent nucleus's box is nearer the cell's own than its centre of mass is
            yx=np.stack([table[f"bbox-{i}"] + table[f"bbox-{i + 2}"] - 1 for i in (0, 1)], axis=1) / 2,
            diameter_um=np.sqrt(area_um2 * 4 / np.pi).astype(np.float32),
            score=_score(area_um2, table["intensity_mean"] / self.threshold),
        )
        return found.take(np.flatnonzero(found.score >= _LEAST_SCORE))

    def _labelled(self, nuclei: NDArray[np.bool_]) -> Labels:
        """Labels of cells: the lobes of one nucleus together, touching nuclei apart."""
        density = ndimage.gaussian_filter(nuclei.astype(np.float32), _SMOOTHING_UM / self.mpp)
        peaks = (ndimage.maximum_filter(density, size=2 * round(1.0 / self.mpp) + 1) == density) & nuclei
        markers, n = ndimage.label(peaks, structure=np.ones((3, 3)))
        lobes: Labels = watershed(-density, markers, mask=nuclei)
        if n < 2:
            return lobes
        lobes = _join(lobes, n, self._without_a_waist(lobes, density, n))
        n = int(lobes.max())
        return _join(lobes, n, self._lobes_of_one(lobes, n))

    def _without_a_waist(self, lobes: Labels, density: Absorbance, n: int) -> Pairs:
        """Neighbours between which the nucleus is about as wide as they are."""
        peak = ndimage.maximum(density, lobes, np.arange(n + 1))
        pairs, passes = [], []
        for first, second in (
            ((slice(None, -1), slice(None)), (slice(1, None), slice(None))),
            ((slice(None), slice(None, -1)), (slice(None), slice(1, None))),
        ):
            a, b = lobes[first], lobes[second]
            border = (a != b) & (a > 0) & (b > 0)
            pairs.append(np.stack([a[border], b[border]], axis=1))
            passes.append(np.minimum(density[first], density[second])[border])
        pair, saddle = np.concatenate(pairs), np.concatenate(passes)
        joined: Pairs = pair[saddle > _WAIST * peak[pair].min(axis=1)]
        return joined

    def _lobes_of_one(self, lobes: Labels, n: int) -> Pairs:
        """Parts near each other that are too small for two nuclei."""
        index = np.arange(1, n + 1)
        area = ndimage.sum_labels(np.ones_like(lobes), lobes, index) * self.mpp**2
        centre = np.array(ndimage.center_of_mass(np.ones_like(lobes), lobes, index)) * self.mpp
        pair = cKDTree(centre).query_pairs(_LOBE_DISTANCE_UM, output_type="ndarray")
        small = (area[pair].min(axis=1) < _LOBE_UM2) & (area[pair].sum(axis=1) < _NUCLEUS_UM2)
        joined: Pairs = pair[small] + 1
        return joined


def _join(labels: Labels, n: int, pairs: Pairs) -> Labels:
    """Relabel so that every pair, and what it chains, is one."""
    graph = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(n + 1, n + 1))
    _, group = connected_components(graph, directed=False)
    # label 0, the background, is in no pair and comes first
    joined: Labels = group[labels].astype(np.int32)
    return joined


def _score(area_um2: NDArray[np.float64], contrast: NDArray[np.float64]) -> NDArray[np.float32]:
    """0.5 at the area (µm²) of the largest platelets and at hardly any contrast, towards 1 beyond."""
    size = 1 / (1 + np.exp(-(area_um2 - 13.0) / 3.0))
    dark = 1 / (1 + np.exp(-(contrast - 1.05) / 0.05))
    score: NDArray[np.float32] = np.minimum(size, dark).astype(np.float32)
    return score
