"""ResNeXt-50 32×4d (Xie et al. 2017, arXiv:1611.05431), which the published DeepHeme networks are."""

from __future__ import annotations

import torch
from torch import nn

from napari_deepheme.models.networks.layers import Classifier, zero_weights

_STEM, _GROUPS = 64, 32
_WIDTHS, _DEPTHS = (256, 512, 1024, 2048), (3, 4, 6, 3)


class ResNeXt50(Classifier):
    """A network that classifies images.

    Parameters
    ----------
    outputs : int
    """

    def __init__(self, outputs: int) -> None:
        super().__init__(last="fc")
        self.conv1 = nn.Conv2d(3, _STEM, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(_STEM)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.layer1, self.layer2, self.layer3, self.layer4 = (
            _stage(inputs, width, depth)
            for inputs, width, depth in zip((_STEM, *_WIDTHS[:-1]), _WIDTHS, _DEPTHS, strict=True)
        )
        self.fc = nn.Linear(_WIDTHS[-1], outputs)
        self.initialise()

    def forward_features(self, images: torch.Tensor) -> torch.Tensor:
        """Features (n, 2048, h / 32, w / 32) of images (n, 3, h, w)."""
        stem = self.maxpool(self.bn1(self.conv1(images)).relu_())
        features: torch.Tensor = self.layer4(self.layer3(self.layer2(self.layer1(stem))))
        return features

    def _draw_weights(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        zero_weights(block.bn3 for block in self.modules() if isinstance(block, _Block))


class _Block(nn.Module):
    """A residual bottleneck, half as wide as its output."""

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        inner = width // 2
        self.conv1 = nn.Conv2d(inputs, inner, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(inner)
        self.conv2 = nn.Conv2d(inner, inner, 3, stride, padding=1, groups=_GROUPS, bias=False)
        self.bn2 = nn.BatchNorm2d(inner)
        self.conv3 = nn.Conv2d(inner, width, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(width)
        self.downsample: nn.Module = nn.Identity()
        if inputs != width:
            projection = nn.Conv2d(inputs, width, 1, stride, bias=False)
            self.downsample = nn.Sequential(projection, nn.BatchNorm2d(width))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        inner = self.bn1(self.conv1(features)).relu_()
        inner = self.bn2(self.conv2(inner)).relu_()
        result: torch.Tensor = self.bn3(self.conv3(inner)) + self.downsample(features)
        return result.relu_()


def _stage(inputs: int, width: int, depth: int) -> nn.Sequential:
    """Blocks at half the resolution of what comes in; the first stage, after the pooling, at the same."""
    first = _Block(inputs, width, 1 if inputs == _STEM else 2)
    return nn.Sequential(first, *(_Block(width, width, 1) for _ in range(depth - 1)))
