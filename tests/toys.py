"""Bundles with fixed weights: real in every way but in what they know."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save

from napari_deepheme.classify.bundle import BundleSpec, Conformal, Head, Review
from napari_deepheme.classify.network import build_network
from napari_deepheme.models.bundle import CARD_FILE, save_bundle
from napari_deepheme.models.spec import Architecture, Member, SelfTest, Training
from napari_deepheme.stats.calibration import pool
from napari_deepheme.taxonomy import PBC_11

MEAN, STD = (0.82, 0.69, 0.70), (0.21, 0.24, 0.12)


def make_bundle(folder: Path, seeds: Sequence[int] = (1, 2), head: Head = Head.SOFTMAX) -> Path:
    """A bundle of tiny networks with fixed weights: real in every way but in what it knows."""
    architecture = Architecture(name="test_resnet")
    image = np.random.default_rng(0).integers(0, 255, (96, 96, 3), np.uint8)
    png = BytesIO()
    Image.fromarray(image).save(png, "PNG")
    files, outputs = {"self-test.png": png.getvalue(), CARD_FILE: b"# toy\n"}, []
    for i, seed in enumerate(seeds):
        torch.manual_seed(seed)
        network = build_network(architecture, len(PBC_11.classes)).eval()
        files[f"member-{i}.safetensors"] = save({k: v.contiguous() for k, v in network.state_dict().items()})
        with torch.inference_mode():
            pixels = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255
            mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (MEAN, STD))
            logits = network((pixels - mean) / std)
        scores = logits.softmax(1) if head is Head.SOFTMAX else logits.sigmoid() / logits.sigmoid().sum()
        outputs.append(scores.numpy())
    members = tuple(
        Member(file=name, sha256=sha256(content).hexdigest(), cycle=i)
        for i, (name, content) in enumerate(item for item in files.items() if item[0].startswith("member"))
    )
    spec = BundleSpec(
        name="toy",
        version="1",
        architecture=architecture,
        head=head,
        input_px=96,
        mpp=0.25,
        mean=MEAN,
        std=STD,
        taxonomy=PBC_11,
        members=members,
        temperature=1.5,
        review=Review(threshold=0.5, risk=0.05, confidence=0.95),
        conformal=Conformal(threshold=0.1, coverage=0.9),
        training=Training(data="none", licence="none", split="none", metrics={}),
        licence="BSD-3-Clause",
        self_test=SelfTest(
            image="self-test.png",
            sha256=sha256(files["self-test.png"]).hexdigest(),
            expected=tuple(pool(np.stack(outputs), 1.5)[0].tolist()),
        ),
    )
    save_bundle(folder, spec, files)
    return folder
