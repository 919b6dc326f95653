import numpy as np
import pytest
import torch

from napari_deepheme.classify.stain import StainColours, contrast, stain_colours
from napari_deepheme.train.painting import Painter

HOME = StainColours(glass=(0.0, 0.1, 0.2), red_cell=(0.2, 0.3, 0.2), nucleus=(1.2, 1.8, 0.5))
MIDDLE, CORNER, GLASS = (48, 48), (10, 10), (10, 48)


def smear() -> torch.Tensor:
    """A nucleus in the middle, red cells in the corners, glass between; shape (3, 96, 96)."""
    y, x = np.mgrid[:96, :96] - 47.5
    density = np.broadcast_to(np.array(HOME.glass), (96, 96, 3)).copy()
    density[np.hypot(y, x) < 16] += HOME.nucleus
    density[np.hypot(np.abs(y) - 38, np.abs(x) - 38) < 12] += HOME.red_cell
    return torch.from_numpy(np.exp(-density)).permute(2, 0, 1).float()


@pytest.fixture(scope="module")
def painted() -> torch.Tensor:
    return Painter(HOME).painted(smear().expand(200, -1, -1, -1), np.random.default_rng(0))


def test_every_cell_gets_glass_and_red_cells_of_a_smear_of_its_own(painted):
    for y, x in (GLASS, CORNER):
        assert (painted[:, :, y, x].std(dim=0) > 0.03).all()
    assert ((painted >= 0) & (painted <= 1)).all()


def test_nuclei_stay_darker_than_red_cells_and_those_darker_than_glass(painted):
    nucleus, red_cell, glass = (painted[:, :, y, x].mean(dim=1) for y, x in (MIDDLE, CORNER, GLASS))
    assert (nucleus < red_cell).all()
    assert (red_cell < glass).all()


def test_the_colours_of_a_painted_slide_can_be_measured_again(painted):
    pixels = (painted.permute(0, 2, 3, 1) * 255).round().byte().numpy()
    found = [stain_colours(image[None]) for image in pixels[:40]]
    assert np.mean([each is not None and contrast(each) > 0.1 for each in found]) > 0.8
