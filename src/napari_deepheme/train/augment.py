"""Random views of cell patches, a whole batch at a time."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch.nn.functional import grid_sample, interpolate


@dataclass(frozen=True, slots=True)
class AugmentOptions:
    """How far views may differ from the patch.

    Attributes
    ----------
    scale : float
        Largest relative change of size, for errors in µm/px.
    shift_px : float
        Largest shift of the cell from the centre; detectors centre on the nucleus, boxes on the cell.
    stain : float
        Largest relative change of optical density, of the whole and of each channel.
    gain : float
        Largest relative change of each channel's brightness: lamp and white balance.
    blur, noise : float
        Share of views that are blurred; standard deviation of the noise (0–1 scale).
    """

    scale: float = 0.18
    shift_px: float = 7.0
    stain: float = 0.25
    gain: float = 0.06
    blur: float = 0.15
    noise: float = 0.015


def augment(
    patches: torch.Tensor,
    half_width: torch.Tensor,
    size: int,
    options: AugmentOptions,
    generator: torch.Generator,
) -> torch.Tensor:
    """Random views of patches.

    Parameters
    ----------
    patches : Tensor of uint8, shape (n, 3, p, p)
        The cell in the middle, at the model's µm/px.
    half_width : Tensor of float32, shape (n,)
        Half the width of the true image inside each patch, px; beyond it the image is mirrored.
    size : int
        Side of a view, px.

    Returns
    -------
    Tensor of float32, shape (n, 3, size, size), 0 to 1
    """
    grid = _grid(patches, half_width, size, options, generator)
    views = grid_sample(patches.float() / 255, grid, padding_mode="reflection", align_corners=False)
    return _camera(_colour(views, options, generator), options, generator)


def _uniform(generator: torch.Generator, low: float, high: float, *shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=generator) * (high - low) + low


def _grid(
    patches: torch.Tensor,
    half_width: torch.Tensor,
    size: int,
    options: AugmentOptions,
    generator: torch.Generator,
) -> torch.Tensor:
    """Sampling positions of rotated, mirrored, scaled and shifted views; shape (n, size, size, 2)."""
    n, patch_px = len(patches), patches.shape[-1]
    angle = _uniform(generator, -math.pi, math.pi, n)
    scale = torch.exp(_uniform(generator, -1, 1, n) * math.log1p(options.scale))
    mirror = torch.sign(_uniform(generator, -1, 1, n))
    cos, sin = torch.cos(angle) * scale, torch.sin(angle) * scale
    turn = torch.stack([torch.stack([cos * mirror, -sin], -1), torch.stack([sin * mirror, cos], -1)], 1)
    shift = _uniform(generator, -options.shift_px, options.shift_px, n, 1, 1, 2)
    axis = torch.arange(size) - (size - 1) / 2
    base = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), -1)
    positions = torch.einsum("hwc,ndc->nhwd", base, turn) + shift
    bound = half_width.view(n, 1, 1, 1)
    # mirror at the bound: a triangle wave of period 4·bound
    folded = bound - (torch.remainder(positions + bound, 4 * bound) - 2 * bound).abs()
    return folded * 2 / patch_px


def _colour(views: torch.Tensor, options: AugmentOptions, generator: torch.Generator) -> torch.Tensor:
    """Stain strength and hue in optical density, then the lamp's colour."""
    n = len(views)
    density = -torch.log(views.clamp(min=1 / 255))
    strength = 1 + _uniform(generator, -options.stain, options.stain, n, 1, 1, 1)
    hue = 1 + _uniform(generator, -options.stain / 2, options.stain / 2, n, 3, 1, 1)
    gain = 1 + _uniform(generator, -options.gain, options.gain, n, 3, 1, 1)
    return torch.exp(-density * strength * hue) * gain


def _camera(views: torch.Tensor, options: AugmentOptions, generator: torch.Generator) -> torch.Tensor:
    """Some views out of focus, all with noise."""
    n, size = len(views), views.shape[-1]
    blurred = torch.rand(n, generator=generator) < options.blur
    if blurred.any():
        small = interpolate(views[blurred], scale_factor=0.6, mode="bilinear", antialias=True)
        views[blurred] = interpolate(small, size=(size, size), mode="bilinear")
    noise = torch.randn(views.shape, generator=generator) * options.noise
    return (views + noise).clamp(0, 1)
