"""Synthetic laboratories: fixed changes of stain, camera, sharpness and background that no training uses.

A laboratory takes cells of ``pbc/val`` and shows them as it would have stained and photographed them: other
stain vectors and uptake (the dyes do not change alike, as with another pH), another camera (colour matrix,
white point, tone curve), another sharpness, and other glass. ``laboratory(1)`` to ``laboratory(5)`` are
those that benchmarks report; choices during development use seeds from 100 on.

python -m benchmarks.laboratories OUT.png [DATA]      draws the same cells in every laboratory
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from zlib import crc32

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter, zoom

SEEDS = (1, 2, 3, 4, 5)
"""The laboratories that benchmarks report."""

# optical densities (natural logarithm) of the cells of pbc: glass, and over it nuclei and red cells
_GLASS = np.array([0.0, 0.11, 0.23])
_NUCLEUS, _RED_CELL = np.array([1.28, 2.12, 0.49]), np.array([0.22, 0.32, 0.21])


@dataclass(frozen=True, slots=True, eq=False)
class Laboratory:
    """How one laboratory stains and photographs; all its cells share this.

    Attributes
    ----------
    seed : int
    stains : ndarray, shape (3, 3)
        Densities of nuclear dye, of eosin and haemoglobin, and of what is neither, as columns.
    uptake, saturation : ndarray, shape (3,)
        Factor and exponent of the amount of each.
    glass : ndarray, shape (3,)
        Density of the empty background.
    colours : ndarray, shape (3, 3)
        Colour matrix of the camera; its rows add up to one.
    gamma, contrast : float
        Tone curve: an exponent, and the share of an S-curve.
    blur, sharpening : float
        Standard deviation in px, and the gain of what it takes away.
    noise, shading, haze : float
        Standard deviation; amplitudes of uneven light and of stained plasma.
    quality : int
        Of JPEG.
    """

    seed: int
    stains: NDArray[np.float64]
    uptake: NDArray[np.float64]
    saturation: NDArray[np.float64]
    glass: NDArray[np.float64]
    colours: NDArray[np.float64]
    gamma: float
    contrast: float
    blur: float
    sharpening: float
    noise: float
    shading: float
    haze: float
    quality: int

    def crops(self, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Crops (n, h, w, 3) of the source laboratory as this one shows them.

        The same crop gives the same result, whatever it comes with.
        """
        return np.stack([self._crop(image) for image in images])

    def _crop(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        rng = np.random.default_rng([self.seed, crc32(image.tobytes())])
        density = -np.log((image.astype(np.float64) + 1) / 256) - _GLASS
        amounts = density @ np.linalg.inv(_stains(_NUCLEUS, _RED_CELL)).T
        amounts = np.sign(amounts) * np.abs(amounts) ** self.saturation * self.uptake
        density = amounts @ self.stains.T + self.glass
        density += self.haze * _uneven(image.shape[:2], rng)[..., None] * self.stains[:, 1]
        light = np.exp(-density) * (1 + self.shading * _ramp(image.shape[:2], rng))[..., None]
        seen = self._photographed(light.clip(0, 1.2), rng)
        stored = BytesIO()
        Image.fromarray((seen * 255).round().astype(np.uint8)).save(stored, "JPEG", quality=self.quality)
        return np.asarray(Image.open(stored))

    def _photographed(self, light: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
        smooth = gaussian_filter(light, (max(self.blur, 0.5), max(self.blur, 0.5), 0))
        light = smooth if self.blur >= 0.5 else light
        light = light + self.sharpening * (light - gaussian_filter(light, (1, 1, 0)))
        light = (light @ self.colours.T).clip(0, 1) ** self.gamma
        light = light + self.contrast * (light * light * (3 - 2 * light) - light)
        noisy: NDArray[np.float64] = (light + rng.normal(0, self.noise, light.shape)).clip(0, 1)
        return noisy


def laboratory(seed: int) -> Laboratory:
    """The laboratory of a seed, always the same."""
    rng = np.random.default_rng([20261124, seed])
    nucleus = _NUCLEUS * np.exp(rng.normal(0, 0.18, 3))
    red_cell = _RED_CELL * np.exp(rng.normal(0, 0.3, 3))
    lengths = [
        np.linalg.norm(new) / np.linalg.norm(old) for new, old in ((nucleus, _NUCLEUS), (red_cell, _RED_CELL))
    ]
    mixing = rng.normal(0, 0.1, (3, 3))
    colours = np.eye(3) + mixing - mixing.mean(axis=1, keepdims=True)
    soft = rng.random() < 0.5
    return Laboratory(
        seed=seed,
        stains=_stains(nucleus / lengths[0], red_cell / lengths[1]),
        uptake=np.exp(rng.uniform((-0.5, -0.5, -0.5), (0.2, 0.6, 0.5))),
        saturation=np.exp(rng.uniform(-0.2, 0.2, 3)),
        glass=rng.uniform(0, 0.2) + rng.uniform(0, 0.25, 3),
        colours=colours / colours.sum(axis=1, keepdims=True),
        gamma=float(np.exp(rng.uniform(-0.3, 0.3))),
        contrast=float(rng.uniform(0, 0.4)),
        blur=float(rng.uniform(0.5, 1.3)) if soft else 0.0,
        sharpening=0.0 if soft else float(rng.uniform(0, 1.2)),
        noise=float(rng.uniform(0, 0.015)),
        shading=float(rng.uniform(0, 0.08)),
        haze=float(rng.uniform(0, 0.3)),
        quality=int(rng.integers(60, 95)),
    )


def _stains(nucleus: NDArray[np.float64], red_cell: NDArray[np.float64]) -> NDArray[np.float64]:
    neither = np.cross(nucleus, red_cell)
    return np.stack([nucleus, red_cell, neither / np.linalg.norm(neither)], axis=1)


def _ramp(shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.float64]:
    """From -1 to 1 across the crop, in a direction of its own."""
    angle = rng.uniform(0, 2 * np.pi)
    y, x = np.mgrid[-1 : 1 : shape[0] * 1j, -1 : 1 : shape[1] * 1j]
    ramp: NDArray[np.float64] = (y * np.sin(angle) + x * np.cos(angle)) / np.sqrt(2)
    return ramp


def _uneven(shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.float64]:
    """Smooth clouds of 0 to 1, about a third of the crop across."""
    clouds: NDArray[np.float64] = zoom(rng.random((4, 4)), (shape[0] / 4, shape[1] / 4), order=1)
    return clouds


def main() -> None:
    data = Path(sys.argv[2] if len(sys.argv) > 2 else "../shared/data")
    folders = sorted(folder for folder in (data / "pbc" / "val").iterdir() if folder.is_dir())
    cells = [Image.open(sorted(folder.glob("*.jpg"))[0]).convert("RGB") for folder in folders]
    source = np.stack([np.asarray(cell.resize((144, 144)))[24:120, 24:120] for cell in cells])
    rows = [source, *(laboratory(seed).crops(source) for seed in SEEDS)]
    Image.fromarray(np.concatenate([np.concatenate(list(row), axis=1) for row in rows])).save(sys.argv[1])


if __name__ == "__main__":
    main()
