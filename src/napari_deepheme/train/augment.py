"""Random views of cells, a whole batch at a time: turned, restained, refocused, seen by another camera.

A network that only knows one laboratory learns its stain, its scanner's sharpness and its smears along with
the cells. Here each of these wanders further than laboratories differ, and independently of the class.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Annotated

import torch
from imagecodecs import jpeg8_decode, jpeg8_encode
from pydantic import BaseModel, ConfigDict, Field
from torch.nn.functional import grid_sample, pad

from napari_deepheme.models.spec import Share

Amount = Annotated[float, Field(ge=0)]

_NEAR, _OUT_OF_FOCUS = 0.25, 0.15


class ViewOptions(BaseModel):
    """How far views may differ from the patch.

    Attributes
    ----------
    scale, aspect : float
        Largest relative change of size, and of one side against the other.
    shift_px : float
        Largest shift of the cell from the centre; detectors centre on the nucleus, boxes on the cell.
    narrow : float
        Share of views that end before the patch does, as images of other sets do.
    cut : float
        Share of views that end on one side, through the cell or beside it, as at the edge of a field.
    look : float
        How far stain, lamp and camera wander: 0 not at all, 1 as far as laboratories differ.
    focus : float
        The same for sharpness.
    near : float
        Share of views whose look or focus stays near the patch's own.
    noise : float
        Largest standard deviation of the noise (0–1 scale).
    jpeg : float
        Share of views stored as JPEG.
    recoloured : float
        Share of cells that take background and nuclear density of another cell.
    painted : float
        Share of cells of the model's own laboratory that take the colours of a smear of another one.
    tinted : float
        Share of cells of known box whose cytoplasm takes up more or less of the dyes; none from elsewhere.
    moved : float
        Share of cells of known box that take the surroundings of another cell.
    contracted : float
        Share of those that are smaller and denser there, as cells dry in the thick parts of a smear; none of
        those from elsewhere, which may be no cells.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    scale: Amount = 0.22
    aspect: Amount = 0.08
    shift_px: Amount = 7.0
    narrow: Share = 0.3
    cut: Share = 0.15
    look: Amount = 1.0
    focus: Amount = 1.0
    near: Share = 0.3
    noise: Amount = 0.025
    jpeg: Share = 0.25
    recoloured: Share = 0.4
    painted: Share = 0.0
    tinted: Share = 0.4
    moved: Share = 0.5
    contracted: Share = 0.35


def augment(
    patches: torch.Tensor, size: int, options: ViewOptions, generator: torch.Generator
) -> torch.Tensor:
    """Random views of patches.

    Parameters
    ----------
    patches : Tensor of float32, shape (n, 3, p, p), 0 to 1
        The cell in the middle, at the model's µm/px.
    size : int
        Side of a view, px.

    Returns
    -------
    Tensor of float32, shape (n, 3, size, size), 0 to 1
    """
    grid = _grid(len(patches), patches.shape[-1], size, options, generator)
    views = grid_sample(patches, grid, padding_mode="border", align_corners=False)
    return another_look(views, options, generator)


def another_look(views: torch.Tensor, options: ViewOptions, generator: torch.Generator) -> torch.Tensor:
    """Images (n, 3, h, w), 0 to 1, as another stain, lamp, focus and camera would have shown them."""
    views = _look(views, options, generator).clamp(0, 1)
    return _camera(_focus(views, options, generator), options, generator)


def _uniform(generator: torch.Generator, low: float, high: float, *shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=generator) * (high - low) + low


def _chosen(generator: torch.Generator, share: float, *shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=generator) < share


def _grid(n: int, patch_px: int, size: int, options: ViewOptions, generator: torch.Generator) -> torch.Tensor:
    """Sampling positions of turned, mirrored, scaled and shifted views; shape (n, size, size, 2)."""
    angle = _uniform(generator, -math.pi, math.pi, n)
    scale = torch.exp(_uniform(generator, -1, 1, n) * math.log1p(options.scale))
    aspect = torch.exp(_uniform(generator, -1, 1, n) * math.log1p(options.aspect))
    mirror = torch.sign(_uniform(generator, -1, 1, n)) * aspect
    cos, sin = torch.cos(angle) * scale, torch.sin(angle) * scale
    turn = torch.stack([torch.stack([cos * mirror, -sin], -1), torch.stack([sin * mirror, cos], -1)], 1)
    shift = _uniform(generator, -options.shift_px, options.shift_px, n, 1, 1, 2)
    axis = torch.arange(size) - (size - 1) / 2
    base = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), -1)
    positions = torch.einsum("hwc,ndc->nhwd", base, turn) + shift
    # what lies beyond an image's end is its edge repeated, as a slide's reader gives it
    end = _uniform(generator, 0.48, 0.62, n, 1, 1, 1) * size
    end = torch.where(_chosen(generator, options.narrow, n, 1, 1, 1), end, patch_px / 2)
    positions = positions.clamp(-end, end)
    edge = _uniform(generator, 0.08, 0.4, n, 1, 1) * size
    edge = torch.where(_chosen(generator, options.cut, n, 1, 1), edge, patch_px / 2)
    # turned and mirrored as the views are, one side stands for all four
    positions[..., 0] = torch.minimum(positions[..., 0], edge)
    return positions * 2 / patch_px


def _look(views: torch.Tensor, options: ViewOptions, generator: torch.Generator) -> torch.Tensor:
    """Stain strength, hue and mixing in optical density; then gamma and stray light."""
    n = len(views)
    far = torch.where(_chosen(generator, options.near, n, 1, 1, 1), _NEAR, 1.0) * options.look
    density = -torch.log(views.clamp(min=1 / 255))
    mixing = torch.eye(3) + torch.randn(n, 3, 3, generator=generator) * 0.09 * far.view(n, 1, 1)
    density = torch.bmm(mixing, density.flatten(2)).view_as(density)
    strength = torch.exp(_uniform(generator, -0.9, 0.35, n, 1, 1, 1) * far)
    hue = torch.exp(_uniform(generator, -0.35, 0.35, n, 3, 1, 1) * far)
    lamp = _uniform(generator, -0.03, 0.3, n, 1, 1, 1) + _uniform(generator, -0.09, 0.09, n, 3, 1, 1)
    light = torch.exp(-(density * strength * hue + lamp * far).clamp(min=-0.1))
    # of each channel a little its own: what is half as dense as nuclei need not share their hue
    gamma = _uniform(generator, -0.35, 0.35, n, 1, 1, 1) + _uniform(generator, -0.15, 0.15, n, 3, 1, 1)
    gamma = torch.exp(gamma * far)
    veil = _uniform(generator, 0, 0.25, n, 1, 1, 1) * far * _chosen(generator, 0.4, n, 1, 1, 1)
    return light.clamp(1 / 255, 1.1) ** gamma * (1 - veil) + veil * _uniform(generator, 0.5, 1, n, 3, 1, 1)


def _focus(views: torch.Tensor, options: ViewOptions, generator: torch.Generator) -> torch.Tensor:
    """Gain of three bands of texture, the finest most: scanners differ tenfold there.

    Some views lose the coarser ones nearly as much: cells that lie out of focus.
    """
    n = len(views)
    lost = torch.where(
        _chosen(generator, options.near, n, 1, 1, 1),
        _uniform(generator, -0.2, 0.2, n, 1, 1, 1),
        _uniform(generator, -0.3, 1.1, n, 1, 1, 1),
    )
    out = _chosen(generator, _OUT_OF_FOCUS, n, 1, 1, 1)
    *bands, rest = texture_bands(views)
    for band, scanner, defocus in zip(bands, (3.0, 1.1, 0.25), (3.0, 2.2, 1.3), strict=True):
        depth = torch.where(out, defocus, scanner)
        wander = torch.exp(_uniform(generator, -0.25, 0.25, n, 1, 1, 1))
        rest = rest + band * torch.exp(-lost * options.focus * depth * wander)
    return rest


def texture_bands(images: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Details of about 1, 2 and 4 px and the remainder, which add up to the images (à trous)."""
    smooth = [images]
    for spacing in (1, 2, 4):
        smooth.append(_smooth(smooth[-1], spacing))
    return (*(fine - coarse for fine, coarse in pairwise(smooth)), smooth[-1])


def _smooth(images: torch.Tensor, spacing: int) -> torch.Tensor:
    """1-2-1 filter both ways; additions of slices are faster here than a convolution."""
    wide = pad(images, (spacing,) * 4, mode="replicate")
    inner = slice(spacing, -spacing)
    rows = (wide[..., : -2 * spacing] + wide[..., 2 * spacing :]) / 4 + wide[..., inner] / 2
    return (rows[..., : -2 * spacing, :] + rows[..., 2 * spacing :, :]) / 4 + rows[..., inner, :] / 2


def _camera(views: torch.Tensor, options: ViewOptions, generator: torch.Generator) -> torch.Tensor:
    """Noise, and for some views what JPEG leaves of them."""
    deviation = _uniform(generator, 0, options.noise, len(views), 1, 1, 1)
    views = (views + torch.randn(views.shape, generator=generator) * deviation).clamp(0, 1)
    quality = torch.randint(35, 92, (len(views),), generator=generator)
    for i in torch.nonzero(_chosen(generator, options.jpeg, len(views))).flatten().tolist():
        stored = jpeg8_encode(
            (views[i] * 255).byte().permute(1, 2, 0).contiguous().numpy(), level=int(quality[i])
        )
        views[i] = torch.from_numpy(jpeg8_decode(stored)).permute(2, 0, 1).float() / 255
    return views
