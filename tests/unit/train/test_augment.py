import pytest
import torch
from pydantic import ValidationError

from napari_deepheme.train.augment import ViewOptions, augment, texture_bands

STILL = ViewOptions(
    scale=0, aspect=0, shift_px=0, narrow=0, cut=0, look=0, focus=0, noise=0, jpeg=0, recoloured=0, moved=0
)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_without_any_freedom_a_view_is_the_middle_of_its_patch_turned():
    patch = torch.full((1, 3, 60, 60), 0.2)
    patch[:, :, 20:40, 20:40] = 0.8  # a square keeps its area whatever the turn
    view = augment(patch, 40, STILL, generator())
    assert view.shape == (1, 3, 40, 40)
    assert view[0, 0, 20, 20] == pytest.approx(0.8, abs=1e-3)
    assert (view > 0.5).float().sum() / 3 == pytest.approx(400, rel=0.05)


def test_views_are_reproducible_from_the_generator():
    patches = torch.rand(3, 3, 72, 72, generator=generator())
    one, two = (augment(patches, 48, ViewOptions(), generator(5)) for _ in range(2))
    assert torch.equal(one, two)
    assert 0 <= one.min() <= one.max() <= 1


def test_a_narrow_view_repeats_its_edge_and_never_shows_what_lies_beyond():
    patch = torch.zeros(1, 3, 144, 144)
    patch[:, :, 10:134, 10:134] = 0.7  # black lies beyond 0.62 of 96 px from the middle
    options = STILL.model_copy(update={"narrow": 1.0, "scale": 0.2})
    views = [augment(patch, 96, options, generator(seed)) for seed in range(20)]
    assert min(view.min() for view in views) > 0.69


def test_the_look_wanders_from_cell_to_cell_but_not_the_shape():
    patches = torch.full((32, 3, 72, 72), 0.9)
    patches[:, :, 26:46, 26:46] = 0.4
    options = STILL.model_copy(update={"look": 1.0})
    views = augment(patches, 48, options, generator())
    middle = views[:, :, 24, 24]
    assert middle.std(dim=0).min() > 0.05
    glass = views[:, :, 2, 2].mean(dim=1)
    assert (middle.mean(dim=1) < glass).all()


def test_focus_changes_detail_and_keeps_the_mean():
    noise = torch.rand(16, 3, 72, 72, generator=generator())
    sharp = augment(noise, 48, STILL, generator(1))
    wandering = augment(noise, 48, STILL.model_copy(update={"focus": 1.0}), generator(1))
    assert wandering.mean().item() == pytest.approx(sharp.mean().item(), abs=0.02)
    detail = [(v[..., 1:] - v[..., :-1]).abs().mean(dim=(1, 2, 3)) for v in (sharp, wandering)]
    assert (detail[1] / detail[0]).min() < 0.5


def test_texture_bands_add_up_to_the_image():
    image = torch.rand(2, 3, 40, 40, generator=generator())
    assert torch.allclose(sum(texture_bands(image)), image, atol=1e-6)


def test_jpeg_leaves_traces_in_every_view_when_asked():
    patches = torch.rand(4, 3, 72, 72, generator=generator())
    plain = augment(patches, 48, STILL, generator(2))
    stored = augment(patches, 48, STILL.model_copy(update={"jpeg": 1.0}), generator(2))
    assert ((stored - plain).abs().amax(dim=(1, 2, 3)) > 0.02).all()


def test_an_impossible_option_is_refused():
    with pytest.raises(ValidationError):
        ViewOptions(jpeg=1.5)
    with pytest.raises(ValidationError):
        ViewOptions(colour=1)
