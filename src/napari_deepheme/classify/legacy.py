"""Published checkpoints to a bundle.

DeepHeme's code saved two shapes of a ResNeXt-50 32×4d: under DataParallel, keeping the 1000-way output and
adding a small classifier with sigmoid scores (2023), and under Lightning with a plain output (2025).
"""

from __future__ import annotations

import pickle
import warnings
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from pydantic import ValidationError
from safetensors.torch import save

from napari_deepheme.classify.bundle import (
    Bundle,
    BundleSpec,
    Conformal,
    Head,
    NetworkFacts,
    Review,
    load_bundle,
)
from napari_deepheme.classify.ensemble import Ensemble
from napari_deepheme.classify.making import tested, unpacked
from napari_deepheme.errors import BundleError, OptionError
from napari_deepheme.files import is_file
from napari_deepheme.models.bundle import CARD_FILE, named_members, save_bundle
from napari_deepheme.models.spec import Architecture, Channels, Member, SelfTest, Training
from napari_deepheme.taxonomy import DEEPHEME_23, Taxonomy

Weights = dict[str, torch.Tensor]

_BACKBONE = "resnext50_32x4d"
_STATES = ("model_state_dict", "state_dict")
_MAX_BYTES = 2 * 2**30
_FAULTS = (
    OSError, RuntimeError, ValueError, LookupError, EOFError, TypeError, AttributeError, AssertionError,
    NotImplementedError, pickle.UnpicklingError, zipfile.BadZipFile,
)  # fmt: skip
"""What torch raises on files that are not, or no longer, checkpoints."""


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """What a checkpoint does not say of itself; the defaults are DeepHeme's published values.

    Attributes
    ----------
    name : str
        Name of the bundle.
    taxonomy : Taxonomy
        Classes in the order of the outputs.
    mpp : float
        µm/px of the crops.
    input_px : int
        Side of a crop, px.
    mean, std : tuple of float
        Normalisation of RGB, 0–1 scale.
    """

    name: str = "deepheme"
    taxonomy: Taxonomy = DEEPHEME_23
    mpp: float = 0.25
    input_px: int = 96
    mean: Channels = (0.5642, 0.5026, 0.6960)
    std: Channels = (0.2724, 0.2838, 0.2167)


def import_checkpoints(files: Sequence[Path], folder: Path, options: ImportOptions) -> Bundle:
    """Write a bundle whose members are checkpoints of one shape.

    Nothing is known of their calibration: the temperature is 1, every cell is for review, and conformal
    sets hold all classes.

    Parameters
    ----------
    files : sequence of Path
        Checkpoints, a member each.
    folder : Path
        Where the bundle goes.
    options : ImportOptions

    Raises
    ------
    BundleError
        A file is no such checkpoint, or the files differ in shape.
    """
    read = [read_checkpoint(file, len(options.taxonomy.classes)) for file in files]
    kinds = {(architecture.model_dump_json(), head) for architecture, head, _ in read}
    if len(kinds) != 1:
        raise BundleError(
            f"The checkpoints {', '.join(file.name for file in files)} differ in shape; "
            "import those of one shape into one bundle."
        )
    architecture, head, _ = read[0]
    weights = [save(weights) for _, _, weights in read]
    networks = [unpacked(architecture, len(options.taxonomy.classes), content) for content in weights]
    facts = NetworkFacts(head, options.input_px, options.mean, options.std)
    image, self_test = tested(Ensemble.from_networks(networks, facts), temperature=1.0)
    contents, members = named_members(weights)
    try:
        spec = _description(architecture, head, options, members, self_test)
    except ValidationError as err:
        first = err.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise OptionError(f"{where} does not fit a bundle ({first['msg']}); correct the option.") from err
    save_bundle(folder, spec, contents | image | {CARD_FILE: _card(files, options).encode()})
    return load_bundle(folder)


def _description(
    architecture: Architecture,
    head: Head,
    options: ImportOptions,
    members: tuple[Member, ...],
    self_test: SelfTest,
) -> BundleSpec:
    return BundleSpec(
        name=options.name,
        version="1",
        architecture=architecture,
        head=head,
        input_px=options.input_px,
        mpp=options.mpp,
        mean=options.mean,
        std=options.std,
        taxonomy=options.taxonomy,
        members=members,
        temperature=1.0,
        review=Review(threshold=0.0, risk=0.0, confidence=1.0),
        conformal=Conformal(threshold=0.0, coverage=1.0),
        training=Training(data="not recorded", licence="not recorded", split="not recorded", metrics={}),
        licence="not recorded: ask the checkpoints' authors",
        self_test=self_test,
    )


def read_checkpoint(file: Path, classes: int) -> tuple[Architecture, Head, Weights]:
    """Read one checkpoint, unpickling nothing but tensors, and recognise its shape.

    Raises
    ------
    BundleError
        Unreadable, unsafe, or of neither published shape.
    """
    weights = _tensors(file)
    with_classifier = any(name.startswith("classifier.") for name in weights)
    last = weights.get("classifier.2.weight" if with_classifier else "pretrained.fc.weight")
    heads = ("pretrained.fc.weight", "classifier.0.weight", "classifier.2.weight") if with_classifier else ()
    dense = all(name in weights and weights[name].ndim == 2 for name in heads)
    ours = all(name.startswith(("pretrained.", "classifier.")) for name in weights)
    if last is None or last.ndim != 2 or not dense or not ours:
        raise BundleError(
            f"{file}: its tensors ({', '.join(list(weights)[:3])} …) are not those of a DeepHeme checkpoint; "
            "expected names that begin with pretrained."
        )
    if len(last) != classes:
        raise BundleError(f"{file} tells {len(last)} classes apart, the taxonomy has {classes}.")
    if not with_classifier:
        return Architecture(name=_BACKBONE), Head.SOFTMAX, _renamed(weights, "pretrained.", "")
    sizes = (len(weights["pretrained.fc.weight"]), len(weights["classifier.0.weight"]))
    return (
        Architecture(name=_BACKBONE, classifier=sizes),
        Head.SIGMOID,
        _renamed(weights, "pretrained.", "network."),
    )


def _tensors(file: Path) -> Weights:
    """The tensors of a checkpoint by name, whatever else is in the file."""
    # torch's reader of older files fails in many ways on what is no checkpoint at all
    if not is_file(file) or not zipfile.is_zipfile(file):
        raise BundleError(f"{file} is missing or no checkpoint; expected a file saved by torch 1.6 or later.")
    try:
        with zipfile.ZipFile(file) as packed:
            unpacked = sum(entry.file_size for entry in packed.infolist())
        if unpacked > _MAX_BYTES:
            raise ValueError(f"it unpacks to {unpacked / 2**30:.1f} GB, expected at most {_MAX_BYTES >> 30}")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of kinds of tensors that are refused below
            saved: object = torch.load(file, map_location="cpu", weights_only=True)
    except _FAULTS as err:
        why = (str(err).strip().splitlines() or [type(err).__name__])[0]
        raise BundleError(
            f"{file} cannot be read as a checkpoint of tensors ({why}); expected a file saved by torch."
        ) from err
    states = [saved[key] for key in _STATES if key in saved] if isinstance(saved, dict) else []
    if not states:
        raise BundleError(
            f"{file}: no model_state_dict and no state_dict in it; expected a DeepHeme checkpoint."
        )
    state = states[0]
    if not isinstance(state, dict) or not all(isinstance(n, str) and _is_plain(v) for n, v in state.items()):
        raise BundleError(
            f"{file}: its state is not of names and dense tensors; expected a DeepHeme checkpoint."
        )
    return {name.removeprefix("module."): value.contiguous() for name, value in state.items()}


def _is_plain(value: object) -> bool:
    """Whether it is a dense tensor with as many bytes as it claims values: others may claim any size."""
    if not isinstance(value, torch.Tensor) or value.layout is not torch.strided or value.is_quantized:
        return False
    return value.numel() * value.element_size() <= value.untyped_storage().nbytes()


def _renamed(weights: Weights, old: str, new: str) -> Weights:
    return {new + name.removeprefix(old) if name.startswith(old) else name: w for name, w in weights.items()}


def _card(files: Sequence[Path], options: ImportOptions) -> str:
    return f"""# {options.name}

**Research use only. Not for diagnosis.**

Imported from {", ".join(file.name for file in files)}. Classes: {", ".join(options.taxonomy.codes)}.

The checkpoints do not record their training data, licence or accuracy; ask their authors. The bundle is not
calibrated: every cell is marked for review.
"""
