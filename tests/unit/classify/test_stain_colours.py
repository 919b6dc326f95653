import numpy as np
import pytest

from napari_deepheme.classify.stain import StainColours, stain_colours, stain_maps

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


def as_home(turn: np.ndarray, colours: StainColours, part: str) -> np.ndarray:
    """What a map makes of red cells or nuclei, over what it makes of the glass."""
    return turn[:, :3] @ np.array(getattr(colours, part))


def test_a_pale_slide_is_brought_to_the_colours_of_home():
    pale = crops(PALE)
    for turn in stain_maps(pale, stain_colours(pale), HOME):
        assert turn @ [*PALE.glass, 1] == pytest.approx(np.array(HOME.glass), abs=0.05)
        for part in ("red_cell", "nucleus"):
            assert as_home(turn, PALE, part) == pytest.approx(np.array(getattr(HOME, part)), abs=0.05)


def test_the_colours_of_home_stay_as_they_are():
    home = crops(HOME)
    turns = stain_maps(home, stain_colours(home), HOME)
    assert turns == pytest.approx(np.broadcast_to(np.eye(3, 4), (20, 3, 4)), abs=0.1)


GREENISH = PALE.model_copy(update={"nucleus": (0.6, 0.6, 0.12)})


def test_nuclei_of_another_hue_than_the_slides_are_brought_to_the_hue_of_home():
    slide, other = crops(PALE), crops(GREENISH, 2)
    turn = stain_maps(np.concatenate([other, slide]), stain_colours(slide), HOME)[0]
    nucleus = as_home(turn, GREENISH, "nucleus")
    wanted = np.array(HOME.nucleus)
    assert nucleus / nucleus.sum() == pytest.approx(wanted / wanted.sum(), abs=0.02)
    assert as_home(turn, PALE, "red_cell") == pytest.approx(np.array(HOME.red_cell), abs=0.05)


def test_nuclei_may_be_denser_than_the_slides():
    slide = crops(PALE)
    dense = PALE.model_copy(update={"nucleus": tuple(1.4 * np.array(PALE.nucleus))})
    turn = stain_maps(crops(dense, 1), stain_colours(slide), HOME)[0]
    assert as_home(turn, dense, "nucleus") == pytest.approx(1.4 * np.array(HOME.nucleus), abs=0.08)


@pytest.mark.parametrize("nucleus", [(0.0, 0.0, 0.0), (0.15, 0.21, 0.03), (0.35, 0.7, 0.6), (0.1, 0.9, 0.0)])
def test_what_is_no_nucleus_is_shown_as_the_slide_is(nucleus):
    slide = crops(PALE)
    turns = stain_maps(
        np.concatenate([crops(PALE.model_copy(update={"nucleus": nucleus}), 1), slide]),
        stain_colours(slide),
        HOME,
    )
    assert turns[0] == pytest.approx(turns[1], abs=0.02)


def test_no_cells_have_no_maps():
    assert stain_maps(crops(PALE, 0), PALE, HOME).shape == (0, 3, 4)


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
