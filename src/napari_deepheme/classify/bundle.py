"""The model bundle: a folder, or a zip of it, that holds all a model needs. No torch here.

``bundle.json`` describes it, ``member-<i>.safetensors`` hold the weights, ``MODEL_CARD.md`` is for people.
Nothing is ever unpickled, and every file is checked against its hash when the bundle is opened.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from napari_deepheme.classify.stain import StainColours
from napari_deepheme.errors import BundleError
from napari_deepheme.taxonomy import Taxonomy

EMBEDDED = Path(__file__).parent.parent / "bundles"
DEFAULT_BUNDLE = "pbc-11"
SPEC_FILE = "bundle.json"
CARD_FILE = "MODEL_CARD.md"

FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Channels = tuple[float, float, float]


class Head(StrEnum):
    """What turns a network's outputs into probabilities."""

    SOFTMAX = "softmax"
    SIGMOID = "sigmoid"


class Device(StrEnum):
    """Where the networks run; ``auto`` takes CUDA, then MPS, then the CPU."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"
    MPS = "mps"


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Architecture(_Part):
    """A network as timm builds it.

    ``classifier`` (outputs of the network, hidden units) adds two fully connected layers with a ReLU between
    them, as the first DeepHeme had.
    """

    name: str
    kwargs: dict[str, bool | int | float | str] = {}
    classifier: tuple[int, int] | None = None


class Member(_Part):
    """One snapshot: its file, that file's hash, and the learning-rate cycle it ended."""

    file: FileName
    sha256: Sha256
    cycle: int


class Review(_Part):
    """Cells above ``threshold`` (entropy, nats) need a person.

    Among the others the error stays at or below ``risk`` with this ``confidence``, on data like the
    calibration cells.
    """

    threshold: float
    risk: float
    confidence: float


class Conformal(_Part):
    """A class enters a cell's conformal set at this probability; sets cover the truth at ``coverage``."""

    threshold: float
    coverage: float


class Novelty(_Part):
    """Features of the cells learned from (see :mod:`napari_deepheme.classify.novelty`).

    A cell further from them than ``threshold`` is unlike what the model knows; ``quantile`` of the cells held
    back lay within it.
    """

    file: FileName
    sha256: Sha256
    threshold: float
    quantile: float


class Training(_Part):
    """Where a model comes from and what was measured."""

    data: str
    licence: str
    split: str
    metrics: dict[str, float]


class SelfTest(_Part):
    """An image with the calibrated probabilities the bundle must give for it."""

    image: FileName
    sha256: Sha256
    expected: tuple[float, ...]


class BundleSpec(_Part):
    """The content of ``bundle.json``."""

    format_version: Literal[1] = 1
    name: str
    version: str
    kind: Literal["classifier"] = "classifier"
    architecture: Architecture
    head: Head
    input_px: Annotated[int, Field(gt=0)]
    mpp: Annotated[float, Field(gt=0)]
    mean: Channels
    std: Channels
    stain: StainColours | None = None
    taxonomy: Taxonomy
    members: Annotated[tuple[Member, ...], Field(min_length=1)]
    temperature: Annotated[float, Field(gt=0)]
    review: Review
    conformal: Conformal
    ood: Novelty | None = None
    training: Training
    licence: str
    self_test: SelfTest


@dataclass(frozen=True, slots=True)
class Bundle:
    """An opened bundle whose files have been checked.

    Attributes
    ----------
    spec : BundleSpec
    root : Path or zipfile.Path
        The folder, or the zip, it was read from.
    """

    spec: BundleSpec
    root: Path | zipfile.Path

    def read(self, file: str) -> bytes:
        """Content of one file of the bundle; :class:`BundleError` if it is missing."""
        try:
            return (self.root / file).read_bytes()
        except (OSError, KeyError, zipfile.BadZipFile) as err:
            raise BundleError(
                f"Model bundle {self.root}: the file {file} is missing or unreadable; get the bundle again."
            ) from err

    @property
    def card(self) -> str:
        """The model card, Markdown."""
        return self.read(CARD_FILE).decode("utf-8")


def embedded_bundles() -> tuple[str, ...]:
    """Names of the bundles that come with the package."""
    return tuple(sorted(path.parent.name for path in EMBEDDED.glob(f"*/{SPEC_FILE}")))


def load_bundle(source: str | Path = DEFAULT_BUNDLE) -> Bundle:
    """Open a bundle and check every file against its hash.

    Parameters
    ----------
    source : str or Path
        Name of an embedded bundle, or a folder or zip that holds ``bundle.json``.

    Raises
    ------
    BundleError
        Not a bundle, made by a newer version, or a file missing or altered.
    """
    root = _root(source)
    spec = _read_spec(root)
    bundle = Bundle(spec, root)
    hashed = [(m.file, m.sha256) for m in spec.members] + [(spec.self_test.image, spec.self_test.sha256)]
    hashed += [(spec.ood.file, spec.ood.sha256)] if spec.ood else []
    for file, digest in hashed:
        if sha256(bundle.read(file)).hexdigest() != digest:
            raise BundleError(
                f"Model bundle {root}: {file} is not the file it was made with (its SHA-256 differs); "
                "get the bundle again."
            )
    if len(spec.self_test.expected) != len(spec.taxonomy.classes):
        raise BundleError(
            f"Model bundle {root}: the self-test expects {len(spec.self_test.expected)} classes, "
            f"the taxonomy has {len(spec.taxonomy.classes)}; get the bundle again."
        )
    return bundle


def save_bundle(folder: Path, spec: BundleSpec, files: Mapping[str, bytes]) -> None:
    """Write a bundle; ``files`` holds the members, the self-test image and the card by file name."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    (folder / SPEC_FILE).write_text(spec.model_dump_json(indent=2) + "\n", encoding="utf-8")


def _root(source: str | Path) -> Path | zipfile.Path:
    path = EMBEDDED / source if str(source) in embedded_bundles() else Path(source)
    if zipfile.is_zipfile(path):
        root = zipfile.Path(path)
        folders = [entry for entry in root.iterdir() if entry.is_dir()]
        # a zip of the folder itself, as file managers make it
        return folders[0] if not (root / SPEC_FILE).exists() and len(folders) == 1 else root
    return path


def _read_spec(root: Path | zipfile.Path) -> BundleSpec:
    file = root / SPEC_FILE
    if not file.is_file():
        raise BundleError(
            f"Model bundle {root}: no {SPEC_FILE} there; expected a bundle's folder or zip, or one of the "
            f"embedded names ({', '.join(embedded_bundles())})."
        )
    try:
        return BundleSpec.model_validate_json(file.read_bytes())
    except ValidationError as err:
        first = err.errors()[0]
        where = ".".join(str(step) for step in first["loc"]) or SPEC_FILE
        raise BundleError(
            f"Model bundle {root}: {SPEC_FILE} does not fit format version 1 at {where} ({first['msg']}); "
            "get the bundle again or update napari-deepheme."
        ) from err
