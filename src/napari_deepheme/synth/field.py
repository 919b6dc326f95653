"""The field behind the cells: red cells, platelets, light and camera."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from napari_deepheme.synth.cell import Sprite
from napari_deepheme.synth.stain import Stain, absorbance

Field = NDArray[np.float32]

POOL = 48
"""Red cells drawn once and reused, each in eight positions."""

RED_REACH_UM = 6.0
"""No red cell's sprite reaches farther from its centre, µm."""


@dataclass(frozen=True, slots=True, eq=False)
class Pool:
    """Ready-made red cells (thickness, 1 at the rim) and platelets."""

    red: tuple[Field, ...]
    platelets: tuple[Sprite, ...]


@lru_cache(maxsize=8)
def pool(mpp: float, blur_px: float) -> Pool:
    """Red cells and platelets at a scale (µm/px) and a blur (px); the same every time."""
    rng = np.random.default_rng(20201)
    red: list[Field] = []
    for _ in range(POOL):
        disc = _red_cell(rng, mpp, blur_px)
        for flipped in (disc, disc.T):
            red.extend(np.ascontiguousarray(np.rot90(flipped, turn)) for turn in range(4))
    platelets = tuple(_platelet(rng, mpp, blur_px) for _ in range(24))
    return Pool(tuple(red), platelets)


def _grid(half_um: float, mpp: float) -> tuple[Field, Field]:
    half = int(np.ceil(half_um / mpp))
    axis = np.arange(-half, half + 1, dtype=np.float32) * np.float32(mpp)
    y, x = np.meshgrid(axis, axis, indexing="ij")
    return y, x


def _red_cell(rng: np.random.Generator, mpp: float, blur_px: float) -> Field:
    """Thickness of one red cell: a rim of 1, a paler middle."""
    y, x = _grid(RED_REACH_UM - 0.2, mpp)
    radius = float(np.clip(rng.normal(3.65, 0.28), 2.9, 4.4))
    oval = rng.uniform(0.35, 0.6) if rng.uniform() < 0.08 else rng.uniform(0, 0.16)
    angle = np.arctan2(y, x)
    edge = radius * (1 + oval / 2 * np.cos(2 * angle + rng.uniform(0, 2 * np.pi)))
    for order in (3, 4, 5):
        edge = edge + radius * rng.normal(0, 0.015) * np.cos(order * angle + rng.uniform(0, 6.3))
    if rng.uniform() < 0.04:
        edge = edge + 0.16 * np.cos(rng.integers(9, 13) * angle)
    rho = np.hypot(y, x)
    u = rho / edge
    pallor = rng.uniform(0.0, 0.25) if rng.uniform() < 0.2 else rng.uniform(0.6, 1.0)
    oy, ox = rng.normal(0, 0.25, 2)
    centre = np.hypot(y - oy, x - ox) / edge
    wide = rng.uniform(0.28, 0.54)
    hollow = 1 / (1 + np.exp((centre - wide) / rng.uniform(0.04, 0.09)))
    thick = (
        (0.78 + 0.20 * u**3 + 0.16 * np.exp(-((u - 0.95) ** 2) / 0.004))
        * (1 - pallor * hollow)
        * np.clip(0.5 + (edge - rho) / 0.3, 0, 1)
    )
    thick *= rng.normal(1, 0.08)
    if blur_px > 0.15:
        thick = gaussian_filter(thick, blur_px, truncate=3)
    result: Field = thick.astype(np.float32)
    return result


def _platelet(rng: np.random.Generator, mpp: float, blur_px: float) -> Sprite:
    """A platelet: lilac, 2 to 3 µm, with a purple granular middle."""
    y, x = _grid(3.0, mpp)
    radius = rng.uniform(1.0, 1.7)
    angle = np.arctan2(y, x)
    edge = radius * (1 + rng.uniform(0, 0.2) * np.cos(2 * angle + rng.uniform(0, 6)))
    ragged, grain = (
        gaussian_filter(rng.standard_normal(y.shape), size / mpp, mode="wrap") for size in (0.45, 0.22)
    )
    inside = edge - np.hypot(y, x) + 0.22 * ragged / ragged.std()
    grain /= grain.std()
    dark = np.clip(inside / radius * 1.1 - 0.1 + 0.35 * grain, 0, 1)[..., None]
    density = absorbance((196, 166, 200)) * (1 - dark) + absorbance((112, 50, 128)) * dark
    cover = np.clip(0.5 + inside / 0.4, 0, 1)
    light = np.exp(-density) * cover[..., None]
    if blur_px > 0.15:
        light = gaussian_filter(light, (blur_px, blur_px, 0))
        cover = gaussian_filter(cover, blur_px)
    return Sprite(light.astype(np.float32), cover.astype(np.float32))


def add_thickness(thickness: Field, disc: Field, y: int, x: int) -> None:
    """Add a red cell whose middle pixel is (y, x) of the window, clipped at its border."""
    half = disc.shape[0] // 2
    top, left = y - half, x - half
    rows = slice(max(top, 0), max(min(top + disc.shape[0], thickness.shape[0]), 0))
    cols = slice(max(left, 0), max(min(left + disc.shape[1], thickness.shape[1]), 0))
    if rows.start < rows.stop and cols.start < cols.stop:
        thickness[rows, cols] += disc[
            rows.start - top : rows.stop - top, cols.start - left : cols.stop - left
        ]


def cover_with(light: Field, sprite: Sprite, y: int, x: int) -> None:
    """Lay a sprite over the transmitted light (h, w, 3) with its middle pixel at (y, x)."""
    height, width = sprite.cover.shape
    top, left = y - height // 2, x - width // 2
    rows = slice(max(top, 0), max(min(top + height, light.shape[0]), 0))
    cols = slice(max(left, 0), max(min(left + width, light.shape[1]), 0))
    if rows.start >= rows.stop or cols.start >= cols.stop:
        return
    part = (
        slice(rows.start - top, rows.stop - top),
        slice(cols.start - left, cols.stop - left),
    )
    light[rows, cols] *= 1 - sprite.cover[part][..., None]
    light[rows, cols] += sprite.light[part]


def red_light(thickness: Field, stain: Stain) -> Field:
    """Light (h, w, 3), 0 to 1, that comes through red cells of the given thickness."""
    dye = absorbance(stain.red_cell) * np.array(stain.acid, np.float32)
    # Where red cells overlap the picture darkens far less than twice: they flatten on one another.
    flat = np.minimum(thickness, 1.0) + 0.3 * np.maximum(thickness - 1.0, 0)
    result: Field = np.exp(-flat[..., None] * dye)
    return result
