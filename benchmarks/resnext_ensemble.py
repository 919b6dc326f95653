"""Five ResNeXt-50 at 96 px against a plain loop of torch in float32, batches of 32, on this machine's CPU.

python -m benchmarks.resnext_ensemble [--crops N] [--rounds N]

Weights are random: they say nothing of accuracy, nor of which cells a cascade settles. Its threshold is
therefore set so that the first member settles SETTLED of the crops, as that of pbc-11 does on pbc/val; random
members differ, so that all five are asked of nearly all others, of which trained ones would settle some.
OpenVINO is measured where it is installed. Wall time and processor time are compared each with its own kind.
On a machine that others use, give OMP_NUM_THREADS=1 and believe the second: threads that share a batch, as
those of the plain loop do, spin while they wait for each other, which made the loop twice as slow there.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from importlib.util import find_spec

import numpy as np
import torch
from torch import nn

from benchmarks.table import write_rows
from napari_deepheme.classify.bundle import Head, NetworkFacts
from napari_deepheme.classify.cascade import Settling, passes
from napari_deepheme.classify.ensemble import Ensemble
from napari_deepheme.classify.network import build_network
from napari_deepheme.models.device import Backend, Device, Precision, has_bf16
from napari_deepheme.models.spec import Architecture

MEMBERS, CLASSES, SIDE_PX, BATCH = 5, 23, 96, 32
SETTLED = 0.89
BARS = {False: 3, True: 6}
FACTS = NetworkFacts(Head.SOFTMAX, SIDE_PX, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
CPU = torch.device("cpu")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--crops", type=int, default=96)
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args()
    crops = np.random.default_rng(0).integers(0, 255, (options.crops, SIDE_PX, SIDE_PX, 3), np.uint8)
    networks = members()
    precision = Precision.BF16 if has_bf16(CPU) else Precision.FP32
    plain = [network.eval() for network in members()]
    reference, expected = timed(lambda: loop(plain, crops), options.rounds)
    figures = {}
    for backend in (Backend.TORCH, Backend.OPENVINO):
        if find_spec(backend.value) is None:
            print(f"{backend}: not installed")
            continue
        ensemble = Ensemble.from_networks(networks, FACTS, Device.CPU, precision, BATCH, backend=backend)
        for cascade in (False, True):
            settling = threshold(expected[0]) if cascade else None
            spent, raw = timed(lambda e=ensemble, s=settling: e.run(crops, settling=s), options.rounds)
            wall, busy = reference / spent
            what = f"ResNeXt-50 × {MEMBERS}, {backend}{', cascade' if cascade else ''} against a plain loop"
            answers = f", {passes(raw):.0%} of the answers" if cascade else f", {gap(raw.members, expected)}"
            figures[what] = f"{wall:.1f}×, of processor time {busy:.1f}×{answers} (bar {BARS[cascade]})"
            print(what, figures[what], flush=True)
        networks = members()  # those before were taken over
    write_rows(figures)


def members() -> list[nn.Module]:
    architecture = Architecture(name="resnext50_32x4d")
    networks = []
    for seed in range(MEMBERS):
        torch.manual_seed(seed)
        networks.append(build_network(architecture, CLASSES))
    return networks


def loop(networks: Sequence[nn.Module], crops: np.ndarray) -> np.ndarray:
    parts = []
    with torch.inference_mode():
        for start in range(0, len(crops), BATCH):
            images = torch.from_numpy(crops[start : start + BATCH]).permute(0, 3, 1, 2).float() / 255
            images = (images - 0.5) / 0.5
            parts.append(torch.stack([network(images).softmax(1) for network in networks]))
    return torch.cat(parts, dim=1).numpy()


def threshold(first: np.ndarray) -> Settling:
    return Settling(float(np.quantile(first.max(axis=1), 1 - SETTLED)))


def gap(found: np.ndarray, expected: np.ndarray) -> str:
    return f"Δp at most {np.abs(found.astype(np.float32) - expected).max():.4f}"


def timed(work: Callable[[], object], rounds: int) -> tuple[np.ndarray, object]:
    """Wall and processor seconds, each the least of the rounds, and the result; a first round warms up."""
    result, spent = work(), []
    for _ in range(rounds):
        before = np.array([time.perf_counter(), time.process_time()])
        work()
        spent.append(np.array([time.perf_counter(), time.process_time()]) - before)
    return np.min(spent, axis=0), result


if __name__ == "__main__":
    main()
