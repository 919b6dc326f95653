import numpy as np
import pytest
from skimage.draw import disk

from napari_deepheme.detect.stain import StainDetector

NUCLEUS, RED_CELL, CYTOPLASM, PLATELET = (85, 55, 120), (205, 165, 165), (150, 150, 195), (130, 80, 150)


def film(shape: tuple[int, int] = (200, 260), white: tuple[int, int, int] = (250, 230, 205)) -> np.ndarray:
    return np.full((*shape, 3), white, np.uint8)


def paint(
    image: np.ndarray, yx: tuple[float, float], diameter_um: float, colour: tuple[int, int, int]
) -> None:
    rows, columns = disk(yx, diameter_um / 2 / 0.5, shape=image.shape[:2])
    image[rows, columns] = colour


def test_a_nucleated_cell_is_found_at_the_centre_of_its_nucleus():
    image = film()
    paint(image, (90, 100), 14, CYTOPLASM)
    paint(image, (92, 103), 8, NUCLEUS)
    found = StainDetector().detect([image])[0]
    np.testing.assert_allclose(found.yx, [[92, 103]], atol=0.5)
    assert found.diameter_um[0] == pytest.approx(8, abs=1)


def test_red_cells_even_where_they_overlap_and_platelets_are_none():
    image = film()
    for x in range(30, 240, 14):
        paint(image, (60, x), 7.2, RED_CELL)
        paint(image, (68, x + 5), 7.2, (178, 128, 128))
        paint(image, (140, x), 2.5, PLATELET)
    assert len(StainDetector().detect([image])[0].yx) == 0


def test_the_lobes_of_a_segmented_neutrophil_are_one_cell():
    image = film()
    paint(image, (100, 100), 13, (235, 200, 200))
    for y, x in ((94, 97), (103, 94), (106, 103)):
        paint(image, (y, x), 3.8, NUCLEUS)
    assert len(StainDetector().detect([image])[0].yx) == 1


def test_round_nuclei_side_by_side_are_two_cells():
    image = film()
    paint(image, (100, 100), 8.5, NUCLEUS)
    paint(image, (100, 118), 8.5, NUCLEUS)
    found = StainDetector().detect([image])[0]
    np.testing.assert_allclose(found.yx[np.argsort(found.yx[:, 1])], [[100, 100], [100, 118]], atol=1.0)


@pytest.mark.parametrize(
    "white", [(255, 230, 200), (225, 215, 240), (200, 205, 205)], ids=["peach", "lilac", "grey"]
)
def test_the_detector_adapts_to_the_slides_background(white):
    image = film(white=white)
    for colour, diameter, y in ((RED_CELL, 7.2, 50), (NUCLEUS, 8, 110)):
        for x in (40, 110, 180):
            shade = tuple(int(c * w / 245) for c, w in zip(colour, white, strict=True))
            paint(image, (y, x), diameter, shade)
    found = StainDetector().detect([image], StainDetector().calibrate([image]))[0]
    assert sorted(found.yx[:, 0].round().tolist()) == [110, 110, 110]


def test_glass_alone_and_red_cells_alone_give_no_cells():
    glass = film()
    glass += np.random.default_rng(0).integers(0, 5, glass.shape, np.uint8)
    assert len(StainDetector().detect([glass], StainDetector().calibrate([glass]))[0].yx) == 0
    red = film()
    for x in range(30, 240, 20):
        paint(red, (100, x), 7.2, RED_CELL)
    assert len(StainDetector().detect([red], StainDetector().calibrate([red]))[0].yx) == 0


def test_heaps_of_red_cells_beside_few_nuclei_do_not_lower_the_threshold_to_red_cells():
    image = film((400, 400))
    for y in range(20, 380, 10):
        for x in range(20, 380, 9):
            paint(image, (y, x), 7.2, (172, 132, 128))
    for x in (100, 200, 300):
        paint(image, (200, x), 8, NUCLEUS)
    found = StainDetector().detect([image], StainDetector().calibrate([image]))[0]
    assert sorted(found.yx[:, 1].round().tolist()) == [100, 200, 300]
