"""EfficientNet-Lite: EfficientNet (Tan & Le 2019, arXiv:1905.11946) without squeezing and with ReLU6."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import nn

from napari_deepheme.models.networks.layers import Classifier, NormAct, SameConv, initialise_convolutions

_STEM, _FEATURES, _EXPANSION = 32, 1280, 6
_EPS = 1e-3  # of the normalisations, as TensorFlow has it


@dataclass(frozen=True, slots=True)
class _Stage:
    """Blocks of one resolution, before the network is made wider and deeper."""

    depth: int
    kernel: int
    stride: int
    width: int


_STAGES = (
    _Stage(1, 3, 1, 16),
    _Stage(2, 3, 2, 24),
    _Stage(2, 5, 2, 40),
    _Stage(3, 3, 2, 80),
    _Stage(3, 5, 1, 112),
    _Stage(4, 5, 2, 192),
    _Stage(1, 3, 1, 320),
)


class EfficientNetLite(Classifier):
    """A network that classifies images.

    Parameters
    ----------
    outputs : int
    wider, deeper : float
        Factors of the channels and of the blocks of a stage, 1 for Lite0.
    """

    def __init__(self, outputs: int, *, wider: float, deeper: float) -> None:
        super().__init__(last="classifier")
        self.conv_stem, self.bn1 = SameConv(3, _STEM, 3, stride=2), _norm(_STEM)
        widths = [_rounded(stage.width * wider) for stage in _STAGES]
        fixed = (_STAGES[0], _STAGES[-1])  # their depth stays
        self.blocks = nn.Sequential(
            *(
                _blocks(stage, inputs, width, 1 if stage in fixed else deeper)
                for stage, inputs, width in zip(_STAGES, (_STEM, *widths[:-1]), widths, strict=True)
            )
        )
        self.conv_head, self.bn2 = SameConv(widths[-1], _FEATURES, 1), _norm(_FEATURES)
        self.classifier = nn.Linear(_FEATURES, outputs)
        self.initialise()

    def forward_features(self, images: torch.Tensor) -> torch.Tensor:
        """Features (n, 1280, h / 32, w / 32) of images (n, 3, h, w)."""
        stages = self.blocks(self.bn1(self.conv_stem(images)))
        features: torch.Tensor = self.bn2(self.conv_head(stages))
        return features

    def _draw_weights(self) -> None:
        initialise_convolutions(self)
        spread = 1 / math.sqrt(self.classifier.out_features)
        nn.init.uniform_(self.classifier.weight, -spread, spread)
        nn.init.zeros_(self.classifier.bias)


class _Separable(nn.Module):
    """A convolution of each channel, and one across the channels; for blocks that do not expand."""

    def __init__(self, inputs: int, width: int, kernel: int) -> None:
        super().__init__()
        self.conv_dw, self.bn1 = SameConv(inputs, inputs, kernel, groups=inputs), _norm(inputs)
        self.conv_pw, self.bn2 = SameConv(inputs, width, 1), NormAct(width, eps=_EPS)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.bn2(self.conv_pw(self.bn1(self.conv_dw(features))))
        return result


class _Inverted(nn.Module):
    """An inverted residual block (Sandler et al. 2018, arXiv:1801.04381)."""

    def __init__(self, inputs: int, width: int, kernel: int, stride: int) -> None:
        super().__init__()
        inner = _EXPANSION * inputs
        self.conv_pw, self.bn1 = SameConv(inputs, inner, 1), _norm(inner)
        self.conv_dw, self.bn2 = SameConv(inner, inner, kernel, stride, groups=inner), _norm(inner)
        self.conv_pwl, self.bn3 = SameConv(inner, width, 1), NormAct(width, eps=_EPS)
        self._residual = inputs == width and stride == 1

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        inner = self.bn2(self.conv_dw(self.bn1(self.conv_pw(features))))
        result: torch.Tensor = self.bn3(self.conv_pwl(inner))
        return result + features if self._residual else result


def _norm(channels: int) -> NormAct:
    return NormAct(channels, nn.ReLU6(inplace=True), _EPS)


def _blocks(stage: _Stage, inputs: int, width: int, deeper: float) -> nn.Sequential:
    if inputs == _STEM:
        return nn.Sequential(_Separable(inputs, width, stage.kernel))
    depth = math.ceil(stage.depth * deeper)
    return nn.Sequential(
        _Inverted(inputs, width, stage.kernel, stage.stride),
        *(_Inverted(width, width, stage.kernel, 1) for _ in range(depth - 1)),
    )


def _rounded(width: float) -> int:
    """The nearest multiple of eight that is not more than a tenth below."""
    nearest = max(8, int(width + 4) // 8 * 8)
    return nearest + 8 if nearest < 0.9 * width else nearest
