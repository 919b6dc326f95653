"""An adapted model as an ordinary bundle that names its parent."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path

import jinja2
import numpy as np
import tomli_w
import torch
from safetensors.torch import load
from torch import nn

from napari_deepheme.adapt.adapting import AdaptOptions
from napari_deepheme.adapt.calibration_cells import calibration_cells
from napari_deepheme.adapt.choice import KEPT
from napari_deepheme.adapt.figures import TITLES
from napari_deepheme.adapt.head import LastLayer
from napari_deepheme.adapt.networks import last_layer_name
from napari_deepheme.adapt.teaching import NewModel
from napari_deepheme.cells import RawOutputs
from napari_deepheme.classify.bundle import Bundle, BundleSpec, NetworkFacts, load_bundle
from napari_deepheme.classify.ensemble import Ensemble
from napari_deepheme.classify.making import (
    Calibration,
    Promises,
    bears_bf16,
    calibrate,
    cells_entry,
    ood_entry,
    packed,
    tested,
    unpacked,
)
from napari_deepheme.models.bundle import CARD_FILE, named_members, save_bundle
from napari_deepheme.models.device import has_bf16
from napari_deepheme.models.spec import HashedFile, Parent, Training
from napari_deepheme.train.work import take_place

RECORD_FILE = "adaptation.toml"
_BF16_CELLS = 128


def write_adapted(
    parent: Bundle, networks: Sequence[bytes], learned: NewModel, options: AdaptOptions
) -> Bundle:
    """Write what was learned, its calibration and card.

    Parameters
    ----------
    parent : Bundle
    networks : sequence of bytes
        Each member's file, with the parent's last layer.
    learned : NewModel
    options : AdaptOptions
    """
    name = last_layer_name(parent)
    weights = [_with_layer(each, name, layer) for each, layer in zip(networks, learned.layers, strict=True)]
    made, contents = _described(parent.spec, learned, weights, options)
    contents |= {
        RECORD_FILE: _record(learned, made, options).encode(),
        CARD_FILE: _card(learned, made).encode(),
    }
    partial = options.out.with_name(f"{options.out.name}.partial")
    save_bundle(partial, made, contents)
    take_place(partial, options.out)
    return load_bundle(options.out)


def _described(
    spec: BundleSpec, learned: NewModel, weights: Sequence[bytes], options: AdaptOptions
) -> tuple[BundleSpec, dict[str, bytes]]:
    """The parent's description with all that is new, and the files it relies on."""
    taxonomy, facts = learned.classes.taxonomy, NetworkFacts.of(spec)
    networks = [unpacked(spec.architecture, len(taxonomy.classes), content) for content in weights]
    ensemble = Ensemble.from_networks(networks, facts, options.device)
    calibration = _calibration(learned, spec)
    contents, members = named_members(weights)
    image, self_test = tested(ensemble, calibration.temperature)
    ood = None
    if learned.reference is not None:
        entry, ood = ood_entry(learned.reference, learned.farthest)
        contents |= entry
    changes = {
        "name": options.out.name,
        "version": "1",
        "parent": Parent(name=spec.name, version=spec.version, members=tuple(m.sha256 for m in spec.members)),
        "match_stain": learned.outcome.look.stain,
        "bf16": spec.bf16 and has_bf16(ensemble.device) and _same_calls(ensemble, networks, learned),
        "class_prior": _prior(learned, spec),
        "taxonomy": taxonomy,
        "members": members,
        "temperature": calibration.temperature,
        "review": calibration.review,
        "conformal": calibration.conformal,
        "ood": ood,
        "cascade": None,  # its threshold was chosen for the parent's calls
        "training": _training(learned, spec),
        "self_test": self_test,
    }
    made = spec.model_copy(update=changes)
    files, cells = _calibration_cells(learned, made)
    return made.model_copy(update={"calibration_cells": cells}), contents | image | files


def _calibration_cells(learned: NewModel, made: BundleSpec) -> tuple[dict[str, bytes], HashedFile | None]:
    """The labelled cells as later slides are compared with them, where there are enough."""
    left_out = RawOutputs(learned.outcome.members.astype(np.float16), learned.distance)
    cells = calibration_cells(learned.cells, learned.classes.labels, left_out, made.calibration)
    return ({}, None) if cells is None else cells_entry(cells)


def _with_layer(content: bytes, name: str, layer: LastLayer) -> bytes:
    weights = load(content)
    changed = {
        f"{name}.weight": torch.from_numpy(layer.weight).float(),
        f"{name}.bias": torch.from_numpy(layer.bias).float(),
    }
    return packed(weights | changed)


def _calibration(learned: NewModel, spec: BundleSpec) -> Calibration:
    """Thresholds from the cells left out in turn; the temperature is the one they were judged at."""
    promises = Promises(spec.review.risk, spec.review.confidence, spec.conformal.coverage)
    return calibrate(
        learned.outcome.members, learned.classes.labels, promises, temperature=learned.outcome.temperature
    )


def _prior(learned: NewModel, spec: BundleSpec) -> tuple[float, ...] | None:
    """The parent's, and for each new class as much as its classes have on average."""
    if spec.class_prior is None:
        return None
    known = np.array(spec.class_prior)
    shares = np.concatenate([known, np.full(len(learned.classes.new), known.mean())])
    return tuple((shares / shares.sum()).tolist())


def _same_calls(ensemble: Ensemble, networks: Sequence[nn.Module], learned: NewModel) -> bool:
    """Whether some of the labelled cells are called the same in bfloat16.

    Only for a device with instructions for it: without, asking takes longer than all else.
    """
    chosen = np.linspace(0, len(learned.cells) - 1, min(len(learned.cells), _BF16_CELLS)).astype(int)
    crops = learned.cells.crops[chosen]
    members, _ = ensemble.outputs(crops)
    return bears_bf16(networks, ensemble.facts, crops, members.mean(axis=0).argmax(axis=1))


def _training(learned: NewModel, spec: BundleSpec) -> Training:
    cells, groups = learned.cells, len(np.unique(learned.groups))
    return Training(
        data=f"{len(cells)} cells labelled by a laboratory; before that, {spec.name} {spec.version}: "
        f"{spec.training.data}",
        licence=spec.training.licence,
        split=f"cross-validation by {cells.grouping} ({groups})",
        metrics={"cells": float(len(cells))}
        | {name: figure.value for name, figure in learned.after.items()}
        | {f"{name} before": figure.value for name, figure in learned.before.items()},
    )


def _record(learned: NewModel, made: BundleSpec, options: AdaptOptions) -> str:
    cells = learned.cells
    names = "\n".join(f"{Path(n).name} {label}" for n, label in zip(cells.names, cells.labels, strict=True))
    strength = learned.outcome.strength
    return tomli_w.dumps(
        {
            "napari_deepheme": version("napari-deepheme"),
            "torch": torch.__version__,
            "seed": options.seed,
            "parent": {"name": made.parent.name, "version": made.parent.version} if made.parent else {},
            "cells": {"n": len(cells), "sha256": sha256(names.encode()).hexdigest()},
            "labels": {code: n for code, n in learned.classes.counts.items() if n},
            "cross_validation": {"by": str(cells.grouping), "groups": len(np.unique(learned.groups))},
            "chosen": {
                "last_layer": "the parent's" if strength == KEPT else "new",
                "strength": "none" if strength == KEPT else strength,
                "match_stain": learned.outcome.look.stain.value,
                "own_batch_norm_statistics": learned.outcome.look.own_norm,
                "temperature": learned.outcome.temperature,
            },
        }
    )


def _card(learned: NewModel, made: BundleSpec) -> str:
    template = (files(__package__) / "card.md.j2").read_text(encoding="utf-8")
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, trim_blocks=True, autoescape=False)
    labels = learned.classes.labels
    groups = [len(np.unique(learned.groups[labels == k])) for k in range(len(made.taxonomy.classes))]
    called = learned.outcome.called
    recall = [
        float((called == labels)[labels == k].mean()) if (labels == k).any() else None
        for k in range(len(groups))
    ]
    return environment.from_string(template).render(
        spec=made,
        learned=learned,
        counts=learned.classes.counts,
        groups=groups,
        total_groups=len(np.unique(learned.groups)),
        recall=recall,
        new={each.code for each in learned.classes.new},
        figures=TITLES,
        kept=learned.outcome.strength == KEPT,
        own_norm=learned.outcome.look.own_norm,
        few=len(labels) < 200,
    )
