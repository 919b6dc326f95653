"""The learned detector: peaks of a heatmap that a small network draws."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from io import BytesIO

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image as Picture
from scipy.spatial import cKDTree
from torch import nn
from torch.nn.functional import max_pool2d

from napari_deepheme.detect.base import (
    LOWEST_SCORE,
    UNMEASURED,
    Detections,
    DetectionThresholds,
    DetectorCalibration,
    Image,
)
from napari_deepheme.detect.bundle import DetectorBundle
from napari_deepheme.detect.network import COARSEST, STRIDE, HeatmapNetwork
from napari_deepheme.detect.white import White, white_of
from napari_deepheme.errors import BundleError
from napari_deepheme.models.device import Device, Precision
from napari_deepheme.models.networks import without_weights
from napari_deepheme.models.runner import Runner
from napari_deepheme.models.weights import fill, fused

Heatmap = tuple[torch.Tensor, torch.Tensor]

_HALO_UM = 16.0  # what lies further away does not change what is found
# two peaks nearer than this share of the smaller cell's diameter are one cell
_ONE_CELL = 0.4
_PEAKS_APART = 5  # heatmap px, a window's side
_SELF_TEST_TOLERANCE = 0.02
_TESTED_SQUARES = 4


class HeatmapDetector:
    """Nucleated cells of any size, touching and overlapping ones apart.

    Parameters
    ----------
    bundle : DetectorBundle
    device : Device
        Where the network runs.
    precision : Precision
        ``auto`` takes bfloat16 where it is fast.
    batch_px : int
        Pixels that go through at once, of images of one size; of images that are larger, one at a time.
        Halved for good when the device runs out of memory.
    checked : bool
        Whether the self-test must pass; only who makes a bundle goes without.

    Raises
    ------
    BundleError
        The weights do not fit, or the self-test image does not give the expected heatmap.
    OptionError
        The device is not there, or cannot compute in that precision.
    """

    def __init__(
        self,
        bundle: DetectorBundle,
        device: Device = Device.AUTO,
        precision: Precision = Precision.AUTO,
        batch_px: int = 0,
        *,
        checked: bool = True,
    ) -> None:
        self.spec = bundle.spec
        self._runner = Runner(device, precision, batch_px, bears_bf16=True)
        self.device = self._runner.device
        self._network = _load_network(bundle, self.device)
        shape = (1, 3, 1, 1)
        self._mean = torch.tensor(self.spec.mean, device=self.device).view(shape)
        self._std = torch.tensor(self.spec.std, device=self.device).view(shape)
        if checked:
            self._self_test(bundle)

    @property
    def name(self) -> str:
        """Name and version of its bundle."""
        return f"{self.spec.name} {self.spec.version}"

    @property
    def mpp(self) -> float:
        """µm/px of the images it wants."""
        return self.spec.mpp

    @property
    def halo_um(self) -> float:
        """How far around a cell it looks."""
        return _HALO_UM

    @property
    def batch_px(self) -> int:
        """Pixels of the images that it wants at once."""
        return self._runner.batch_px

    @property
    def thresholds(self) -> DetectionThresholds:
        """Those of its bundle."""
        film, crowded = self.spec.threshold, self.spec.crowded_threshold
        return DetectionThresholds(film, film if crowded is None else crowded)

    def calibrate(self, samples: Sequence[Image]) -> DetectorCalibration:
        """The white of a slide, from fields of it."""
        return DetectorCalibration(white_of(samples))

    def detect(
        self, images: Sequence[Image], calibration: DetectorCalibration = UNMEASURED
    ) -> list[Detections]:
        """Finds of at least :data:`LOWEST_SCORE` in RGB images at the detector's µm/px."""
        return [self._peaks(*drawn) for drawn in self.heatmaps(images, calibration)]

    def _peaks(self, heat: torch.Tensor, log_diameter: torch.Tensor) -> Detections:
        peaks = torch.nonzero((heat == _highest_near(heat)) & (heat >= LOWEST_SCORE))
        index = peaks.T.cpu().numpy()
        values, sizes = heat.cpu().numpy(), log_diameter.cpu().numpy()
        found = Detections(
            yx=(index.T + _within_pixel(values, index)) * STRIDE + (STRIDE - 1) / 2,
            diameter_um=np.exp(sizes[index[0], index[1]]),
            score=values[index[0], index[1]],
        )
        return found.take(_strongest(found, self.mpp))

    def heatmaps(
        self, images: Sequence[Image], calibration: DetectorCalibration = UNMEASURED
    ) -> list[Heatmap]:
        """Probability of a centre (0–1) and logarithm of the diameter (µm), at half the images' resolution.

        Parameters
        ----------
        images : sequence of ndarray of uint8, shape (h, w, 3)
            Those of one size go through the network together.
        calibration : DetectorCalibration
            Of their slide.

        Returns
        -------
        list of tuple of Tensor of float32, shape (ceil(h / 2), ceil(w / 2))
        """
        padded = [np.pad(image, _to_multiples(image.shape), mode="edge") for image in images]
        by_size: dict[tuple[int, ...], list[int]] = {}
        for i, image in enumerate(padded):
            by_size.setdefault(image.shape, []).append(i)
        drawn: dict[int, Heatmap] = {}
        outputs_of = partial(self._outputs, calibration.white)
        for index in by_size.values():
            outputs = torch.cat(self._runner.run(np.stack([padded[i] for i in index]), outputs_of))
            for i, (heat, log_diameter) in zip(index, outputs, strict=True):
                rows, columns = (-(-side // STRIDE) for side in images[i].shape[:2])
                drawn[i] = heat[:rows, :columns].sigmoid(), log_diameter[:rows, :columns]
        return [drawn[i] for i in range(len(images))]

    def _outputs(self, background: White, pixels: torch.Tensor) -> torch.Tensor:
        white = torch.tensor(background, device=self.device).view(1, 3, 1, 1)
        pixels = (
            torch.minimum(pixels.float(), white).mul_(1 / (white * self._std)).sub_(self._mean / self._std)
        )
        with self._runner.autocast():
            outputs: torch.Tensor = self._network(pixels.contiguous(memory_format=torch.channels_last))
        return outputs.float()

    def test_values(self, image: Image) -> tuple[float, ...]:
        """What the self-test compares: the heatmap's highest value in each of sixteen squares."""
        heat = self.heatmaps([image])[0][0].cpu().numpy()
        rows = np.array_split(heat, _TESTED_SQUARES)
        return tuple(
            float(part.max()) for row in rows for part in np.array_split(row, _TESTED_SQUARES, axis=1)
        )

    def _self_test(self, bundle: DetectorBundle) -> None:
        test = self.spec.self_test
        image = np.array(Picture.open(BytesIO(bundle.read(test.image))).convert("RGB"), np.uint8)
        values = self.test_values(image)
        gap = max((abs(a - b) for a, b in zip(values, test.expected, strict=False)), default=np.inf)
        if len(values) != len(test.expected) or not gap <= _SELF_TEST_TOLERANCE:
            raise BundleError(
                f"Model bundle {bundle.root}: on {self.device} the self-test differs from the expected "
                f"heatmap by {gap:.3f} (at most {_SELF_TEST_TOLERANCE} is allowed); "
                "try another device or another build of torch."
            )


def _load_network(bundle: DetectorBundle, device: torch.device) -> nn.Module:
    with without_weights(bundle.spec.architecture):
        network = HeatmapNetwork(bundle.spec.architecture, bundle.spec.width)
    fill(network, bundle, bundle.spec.members[0])
    return fused(network.eval()).to(device).to(memory_format=torch.channels_last)


def _to_multiples(shape: tuple[int, ...]) -> list[tuple[int, int]]:
    """Rows and columns to add so that the network can halve an image four times."""
    return [(0, -shape[0] % COARSEST), (0, -shape[1] % COARSEST), (0, 0)]


def _highest_near(heat: torch.Tensor) -> torch.Tensor:
    return max_pool2d(heat[None, None], _PEAKS_APART, stride=1, padding=_PEAKS_APART // 2)[0, 0]


def _within_pixel(heat: NDArray[np.float32], index: NDArray[np.int64]) -> NDArray[np.float64]:
    """How far each peak lies from the middle of its pixel: the vertex of a parabola, per axis (n, 2)."""
    offsets = np.zeros((index.shape[1], 2))
    for axis in (0, 1):
        step = np.eye(2, dtype=np.int64)[axis][:, None]
        before, after = (
            heat[tuple(np.clip(index + side * step, 0, np.array(heat.shape)[:, None] - 1))]
            for side in (-1, 1)
        )
        curvature = before + after - 2 * heat[tuple(index)]
        slope = (before - after) / 2
        offsets[:, axis] = np.clip(
            np.where(curvature < 0, slope / np.minimum(curvature, -1e-6), 0), -0.5, 0.5
        )
    return offsets


def _strongest(found: Detections, mpp: float) -> NDArray[np.intp]:
    """Those with no stronger one within the same cell."""
    order = np.argsort(-found.score, kind="stable")
    rank = np.empty(len(order), int)
    rank[order] = np.arange(len(order))
    places = found.yx * mpp
    reach = _ONE_CELL * float(found.diameter_um.max(initial=0.0))
    kept = np.ones(len(order), bool)
    pairs = (
        cKDTree(places).query_pairs(reach, output_type="ndarray") if len(order) > 1 else np.empty((0, 2), int)
    )
    apart = np.hypot(*(places[pairs[:, 0]] - places[pairs[:, 1]]).T)
    near = pairs[apart < _ONE_CELL * found.diameter_um[pairs].min(axis=1)]
    first, second = (
        near[np.arange(len(near)), rank[near].argmin(axis=1)],
        near[np.arange(len(near)), rank[near].argmax(axis=1)],
    )
    for strong, weak in sorted(zip(first, second, strict=True), key=lambda pair: rank[pair[0]]):
        if kept[strong]:
            kept[weak] = False
    return np.flatnonzero(kept)
