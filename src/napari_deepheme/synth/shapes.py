"""Shapes of nuclei: capsules (tapered discs drawn out along a line) whose union has the wanted outline."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Capsules = NDArray[np.float64]
"""(n, 6): ends ay, ax, by, bx and the radii at both, µm."""

Field = NDArray[np.float32]


def nucleus(code: str, rng: np.random.Generator) -> Capsules:
    """Capsules of a nucleus of the class ``code``, centred on the origin, turned at random."""
    capsules = _SHAPES[code](rng)
    turn = rng.uniform(0, 2 * np.pi)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    points = capsules[:, :4].reshape(-1, 2)
    reach = np.repeat(capsules[:, 4:].max(axis=1), 2)[:, None]
    middle = ((points - reach).min(axis=0) + (points + reach).max(axis=0)) / 2
    capsules[:, :4] = ((points - middle) @ rotation.T).reshape(-1, 4)
    return capsules


def reach_um(capsules: Capsules) -> float:
    """Radius of the circle round the origin that holds all capsules, µm."""
    ends = np.hypot(capsules[:, [0, 2]], capsules[:, [1, 3]]) + capsules[:, 4:]
    return float(ends.max())


def depth(capsules: Capsules, y: Field, x: Field, smooth: float) -> Field:
    """Distance (µm) to the outline at points (y, x), positive inside; joints are rounded by ``smooth``."""
    total = np.full(y.shape, -1e3, np.float32)
    for ay, ax, by, bx, ra, rb in capsules.astype(np.float32):
        dy, dx = by - ay, bx - ax
        along = np.clip(((y - ay) * dy + (x - ax) * dx) / max(dy * dy + dx * dx, 1e-6), 0, 1)
        inside = ra + (rb - ra) * along - np.hypot(y - ay - along * dy, x - ax - along * dx)
        total = _smooth_max(total, inside, smooth)
    return total


def _smooth_max(a: Field, b: Field, width: float) -> Field:
    """Maximum of two fields, rounded over ``width`` where they meet."""
    if width <= 0:
        return np.maximum(a, b)
    near = np.maximum(width - np.abs(a - b), 0) / width
    result: Field = np.maximum(a, b) + near * near * (width / 4)
    return result


def _oval(radius: float, length: float) -> Capsules:
    return np.array([[0, -length / 2, 0, length / 2, radius, radius]], float)


def _ribbon(
    rng: np.random.Generator, length: float, width: float, bend: float, uneven: float = 0.08
) -> Capsules:
    """A bent ribbon; ``bend`` is the angle (radians) from its beginning to its end."""
    parts = 7
    headings = np.linspace(-bend / 2, bend / 2, parts) + rng.normal(0, 0.06, parts)
    steps = length / parts * np.stack([np.sin(headings), np.cos(headings)], axis=1)
    points = np.vstack([np.zeros(2), np.cumsum(steps, axis=0)])
    radii = width / 2 * (1 + rng.normal(0, uneven, parts + 1))
    return np.hstack([points[:-1], points[1:], radii[:-1, None], radii[1:, None]])


def _lobes(rng: np.random.Generator, radii: NDArray[np.float64], gap: tuple[float, float]) -> Capsules:
    """Lobes in a chain; ``gap`` (µm) is the range of the free bridge between two of them."""
    rows: list[list[float]] = []
    place, heading = np.zeros(2), rng.uniform(0, 2 * np.pi)
    bend = rng.choice([-1, 1]) * rng.uniform(1.0, 1.5) * min(1.25, 3.75 / len(radii))
    for index, radius in enumerate(radii):
        if index:
            heading += bend * rng.uniform(0.8, 1.2)
            step = radii[index - 1] + radius + rng.uniform(*gap)
            ahead = place + step * np.array([np.sin(heading), np.cos(heading)])
            rows.append([*place, *ahead, *rng.uniform(0.28, 0.5, 2)])
            place = ahead
        long = rng.uniform(0.0, 0.35) * radius
        turn = heading + rng.normal(np.pi / 2, 0.5)
        half = long * np.array([np.sin(turn), np.cos(turn)])
        rows.append([*(place - half), *(place + half), *(radius * rng.normal(1, 0.08, 2))])
    return np.array(rows)


def _segmented(rng: np.random.Generator) -> Capsules:
    count = int(rng.choice([2, 3, 4, 5], p=[0.08, 0.50, 0.34, 0.08]))
    radii = np.sqrt(44.0 / count / np.pi) * rng.normal(1, 0.10, count)
    return _within(_lobes(rng, radii, (0.5, 1.4)), 6.6)


def _bilobed(rng: np.random.Generator) -> Capsules:
    count = int(rng.choice([2, 3], p=[0.8, 0.2]))
    radii = np.sqrt(45.0 / count / np.pi) * rng.normal(1, 0.07, count)
    return _within(_lobes(rng, radii, (0.3, 1.2)), 6.5)


def _basophil(rng: np.random.Generator) -> Capsules:
    radii = 2.9 * rng.normal(1, 0.08, int(rng.integers(2, 4)))
    return _within(_lobes(rng, radii, (-2.2, -0.8)), 5.6)


def _band(rng: np.random.Generator) -> Capsules:
    length, width = rng.normal(12.2, 0.8), rng.normal(3.65, 0.2)
    bend = rng.uniform(1.9, 3.6)
    return _within(_ribbon(rng, length, width, bend, 0.07), 6.6)


def _kidney(rng: np.random.Generator) -> Capsules:
    return _ribbon(rng, rng.normal(7.7, 0.4), rng.normal(5.2, 0.25), rng.uniform(2.6, 3.3), 0.04)


def _monocyte(rng: np.random.Generator) -> Capsules:
    kind = rng.choice(3, p=[0.45, 0.35, 0.20])
    if kind == 0:
        return _within(
            _ribbon(rng, rng.normal(10.2, 0.8), rng.normal(6.3, 0.4), rng.uniform(2.5, 3.6), 0.12), 7.4
        )
    if kind == 1:
        return _within(
            _ribbon(rng, rng.normal(12.0, 1.0), rng.normal(5.8, 0.4), rng.uniform(2.4, 3.6), 0.14), 7.4
        )
    return _within(_lobes(rng, 4.0 * rng.normal(1, 0.1, 3), (-4.4, -2.8)), 7.4)


def _smudge(rng: np.random.Generator) -> Capsules:
    count = int(rng.integers(2, 6))
    ends = rng.normal(0, 2.2, (count, 4))
    return _within(np.hstack([ends, rng.uniform(1.2, 3.6, (count, 2))]), 8.0)


def _within(capsules: Capsules, limit: float) -> Capsules:
    """Move the capsules together, thickness kept, until they fit a circle of ``limit`` µm."""
    points = capsules[:, :4].reshape(-1, 2)
    points = points - (points.min(axis=0) + points.max(axis=0)) / 2
    capsules[:, :4] = points.reshape(-1, 4)
    room = limit - capsules[:, 4:].max()
    spread = np.hypot(points[:, 0], points[:, 1]).max()
    if spread > room:
        capsules[:, :4] *= room / spread
    return capsules


_SHAPES: dict[str, Callable[[np.random.Generator], Capsules]] = {
    "B2": _basophil,
    "E4": _bilobed,
    "EBO": lambda rng: _oval(rng.normal(3.45, 0.25), rng.uniform(0.0, 0.5)),
    "L2": lambda rng: _oval(rng.normal(4.5, 0.28), rng.uniform(0.0, 0.8)),
    "M2": lambda rng: _oval(rng.normal(5.6, 0.35), rng.uniform(0.2, 2.0)),
    "M3": lambda rng: _oval(rng.normal(4.6, 0.25), rng.uniform(0.8, 2.6)),
    "M4": _kidney,
    "M5": _band,
    "M6": _segmented,
    "MO2": _monocyte,
    "U1": _smudge,
}
