import math
from collections.abc import Iterator

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from napari_deepheme.jobs import drain
from napari_deepheme.models.spec import Architecture
from napari_deepheme.train import snapshot
from napari_deepheme.train.recipe import Recipe
from napari_deepheme.train.snapshot import Batch, Trained, make_optimiser, snapshot_rate, train_snapshots
from napari_deepheme.train.state import read_state


class Killed(BaseException):
    """As abrupt as a kill: nothing is tidied up."""


class Toy:
    """Four batches an epoch; the validation accuracy is made up, so that a test can choose the best epoch."""

    batches_per_epoch = 4

    def __init__(self, accuracies=(0.1, 0.9, 0.5, 0.2, 0.3, 0.1)):
        self.seen = 0
        self.accuracies = accuracies
        self.stop_after = 0

    def batches(self, epoch: int) -> Iterator[Batch]:
        generator = torch.Generator().manual_seed(epoch)
        for _ in range(self.batches_per_epoch):
            images = torch.randn(6, 3, 2, 2, generator=generator)
            yield images, (images[:, 0, 0, 0] > 0).long()
            self.seen += 1
            if self.seen == self.stop_after:
                raise Killed

    def accuracy(self, network: nn.Module) -> float:  # noqa: ARG002  its answers are made up
        return self.accuracies[self.seen // self.batches_per_epoch - 1 + self.offset]

    offset = 0


def toy_network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Dropout(0.2), nn.Linear(12, 2))


def recipe(**changes) -> Recipe:
    values = {
        "name": "toy",
        "source": "a test",
        "taxonomy": "pbc-11",
        "architecture": Architecture(name="none"),
        "mean": (0.5, 0.5, 0.5),
        "std": (0.2, 0.2, 0.2),
        "cycles": 2,
        "epochs": 3,
        "rate": 0.1,
    }
    return Recipe.model_validate(values | changes)


def trained(tmp_path, data=None, **changes) -> Trained:
    return drain(train_snapshots(toy_network(), data or Toy(), recipe(**changes), tmp_path, seed=7))


def test_the_rate_the_optimiser_steps_with_follows_the_formula_over_two_cycles(tmp_path, monkeypatch):
    rates = []

    class Recorder(torch.optim.AdamW):
        def step(self, closure=None):
            rates.append(self.param_groups[0]["lr"])
            return super().step(closure)

    monkeypatch.setattr(torch.optim, "AdamW", Recorder)
    result = trained(tmp_path)
    per_cycle = 3 * 4
    expected = [0.05 * (math.cos(math.pi * (t % per_cycle) / per_cycle) + 1) for t in range(2 * per_cycle)]
    assert rates == pytest.approx(expected)
    assert [step.rate for step in result.trace] == rates
    assert rates[0] == rates[per_cycle] == 0.1
    assert rates[per_cycle - 1] < 0.01


@pytest.mark.parametrize("keep", ["last", "best", "mean"])
@pytest.mark.parametrize("killed_at", [2, 5, 13, 23])
def test_a_killed_training_goes_on_to_the_same_weights_and_trace(tmp_path, killed_at, keep):
    whole = trained(tmp_path / "whole", keep=keep)
    data = Toy()
    data.stop_after = killed_at
    with pytest.raises(Killed):
        trained(tmp_path / "killed", data, keep=keep)
    again = Toy()
    again.offset = (killed_at - 1) // 4
    resumed = trained(tmp_path / "killed", again, keep=keep)
    assert again.seen < whole_steps(whole)
    assert resumed.trace == whole.trace
    assert resumed.accuracies == whole.accuracies
    for one, other in zip(whole.members, resumed.members, strict=True):
        first, second = load_file(one), load_file(other)
        assert all(torch.equal(first[name], second[name]) for name in first)


def whole_steps(result: Trained) -> int:
    return len(result.trace) + 1


def test_the_last_epoch_or_the_best_of_a_cycle_becomes_the_member(tmp_path):
    last, best = trained(tmp_path / "last"), trained(tmp_path / "best", keep="best")
    assert [m.name for m in best.members] == ["cycle-0.safetensors", "cycle-1.safetensors"]
    one, other = (load_file(result.members[0])["2.weight"] for result in (last, best))
    assert not torch.equal(one, other)
    # the second of three epochs was the best
    short = trained(tmp_path / "short", epochs=2, cycles=1, rate=0.1)
    assert short.accuracies == best.accuracies[:2]


def test_the_mean_of_the_second_half_of_a_cycle_becomes_the_member(tmp_path):
    last, mean = (
        load_file(trained(tmp_path / keep, Toy((0.5,) * 4), cycles=1, epochs=4, keep=keep).members[0])
        for keep in ("last", "mean")
    )
    state = read_state(tmp_path / "last" / "state.pt", torch.device("cpu"))
    torch.testing.assert_close(last["2.weight"], state["network"]["2.weight"])
    # the last epoch steps hardly at all, so the mean lies near it without being it
    gap = (mean["2.weight"] - last["2.weight"]).abs().max()
    assert 0 < gap < 0.1


def test_a_snapshot_is_not_changed_by_later_cycles(tmp_path):
    result = trained(tmp_path)
    first, second = (load_file(member)["2.weight"] for member in result.members)
    assert not torch.equal(first, second)


@pytest.mark.parametrize("changes", [{}, {"head": "sigmoid"}, {"mixup": 0.4}, {"optimiser": "adam"}])
def test_training_learns(tmp_path, changes):
    result = trained(tmp_path, Toy((0.5,) * 40), epochs=15, rate=0.05, **changes)
    losses = [step.loss for step in result.trace]
    assert sum(losses[-8:]) < 0.8 * sum(losses[:8])


def test_progress_tells_cycle_epoch_rate_loss_and_accuracy(tmp_path):
    *_, last = train_snapshots(toy_network(), Toy(), recipe(), tmp_path, seed=7)
    assert (last.done, last.total) == (24, 24)
    assert "cycle 2 of 2, epoch 3 of 3" in last.message
    assert "rate" in last.message
    assert "loss" in last.message
    assert "accuracy 0.300" in last.message


def test_norms_and_biases_do_not_decay():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    groups = make_optimiser(network, recipe(weight_decay=0.3)).param_groups
    assert [(len(g["params"]), g["weight_decay"]) for g in groups] == [(1, 0.3), (3, 0.0)]


def test_a_channels_last_network_is_written(tmp_path):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 2), nn.Flatten(), nn.Linear(4, 2))
    network = network.to(memory_format=torch.channels_last)
    result = drain(train_snapshots(network, Toy(), recipe(), tmp_path, seed=0))
    assert load_file(result.members[1])["0.weight"].is_contiguous()


def test_the_rate_restarts_at_every_cycle():
    assert snapshot_rate(0, 10, 1.0) == snapshot_rate(10, 10, 1.0) == 1.0
    assert snapshot_rate(5, 10, 1.0) == pytest.approx(0.5)


def test_the_state_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    trained(tmp_path, epochs=1)
    before = (tmp_path / "state.pt").read_bytes()

    def fail(state, file):
        file.write(b"half of")
        raise OSError("disk full")

    monkeypatch.setattr(snapshot.torch, "save", fail)
    with pytest.raises(OSError, match="disk full"):
        trained(tmp_path, cycles=3, epochs=1)
    assert (tmp_path / "state.pt").read_bytes() == before
