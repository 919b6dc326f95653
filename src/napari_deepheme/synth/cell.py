"""One stained cell: :func:`plan` draws up its outline and nucleus, :func:`paint` stains them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from napari_deepheme.synth import shapes
from napari_deepheme.synth.looks import LOOKS, Granules, Look
from napari_deepheme.synth.stain import Stain, absorbance

Field: TypeAlias = NDArray[np.float32]
_Layers: TypeAlias = tuple[Field, Field, Field]

_EDGE_UM = 1.0  # glass kept round a cell so that blur does not cut its edge


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """Geometry of one cell, µm, with the middle of its bounding box at the origin.

    Attributes
    ----------
    code : str
    shift : ndarray of float64, shape (2,)
        Where the outline's own centre lies.
    harmonics : ndarray of float64, shape (3, k)
        Radii, sine and cosine parts of the outline's Fourier series; the first column is the mean radius.
    nucleus : ndarray of float64, shape (n, 6)
        Capsules, see :mod:`napari_deepheme.synth.shapes`, relative to the outline's centre.
    height_um, width_um : float
        Bounding box.
    """

    code: str
    shift: NDArray[np.float64]
    harmonics: NDArray[np.float64]
    nucleus: shapes.Capsules
    height_um: float
    width_um: float


@dataclass(frozen=True, slots=True, eq=False)
class Sprite:
    """A painted object: the light (h, w, 3) it lets through, times the share (h, w) of a pixel it covers."""

    light: Field
    cover: Field


def plan(code: str, rng: np.random.Generator) -> Plan:
    """Draw up the outline and nucleus of a cell of the class ``code``."""
    look = LOOKS[code]
    capsules = shapes.nucleus(code, rng)
    reach = shapes.reach_um(capsules)
    spread = np.clip(rng.normal(), -2, 2) * look.spread_um
    radius = max((look.diameter_um + spread) / 2, reach + 0.35)
    if code == "U1":
        radius = reach + 0.3
    room = max(radius - reach - 0.2, 0.0)
    turn = rng.uniform(0, 2 * np.pi)
    away = room * rng.uniform(0.3, 1.0) * np.array([np.sin(turn), np.cos(turn)])
    capsules[:, :4] += np.tile(away, 2)
    order = np.arange(2, 9)
    waves = rng.normal(0, 1, (2, order.size)) * radius * look.ragged / (order / 2) ** 1.3
    harmonics = np.zeros((2, 9))
    harmonics[:, 2:] = waves
    harmonics[0, 0] = radius
    outline = _radius(harmonics, np.linspace(-np.pi, np.pi, 181))
    y, x = outline * np.sin(_ANGLES), outline * np.cos(_ANGLES)
    shift = -np.array([y.max() + y.min(), x.max() + x.min()]) / 2
    return Plan(code, shift, harmonics, capsules, float(np.ptp(y)), float(np.ptp(x)))


_ANGLES = np.linspace(-np.pi, np.pi, 181)


def paint(cell: Plan, stain: Stain, mpp: float, rng: np.random.Generator) -> Sprite:
    """Paint a cell at ``mpp`` µm/px; the sprite has odd sides and its middle pixel is the box's middle."""
    look = LOOKS[cell.code]
    half_y = int(np.ceil((cell.height_um / 2 + _EDGE_UM) / mpp))
    half_x = int(np.ceil((cell.width_um / 2 + _EDGE_UM) / mpp))
    y = (np.arange(-half_y, half_y + 1, dtype=np.float32) * mpp - cell.shift[0])[:, None]
    x = (np.arange(-half_x, half_x + 1, dtype=np.float32) * mpp - cell.shift[1])[None, :]
    y, x = np.broadcast_arrays(y.astype(np.float32), x.astype(np.float32))
    body = _body(cell, y, x)
    texture = _Texture(rng, mpp, y.shape)
    inner = _inner(cell, texture, y, x, body)
    if cell.code == "U1":
        density, cover = _smudge(look, stain, texture, inner)
    else:
        clear = _vacuoles(look, texture, y, x, float(cell.harmonics[0, 0]))
        density = _stained(look, stain, texture, (body, inner, clear))
        cover = _soft(body, 0.12)
    light = np.exp(-density) * cover[..., None]
    return _focus(light, cover, stain.blur_um / mpp)


class _Texture:
    """Random fields of unit variance and a given grain."""

    def __init__(self, rng: np.random.Generator, mpp: float, shape: tuple[int, ...]) -> None:
        self.rng, self.mpp, self.shape = rng, mpp, shape

    def grain(self, size_um: float) -> Field:
        """Field whose correlation falls off over ``size_um``."""
        white = self.rng.standard_normal(self.shape, np.float32)
        field: Field = gaussian_filter(white, size_um / self.mpp, mode="wrap", truncate=3)
        field /= max(float(field.std()), 1e-6)
        return field

    def spots(self, size_um: float, cover: float) -> Field:
        """Soft spots 0 to 1 that cover the share ``cover`` of the area."""
        field = self.grain(size_um)
        edge = float(np.quantile(field, 1 - cover))
        spots: Field = np.clip((field - edge) * 2.2, 0, 1)
        return spots


def _radius(harmonics: NDArray[np.float64], angle: NDArray[np.floating]) -> NDArray[np.floating]:
    result = np.zeros_like(angle)
    for order in range(harmonics.shape[1]):
        sine, cosine = harmonics[1, order], harmonics[0, order]
        if sine or cosine:
            result += cosine * np.cos(order * angle) + sine * np.sin(order * angle)
    return result


def _body(cell: Plan, y: Field, x: Field) -> Field:
    """Distance to the cell's outline, positive inside."""
    # The radius is looked up rather than summed per pixel: seven sines of a whole patch cost more.
    angle = np.arctan2(y, x)
    outline = np.interp(angle.ravel(), _ANGLES, _radius(cell.harmonics, _ANGLES)).reshape(angle.shape)
    result: Field = (outline - np.hypot(y, x)).astype(np.float32)
    return result


def _inner(cell: Plan, texture: _Texture, y: Field, x: Field, body: Field) -> Field:
    """Distance to the nucleus' outline, positive inside; it never leaves the cell."""
    look = LOOKS[cell.code]
    dy, dx = texture.grain(1.1) * look.wobble, texture.grain(1.1) * look.wobble
    inner: Field = np.minimum(shapes.depth(cell.nucleus, y + dy, x + dx, look.joint), body - 0.25)
    return inner


def _stained(look: Look, stain: Stain, texture: _Texture, layers: _Layers) -> Field:
    """Absorbance (h, w, 3) of cytoplasm, granules and nucleus."""
    rng, (body, inner, clear) = texture.rng, layers
    basic, acid = np.array(stain.basic, np.float32), np.array(stain.acid, np.float32)
    mix = rng.uniform()
    pale = absorbance(look.cytoplasm[0]) * mix + absorbance(look.cytoplasm[1]) * (1 - mix)
    pale *= (acid if look.acid else basic) * np.float32(np.exp(rng.normal(0, 0.08)))
    amount = 1 + 0.10 * texture.grain(0.35) + 0.10 * texture.grain(1.6)
    amount += look.rim * np.exp(-((body - 0.15) ** 2) / 0.18)
    amount *= 1 - look.golgi * np.clip(texture.grain(1.8), 0, 1)
    amount *= 1 - 0.8 * clear
    density = np.maximum(amount, 0.05)[..., None] * pale
    covers = [(granule, _granules(granule, texture)) for granule in look.granules]
    for granule, spots in covers:
        density = _over(density, _dye(granule, basic, acid), spots)
    nucleus = _chromatin(look, texture, inner)[..., None] * (absorbance(look.nucleus) * basic)
    density = _over(density, nucleus, _soft(inner, 0.14))
    for granule, spots in covers:
        if granule.over_nucleus:
            density = _over(density, _dye(granule, basic, acid), spots * granule.over_nucleus * (inner > 0))
    return density


def _dye(granule: Granules, basic: Field, acid: Field) -> Field:
    colour: Field = absorbance(granule.colour) * (acid if granule.acid else basic)
    return colour


def _granules(granule: Granules, texture: _Texture) -> Field:
    cover = granule.cover * float(np.exp(texture.rng.normal(0, 0.2)))
    return texture.spots(granule.radius_um, min(cover, 0.8))


def _vacuoles(look: Look, texture: _Texture, y: Field, x: Field, radius: float) -> Field:
    """Share 0 to 1 of clear vacuoles, discs scattered over the cell."""
    rng = texture.rng
    clear = np.zeros(texture.shape, np.float32)
    for _ in range(rng.poisson(look.vacuoles * rng.uniform(0, 2))):
        away, turn = radius * rng.uniform(0.45, 0.92), rng.uniform(0, 2 * np.pi)
        distance = np.hypot(y - away * np.sin(turn), x - away * np.cos(turn))
        np.maximum(clear, _soft(rng.uniform(0.25, 0.75) - distance, 0.15), out=clear)
    return clear


def _chromatin(look: Look, texture: _Texture, inner: Field) -> Field:
    """Relative density of the nucleus: fine grain, coarse clumps and a darker membrane."""
    fine, coarse = look.clumps
    density = 1.06 + fine * np.minimum(texture.grain(0.17), 0.8) + coarse * texture.grain(look.clump_um)
    density += 0.20 * np.exp(-((inner - 0.15) ** 2) / 0.10)
    density *= np.float32(np.exp(texture.rng.normal(0, 0.06)))
    return np.clip(density, 0.45, 1.6)


def _smudge(look: Look, stain: Stain, texture: _Texture, inner: Field) -> tuple[Field, Field]:
    """Absorbance and cover of an artefact: a smudged nucleus, precipitate or a blot of dye."""
    rng = texture.rng
    mix = rng.uniform()
    colour = absorbance(look.cytoplasm[0]) * mix + absorbance(look.cytoplasm[1]) * (1 - mix)
    colour *= np.array(stain.basic, np.float32) * np.float32(rng.uniform(0.6, 1.3))
    amount = 1 + 0.15 * texture.grain(0.3) + 0.25 * texture.grain(1.2)
    kind = rng.choice(3, p=[0.5, 0.25, 0.25])
    if kind == 0:
        cover = _soft(inner + 0.4 * texture.grain(0.6), 0.35)
    elif kind == 1:
        cover = texture.spots(0.40, 0.55) * _soft(inner + 0.5, 0.6)
    else:
        cover = np.clip(0.5 + inner / 3.0, 0, 1) * rng.uniform(0.6, 1)
    return np.clip(amount, 0.2, 2)[..., None] * colour, cover


def _over(below: Field, above: Field, cover: Field) -> Field:
    result: Field = below + (above - below) * cover[..., None]
    return result


def _soft(distance: Field, width_um: float) -> Field:
    share: Field = np.clip(0.5 + distance / (2 * width_um), 0, 1)
    return share


def _focus(light: Field, cover: Field, sigma: float) -> Sprite:
    """Blur as the optics do; light is premultiplied by the cover so that edges keep their colour."""
    if sigma > 0.15:
        light = gaussian_filter(light, (sigma, sigma, 0), truncate=3)
        cover = gaussian_filter(cover, sigma, truncate=3)
    return Sprite(light.astype(np.float32), cover.astype(np.float32))
