"""One cell in the middle of a small field: a training example."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_deepheme.errors import OptionError
from napari_deepheme.synth.cell import Plan, paint, plan
from napari_deepheme.synth.field import add_thickness, cover_with, pool, red_light
from napari_deepheme.synth.looks import CLASS_CODES
from napari_deepheme.synth.stain import Stain

_SPACING_UM = 7.6


def render_patch(
    code: str,
    *,
    rng: np.random.Generator,
    mpp: float = 0.25,
    size_px: int = 144,
    stain: Stain | None = None,
) -> NDArray[np.uint8]:
    """Render one cell of a class among red cells, to train a classifier on.

    Parameters
    ----------
    code : str
        One of :data:`CLASS_CODES`.
    rng : numpy.random.Generator
        Decides everything but ``stain``.
    mpp : float
        µm per pixel.
    size_px : int
        Side of the patch.
    stain : Stain, optional
        Stain of the slide; a random one without it.

    Returns
    -------
    ndarray of uint8, shape (size_px, size_px, 3)
        RGB; the cell's bounding box is centred on pixel ``size_px // 2``.

    Raises
    ------
    OptionError
        If the class is not one that can be rendered.
    """
    if code not in CLASS_CODES:
        raise OptionError(f"Class {code!r} cannot be rendered; expected one of {', '.join(CLASS_CODES)}.")
    stain = Stain.random(rng) if stain is None else stain
    cell = plan(code, rng)
    blur_px = round(stain.blur_um / mpp * 4) / 4
    ready = pool(mpp, blur_px)
    thickness = np.zeros((size_px, size_px), np.float32)
    for y, x in _neighbours(cell, size_px * mpp, rng):
        add_thickness(thickness, ready.red[rng.integers(len(ready.red))], int(y / mpp), int(x / mpp))
    light = red_light(thickness, stain)
    for _ in range(rng.poisson(0.7)):
        y, x = rng.integers(0, size_px, 2)
        cover_with(light, ready.platelets[rng.integers(len(ready.platelets))], int(y), int(x))
    cover_with(light, paint(cell, stain, mpp, rng), size_px // 2, size_px // 2)
    return _photograph(light, stain, rng)


def _neighbours(cell: Plan, side_um: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Centres (µm) of the red cells of a patch: a jittered lattice, pushed aside by the cell."""
    steps = np.arange(-1, int(side_um / _SPACING_UM) + 2) * _SPACING_UM
    places = np.stack(np.meshgrid(steps, steps, indexing="ij"), axis=-1).reshape(-1, 2)
    places += rng.normal(0, 1.7, places.shape) + rng.uniform(0, _SPACING_UM, 2)
    places = places[rng.uniform(size=len(places)) < rng.uniform(0.25, 0.95)]
    away = places - side_um / 2
    distance = np.hypot(away[:, 0], away[:, 1])
    radius = max(cell.height_um, cell.width_um) / 2
    places = places[distance > radius * 0.6]
    away, distance = away[distance > radius * 0.6], distance[distance > radius * 0.6]
    wanted = np.maximum(distance, radius + rng.uniform(2.6, 4.2, len(distance)))
    return side_um / 2 + away * (wanted / distance)[:, None]


def _photograph(light: NDArray[np.float32], stain: Stain, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Light to grey levels: lamp colour, shading across the field, sensor noise."""
    size = light.shape[0]
    slope = np.linspace(-1, 1, size, dtype=np.float32) * np.float32(stain.shading)
    turn = rng.uniform(0, 2 * np.pi)
    shade = 1 + np.float32(np.sin(turn)) * slope[:, None] + np.float32(np.cos(turn)) * slope
    image = light * np.array(stain.light, np.float32) * shade[..., None]
    image += rng.standard_normal(image.shape, np.float32) * np.float32(stain.noise)
    photograph: NDArray[np.uint8] = np.clip(image + 0.5, 0, 255).astype(np.uint8)
    return photograph
