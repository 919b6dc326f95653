"""Class colours can be told apart, by colour-blind people too, and seen on a smear."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import combinations, pairwise

import numpy as np
import pytest
from colour import blindness
from skimage.color import deltaE_ciede2000, rgb2lab

from napari_deepheme.taxonomy import DEEPHEME_23, OTHER_CLASSES, PBC_11, PRESETS, Taxonomy, recoloured
from napari_deepheme.ui.palette import GLASS, RED_CELLS, contrast, ring_colours

WITH_OTHERS = Taxonomy("with HemeLabel's", (*DEEPHEME_23.classes, *OTHER_CLASSES))
TAXONOMIES = [*PRESETS.values(), WITH_OTHERS]

VISIONS = {
    "normal": np.eye(3),
    # Machado, Oliveira & Fernandes 2009, severity 1, on linear RGB
    "deutan": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "protan": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
}


def lab(colour, vision="normal"):
    rgb = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    seen = np.clip(VISIONS[vision] @ linear, 0, 1)
    return rgb2lab(np.where(seen <= 0.0031308, seen * 12.92, 1.055 * seen ** (1 / 2.4) - 0.055))


@pytest.mark.parametrize("name", ["Deuteranomaly", "Protanomaly"])
def test_the_visions_are_those_of_a_colour_library(name):
    vision = {"Deuteranomaly": "deutan", "Protanomaly": "protan"}[name]
    np.testing.assert_allclose(blindness.matrix_cvd_Machado2009(name, 1.0), VISIONS[vision], atol=1e-6)


@pytest.mark.parametrize("vision", VISIONS)
@pytest.mark.parametrize("taxonomy", TAXONOMIES, ids=lambda each: each.name)
def test_classes_of_different_lineage_are_told_apart(taxonomy, vision):
    near = {
        f"{a.code} {b.code}": round(float(distance), 1)
        for a, b in combinations(taxonomy.classes, 2)
        if a.lineage != b.lineage
        and (distance := deltaE_ciede2000(lab(a.colour, vision), lab(b.colour, vision))) < 10
    }
    assert near == {}


@pytest.mark.parametrize("taxonomy", PRESETS.values(), ids=PRESETS)
def test_classes_of_one_lineage_are_told_apart_by_most_people(taxonomy):
    for a, b in combinations(taxonomy.classes, 2):
        assert deltaE_ciede2000(lab(a.colour), lab(b.colour)) >= 5, (a.code, b.code)


@pytest.mark.parametrize("taxonomy", PRESETS.values(), ids=PRESETS)
def test_lightness_rises_with_maturation(taxonomy):
    for line in taxonomy.lines:
        for younger, older in pairwise(line):
            assert lab(taxonomy[older].colour)[0] > lab(taxonomy[younger].colour)[0] - 1, (younger, older)


def test_a_class_has_one_colour_in_all_taxonomies():
    for taxonomy in TAXONOMIES:
        for each in taxonomy.classes:
            for other in TAXONOMIES:
                if each.code in other.codes:
                    assert other[each.code].colour == each.colour


@pytest.mark.parametrize("ground", [GLASS, RED_CELLS])
@pytest.mark.parametrize("taxonomy", TAXONOMIES, ids=lambda each: each.name)
def test_every_ring_is_seen_on_a_smear_by_itself_or_by_its_halo(taxonomy, ground):
    for code, ring in ring_colours(taxonomy).items():
        assert contrast(ring.halo, ground) >= 3
        # and the class colour is told from its halo or from the ground it lies on
        assert max(contrast(ring.inner, ring.halo), contrast(ring.inner, ground)) >= 2, code
        assert re.fullmatch("#[0-9a-f]{6}", ring.inner)


def test_contrast_of_known_colours():
    assert contrast("#ffffff", "#000000") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)
    assert contrast("#123456", "#123456") == 1


def test_a_bundle_of_an_earlier_day_takes_the_colours_of_today_and_ones_own_taxonomy_keeps_its_own():
    old = Taxonomy("pbc-11", tuple(replace(each, colour="#123456") for each in PBC_11.classes))
    assert recoloured(old) == PBC_11
    own = Taxonomy("own", old.classes)
    assert recoloured(own) == own
