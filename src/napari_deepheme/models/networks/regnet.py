"""RegNetX and RegNetY at 200 million multiplications (Radosavovic et al. 2020, arXiv:2003.13678)."""

from __future__ import annotations

import torch
from torch import nn

from napari_deepheme.models.networks.layers import Classifier, NormAct, initialise_convolutions, zero_weights

_STEM, _GROUP = 32, 8
_WIDTHS, _DEPTHS = (24, 56, 152, 368), (1, 1, 4, 7)
_ENCODING = 3  # stages, which end at 4, 8 and 16 px
_IMAGENET = (
    1000  # classes of the network an encoder is cut out of: initial weights are drawn as for the whole
)


class RegNet(Classifier):
    """A network that classifies images.

    Parameters
    ----------
    outputs : int
    squeeze : bool
        Whether blocks weight their channels by what all of the image shows (RegNetY), or not (RegNetX).
    """

    def __init__(self, outputs: int, *, squeeze: bool) -> None:
        super().__init__(last="head.fc")
        self.stem = _ConvNormAct(3, _STEM, kernel=3, stride=2)
        self.s1, self.s2, self.s3, self.s4 = (
            _stage(inputs, width, depth, squeeze=squeeze)
            for inputs, width, depth in zip((_STEM, *_WIDTHS[:-1]), _WIDTHS, _DEPTHS, strict=True)
        )
        self.head = nn.ModuleDict({"fc": nn.Linear(_WIDTHS[-1], outputs)})
        self.initialise()

    def forward_features(self, images: torch.Tensor) -> torch.Tensor:
        """Features (n, 368, h / 32, w / 32) of images (n, 3, h, w)."""
        features: torch.Tensor = self.s4(self.s3(self.s2(self.s1(self.stem(images)))))
        return features

    def _draw_weights(self) -> None:
        initialise_convolutions(self)
        last = self.head["fc"]
        nn.init.normal_(last.get_parameter("weight"), std=0.01)
        nn.init.zeros_(last.get_parameter("bias"))
        zero_weights(block.conv3.bn for block in self.modules() if isinstance(block, _Block))


class RegNetEncoder(nn.Module):
    """The first stages of a :class:`RegNet`, for a decoder to build on.

    Attributes
    ----------
    channels : tuple of int
        Of the features at 4, 8 and 16 px.
    """

    channels = _WIDTHS[:_ENCODING]

    def __init__(self, *, squeeze: bool) -> None:
        super().__init__()
        whole = RegNet(_IMAGENET, squeeze=squeeze)
        self.stem, self.s1, self.s2, self.s3 = whole.stem, whole.s1, whole.s2, whole.s3

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        """Features of images (n, 3, h, w), finest first."""
        fine = self.s1(self.stem(images))
        middle = self.s2(fine)
        return [fine, middle, self.s3(middle)]


class _ConvNormAct(nn.Module):
    """A convolution, its normalisation, and a ReLU where ``act`` says so."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        kernel: int = 1,
        stride: int = 1,
        groups: int = 1,
        act: bool = True,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
        self.bn = NormAct(outputs, nn.ReLU(inplace=True) if act else None)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.bn(self.conv(features))
        return result


class _Squeeze(nn.Module):
    """Weights of the channels, from their means over the image (Hu et al. 2018, arXiv:1709.01507)."""

    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Conv2d(channels, squeezed, 1), nn.Conv2d(squeezed, channels, 1)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        means = features.mean((2, 3), keepdim=True)
        weighted: torch.Tensor = features * self.fc2(self.fc1(means).relu()).sigmoid()
        return weighted


class _Block(nn.Module):
    """A residual bottleneck whose bottleneck is as wide as its output."""

    def __init__(self, inputs: int, width: int, stride: int, *, squeeze: bool) -> None:
        super().__init__()
        self.conv1 = _ConvNormAct(inputs, width)
        self.conv2 = _ConvNormAct(width, width, kernel=3, stride=stride, groups=width // _GROUP)
        self.se = _Squeeze(width, round(inputs / 4)) if squeeze else nn.Identity()
        self.conv3 = _ConvNormAct(width, width, act=False)
        same = inputs == width and stride == 1
        self.downsample = nn.Identity() if same else _ConvNormAct(inputs, width, stride=stride, act=False)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        inner = self.conv3(self.se(self.conv2(self.conv1(features))))
        result: torch.Tensor = inner + self.downsample(features)
        return result.relu()


def _stage(inputs: int, width: int, depth: int, *, squeeze: bool) -> nn.Sequential:
    """Blocks at half the resolution of what comes in."""
    stage = nn.Sequential()
    for number in range(depth):
        block = _Block(width if number else inputs, width, 1 if number else 2, squeeze=squeeze)
        stage.add_module(f"b{number + 1}", block)
    return stage
