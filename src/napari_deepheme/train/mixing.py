"""Cells given the colours or the surroundings of others, so that neither can tell the class."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import interpolate, pad

from napari_deepheme.classify.stain import stain_colours
from napari_deepheme.train.augment import ViewOptions, texture_bands
from napari_deepheme.train.painting import Painter
from napari_deepheme.train.patches import Patches

_CONTRACTION = (math.log(0.55), math.log(0.95))  # of the diameter of cells that did not spread
_LOOKED_AT = 256  # cells of the source domain whose colours are measured
_STRENGTH, _HUE = (-0.3, 0.6), (-0.5, 0.4)  # of cytoplasm, logarithms of factors of its density


class Mixer:
    """Draws donors among the cells that are trained on.

    Parameters
    ----------
    patches : Patches
    index : ndarray of int, shape (n,)
        The patches trained on; no other is ever shown.
    input_px : int
        Side of a crop.
    """

    def __init__(self, patches: Patches, index: NDArray[np.intp], input_px: int) -> None:
        self.patches = patches
        # looked up by patch, so that donors and takers are numbers of patches throughout
        looks = np.zeros((3, len(patches), 3), np.float32)
        for i in index:
            looks[:, i] = _look(patches.images[i], input_px)
        self._background, self._density, self._texture = looks
        self._source = index[patches.in_source[index]]
        self._elsewhere = index[~patches.in_source[index]]
        sample = self._source[
            np.linspace(0, len(self._source) - 1, min(len(self._source), _LOOKED_AT)).astype(int)
        ]
        own = stain_colours(patches.take(sample).crops(input_px))
        self._painter = Painter(own) if own else None  # pictures without red cells are never painted
        side = patches.images.shape[1]
        axis = torch.arange(side) - (side - 1) / 2
        self._y, self._x = axis.view(-1, 1), axis.view(1, -1)

    def mixed(self, index: NDArray[np.intp], options: ViewOptions, rng: np.random.Generator) -> torch.Tensor:
        """The patches at ``index``, some in other colours and among other cells.

        Returns
        -------
        Tensor of float32, shape (n, 3, p, p), 0 to 1
        """
        images = self._recoloured(index, options, rng)
        boxed = self._has_box(index)
        in_source = self.patches.in_source[
            index
        ]  # what is from elsewhere may be no cell, with no cytoplasm to tint
        for taker in np.flatnonzero((rng.random(len(index)) < options.tinted) & boxed & in_source):
            images[taker] = _tinted(images[taker], self._inside(self.patches.boxes[index[taker]]), rng)
        moved = np.flatnonzero((rng.random(len(index)) < options.moved) & boxed)
        if len(moved) == 0:
            return images
        donors = np.where(
            (rng.random(len(moved)) < 0.3) & (len(self._elsewhere) > 0),
            self._drawn(self._elsewhere, len(moved), rng),
            self._drawn(self._source, len(moved), rng),
        )
        others = self._recoloured(donors, options, rng)
        for taker, other in zip(moved, others, strict=True):
            box = self.patches.boxes[index[taker]]
            if in_source[taker] and rng.random() < options.contracted:
                share = math.exp(rng.uniform(*_CONTRACTION))
                images[taker], box = _contracted(images[taker], share, rng), box * share
            inside = self._inside(box)
            more = others[rng.integers(len(others))] if rng.random() < 0.3 else None
            around = _surroundings(images[taker], other, more, rng)
            images[taker] = images[taker] * inside + around * (1 - inside)
        return images

    def _has_box(self, index: NDArray[np.intp]) -> NDArray[np.bool_]:
        known: NDArray[np.bool_] = np.asarray(np.isfinite(self.patches.boxes[index]).all(axis=1))
        return known

    def _drawn(self, pool: NDArray[np.intp], n: int, rng: np.random.Generator) -> NDArray[np.intp]:
        # an empty pool only stands in where np.where never looks at it
        return rng.choice(pool if len(pool) else self._source, n)

    def _recoloured(
        self, index: NDArray[np.intp], options: ViewOptions, rng: np.random.Generator
    ) -> torch.Tensor:
        """Patches, of which some have background and nuclear density of another cell, or another smear's.

        Cells from elsewhere nearly always take the colours of the source domain, and its sharpness: their
        class must not be "from elsewhere".
        """
        images = torch.from_numpy(self.patches.images[index]).permute(0, 3, 1, 2).float() / 255
        in_source = self.patches.in_source[index]
        share = np.where(in_source, options.recoloured, min(1.0, 2 * options.recoloured))
        takers = np.flatnonzero(rng.random(len(index)) < share)
        towards_source = rng.random(len(takers)) < np.where(
            in_source[takers] & (len(self._elsewhere) > 0), 0.25, 0.8
        )
        donors = np.where(
            towards_source,
            self._drawn(self._source, len(takers), rng),
            self._drawn(self._elsewhere, len(takers), rng),
        )
        if len(takers):
            images[takers] = self._in_colours_of(images[takers], index[takers], donors)
        painted = np.flatnonzero((rng.random(len(index)) < options.painted) & in_source)
        if self._painter and len(painted):
            images[painted] = self._painter.painted(images[painted], rng)
        return images

    def _in_colours_of(
        self, images: torch.Tensor, own: NDArray[np.intp], donors: NDArray[np.intp]
    ) -> torch.Tensor:
        gain = (self._density[donors] / self._density[own]).clip(0.4, 2.5)
        density = -torch.log(images.clamp(min=1 / 255)) - _column(self._background[own])
        density = density * _column(gain) + _column(self._background[donors])
        images = torch.exp(-density.clamp(min=-0.05)).clamp(0, 1)
        foreign = np.flatnonzero(~self.patches.in_source[own] & self.patches.in_source[donors])
        if len(foreign):
            sharper = (self._texture[donors[foreign]] / self._texture[own[foreign]]).clip(0.5, 3)
            *bands, rest = texture_bands(images[foreign])
            gains = torch.from_numpy(sharper).T.view(3, -1, 1, 1, 1)
            images[foreign] = (rest + sum(band * g for band, g in zip(bands, gains, strict=True))).clamp(0, 1)
        return images

    def _inside(self, box: NDArray[np.float32]) -> torch.Tensor:
        """1 within the ellipse of a box, 0 outside, soft between."""
        height, width = box / 2 + 2
        radius = torch.sqrt((self._y / float(height)) ** 2 + (self._x / float(width)) ** 2)
        return ((1.12 - radius) / 0.14).clamp(0, 1)


def _surroundings(
    own: torch.Tensor, other: torch.Tensor, more: torch.Tensor | None, rng: np.random.Generator
) -> torch.Tensor:
    """Glass alone, or another patch with its cell moved out to the side or the corner, one more over it."""
    if rng.random() < 0.2:
        return _glass(own).expand_as(own)
    if more is not None:
        other = (other * more / _glass(more)).clamp(0, 1)
    if rng.random() < 0.5:
        other = other.transpose(1, 2)
    half = own.shape[-1] // 2
    beside = half + int(rng.integers(-14, 15))
    along = int(rng.integers(-20, 21)) if rng.random() < 0.5 else half
    return other.roll((along, beside), (1, 2))


def _contracted(image: torch.Tensor, share: float, rng: np.random.Generator) -> torch.Tensor:
    """A patch at a share of its size, and denser for it, up to what keeps the dye of a cell."""
    side = image.shape[-1]
    small = interpolate(image[None], round(side * share), mode="bilinear", antialias=True)
    before = (side - small.shape[-1]) // 2
    after = side - small.shape[-1] - before
    wide = pad(small, (before, after, before, after), mode="replicate")[0]
    glass = _glass(image)
    denser: torch.Tensor = glass * (wide / glass) ** (share ** -rng.uniform(0, 2))
    return denser.clamp(0, 1)


def _tinted(image: torch.Tensor, inside: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """A patch whose cell has another cytoplasm, paler or deeper, pinker or bluer.

    Laboratories differ in how much eosin granules take up while red cells and nuclei look alike, and it is by
    those that stains are matched.
    """
    glass = _glass(image)
    density = -torch.log((image / glass).clamp(min=1 / 255))
    depth = density.sum(dim=0)
    depth = depth / torch.quantile(depth[inside > 0.5], 0.9).clamp(min=0.1)  # 1 in the nucleus
    cytoplasm = inside * (depth / 0.12).clamp(0, 1) * ((0.75 - depth) / 0.25).clamp(0, 1)
    red, blue = rng.uniform(*_HUE, 2)
    gain = torch.exp(torch.tensor([red, 0.0, blue]) + rng.uniform(*_STRENGTH)).view(3, 1, 1).float()
    tinted: torch.Tensor = glass * torch.exp(-density * (1 + cytoplasm * (gain - 1)))
    return tinted.clamp(0, 1)


def _glass(image: torch.Tensor) -> torch.Tensor:
    return torch.quantile(image.flatten(1)[:, ::37], 0.9, dim=1).clamp(min=0.1).view(3, 1, 1)


def _column(values: NDArray[np.float32]) -> torch.Tensor:
    return torch.from_numpy(values).view(-1, 3, 1, 1)


def _look(patch: NDArray[np.uint8], input_px: int) -> NDArray[np.float32]:
    """Rows: density of the background, how much denser nuclei are, strength of three bands of texture."""
    edge = (len(patch) - input_px) // 2
    middle = patch[edge:-edge, edge:-edge]
    density = -np.log((middle.reshape(-1, 3).astype(np.float32) + 1) / 256)
    low, high = np.quantile(density, [0.1, 0.93], axis=0)
    bands = texture_bands(torch.from_numpy(middle.mean(axis=2, dtype=np.float32))[None, None])[:3]
    textures = [max(float(band.std()), 0.5) for band in bands]
    return np.array([low, np.maximum(high - low, 0.05), textures], np.float32)
