from __future__ import annotations

import numpy as np
import pytest

from napari_deepheme.errors import OptionError
from napari_deepheme.synth import CLASS_CODES, Stain, render_patch

MATURE = ("M5", "M6")


def rendered(code, seed, **options):
    return render_patch(code, rng=np.random.default_rng(seed), **{"stain": Stain(), **options})


@pytest.mark.parametrize("code", CLASS_CODES)
def test_patch_has_the_asked_size_and_a_stained_middle(code):
    patch = rendered(code, 1)
    assert patch.shape == (144, 144, 3)
    assert patch.dtype == np.uint8
    # The corner region is glass and red cells; the middle holds what the class is called by.
    middle = patch[44:100, 44:100, 1]
    assert np.percentile(middle, 10) < 110


@pytest.mark.parametrize("code", CLASS_CODES)
def test_same_seed_gives_the_same_patch_and_another_seed_another(code):
    assert np.array_equal(rendered(code, 3, stain=None), rendered(code, 3, stain=None))
    assert not np.array_equal(rendered(code, 3, stain=None), rendered(code, 4, stain=None))


def test_cell_keeps_its_size_in_micrometres_at_another_scale():
    areas = []
    for mpp, size in ((0.25, 144), (0.10, 360)):
        dark = [(rendered("L2", seed, mpp=mpp, size_px=size)[..., 1] < 90).sum() for seed in range(6)]
        areas.append(np.mean(dark) * mpp**2)
    assert areas[1] == pytest.approx(areas[0], rel=0.15)
    assert 45 < areas[0] < 85  # nuclei of real lymphocytes: 65 ± 9 µm²


def test_eosinophil_is_redder_and_lymphocyte_bluer_than_a_neutrophil():
    def cytoplasm(code):
        ring = np.zeros(3)
        for seed in range(6):
            patch = rendered(code, seed).astype(float)[52:92, 52:92].reshape(-1, 3)
            pale = patch[(patch[:, 1] > 80) & (patch[:, 1] < 200)]
            ring += pale.mean(axis=0) / 6
        return ring[0] - ring[2]

    assert cytoplasm("E4") > cytoplasm("M6") > cytoplasm("L2")


def test_nucleus_of_a_segmented_neutrophil_is_smaller_than_of_a_promyelocyte():
    def nucleus(code):
        return np.mean([(rendered(code, seed)[..., 1] < 90).sum() for seed in range(6)])

    assert 1.5 * nucleus("M6") < nucleus("M2")


def test_random_stains_differ_and_stay_in_range():
    rng = np.random.default_rng(0)
    stains = [Stain.random(rng) for _ in range(30)]
    lights = np.array([stain.light for stain in stains])
    assert lights.std(axis=0).min() > 2
    assert lights.min() >= 190
    assert lights.max() <= 254


def test_unknown_class_is_refused_by_name():
    with pytest.raises(OptionError, match="'XX' cannot be rendered; expected one of B2"):
        rendered("XX", 0)
