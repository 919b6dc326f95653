"""What the bundle of a classifier is made of, computed from networks in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from io import BytesIO

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import load, save
from torch import nn

from napari_deepheme.classify.bundle import Conformal, NetworkFacts, OutOfDistribution, Review
from napari_deepheme.classify.ensemble import Ensemble
from napari_deepheme.classify.network import build_network
from napari_deepheme.classify.ood import OodReference
from napari_deepheme.models.bundle import test_image
from napari_deepheme.models.device import Precision
from napari_deepheme.models.spec import Architecture, HashedFile, SelfTest
from napari_deepheme.stats import calibration
from napari_deepheme.stats.calibration_set import FILE as CELLS_FILE
from napari_deepheme.stats.calibration_set import CalibrationSet
from napari_deepheme.stats.uncertainty import entropy

OOD_FILE = "novelty.safetensors"
SAME_CALLS = 0.99
"""Share of the calls that are to stay the same in bfloat16, or a bundle is not said to bear it."""
WITHIN = 0.99
"""Share of the cells held back that are to lie within the threshold of the distance."""

Weights = Mapping[str, torch.Tensor]


@dataclass(frozen=True, slots=True)
class Promises:
    """What the thresholds are to keep: error without review, how surely, and coverage of conformal sets."""

    risk: float
    confidence: float
    coverage: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """Temperature after averaging, and the thresholds of the probabilities it gives."""

    temperature: float
    review: Review
    conformal: Conformal


def calibrate(
    members: NDArray[np.floating],
    truth: NDArray[np.integer],
    promises: Promises,
    *,
    temperature: float | None = None,
) -> Calibration:
    """Fit temperature, unless it is given, then review and conformal threshold.

    Parameters
    ----------
    members : ndarray, shape (m, n, k)
        Probabilities of cells the members did not learn from.
    truth : ndarray, shape (n,)
        Class indices.
    promises : Promises
    temperature : float, optional
    """
    if temperature is None:
        temperature = calibration.fit_temperature(members, truth)
    mean = calibration.pool(members, temperature)
    review = calibration.review_threshold(
        entropy(mean.astype(np.float64)), mean.argmax(1) == truth, promises.risk, promises.confidence
    )
    enters = calibration.conformal_threshold(mean, truth, promises.coverage)
    return Calibration(
        temperature,
        Review(threshold=review, risk=promises.risk, confidence=promises.confidence),
        Conformal(threshold=enters, coverage=promises.coverage),
    )


def pooled(
    members: NDArray[np.floating], distance: NDArray[np.floating], temperature: float, farthest: float
) -> NDArray[np.float32]:
    """Calibrated probabilities (n, k); the temperature never sharpens those of cells beyond ``farthest``."""
    return calibration.pool(members, np.where(distance > farthest, max(temperature, 1.0), temperature))


def ood_entry(reference: OodReference, threshold: float) -> tuple[dict[str, bytes], OutOfDistribution]:
    """The reference as a file of the bundle, and its entry in the description."""
    content = reference.to_bytes()
    digest = sha256(content).hexdigest()
    return {OOD_FILE: content}, OutOfDistribution(
        file=OOD_FILE, sha256=digest, threshold=threshold, quantile=WITHIN
    )


def cells_entry(cells: CalibrationSet) -> tuple[dict[str, bytes], HashedFile]:
    """The calibration cells as a file of the bundle, and its entry in the description."""
    content = cells.to_bytes()
    return {CELLS_FILE: content}, HashedFile(file=CELLS_FILE, sha256=sha256(content).hexdigest())


def packed(weights: Weights) -> bytes:
    """Weights as a bundle holds them: float16."""
    return save(
        {
            name: (value.half() if value.is_floating_point() else value).contiguous()
            for name, value in weights.items()
        }
    )


def unpacked(architecture: Architecture, classes: int, content: bytes) -> nn.Module:
    """The network of a member's file; RuntimeError if the weights are of another one."""
    network = build_network(architecture, classes)
    weights = load(content)
    network.load_state_dict({n: v.float() if v.is_floating_point() else v for n, v in weights.items()})
    return network


def tested(ensemble: Ensemble, temperature: float) -> tuple[dict[str, bytes], SelfTest]:
    """The test image, and what networks say of it, so that other builds can be held to it."""
    files, entry = test_image(ensemble.facts.input_px, outputs=1)
    image = np.array(Image.open(BytesIO(files[entry.image])).convert("RGB"), np.uint8)
    return files, entry.model_copy(update={"expected": ensemble.test_values(image, temperature)})


def bears_bf16(
    networks: Sequence[nn.Module],
    facts: NetworkFacts,
    crops: NDArray[np.uint8],
    calls: NDArray[np.integer],
) -> bool:
    """Whether ``calls``, those of float32, stay the same in bfloat16."""
    rough = Ensemble.from_networks(networks, facts, precision=Precision.BF16)
    members, _ = rough.outputs(crops)
    return bool((members.mean(axis=0).argmax(axis=1) == calls).mean() >= SAME_CALLS)
