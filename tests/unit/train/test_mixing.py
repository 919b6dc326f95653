import numpy as np
import pytest
import torch

from napari_deepheme.train.augment import ViewOptions
from napari_deepheme.train.mixing import Mixer
from napari_deepheme.train.patches import Patches
from napari_deepheme.train.recipe import read_recipe
from napari_deepheme.train.sampling import Sampler

SIDE, INPUT = 144, 96
HOME_GLASS, AWAY_GLASS = (230, 220, 210), (150, 160, 200)


def patches(n: int = 24, away_from: int = 12, boxes: float = 40) -> Patches:
    """Dark discs on the glass of two laboratories; the class is the laboratory."""
    y, x = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2
    images = np.empty((n, SIDE, SIDE, 3), np.uint8)
    images[:away_from], images[away_from:] = HOME_GLASS, AWAY_GLASS
    images[:, np.hypot(y, x) < 16] = (80, 40, 110)
    images[:, np.hypot(y - 60, x) < 8] = (200, 120, 120)  # a red cell beside it
    in_source = np.arange(n) < away_from
    return Patches(images, (~in_source).astype(np.int64), np.full((n, 2), boxes, np.float32), in_source)


def mixer(cells: Patches) -> Mixer:
    return Mixer(cells, np.arange(len(cells)), INPUT)


def mixed(cells: Patches, seed: int = 0, **options: float) -> torch.Tensor:
    still = ViewOptions(recoloured=0, tinted=0, moved=0, contracted=0).model_copy(update=options)
    return mixer(cells).mixed(np.arange(len(cells)), still, np.random.default_rng(seed))


def test_left_alone_cells_are_what_they_are():
    cells = patches()
    assert torch.equal(mixed(cells), torch.from_numpy(cells.images).permute(0, 3, 1, 2).float() / 255)


def test_glass_no_longer_tells_the_laboratory():
    cells = patches(n=200, away_from=100)
    glass = mixed(cells, recoloured=0.5)[:, 0, 20, 20]
    before = torch.from_numpy(cells.images[:, 20, 20, 0]).float() / 255
    assert (before[:100] > before[100:]).all()
    # most cells from elsewhere now lie on the glass of the source domain, and some the other way round
    assert (glass[100:] > 0.85).float().mean() > 0.6
    assert (glass[:100] < 0.7).float().mean() > 0.2


def test_painted_cells_of_home_lie_on_glass_of_many_colours():
    cells = patches(n=80, away_from=40)
    y, x = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2
    cells.images[:, np.hypot(y - 40, x) < 8] = (200, 120, 120)  # red cells that crops show
    change = mixed(cells, painted=1.0) - mixed(cells)
    assert change[:40, :, 20, 20].abs().amax(dim=1).gt(0.02).float().mean() > 0.9
    assert change[:40, :, 20, 20].std(dim=0).min() > 0.03
    assert not change[40:].any()


def test_cells_without_red_cells_about_them_are_never_painted():
    cells = patches(n=20, away_from=20)  # their red cells lie beyond the crop
    assert torch.equal(mixed(cells, painted=1.0), mixed(cells))


def test_tinted_cells_change_in_their_cytoplasm_alone():
    cells = patches(n=60, away_from=60)
    y, x = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2
    radius = np.hypot(y, x)
    cells.images[:, (radius >= 10) & (radius < 18)] = (190, 150, 190)  # cytoplasm about the nucleus
    plain, tinted = mixed(cells), mixed(cells, tinted=1.0)
    change = tinted / plain
    cytoplasm = change[:, :, SIDE // 2, SIDE // 2 + 14]
    assert cytoplasm[:, 1].min() < 0.8  # deeper
    assert cytoplasm[:, 1].max() > 1.05  # paler
    hue = cytoplasm[:, 0] / cytoplasm[:, 1]
    assert hue.std() > 0.05
    for dy, dx in ((0, 0), (60, 0), (-60, -60)):  # nucleus, red cell, glass
        torch.testing.assert_close(
            change[:, :, SIDE // 2 + dy, SIDE // 2 + dx], torch.ones(60, 3), atol=0.02, rtol=0
        )


def test_contracted_cells_are_smaller_and_denser_among_surroundings_that_are_not():
    cells = patches(n=60, away_from=60)
    dark = [(mixed(cells, moved=1.0, contracted=share) < 0.5).all(dim=1) for share in (0.0, 1.0)]
    middle = slice(SIDE // 2 - 20, SIDE // 2 + 20)
    size, small = ((part[:, middle, middle].sum(dim=(1, 2)) / (np.pi * 16**2)) ** 0.5 for part in dark)
    assert size.min() > 0.9
    assert 0.5 < small.min() < 0.65
    assert 0.8 < small.max() < 1
    shrunken, plain = mixed(cells, moved=1.0, contracted=1.0), mixed(cells)
    centre = SIDE // 2
    assert (shrunken[:, :, centre, centre] <= plain[:, :, centre, centre] + 1e-5).all()
    assert (shrunken[:, :, centre, centre] < 0.9 * plain[:, :, centre, centre]).any()


def test_what_is_from_elsewhere_is_neither_tinted_nor_contracted():
    cells = patches(n=40, away_from=20)
    middle = slice(SIDE // 2 - 12, SIDE // 2 + 12)
    changed = mixed(cells, tinted=1.0, moved=1.0, contracted=1.0) != mixed(cells)
    changed = changed[:, :, middle, middle].flatten(1).any(dim=1)
    assert changed[:20].all()
    assert not changed[20:].any()


def test_cells_keep_their_middle_when_their_surroundings_change():
    cells = patches()
    result = mixed(cells, moved=1.0)
    plain = mixed(cells)
    middle = slice(SIDE // 2 - 10, SIDE // 2 + 10)
    assert torch.allclose(result[:, :, middle, middle], plain[:, :, middle, middle], atol=1e-5)
    changed = (result - plain).abs().amax(dim=(1, 2, 3))
    assert (changed > 0.1).float().mean() > 0.7


def test_cells_whose_extent_is_not_known_keep_their_surroundings():
    cells = patches(boxes=np.nan)
    assert torch.equal(mixed(cells, moved=1.0), mixed(cells))


def test_cells_of_one_laboratory_alone_are_mixed_too():
    cells = patches(away_from=24)
    assert mixed(cells, moved=1.0, recoloured=1.0).isfinite().all()


def test_only_cells_that_are_trained_on_are_ever_shown():
    cells = patches()
    cells.images[12:] = 7  # black all over: as surroundings it would be seen at once
    some = Mixer(cells, np.arange(12), INPUT)
    options = ViewOptions(moved=1.0, recoloured=1.0)
    views = [some.mixed(np.arange(12), options, np.random.default_rng(seed)) for seed in range(10)]
    assert max(float((view < 0.1).float().mean(dim=(1, 2, 3)).max()) for view in views) < 0.2


@pytest.fixture
def sampler() -> Sampler:
    recipe = read_recipe("small").model_copy(update={"batch_size": 8})
    cells = patches(n=60, away_from=50)
    return Sampler(cells, (np.arange(5, 60), np.arange(5)), recipe, seed=3)


def test_the_same_epoch_gives_the_same_batches_and_another_gives_others(sampler):
    first, again, other = (next(sampler.batches(epoch)) for epoch in (0, 0, 1))
    assert torch.equal(first[0], again[0])
    assert not torch.equal(first[0], other[0])
    assert first[0].shape == (8, 3, INPUT, INPUT)


def test_rare_classes_are_drawn_more_often_than_they_occur(sampler):
    labels = torch.cat([labels for epoch in range(20) for _, labels in sampler.batches(epoch)])
    # 10 of 55 cells; by the root of the sizes 0.32 of the draws
    assert labels.float().mean().item() == pytest.approx(0.32, abs=0.06)


def test_validation_cells_are_judged_as_they_are(sampler):
    class ByGlass(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(1))

        def forward(self, images):
            glass = images[:, 0, 2, 2]
            return torch.stack([glass, -glass], dim=1)  # class 0 where the glass is bright

    assert sampler.accuracy(ByGlass()) == 1.0
