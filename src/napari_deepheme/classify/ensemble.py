"""Runs every member of a bundle over batches of crops."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.nn.functional import interpolate, pad

from napari_deepheme.cells import Predictions
from napari_deepheme.classify.bundle import Bundle, Head
from napari_deepheme.classify.network import features_and_logits, load_member
from napari_deepheme.classify.ood import OodReference
from napari_deepheme.classify.stain import StainColours, stain_colours, stain_maps
from napari_deepheme.errors import BundleError
from napari_deepheme.models.device import Device, Precision
from napari_deepheme.models.runner import Runner
from napari_deepheme.stats.calibration import pool
from napari_deepheme.stats.prior import class_prior, with_prior

_SELF_TEST_TOLERANCE = 0.02


class Ensemble:
    """The members of a bundle, ready to predict.

    Parameters
    ----------
    bundle : Bundle
    device : Device
        ``auto`` takes CUDA, then MPS, then the CPU.
    precision : Precision
        ``auto`` takes bfloat16 where it is fast, if the bundle says that its calls bear it.
    batch_size : int
        Crops per pass, on the CPU of each core; halved for good when the device runs out of memory.
    checked : bool
        Whether the self-test must pass; only who makes a bundle goes without.

    Raises
    ------
    BundleError
        The weights do not fit, or the self-test image does not give the expected probabilities.
    OptionError
        The device is not there, or cannot reckon in that precision.
    """

    def __init__(
        self,
        bundle: Bundle,
        device: Device = Device.AUTO,
        precision: Precision = Precision.AUTO,
        batch_size: int = 64,
        *,
        checked: bool = True,
    ) -> None:
        self.spec = bundle.spec
        self._inference = Runner(
            device, precision, batch_size * self.spec.input_px**2, bears_bf16=self.spec.bf16
        )
        self.device = self._inference.device
        self._members = [load_member(bundle, member, self.device) for member in bundle.spec.members]
        self._stain: StainColours | None = None
        self.mixture: NDArray[np.float64] | None = None
        """Share of each class that calls reckon with; None: as learned."""
        self._novelty = None
        if self.spec.ood is not None:
            self._novelty = OodReference.from_bytes(bundle.read(self.spec.ood.file))
        shape = (1, 3, 1, 1)
        self._mean = torch.tensor(self.spec.mean, device=self.device).view(shape)
        self._std = torch.tensor(self.spec.std, device=self.device).view(shape)
        if checked:
            self._self_test(bundle)

    @property
    def batch_size(self) -> int:
        """Crops per pass."""
        return self._inference.batch_px // self.spec.input_px**2

    def match_stain(self, crops: NDArray[np.uint8]) -> bool:
        """Take crops from now on in the colours the model was trained on.

        Parameters
        ----------
        crops : ndarray of uint8, shape (n, input_px, input_px, 3)
            Cells of the slide that is to be classified.

        Returns
        -------
        bool
            False, and colours are taken as they are, if the crops do not show those of the slide or the
            model has none to match.
        """
        self._stain = stain_colours(crops) if self.spec.stain else None
        return self._stain is not None

    def match_prior(self, crops: NDArray[np.uint8]) -> None:
        """Reckon from now on with the classes of a slide, as often as they occur on it.

        Parameters
        ----------
        crops : ndarray of uint8, shape (n, input_px, input_px, 3)
            Cells from all over the slide that is to be classified. Nothing changes if there are none, or if
            the model does not know the mixture it learned from.
        """
        self.mixture = None
        if self.spec.class_prior is not None and len(crops):
            self.mixture = class_prior(self.predict(crops).mean, np.array(self.spec.class_prior))

    def predict(self, crops: NDArray[np.uint8]) -> Predictions:
        """Probabilities for RGB crops.

        Parameters
        ----------
        crops : ndarray of uint8, shape (n, input_px, input_px, 3)
            At the bundle's µm/px.
        """
        members, features = self._outputs(crops)
        distance = np.full(len(crops), np.nan, np.float32)
        if self._novelty is not None:
            distance = self._novelty.distance(features)
        mean = pool(members, self._temperatures(distance))
        if self.mixture is not None:
            learned = np.array(self.spec.class_prior)
            members, mean = (
                with_prior(each, self.mixture, learned).astype(np.float32) for each in (members, mean)
            )
        return Predictions(members, mean, distance)

    def _temperatures(self, distance: NDArray[np.float32]) -> NDArray[np.float64]:
        """The bundle's; cells unlike those that earned it are not made surer than the members are."""
        temperature = self.spec.temperature
        farthest = np.inf if self.spec.ood is None else self.spec.ood.threshold
        return np.where(distance > farthest, max(temperature, 1.0), temperature)

    def features(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """What each member makes of crops before its last layer, shape (m, n, d)."""
        return self._outputs(crops)[1]

    def _outputs(self, crops: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Probabilities (m, n, k) and features (m, n, d)."""
        parts = self._inference.run(crops, self._batch)
        probabilities, features = (np.concatenate(each, axis=1) for each in zip(*parts, strict=True))
        return probabilities, features

    def _batch(self, crops: torch.Tensor) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        images = (self._in_colours_known(crops) - self._mean) / self._std
        sizes = self.spec.views
        views = torch.cat([_view(images, size, number) for number, size in enumerate(sizes)])
        with self._inference.autocast():
            outputs = [features_and_logits(member, views) for member in self._members]
        features, logits = (
            torch.stack(each).float().view(len(each), len(sizes), len(images), each[0].shape[1])
            for each in zip(*outputs, strict=True)
        )
        probabilities = self._probabilities(logits).mean(dim=1)
        return probabilities.cpu().numpy(), features.mean(dim=1).cpu().numpy()

    def _in_colours_known(self, crops: torch.Tensor) -> torch.Tensor:
        """Crops (n, 3, p, p) of uint8 as the model is to see them, 0 to 1."""
        if self._stain is None or self.spec.stain is None:
            return crops.float() / 255
        seen = crops.permute(0, 2, 3, 1).cpu().numpy()
        maps = torch.from_numpy(stain_maps(seen, self._stain, self.spec.stain)).to(self.device)
        # in place, for new arrays of this size take longer than what is reckoned in them
        density = crops.float().flatten(2).add_(1).div_(256).log_().neg_()
        light = torch.baddbmm(maps[..., 3:], maps[..., :3], density).neg_().exp_()
        return light.mul_(256).sub_(1).div_(255).clamp_(0, 1).view(crops.shape)

    def _probabilities(self, logits: torch.Tensor) -> torch.Tensor:
        if self.spec.head is Head.SOFTMAX:
            return logits.softmax(dim=-1)
        # independent scores, brought to one sum; a softmax of them would flatten every difference
        scores = logits.sigmoid()
        return scores / scores.sum(dim=-1, keepdim=True)

    def test_values(self, image: NDArray[np.uint8]) -> tuple[float, ...]:
        """What the self-test compares: a crop's probabilities at the bundle's temperature."""
        members, _ = self._outputs(image[None])
        return tuple(pool(members, self.spec.temperature)[0].tolist())

    def _self_test(self, bundle: Bundle) -> None:
        image = Image.open(BytesIO(bundle.read(self.spec.self_test.image))).convert("RGB")
        values = self.test_values(np.array(image, np.uint8))
        gap = float(np.abs(np.array(values) - np.array(self.spec.self_test.expected)).max())
        if not gap <= _SELF_TEST_TOLERANCE:
            raise BundleError(
                f"Model bundle {bundle.root}: on {self.device} the self-test differs from the expected "
                f"probabilities by {gap:.3f} (at most {_SELF_TEST_TOLERANCE} is allowed); "
                "try another device or another build of torch."
            )


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
