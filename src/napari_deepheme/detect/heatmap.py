"""The learned detector: peaks of a heatmap that a small network draws."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from io import BytesIO

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image as Picture
from scipy.spatial import cKDTree
from torch.nn.functional import max_pool2d, pad

from napari_deepheme.detect.base import Detections, Image
from napari_deepheme.detect.bundle import DetectorBundle
from napari_deepheme.detect.network import COARSEST, STRIDE, HeatmapNetwork, fused
from napari_deepheme.detect.white import DEFAULT_WHITE, white_of
from napari_deepheme.device import Device, has_bf16, torch_device
from napari_deepheme.errors import BundleError
from napari_deepheme.weights import fill

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
    checked : bool
        Whether the self-test must pass; only who makes a bundle goes without.

    Raises
    ------
    BundleError
        The weights do not fit, or the self-test image does not give the expected heatmap.
    OptionError
        The device is not there.
    """

    def __init__(self, bundle: DetectorBundle, device: Device = Device.AUTO, *, checked: bool = True) -> None:
        self.spec = bundle.spec
        self.white = DEFAULT_WHITE
        self.device = torch_device(device)
        self._network = _load_network(bundle, self.device)
        self._bf16 = has_bf16(self.device)
        shape = (1, 3, 1, 1)
        self._mean = torch.tensor(self.spec.mean, device=self.device).view(shape)
        self._std = torch.tensor(self.spec.std, device=self.device).view(shape)
        if checked:
            self._self_test(bundle)

    @property
    def mpp(self) -> float:
        """µm/px of the images it wants."""
        return self.spec.mpp

    @property
    def halo_um(self) -> float:
        """How far around a cell it looks."""
        return _HALO_UM

    def adapt(self, samples: Sequence[Image]) -> HeatmapDetector:
        """The detector with the white of a slide, from fields of it."""
        adapted = copy(self)
        adapted.white = white_of(samples)
        return adapted

    def detect(self, image: Image) -> Detections:
        """Cells of an RGB image at the detector's µm/px."""
        heat, log_diameter = self.heatmap(image)
        peaks = torch.nonzero((heat == _highest_near(heat)) & (heat >= self.spec.threshold))
        index = peaks.T.cpu().numpy()
        values, sizes = heat.cpu().numpy(), log_diameter.cpu().numpy()
        found = Detections(
            yx=(index.T + _within_pixel(values, index)) * STRIDE + (STRIDE - 1) / 2,
            diameter_um=np.exp(sizes[index[0], index[1]]),
            score=values[index[0], index[1]],
        )
        return found.take(_strongest(found, self.mpp))

    @torch.inference_mode()
    def heatmap(self, image: Image) -> tuple[torch.Tensor, torch.Tensor]:
        """Probability of a centre (0–1) and logarithm of the diameter (µm), at half the image's resolution.

        Parameters
        ----------
        image : ndarray of uint8, shape (h, w, 3)

        Returns
        -------
        tuple of Tensor of float32, shape (ceil(h / 2), ceil(w / 2))
        """
        height, width = image.shape[:2]
        # a copy, for torch does not take read-only arrays
        pixels = torch.tensor(image, device=self.device).permute(2, 0, 1)[None].float()
        white = torch.tensor(self.white, device=self.device).view(1, 3, 1, 1)
        pixels = torch.minimum(pixels, white).mul_(1 / (white * self._std)).sub_(self._mean / self._std)
        if width % COARSEST or height % COARSEST:
            pixels = pad(pixels, (0, -width % COARSEST, 0, -height % COARSEST), mode="replicate")
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self._bf16):
            outputs = self._network(pixels.contiguous(memory_format=torch.channels_last))[0].float()
        outputs = outputs[:, : -(-height // STRIDE), : -(-width // STRIDE)]
        return outputs[0].sigmoid(), outputs[1]

    def test_values(self, image: Image) -> tuple[float, ...]:
        """What the self-test compares: the heatmap's highest value in each of sixteen squares."""
        heat = self.heatmap(image)[0].cpu().numpy()
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


def _load_network(bundle: DetectorBundle, device: torch.device) -> HeatmapNetwork:
    network = HeatmapNetwork(bundle.spec.architecture, bundle.spec.width)
    fill(network, bundle, bundle.spec.members[0])
    return fused(network.eval()).to(device).to(memory_format=torch.channels_last)


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
