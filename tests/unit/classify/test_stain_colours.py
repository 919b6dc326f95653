import numpy as np
import pytest

from napari_deepheme.classify.stain import StainColours, stain_colours, stain_map

HOME = StainColours(glass=(0.0, 0.1, 0.2), red_cell=(0.2, 0.3, 0.2), nucleus=(1.2, 1.8, 0.5))
PALE = StainColours(glass=(0.2, 0.2, 0.2), red_cell=(0.07, 0.14, 0.13), nucleus=(0.45, 0.7, 0.1))


def crops(colours: StainColours, n: int = 20) -> np.ndarray:
    """A nucleus in the middle, red cells in the corners, glass between."""
    y, x = np.mgrid[:96, :96] - 47.5
    density = np.broadcast_to(np.array(colours.glass), (96, 96, 3)).copy()
    density[np.hypot(y, x) < 16] += colours.nucleus
    density[np.hypot(np.abs(y) - 38, np.abs(x) - 38) < 12] += colours.red_cell
    image = np.clip(256 * np.exp(-density) - 1, 0, 255).round().astype(np.uint8)
    return np.repeat(image[None], n, axis=0)


@pytest.mark.parametrize("colours", [HOME, PALE])
def test_the_three_colours_of_a_slide_are_measured(colours):
    found = stain_colours(crops(colours))
    for part in ("glass", "red_cell", "nucleus"):
        assert getattr(found, part) == pytest.approx(getattr(colours, part), abs=0.03)


def test_a_pale_slide_is_brought_to_the_colours_of_home():
    turn = stain_map(stain_colours(crops(PALE)), HOME)
    assert turn @ [*PALE.glass, 1] == pytest.approx(np.array(HOME.glass), abs=0.05)
    for part in ("red_cell", "nucleus"):
        over_glass = turn[:, :3] @ np.array(getattr(PALE, part))
        assert over_glass == pytest.approx(np.array(getattr(HOME, part)), abs=0.05)


def test_the_colours_of_home_stay_as_they_are():
    assert stain_map(stain_colours(crops(HOME)), HOME) == pytest.approx(np.eye(3, 4), abs=0.1)


def test_a_single_cell_tells_the_colours_of_its_field():
    assert stain_colours(crops(PALE, 1)) == stain_colours(crops(PALE))


def test_no_cells_or_none_red_or_a_grey_image_measure_nothing():
    assert stain_colours(crops(HOME, 0)) is None
    bare = HOME.model_copy(update={"red_cell": (0.0, 0.0, 0.0)})
    assert stain_colours(crops(bare)) is None
    assert stain_colours(np.concatenate([crops(bare, 40), crops(HOME, 2)])) is None
    assert stain_colours(np.concatenate([crops(bare, 40), crops(HOME, 3)])) is not None
    grey = StainColours(glass=(0.1,) * 3, red_cell=(0.3,) * 3, nucleus=(1.0,) * 3)
    assert stain_colours(crops(grey)) is None
