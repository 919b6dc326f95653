"""How a smear is stained, lit and photographed: everything that differs from one slide to the next."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Colour: TypeAlias = tuple[float, float, float]

REFERENCE_LIGHT: Colour = (253.0, 228.0, 202.0)
"""Empty glass, RGB, under the light in which every colour of this package was measured."""

_LIGHTS: tuple[tuple[Colour, float], ...] = (
    (REFERENCE_LIGHT, 0.5),
    ((232.0, 225.0, 240.0), 0.2),
    ((226.0, 224.0, 222.0), 0.2),
    ((244.0, 236.0, 232.0), 0.1),
)


@dataclass(frozen=True, slots=True)
class Stain:
    """Stain, light and focus of one smear.

    Parameters
    ----------
    light : tuple of float
        RGB of empty glass, 0 to 255.
    red_cell : tuple of float
        RGB of a red cell's rim under the reference light.
    basic, acid : tuple of float
        Factors on the absorbance of what the basic dye (nuclei, blue cytoplasm, azurophilic granules)
        and the acid dye (eosinophilic granules, pink cytoplasm, red cells) colour; 1 is May-Grünwald-Giemsa
        as in the reference images.
    blur_um : float
        Standard deviation of the focus blur, µm.
    noise : float
        Standard deviation of the sensor noise, grey levels.
    shading : float
        Relative change of the light across a field.
    """

    light: Colour = REFERENCE_LIGHT
    red_cell: Colour = (199.0, 159.0, 164.0)
    basic: Colour = (1.0, 1.0, 1.0)
    acid: Colour = (1.0, 1.0, 1.0)
    blur_um: float = 0.10
    noise: float = 1.0
    shading: float = 0.01

    @classmethod
    def random(cls, rng: np.random.Generator) -> Stain:
        """Stain of another slide: peach, lilac or grey glass, weaker or stronger dyes, more or less sharp."""
        lights, odds = zip(*_LIGHTS, strict=True)
        light = np.array(lights[rng.choice(len(lights), p=odds)]) + rng.normal(0, 4) + rng.normal(0, 2, 3)
        basic = np.exp(rng.normal(0, 0.09) + rng.normal(0, 0.035, 3))
        acid = np.exp(rng.normal(0, 0.10) + rng.normal(0, 0.05, 3))
        red_cell = np.array(cls().red_cell) + rng.normal(0, 5) + rng.normal(0, 3, 3)
        return cls(
            light=_colour(np.clip(light, 190, 254)),
            red_cell=_colour(np.clip(red_cell, 120, 225)),
            basic=_colour(basic),
            acid=_colour(acid),
            blur_um=float(np.clip(rng.lognormal(np.log(0.12), 0.45), 0.05, 0.40)),
            noise=float(rng.uniform(0.3, 2.2)),
            shading=float(rng.uniform(0.0, 0.03)),
        )


def absorbance(colour: Colour) -> NDArray[np.float32]:
    """Natural absorbance (3,) of something that looks ``colour`` under the reference light."""
    ratio = np.array(colour) / np.array(REFERENCE_LIGHT)
    result: NDArray[np.float32] = -np.log(np.clip(ratio, 0.01, 1.0)).astype(np.float32)
    return result


def _colour(values: NDArray[np.float64]) -> Colour:
    return float(values[0]), float(values[1]), float(values[2])
