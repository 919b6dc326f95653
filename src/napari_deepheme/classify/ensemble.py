"""Runs every member of a bundle over batches of crops."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import replace
from functools import partial
from io import BytesIO

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn
from torch.nn.functional import interpolate, pad

from napari_deepheme.cells import RawOutputs
from napari_deepheme.classify.bundle import Bundle, Head, NetworkFacts
from napari_deepheme.classify.cascade import Settling, ask_in_turn
from napari_deepheme.classify.network import features_and_logits, load_member
from napari_deepheme.classify.ood import OodReference
from napari_deepheme.classify.stain import StainColours, StainMatching, stain_map
from napari_deepheme.errors import BundleError
from napari_deepheme.models.device import Backend, Device, Precision
from napari_deepheme.models.openvino import Answer, OpenVinoNetwork, check_openvino
from napari_deepheme.models.runner import Runner
from napari_deepheme.models.weights import fused
from napari_deepheme.stats.calibration import pool

_SELF_TEST_TOLERANCE = 0.02


class Ensemble:
    """The members of a bundle, ready to run; nothing of a slide is kept in it.

    Parameters
    ----------
    bundle : Bundle
    device : Device
        ``auto`` takes CUDA, then MPS, then the CPU.
    precision : Precision
        ``auto`` takes bfloat16 where it is fast, if the bundle says that its calls bear it.
    batch_size : int
        Crops per pass on each core of the CPU (see :class:`~napari_deepheme.models.runner.Runner`).
    backend : Backend
        What computes the networks.
    checked : bool
        Whether the self-test must pass; only who makes a bundle goes without.

    Raises
    ------
    BundleError
        The weights do not fit, or the self-test image does not give the expected probabilities.
    OptionError
        The device is not there, or cannot compute in that precision or with that back end.
    """

    def __init__(
        self,
        bundle: Bundle,
        device: Device = Device.AUTO,
        precision: Precision = Precision.AUTO,
        batch_size: int = 16,
        *,
        backend: Backend = Backend.TORCH,
        checked: bool = True,
    ) -> None:
        spec = bundle.spec
        runner = Runner(device, precision, batch_size * spec.input_px**2, bears_bf16=spec.bf16)
        if backend is Backend.OPENVINO:
            check_openvino(runner.device)
        networks = (load_member(bundle, member, runner.device) for member in spec.members)
        members = [_answering(network, spec.input_px, runner.dtype, backend) for network in networks]
        ood = None if spec.ood is None else OodReference.from_bytes(bundle.read(spec.ood.file))
        self._fill(NetworkFacts.of(spec), runner, members, ood)
        if checked:
            self._self_test(bundle)

    @classmethod
    def from_networks(
        cls,
        networks: Sequence[nn.Module],
        facts: NetworkFacts,
        device: Device = Device.AUTO,
        precision: Precision = Precision.FP32,
        batch_size: int = 16,
        *,
        backend: Backend = Backend.TORCH,
    ) -> Ensemble:
        """An ensemble of networks in memory, for making a bundle of them.

        Parameters
        ----------
        networks : sequence of Module
            The members, filled with weights; taken over and fused.
        facts : NetworkFacts
        device, precision, batch_size, backend
            As for a bundle.
        """
        ensemble = cls.__new__(cls)
        runner = Runner(device, precision, batch_size * facts.input_px**2, bears_bf16=False)
        ready = (
            fused(network.eval()).to(runner.device).to(memory_format=torch.channels_last)
            for network in networks
        )
        members = [_answering(network, facts.input_px, runner.dtype, backend) for network in ready]
        ensemble._fill(facts, runner, members, None)
        return ensemble

    def _fill(
        self, facts: NetworkFacts, runner: Runner, members: Sequence[Answer], ood: OodReference | None
    ) -> None:
        self.facts, self.device = facts, runner.device
        self._runner, self._members, self._ood = runner, members, ood
        shape = (1, 3, 1, 1)
        self._mean = torch.tensor(facts.mean, device=self.device).view(shape)
        self._std = torch.tensor(facts.std, device=self.device).view(shape)

    def matching(self, matching: StainMatching) -> Ensemble:
        """The same networks, to which other views show the stain matched."""
        other = copy(self)
        other.facts = replace(self.facts, match_stain=matching)
        return other

    @property
    def full_batch(self) -> int:
        """Crops that keep every core busy; fewer at once take longer each."""
        return max(1, self._runner.full_px // self.facts.input_px**2)

    def run(
        self,
        crops: NDArray[np.uint8],
        stain: StainColours | None = None,
        settling: Settling | None = None,
    ) -> RawOutputs:
        """What the members say of RGB crops.

        Parameters
        ----------
        crops : ndarray of uint8, shape (n, input_px, input_px, 3)
            At the bundle's µm/px.
        stain : StainColours, optional
            Colours of the slide the crops are from: the views that the bundle says show them in the colours
            of the training cells then. Without them, or if the bundle does not say what its colours are,
            all views show them as they are.
        settling : Settling, optional
            When further members need not be asked of a cell; by default all are.
        """
        if settling is not None:
            return self._in_turn(crops, stain, settling)
        members, features = self.outputs(crops, stain)
        distance = np.full(len(crops), np.nan, np.float32)
        if self._ood is not None:
            distance = self._ood.distance(features)
        return RawOutputs(members.astype(np.float16), distance)

    def _in_turn(
        self, crops: NDArray[np.uint8], stain: StainColours | None, settling: Settling
    ) -> RawOutputs:
        def ask(member: int, cells: NDArray[np.intp]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
            (said,), (features,) = self._outputs(crops[cells], stain, self._members[member : member + 1])
            if self._ood is None:
                return said, np.full(len(cells), np.nan, np.float32)
            return said, self._ood.member_distance(member, features)

        return ask_in_turn(ask, len(self._members), len(crops), settling)

    def at_a_glance(self, crops: NDArray[np.uint8], stain: StainColours | None = None) -> RawOutputs:
        """What the first member says of its first view of crops; enough for shares of classes, not of a cell.

        The distances are NaN.
        """
        members, _ = self._outputs(crops, stain, self._members[:1], self.facts.views[:1])
        return RawOutputs(members.astype(np.float16), np.full(len(crops), np.nan, np.float32))

    def features(self, crops: NDArray[np.uint8], stain: StainColours | None = None) -> NDArray[np.float32]:
        """What each member makes of crops before its last layer, shape (m, n, d)."""
        return self.outputs(crops, stain)[1]

    def outputs(
        self, crops: NDArray[np.uint8], stain: StainColours | None = None
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Each member's probabilities (m, n, k) before any calibration, and its features (m, n, d)."""
        return self._outputs(crops, stain, self._members)

    def _outputs(
        self,
        crops: NDArray[np.uint8],
        stain: StainColours | None,
        members: Sequence[Answer],
        magnifications: Sequence[float] | None = None,
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        views = self.facts.views if magnifications is None else magnifications
        parts = self._runner.run(crops, partial(self._batch, stain, members, views))
        probabilities, features = (np.concatenate(each, axis=1) for each in zip(*parts, strict=True))
        return probabilities, features

    def views(self, crops: NDArray[np.uint8], stain: StainColours | None = None) -> torch.Tensor:
        """RGB crops as the networks take them, every view of all of them: shape (views × n, 3, p, p)."""
        images = torch.from_numpy(np.ascontiguousarray(crops)).to(self.device).permute(0, 3, 1, 2)
        return self._views(images, stain, self.facts.views)

    def _batch(
        self,
        stain: StainColours | None,
        members: Sequence[Answer],
        magnifications: Sequence[float],
        crops: torch.Tensor,
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        views = self._views(crops, stain, magnifications)
        with self._runner.autocast():
            outputs = [member(views) for member in members]
        features, logits = (
            torch.stack(each).float().view(len(each), len(magnifications), len(crops), each[0].shape[1])
            for each in zip(*outputs, strict=True)
        )
        probabilities = self._probabilities(logits).mean(dim=1)
        if not torch.isfinite(probabilities).all():
            raise BundleError(
                f"The model gives no number (NaN) for some cells, computed in {self._runner.dtype} on "
                f"{self.device}: try precision fp32 or another model, for its weights may be damaged."
            )
        return probabilities.cpu().numpy(), features.mean(dim=1).cpu().numpy()

    def _views(
        self, crops: torch.Tensor, stain: StainColours | None, magnifications: Sequence[float]
    ) -> torch.Tensor:
        matching = StainMatching.NONE if stain is None else self.facts.match_stain
        matched = [matching.of_view(i) for i in range(len(magnifications))]
        shown = {
            each: (self._in_training_colours(crops, stain if each else None) - self._mean) / self._std
            for each in set(matched)
        }
        views = zip(matched, magnifications, strict=True)
        return torch.cat([_view(shown[each], size, i) for i, (each, size) in enumerate(views)])

    def _in_training_colours(self, crops: torch.Tensor, stain: StainColours | None) -> torch.Tensor:
        """Crops (n, 3, p, p) of uint8 as the model is to see them, 0 to 1."""
        if stain is None or self.facts.stain is None:
            return crops.float() / 255
        turn = torch.from_numpy(stain_map(stain, self.facts.stain)).to(self.device)
        # in place: allocating arrays of this size takes longer than the arithmetic
        density = crops.float().flatten(2).add_(1).div_(256).log_().neg_()
        light = torch.matmul(turn[:, :3], density).add_(turn[:, 3:]).neg_().exp_()
        return light.mul_(256).sub_(1).div_(255).clamp_(0, 1).view(crops.shape)

    def _probabilities(self, logits: torch.Tensor) -> torch.Tensor:
        if self.facts.head is Head.SOFTMAX:
            return logits.softmax(dim=-1)
        # independent scores, brought to one sum; a softmax of them would flatten every difference
        scores = logits.sigmoid()
        return scores / scores.sum(dim=-1, keepdim=True)

    def test_values(self, image: NDArray[np.uint8], temperature: float) -> tuple[float, ...]:
        """What the self-test compares: a crop's probabilities at a temperature."""
        members, _ = self.outputs(image[None])
        return tuple(pool(members, temperature)[0].tolist())

    def _self_test(self, bundle: Bundle) -> None:
        test = bundle.spec.self_test
        image = Image.open(BytesIO(bundle.read(test.image))).convert("RGB")
        values = self.test_values(np.array(image, np.uint8), bundle.spec.temperature)
        gap = float(np.abs(np.array(values) - np.array(test.expected)).max())
        if not gap <= _SELF_TEST_TOLERANCE:
            raise BundleError(
                f"Model bundle {bundle.root}: on {self.device} the self-test differs from the expected "
                f"probabilities by {gap:.3f} (at most {_SELF_TEST_TOLERANCE} is allowed); "
                "try another device or another build of torch."
            )


def _answering(network: nn.Module, side_px: int, dtype: torch.dtype, backend: Backend) -> Answer:
    if backend is Backend.OPENVINO:
        return OpenVinoNetwork(network, features_and_logits, side_px, dtype)
    return partial(features_and_logits, network)


def _view(images: torch.Tensor, magnification: float, number: int) -> torch.Tensor:
    """Images (n, 3, p, p) enlarged about their middle, the edge repeated beyond it, and turned over."""
    px = images.shape[-1]
    side = 2 * round(px * magnification / 2)
    if side != px:
        images = interpolate(images, size=(side, side), mode="bilinear", antialias=side < px)
    if side < px:
        images = pad(images, ((px - side) // 2,) * 4, mode="replicate")
    elif side > px:
        inner = slice((side - px) // 2, (side + px) // 2)
        images = images[..., inner, inner]
    turned = (images, images.flip(3), images.flip(2), images.transpose(2, 3))[number % 4]
    return turned.contiguous(memory_format=torch.channels_last)  # what networks are fastest on
