"""Cells and other things cut out of marked fields, and random views of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import binary_fill_holes, gaussian_filter, label
from torch.nn.functional import grid_sample

from napari_deepheme.datasets.fields import Floats, MarkedField

_FAINTEST = 0.06  # optical density from which a pixel belongs to a cell rather than to the glass


@dataclass(frozen=True, slots=True, eq=False)
class Cutouts:
    """Things cut out of fields, n of them, in the middle of squares of p px.

    Attributes
    ----------
    density : ndarray of float16, shape (n, 3, p, p)
        Optical density over that of the glass.
    alpha : ndarray of uint8, shape (n, p, p)
        What belongs to the thing, 0 to 255.
    size : ndarray of float32, shape (n, 2)
        Height and width, field px.
    boxed : ndarray of bool, shape (n,)
        Whether the size was marked.
    """

    density: NDArray[np.float16]
    alpha: NDArray[np.uint8]
    size: Floats
    boxed: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.size)

    def views(
        self,
        chosen: NDArray[np.intp],
        gain: float | NDArray[np.float64],
        scale: float | NDArray[np.float64],
        rng: np.random.Generator,
    ) -> NDArray[np.float32]:
        """The chosen m turned, mirrored, scaled and restained: density × alpha and alpha, (m, 4, p, p).

        ``gain`` is how much denser each becomes, ``scale`` how much larger; one for all or one each.
        """
        n = len(chosen)
        angle = rng.uniform(-math.pi, math.pi, n)
        zoom = np.broadcast_to(scale, n)
        mirror = np.sign(rng.uniform(-1, 1, n))
        cos, sin = np.cos(angle) / zoom, np.sin(angle) / zoom
        turn = np.stack([np.stack([cos * mirror, sin * mirror]), np.stack([-sin, cos])]).transpose(2, 0, 1)
        side = self.alpha.shape[1]
        axis = (np.arange(side) * 2 + 1) / side - 1
        base = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
        grid = torch.from_numpy((base @ turn).astype(np.float32).reshape(n, side, side, 2))
        tint = np.exp(rng.normal(0, 0.15, 3)).reshape(1, 3, 1, 1) * np.reshape(gain, (-1, 1, 1, 1))
        alpha = self.alpha[chosen][:, None].astype(np.float32) / 255
        density = self.density[chosen].astype(np.float32) * tint.astype(np.float32)
        layers = torch.from_numpy(np.concatenate([density * alpha, alpha], axis=1))
        views: NDArray[np.float32] = grid_sample(layers, grid, align_corners=False).numpy()
        return views


def cut_out(
    fields: Sequence[MarkedField],
    images: Sequence[NDArray[np.float32]],
    marked: Sequence[Floats],
    side: int,
) -> Cutouts:
    """Cut out what lies whole in its field and fits a square.

    Parameters
    ----------
    fields : sequence of MarkedField
    images : sequence of ndarray of float32, shape (3, h, w)
        Their optical densities.
    marked : sequence of ndarray of float32, shape (n, 4)
        Of each field what to cut out: middle (y, x), height and width, px.
    side : int
        Of the squares, px.
    """
    density, alpha, size, boxed = [], [], [], []
    for image, boxes, field in zip(images, marked, fields, strict=True):
        height, width = image.shape[1:]
        for y, x, h, w in boxes:
            cut = y - h / 2 < -1 or x - w / 2 < -1 or y + h / 2 > height or x + w / 2 > width
            if cut or max(h, w) > side:
                continue
            square = _square(image, y, x, side)
            density.append(square.astype(np.float16))
            alpha.append(_mask(square, h, w))
            size.append((h, w))
            boxed.append(field.boxed)
    return Cutouts(
        np.array(density, np.float16).reshape(-1, 3, side, side),
        np.array(alpha, np.uint8).reshape(-1, side, side),
        np.array(size, np.float32).reshape(-1, 2),
        np.array(boxed, bool),
    )


def optical_density(image: NDArray[np.uint8], white: tuple[float, float, float]) -> NDArray[np.float32]:
    """Optical density (natural logarithm) over that of the empty glass, shape (3, h, w)."""
    light = np.clip(image.astype(np.float32) / np.array(white, np.float32), 1 / 255, 1)
    return np.ascontiguousarray(-np.log(light).transpose(2, 0, 1))


def _square(density: NDArray[np.float32], y: float, x: float, side: int) -> NDArray[np.float32]:
    half = side // 2
    wide = np.pad(density, ((0, 0), (half, half), (half, half)), mode="edge")
    top, left = round(float(y)), round(float(x))
    return wide[:, top : top + side, left : left + side]


def _mask(square: NDArray[np.float32], height: float, width: float) -> NDArray[np.uint8]:
    """What belongs to the thing in the middle: stained, connected, within the ellipse of its box; 0–255."""
    side = square.shape[1]
    axis = np.arange(side) - (side - 1) / 2
    radius = np.hypot(axis[:, None] / (height / 2 + 1), axis / (width / 2 + 1))
    stained = gaussian_filter(square.mean(axis=0), 0.7) > _FAINTEST
    parts, _ = label(stained & (radius < 1.12))
    core = parts[radius < 0.6]
    largest = np.bincount(core[core > 0], minlength=2).argmax() if (core > 0).any() else 0
    inside = binary_fill_holes(parts == largest) if largest else radius < 1
    if inside.sum() < 0.4 * (radius < 1).sum():  # too pale to be told from the glass
        inside = radius < 1
    mask: NDArray[np.uint8] = (gaussian_filter(inside.astype(np.float32), 0.8) * 255).astype(np.uint8)
    return mask
