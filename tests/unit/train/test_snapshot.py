import math

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from napari_deepheme.jobs import Job
from napari_deepheme.train.augment import AugmentOptions, augment
from napari_deepheme.train.snapshot import (
    SnapshotOptions,
    Trace,
    Weights,
    make_optimiser,
    snapshot_rate,
    train_cycle,
)


class Recorder(torch.optim.SGD):
    """Remembers the rate it truly stepped with."""

    rates: list[float]

    def step(self, closure=None):
        self.rates = [*getattr(self, "rates", []), self.param_groups[0]["lr"]]
        return super().step(closure)


def run(job: Job[Weights]) -> tuple[list[Trace], Weights]:
    traces = []
    while True:
        try:
            traces.append(next(job))
        except StopIteration as stop:
            return traces, stop.value


@pytest.fixture
def batches() -> list[tuple[torch.Tensor, torch.Tensor]]:
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(4, 6, 3, generator=generator)
    return [(batch, (batch[:, 0] > 0).long()) for batch in images]


def test_the_rate_the_optimiser_steps_with_follows_the_formula_over_two_cycles(batches):
    network = nn.Linear(3, 2)
    options = SnapshotOptions(cycles=2, epochs=3, rate=0.1)
    optimiser = Recorder(network.parameters(), lr=1.0)
    for _ in range(options.cycles):
        run(train_cycle(network, optimiser, lambda epoch: batches, len(batches), options))
    per_cycle = 3 * 4
    expected = [0.05 * (math.cos(math.pi * (t % per_cycle) / per_cycle) + 1) for t in range(2 * per_cycle)]
    assert optimiser.rates == pytest.approx(expected)
    assert optimiser.rates[0] == optimiser.rates[per_cycle] == 0.1
    assert optimiser.rates[per_cycle - 1] < 0.01


def test_a_snapshot_is_a_copy_that_later_cycles_do_not_change(batches):
    network = nn.Linear(3, 2)
    options = SnapshotOptions(epochs=2, rate=0.1)
    optimiser = make_optimiser(network, options)
    traces, first = run(train_cycle(network, optimiser, lambda epoch: batches, len(batches), options))
    kept = first["weight"].clone()
    _, second = run(train_cycle(network, optimiser, lambda epoch: batches, len(batches), options))
    assert torch.equal(first["weight"], kept)
    assert not torch.equal(first["weight"], second["weight"])
    assert [trace.done for trace in traces] == [1, 2]


def test_training_learns(batches):
    torch.manual_seed(0)
    network = nn.Linear(3, 2)
    options = SnapshotOptions(epochs=30, rate=0.1, label_smoothing=0.0)
    traces, _ = run(
        train_cycle(network, make_optimiser(network, options), lambda epoch: batches, len(batches), options)
    )
    assert traces[-1].loss < 0.5 * traces[0].loss


def test_the_rate_restarts_at_every_cycle():
    assert snapshot_rate(0, 10, 1.0) == snapshot_rate(10, 10, 1.0) == 1.0
    assert snapshot_rate(5, 10, 1.0) == pytest.approx(0.5)


def test_without_any_freedom_a_view_is_the_middle_of_its_patch_or_its_mirror_image():
    still = AugmentOptions(scale=0, shift_px=0, stain=0, gain=0, blur=0, noise=0)
    patch = torch.zeros(1, 3, 40, 40, dtype=torch.uint8)
    patch[:, :, 10:30, 10:30] = 200  # symmetric under turns by a right angle, not under others
    generator = torch.Generator().manual_seed(0)
    view = augment(patch, torch.tensor([20.0]), 20, still, generator)
    # whatever the turn, the middle shows the square and its area is kept
    assert view[0, 0, 10, 10] == pytest.approx(200 / 255, abs=1e-3)


def test_beyond_the_true_image_a_view_is_mirrored_so_that_no_border_tells_the_class():
    patch = torch.full((1, 3, 144, 144), 10, dtype=torch.uint8)
    patch[:, :, 29:115, 29:115] = 180  # the true image; 10 stands for what lies beyond it
    generator = torch.Generator().manual_seed(1)
    options = AugmentOptions(stain=0, gain=0, blur=0, noise=0)
    view = augment(patch, torch.tensor([42.0]), 96, options, generator)
    assert view.min() > 170 / 255


def test_views_are_reproducible_from_the_generator():
    patches = torch.randint(0, 255, (3, 3, 144, 144), dtype=torch.uint8)
    half = torch.full((3,), 72.0)
    one, two = (
        augment(patches, half, 96, AugmentOptions(), torch.Generator().manual_seed(5)) for _ in range(2)
    )
    assert torch.equal(one, two)
    assert one.shape == (3, 3, 96, 96)
    assert 0 <= one.min() <= one.max() <= 1


def test_a_snapshot_of_a_channels_last_network_can_be_written(tmp_path):
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4 * 36, 2))
    network = network.to(memory_format=torch.channels_last)
    options = SnapshotOptions(epochs=1)
    batch = (torch.zeros(2, 3, 8, 8), torch.tensor([0, 1]))
    job = train_cycle(network, make_optimiser(network, options), lambda epoch: [batch], 1, options)
    _, snapshot = run(job)
    save_file(snapshot, tmp_path / "member.safetensors")
