"""The network of the learned detector: an encoder and a light decoder that draws a heatmap of centres."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn.functional import interpolate

from napari_deepheme.models.networks import build_encoder
from napari_deepheme.models.spec import Architecture

STRIDE = 2
"""Image pixels to a pixel of the heatmap."""

COARSEST = 16
"""Sides of an image must be multiples of this."""

_RARE = -4.6  # logit of the share of a heatmap that centres take up


class HeatmapNetwork(nn.Module):
    """Where the centres of cells are, and how large each cell is.

    Features at 4, 8 and 16 px are added up from the coarsest (Lin et al. 2017, feature pyramids) and read out
    at 2 px by shuffling channels into pixels (Shi et al. 2016).

    Parameters
    ----------
    architecture : Architecture
        A network that gives features at 4, 8 and 16 px; one that is built here, or timm's.
    width : int
        Channels of the decoder.
    pretrained : bool
        Whether the encoder starts from the ImageNet weights that timm downloads.
    """

    def __init__(self, architecture: Architecture, width: int, *, pretrained: bool = False) -> None:
        super().__init__()
        self.encoder, channels = build_encoder(architecture, pretrained=pretrained)
        self.sideways = nn.ModuleList(nn.Conv2d(n, width, 1) for n in channels)
        self.decoder = nn.Sequential(
            _block(width),
            _block(width),
            nn.Conv2d(width, 2 * STRIDE**2, 1),
            nn.PixelShuffle(STRIDE),
        )
        last: Any = self.decoder[2]
        nn.init.constant_(last.bias[: STRIDE**2], _RARE)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logit of a centre and natural logarithm of the diameter (µm), of images (n, 3, h, w).

        Returns
        -------
        Tensor of float32, shape (n, 2, h / 2, w / 2)
        """
        *finer, coarse = (
            side(features) for side, features in zip(self.sideways, self.encoder(images), strict=True)
        )
        for features in reversed(finer):
            coarse = features + interpolate(coarse, scale_factor=2.0, mode="nearest")
        result: torch.Tensor = self.decoder(coarse)
        return result


def _block(width: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True)
    )
