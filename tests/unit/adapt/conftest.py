from pathlib import Path

import numpy as np
import pytest
from PIL import Image

COLOURS = {"LY": (70, 30, 120), "EO": (220, 90, 70), "PLM": (90, 140, 200)}


def blob(colour: tuple[int, int, int], rng: np.random.Generator, side: int = 80) -> np.ndarray:
    """A picture of a round cell with texture of its own."""
    image = np.full((side, side, 3), 235.0)
    y, x = np.mgrid[:side, :side] - side // 2
    image[np.hypot(y, x) < side // 4] = colour
    texture = rng.normal(0, 12, (side // 5, side // 5, 3))
    return (image + texture.repeat(5, axis=0).repeat(5, axis=1)).clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="session")
def labelled_folder(tmp_path_factory) -> Path:
    """Two classes of the toy bundle and one that is new to it, eight cells each."""
    folder = tmp_path_factory.mktemp("labelled")
    rng = np.random.default_rng(0)
    for label, colour in COLOURS.items():
        (folder / label).mkdir()
        for i in range(8):
            Image.fromarray(blob(colour, rng)).save(folder / label / f"{i}.png")
    return folder
