"""What can be measured in one field, from afar or close by, and what it means."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_deepheme.detect.stain import NuclearStain
from napari_deepheme.fields.field import FieldKind
from napari_deepheme.slide.planes import Pixels, halve

Density = NDArray[np.float32]

FIELD_UM = 256.0

# light that reaches no camera channel: a border, or the ground of a fluorescence image
_BLACK, _DARKEST_GLASS = 60, 100
# glass may be this much darker here and there: shading, plasma, slides put together from others
_SHADE = 0.83
# absorbance (log10, mean of the channels) of anything on the glass, and of what surely has a colour
_STAINED, _COLOURED = 0.07, 0.15
# one lymphocyte's share of a field; share below which a field is glass with something on it
_SPECK, _SPARSE = 0.001, 0.02
# spread of the channels over their mean: 0 for grey, 0.4 and more for every blood stain
_GREY, _FEWEST_COLOURED = 0.1, 0.005
# a gap shows glass within the reach of one large cell; one layer of red cells lies below 0.2, three above 0.3
_REACH_UM, _LAYER, _LAYERS, _NUCLEAR_RED = 24.0, 0.12, 0.3, 0.06
# shares of a field without gaps from which its cells cannot be told apart
_HEAPED, _CLOSED, _CLOSED_WITHOUT_NUCLEI = 0.3, 1 / 3, 0.1
_NUCLEUS_UM2 = 60.0
# the palest nuclei that can be told from cytoplasm; where samples show none, the least to search for
_PALEST, _FAINT, _DARKEST_THRESHOLD = 0.1, 0.06, 0.25
# blue over red absorbance: 0 to 0.6 in nuclei, which makes them faint ones; more in lilac red cells
_LILAC = 0.6
_FEWEST_SAMPLE_PX = 100
# fine over coarse detail: 0.4 to 1.2 in focused slides, below the least once blurred by 1 µm (sigma)
_LEAST_FOCUS, _LEAST_OF_BEST, _SHARP = 0.16, 0.35, 0.7
# cells a field at which more no longer matter much; shares of nuclei from which they lie on one another
_MANY_CELLS, _ROOMY, _CROWDED = 10.0, 0.2, 0.35
_WORST = 0.05


@dataclass(frozen=True, slots=True)
class Measurements:
    """Measurements of one field; shares are of its area.

    Attributes
    ----------
    black, stained : float
        Shares that no light passes and that lie over the glass.
    colour : float
        Spread of absorbance over the channels relative to its mean; NaN if hardly anything is stained.
    closed, thick, heaped : float
        Shares with no gap nearby: in one layer of cells, in several, in nuclei.
    nuclear : float
        Share of nuclei.
    level, tint : float
        Nuclear absorbance that the nuclei reach, and their blue over their red absorbance.
    area_um2 : float
    cells : float
        Nucleated cells.
    focus : float
        Fine over coarse detail; NaN from afar.
    """

    black: float
    stained: float
    colour: float
    closed: float
    thick: float
    heaped: float
    nuclear: float
    level: float
    tint: float
    area_um2: float
    cells: float
    focus: float = float("nan")


def stain_of(samples: Sequence[Pixels], mpp: float) -> NuclearStain:
    """The nuclear stain of a slide, searching for the faintest nuclei where no sample shows any."""
    plain = NuclearStain(mpp=mpp)
    if sum(sample[..., 0].size for sample in samples) < _FEWEST_SAMPLE_PX:
        return replace(plain, threshold=_FAINT)
    samples = [np.maximum(sample, 1) for sample in samples]
    stain = plain.fitted(samples)
    if stain.threshold == plain.threshold:
        return replace(stain, threshold=_FAINT)
    return replace(stain, threshold=max(stain.threshold, _half_of_nuclei(samples, stain)))


def _half_of_nuclei(samples: Sequence[Pixels], stain: NuclearStain) -> float:
    """Half the absorbance of what is taken for nuclei, lilac red cells hardly among it."""
    absorbed = np.concatenate([stain.absorbance(sample).ravel() for sample in samples])
    nuclei = absorbed[absorbed > stain.threshold]
    return min(_DARKEST_THRESHOLD, float(np.percentile(nuclei, 90)) / 2) if len(nuclei) else 0.0


def measure_from_afar(image: Pixels, stain: NuclearStain) -> Measurements:
    """Measure a field in which nuclei are a few pixels wide; cells are guessed from their area."""
    lit = _lit(image)
    black = 1 - lit.mean() if max(stain.white) >= _DARKEST_GLASS else 1.0
    image = np.where(lit[..., None], image, np.array(stain.white, np.uint8))
    stain = replace(stain, white=_glass_nearby(image, stain.white))
    density = _density(image, stain.white)
    mean: Density = (density[..., 0] + density[..., 1] + density[..., 2]) / np.float32(3)
    absorbed = stain.absorbance(image)
    nuclei = absorbed > stain.threshold
    area = image.shape[0] * image.shape[1] * stain.mpp**2
    return Measurements(
        black=float(black),
        stained=float((mean > _STAINED).mean()),
        colour=_colour(density, mean),
        closed=_without_gaps(mean, _LAYER, stain.mpp),
        thick=_without_gaps(mean, _LAYERS, stain.mpp),
        heaped=_without_gaps(density[..., 0], _NUCLEAR_RED, stain.mpp),
        nuclear=float(nuclei.mean()),
        level=float(np.percentile(absorbed[nuclei], 75)) if nuclei.any() else 0.0,
        tint=_tint(density[nuclei]),
        area_um2=area,
        cells=float(nuclei.mean()) * area / _NUCLEUS_UM2,
    )


def measure_closely(image: Pixels, stain: NuclearStain) -> Measurements:
    """Measure a field read at half the µm/px of ``stain``: cells are found, focus is measured."""
    halved = halve(image)
    look = measure_from_afar(halved, stain)
    return replace(look, cells=float(len(stain.cells(halved).yx)), focus=_focus(image, halved, stain))


def kind_of(look: Measurements, best_focus: float = 0.0) -> tuple[FieldKind, str]:
    """What a field is, and why; ``best_focus`` is that of the slide's sharpest fields."""
    kind, reason = _covered(look)
    if kind not in (FieldKind.GOOD, FieldKind.RED_CELLS):
        return kind, reason
    if look.focus < max(_LEAST_FOCUS, _LEAST_OF_BEST * best_focus):
        return FieldKind.BLURRED, "blurred" if look.focus < _LEAST_FOCUS else "blurred beside other fields"
    if kind is FieldKind.RED_CELLS:
        return kind, reason
    if look.level < _PALEST:
        return FieldKind.PALE, "nuclei hardly darker than what surrounds them"
    return kind, f"{'sharp' if look.focus >= _SHARP * best_focus else 'a little blurred'}, {reason}"


def score_of(look: Measurements, stain: NuclearStain, best_focus: float) -> float:
    """How well a good field can be counted, 0 to 1: sharp, with many cells that lie apart, well stained."""
    sharp = min(1.0, look.focus / best_focus) if best_focus else 1.0
    density = look.cells * FIELD_UM**2 / look.area_um2
    room = (1 - max(0.0, look.nuclear - _ROOMY)) * (1 - look.closed)
    stained = min(1.0, look.level / (2 * stain.threshold))
    return max(_WORST, sharp * density / (density + _MANY_CELLS) * room * stained)


def priority(look: Measurements) -> float:
    """How much a field seen from afar deserves a closer look."""
    return (min(look.nuclear, _ROOMY) + 0.01) * (1 - look.closed) + 0.001


def _covered(look: Measurements) -> tuple[FieldKind, str]:
    """What lies on the glass: the first of the rules that holds."""
    some = look.cells >= 1 and (look.level >= _PALEST or look.tint < _LILAC)
    rules = (
        (look.black > 0.5, FieldKind.FOREIGN, "black: a border, or no transmitted light"),
        (look.stained < _SPECK, FieldKind.GLASS, "bare glass"),
        (look.colour < _GREY, FieldKind.FOREIGN, "grey: no stain"),
        (look.heaped > _HEAPED, FieldKind.PARTICLE, f"{look.heaped:.0%} of it one mass without gaps"),
        (look.thick > _CLOSED, FieldKind.THICK, f"{look.thick:.0%} of it several layers deep"),
        (some, FieldKind.GOOD, _cells_and_overlap(look)),
        (look.closed > _CLOSED_WITHOUT_NUCLEI, FieldKind.THICK, f"{look.closed:.0%} without gaps, no nuclei"),
        (look.stained < _SPARSE, FieldKind.GLASS, "hardly anything on the glass"),
    )
    otherwise = FieldKind.RED_CELLS, "no nuclei among the red cells"
    return next(((kind, reason) for holds, kind, reason in rules if holds), otherwise)


def _cells_and_overlap(look: Measurements) -> str:
    overlap = "few" if look.nuclear < _ROOMY else "some" if look.nuclear < _CROWDED else "many"
    number = round(look.cells)
    return f"about {number} nucleated cell{'' if number == 1 else 's'}, {overlap} overlap"


def _tint(nuclei: Density) -> float:
    """Blue over red absorbance of the (n, 3) pixels of nuclei; 0 of none."""
    red, _, blue = nuclei.sum(axis=0)
    return float(blue / red) if red > 0 else 0.0


def _lit(image: Pixels) -> NDArray[np.bool_]:
    """Where light arrives (channel by channel: numpy is slow along an axis of three)."""
    return (image[..., 0] >= _BLACK) | (image[..., 1] >= _BLACK) | (image[..., 2] >= _BLACK)


def _glass_nearby(image: Pixels, white: tuple[float, float, float]) -> tuple[float, float, float]:
    """The field's own lightest colour, if it could be glass in a shade."""
    red, green, blue = (float(np.percentile(image[..., c], 98)) for c in range(3))
    own = (red, green, blue)
    lit = all(a >= _SHADE * b for a, b in zip(own, white, strict=True))
    return own if lit else white


def _density(image: Pixels, white: tuple[float, float, float]) -> Density:
    light = np.clip(image.astype(np.float32), 1.0, None) / np.array(white, np.float32)
    density: Density = np.maximum(-np.log10(light), 0)
    return density


def _colour(density: Density, mean: Density) -> float:
    coloured = mean > _COLOURED
    if coloured.mean() < _FEWEST_COLOURED:
        return float("nan")
    return float(np.median(np.ptp(density[coloured], axis=-1) / mean[coloured]))


def _without_gaps(density: Density, limit: float, mpp: float) -> float:
    """Share of places with nothing below ``limit`` around them."""
    smooth = ndimage.gaussian_filter(density, 1.0 / mpp)
    return float((ndimage.minimum_filter(smooth, max(1, round(_REACH_UM / mpp))) > limit).mean())


def _focus(image: Pixels, halved: Pixels, stain: NuclearStain) -> float:
    """Deviation of the Laplacian of green absorbance at one pixel of ``image`` over that at four."""
    white = stain.white[1]
    fine, coarse = (
        sigma**2 * ndimage.gaussian_laplace(_green(pixels, white), sigma).std()
        for pixels, sigma in ((image, 1.0), (halved, 2.0))
    )
    return float(fine / coarse) if coarse > 0 else 0.0


def _green(image: Pixels, white: float) -> Density:
    light = np.where(_lit(image), image[..., 1], white).astype(np.float32) / white
    density: Density = np.maximum(-np.log10(np.clip(light, 1 / 255, None)), 0)
    return density
