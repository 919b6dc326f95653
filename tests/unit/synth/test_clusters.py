"""Crowded smears: cells that touch and overlap, each where the truth says."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.sparse.csgraph import connected_components

from napari_deepheme.errors import OptionError
from napari_deepheme.synth import SmearSpec, Stain, render, render_region, truth

SPEC = SmearSpec((1000, 1300), 60, seed=3, stain=Stain(), clustered=0.7)


def closeness(spec: SmearSpec) -> np.ndarray:
    """Distance of every two cells as a share of the sum of their radii; infinite on the diagonal."""
    table = truth(spec)
    yx, sides = table[["y_px", "x_px"]].to_numpy(float), table[["height_px", "width_px"]].to_numpy(float)
    radius = sides.sum(axis=1) / 4
    distance = np.linalg.norm(yx[:, None] - yx[None], axis=2)
    np.fill_diagonal(distance, np.inf)
    return distance / (radius[:, None] + radius[None])


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("share", [0.05, 0.5, 1.0])
def test_the_share_asked_for_lies_in_clusters_of_2_to_12_and_the_rest_alone(seed, share):
    spec = replace(SPEC, seed=seed, clustered=share)
    near = closeness(spec)
    n_clusters, cluster = connected_components(near < 1.05)
    sizes = np.bincount(cluster, minlength=n_clusters)
    assert sizes[sizes > 1].sum() == round(60 * share)
    assert sizes.max() <= 12
    assert near.min() > 0.70  # rounding to pixels takes a little of 0.75
    assert near[(near > 1.05) & (cluster[:, None] != cluster)].min() > 1.08


def test_boxes_stay_inside_the_picture():
    table = truth(SPEC)
    centre, half = table[["y_px", "x_px"]].to_numpy(), table[["height_px", "width_px"]].to_numpy() / 2
    assert (centre - half >= -0.5).all()
    assert (centre + half <= np.array(SPEC.shape) - 0.5).all()


def test_where_two_cells_overlap_it_is_darker_than_either(monkeypatch):
    seen = render_region(SPEC, 0, 0, *SPEC.shape).astype(int)
    monkeypatch.setattr(render, "_THROUGH", 0)
    hiding = render_region(SPEC, 0, 0, *SPEC.shape).astype(int)
    darker = (hiding - seen).max(axis=2)
    table = truth(SPEC)
    rows, columns = np.ogrid[: SPEC.shape[0], : SPEC.shape[1]]
    within = np.zeros(SPEC.shape, int)
    for cell in table.itertuples():
        within += (abs(rows - cell.y_px) <= cell.height_px / 2 + 4) & (
            abs(columns - cell.x_px) <= cell.width_px / 2 + 4
        )
    assert (hiding >= seen - 1).all()
    assert (darker > 20).sum() > 500
    assert (darker[within < 2] == 0).all()


def test_any_tiling_gives_the_same_pixels():
    whole = render_region(SPEC, 0, 0, *SPEC.shape)
    for top, left in ((0, 0), (130, 410), (523, 771)):
        tile = render_region(SPEC, top, left, 300, 400)
        assert np.array_equal(tile, whole[top : top + 300, left : left + 400])


def test_smears_without_clusters_are_rendered_as_ever():
    image = render_region(SmearSpec((300, 300), 6, seed=5), 0, 0, 300, 300)
    # measured before there were clusters
    np.testing.assert_allclose(image.mean(axis=(0, 1)), [191.890, 181.306, 201.196], atol=0.01)


def test_cells_of_a_large_smear_lie_on_its_blood():
    spec = SmearSpec((14000, 20000), 300, seed=3, clustered=0.5)
    assert truth(spec)["y_px"].between(500, 13500).all()


@pytest.mark.parametrize(
    ("options", "said"),
    [({"clustered": 1.5}, "expected 0 to 1"), ({"clustered": -0.1}, "expected 0 to 1")],
)
def test_impossible_shares_are_refused(options, said):
    with pytest.raises(OptionError, match=said):
        replace(SPEC, **options)


def test_clusters_that_do_not_fit_are_refused_with_a_sentence():
    with pytest.raises(OptionError, match=r"9 cells with 100% of them in clusters do not fit 66 × 66 µm"):
        truth(SmearSpec((264, 264), 9, seed=0, clustered=1.0, mix=(("MO2", 1),)))
