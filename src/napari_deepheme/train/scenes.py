"""Crowded scenes composed of marked fields, to learn detection from.

Fields whose cells are all marked are mostly thin films with one cell in view. Here their cells are cut out
and put close together, over and beside one another, among red cells, on other backgrounds, in other colours.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from torch.nn.functional import interpolate

from napari_deepheme.datasets.fields import FIELD_MPP, Floats, MarkedField
from napari_deepheme.detect.network import STRIDE
from napari_deepheme.train.augment import ViewOptions, another_look
from napari_deepheme.train.cutouts import cut_out, optical_density

SCENE_PX = 192

_CELL_PX, _OTHER_PX = 64, 32  # sides of the squares that cut-outs lie in
_PIECE_PX = 64
_MOST_OTHERS = 12  # of a field
_LOOKS = ViewOptions(look=0.8, near=0.3, jpeg=0.15)
_NEAREST = 0.62  # centres of neighbours, as a share of the sum of their radii
_WHOLE, _GONE = 0.7, 0.1  # shares of a cut cell in view: it counts, it may or may not count, it does not
_RED_HUE = 0.4  # of red cells in another stain: standard deviation of the logarithm of each channel
_SIGMA = 0.1  # of the spot of a centre, as a share of the diameter


@dataclass(frozen=True, slots=True, eq=False)
class Scenes:
    """A batch of scenes, n of them, as the network takes them.

    Attributes
    ----------
    images : Tensor of float32, shape (n, 3, s, s)
        Transmitted share of light, 0 to 1.
    heat : Tensor of float32, shape (n, s / 2, s / 2)
        1 at the centres of cells, falling off around them.
    log_diameter : Tensor of float32, shape (n, s / 2, s / 2)
        Natural logarithm of the diameter in µm, at the centres of cells whose size is known; else NaN.
    counts : Tensor of bool, shape (n, s / 2, s / 2)
        False where cells are cut and either answer is right.
    """

    images: torch.Tensor
    heat: torch.Tensor
    log_diameter: torch.Tensor
    counts: torch.Tensor


@dataclass(slots=True, eq=False)
class _Scene:
    """A scene under way: optical densities, cells (y, x, diameter in scene px; NaN size unknown), doubt."""

    density: NDArray[np.float32]
    cells: list[tuple[float, float, float]]
    counts: NDArray[np.bool_]


class SceneMaker:
    """Composes scenes of marked fields.

    Parameters
    ----------
    fields : sequence of MarkedField
    mpp : float
        µm/px of the scenes.
    """

    def __init__(self, fields: Sequence[MarkedField], mpp: float) -> None:
        self._zoom = FIELD_MPP / mpp
        self._mpp = mpp
        self._fields = fields
        self._images = [optical_density(field.image, field.white) for field in fields]
        self._cells = cut_out(fields, self._images, [field.cells for field in fields], _CELL_PX)
        self._others = cut_out(
            fields, self._images, [field.others[:_MOST_OTHERS] for field in fields], _OTHER_PX
        )

    def scenes(self, n: int, rng: np.random.Generator) -> Scenes:
        """Compose ``n`` scenes; the same generator gives the same."""
        made = [self._scene(rng) for _ in range(n)]
        density = np.stack([scene.density + _slope(rng) for scene in made])
        images = torch.from_numpy(np.exp(-density)).clamp(0, 1)
        generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
        images = another_look(images, _LOOKS, generator)
        heat, size = zip(*(self._targets(scene.cells) for scene in made), strict=True)
        counts = [scene.counts[::STRIDE, ::STRIDE] for scene in made]
        targets = (torch.from_numpy(np.stack(part)) for part in (heat, size, counts))
        return Scenes(images.clamp(0, 1), *targets)

    def _scene(self, rng: np.random.Generator) -> _Scene:
        scene = _Scene(np.zeros((3, SCENE_PX, SCENE_PX), np.float32), [], np.ones((SCENE_PX, SCENE_PX), bool))
        kind = rng.random()
        if kind < 0.4:
            self._mosaic(scene, rng)
        elif kind < 0.55:
            scene.density += _particle(rng)
        if kind > 0.45 and len(self._others):
            self._scatter(scene, rng)
        if len(self._cells) and rng.random() < 0.85:
            self._crowd(scene, rng)
        return scene

    def _mosaic(self, scene: _Scene, rng: np.random.Generator) -> None:
        """Pieces of fields side by side, their own cells with them."""
        gain = np.exp(rng.uniform(-0.4, 0.6))
        uneven = rng.choice([0.0, 0.06])  # lamp and stain differ between the fields of a mosaic
        first_y, first_x = rng.integers(-_PIECE_PX, 1, 2)
        for top in range(first_y, SCENE_PX, _PIECE_PX):
            for left in range(first_x, SCENE_PX, _PIECE_PX):
                self._piece(scene, (top, left), gain, rng)
                piece = scene.density[:, max(0, top) : top + _PIECE_PX, max(0, left) : left + _PIECE_PX]
                piece += rng.normal(0, uneven, (3, 1, 1)).astype(np.float32)

    def _piece(self, scene: _Scene, corner: tuple[int, int], gain: float, rng: np.random.Generator) -> None:
        """A square of a random field, enlarged, turned by quarters and mirrored."""
        i = int(rng.integers(len(self._fields)))
        zoom = self._zoom * math.exp(rng.uniform(-0.2, 0.2))
        image = torch.from_numpy(self._images[i])[None]
        shape = [max(1, round(side * zoom)) for side in image.shape[2:]]
        pixels = interpolate(image, shape, mode="bilinear", antialias=True)[0].numpy() * gain
        start = [int(rng.integers(0, max(1, side - _PIECE_PX + 1))) for side in shape]
        pixels = pixels[:, start[0] : start[0] + _PIECE_PX, start[1] : start[1] + _PIECE_PX]
        top, left = corner
        inside = np.s_[
            max(0, top) : max(0, top + pixels.shape[1]), max(0, left) : max(0, left + pixels.shape[2])
        ]
        target = scene.density[:, *inside]
        target[:] = pixels[:, max(0, -top) :, max(0, -left) :][:, : target.shape[1], : target.shape[2]]
        self._add_marks(scene, self._fields[i], zoom, (start, corner, pixels.shape[1:]))

    def _add_marks(
        self,
        scene: _Scene,
        field: MarkedField,
        zoom: float,
        place: tuple[list[int], tuple[int, int], tuple[int, ...]],
    ) -> None:
        """What is marked in a piece: whole cells count; cut ones, and unsure parts, may be found or not."""
        start, corner, shape = place
        low = np.maximum(corner, 0)
        high = np.minimum(np.add(corner, shape), SCENE_PX)
        marks = np.concatenate([field.cells, field.unsure]) * zoom
        for i, (y, x, h, w) in enumerate(marks):
            centre = np.array([y - start[0] + corner[0], x - start[1] + corner[1]])
            half = np.array([h, w]) / 2
            seen = np.clip(np.minimum(centre + half, high) - np.maximum(centre - half, low), 0, None)
            share = float(np.prod(seen) / max(np.prod(2 * half), 1e-6))
            is_cell = i < len(field.cells)
            if share <= (_GONE if is_cell else 0):
                continue
            whole = share >= _WHOLE and (centre > low).all() and (centre < high - 1).all()
            if whole and is_cell:
                scene.cells.append((centre[0], centre[1], math.sqrt(h * w) if field.boxed else math.nan))
            else:
                first, last = np.maximum(centre - half, low), np.minimum(centre + half, high)
                scene.counts[int(first[0]) : int(last[0]) + 1, int(first[1]) : int(last[1]) + 1] = False

    def _scatter(self, scene: _Scene, rng: np.random.Generator) -> None:
        """Red cells and platelets, loose or in rafts, thin or thick, of any hue."""
        n = int(np.exp(rng.uniform(1, 5)))
        chosen = rng.integers(len(self._others), size=n)
        gain = np.exp(rng.uniform(-0.5, 0.2) if rng.random() < 0.6 else rng.uniform(0.2, 1.1))
        views = self._others.views(chosen, gain, self._zoom, rng)
        if rng.random() < 0.5:
            views[:, :3] *= np.exp(rng.normal(0, _RED_HUE, (3, 1, 1))).astype(np.float32)
        places = rng.uniform(0, SCENE_PX, (n, 2))
        if rng.random() < 0.4:  # a raft: each beside the one before
            steps = rng.normal(0, 9, (n, 2))
            places = (places[0] + np.cumsum(steps, axis=0)) % SCENE_PX
        over = rng.random() < 0.5
        for view, place in zip(views, places, strict=True):
            _paste(scene.density, view, place, over=over)

    def _crowd(self, scene: _Scene, rng: np.random.Generator) -> None:
        """Cells, some of them touching and overlapping others."""
        n = int(np.exp(rng.uniform(0, 4)))
        chosen = rng.integers(len(self._cells), size=n)
        scale = np.exp(rng.uniform(-0.3, 0.26)) * np.exp(rng.uniform(-0.08, 0.08, n))
        gain = np.exp(rng.uniform(-0.9, 0.4)) * np.exp(rng.uniform(-0.25, 0.15, n))
        views = self._cells.views(chosen, gain, self._zoom * scale, rng)
        diameters = np.sqrt(self._cells.size[chosen].prod(axis=1)) * self._zoom * scale
        clustered, cover = rng.random() ** 0.7, rng.uniform(0.5, 1)
        for view, diameter, i in zip(views, diameters, chosen, strict=True):
            place = _free_place(scene.cells, diameter, clustered, rng)
            if place is None:
                continue
            _paste(scene.density, view, place, over=rng.random() < 0.3, cover=cover)
            scene.counts[_disc(place, diameter / 2)] = True  # also where a piece is unsure
            known = diameter if self._cells.boxed[i] else math.nan
            scene.cells.append((place[0], place[1], known))

    def _targets(self, cells: list[tuple[float, float, float]]) -> tuple[Floats, Floats]:
        """Heatmap and logarithm of diameters (µm) of one scene."""
        side = SCENE_PX // STRIDE
        heat, size = np.zeros((side, side), np.float32), np.full((side, side), np.nan, np.float32)
        axis = np.arange(side)
        for y, x, diameter in cells:
            row, column = (round((p - (STRIDE - 1) / 2) / STRIDE) for p in (y, x))
            if not (0 <= row < side and 0 <= column < side):
                continue
            spread = np.clip(_SIGMA * (24.0 if math.isnan(diameter) else diameter) / STRIDE, 0.8, 2.0)
            spot = np.exp(-((axis[:, None] - row) ** 2 + (axis - column) ** 2) / (2 * spread**2))
            np.maximum(heat, spot, out=heat)
            size[row, column] = math.log(max(diameter * self._mpp, 1.0)) if diameter > 0 else math.nan
        return heat, size


def _paste(
    density: NDArray[np.float32],
    view: NDArray[np.float32],
    place: NDArray[np.float64],
    *,
    over: bool,
    cover: float = 1.0,
) -> None:
    """Put a view into a scene: in place of what is there, or over it so that both absorb."""
    side = view.shape[1]
    top, left = (round(float(p)) - side // 2 for p in place)
    inside = np.s_[max(0, top) : max(0, top + side), max(0, left) : max(0, left + side)]
    target = density[:, *inside]
    part = view[:, max(0, -top) :, max(0, -left) :][:, : target.shape[1], : target.shape[2]]
    if not over:
        target *= 1 - cover * part[3]
    target += part[:3]


def _disc(centre: NDArray[np.float64], radius: float) -> NDArray[np.bool_]:
    """Pixels of a scene that a round cell covers."""
    axis = np.arange(SCENE_PX)
    disc: NDArray[np.bool_] = np.hypot(axis[:, None] - centre[0], axis - centre[1]) <= radius
    return disc


def _free_place(
    cells: list[tuple[float, float, float]], diameter: float, clustered: float, rng: np.random.Generator
) -> NDArray[np.float64] | None:
    """Somewhere for a cell: beside another one, or anywhere; None if it finds no room."""
    known = np.array(cells, np.float64).reshape(-1, 3)
    radii = np.nan_to_num(known[:, 2], nan=24.0) / 2 + diameter / 2
    for _ in range(8):
        if len(known) and rng.random() < clustered:
            i = rng.integers(len(known))
            angle = rng.uniform(0, 2 * math.pi)
            step = radii[i] * rng.uniform(_NEAREST, 1.05)
            place: NDArray[np.float64] = known[i, :2] + step * np.array([math.sin(angle), math.cos(angle)])
        else:
            place = rng.uniform(0, SCENE_PX, 2)
        apart = np.hypot(*(known[:, :2] - place).T) >= _NEAREST * radii
        if apart.all() and (place > 0).all() and (place < SCENE_PX - 1).all():
            return place
    return None


def _slope(rng: np.random.Generator) -> NDArray[np.float32]:
    """Light that falls off towards one side."""
    y, x = np.mgrid[-1 : 1 : SCENE_PX * 1j, -1 : 1 : SCENE_PX * 1j]
    angle, height = rng.uniform(0, 2 * math.pi), rng.uniform(0, 0.08)
    slope: NDArray[np.float32] = ((y * math.sin(angle) + x * math.cos(angle)) * height).astype(np.float32)
    return slope


def _particle(rng: np.random.Generator) -> NDArray[np.float32]:
    """Stroma without cells: cloudy, fibrous, with holes where fat was."""
    clouds = sum(
        gaussian_filter(rng.normal(size=(SCENE_PX, SCENE_PX)), spread) * spread for spread in (2, 6, 18)
    )
    clouds = np.clip(clouds / np.abs(clouds).max() * rng.uniform(0.3, 1.2) + rng.uniform(0, 0.3), 0, None)
    y, x = np.mgrid[:SCENE_PX, :SCENE_PX]
    for _ in range(int(rng.integers(0, 5))):
        centre, radius = rng.uniform(0, SCENE_PX, 2), rng.uniform(12, 40)
        rim = (np.hypot(y - centre[0], x - centre[1]) - radius) / 2
        clouds *= 1 / (1 + np.exp(-np.clip(rim, -20, 20)))
    colour = np.array([rng.uniform(0.2, 0.8), rng.uniform(0.5, 1.1), rng.uniform(0.2, 0.7)])
    stroma: NDArray[np.float32] = (clouds * colour[:, None, None]).astype(np.float32)
    return stroma
