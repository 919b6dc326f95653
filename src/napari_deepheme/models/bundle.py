"""The model bundle: a folder, or a zip of it, that holds all a model needs. No torch here.

``bundle.json`` describes it, ``member-<i>.safetensors`` hold the weights, ``MODEL_CARD.md`` is for people.
Nothing is ever unpickled, and every file is checked against its hash when the bundle is opened. What each
kind of model adds is in ``classify/bundle.py`` and ``detect/bundle.py``.
"""

from __future__ import annotations

import lzma
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ValidationError

from napari_deepheme.errors import BundleError
from napari_deepheme.files import is_file, read_bounded
from napari_deepheme.models.spec import Member, SelfTest, Spec

EMBEDDED = Path(__file__).parents[1] / "bundles"
SPEC_FILE = "bundle.json"
CARD_FILE = "MODEL_CARD.md"

_TEST_FILE = "self-test.png"
_MAX_ENTRIES = 1000
_MAX_SPEC_BYTES = 4 * 2**20
_MAX_CARD_BYTES = 2**20
_MAX_FILE_BYTES = 1024 * 2**20
"""Of one member: half of what a process may take, and five times ImageNet's ResNet-152 in float32."""
_MAX_TEST_PIXELS = 4 * 10**6

S_co = TypeVar("S_co", bound=Spec, covariant=True)


@dataclass(frozen=True, slots=True)
class OpenBundle(Generic[S_co]):
    """An opened bundle whose files have been checked.

    Attributes
    ----------
    spec : Spec
    root : Path or zipfile.Path
        The folder, or the zip, it was read from.
    """

    spec: S_co
    root: Path | zipfile.Path

    def read(self, file: str) -> bytes:
        """Content of one file of the bundle; :class:`BundleError` if it is missing."""
        return _content(self.root, file)

    @property
    def card(self) -> str:
        """The model card, Markdown, of at most 1 MB."""
        return _content(self.root, CARD_FILE, _MAX_CARD_BYTES).decode("utf-8", "replace")


def embedded_bundles(kind: str = "classifier") -> tuple[str, ...]:
    """Names of the bundles of a kind that come with the package."""
    return tuple(sorted(name for name, spec in _embedded().items() if spec.kind == kind))


def open_bundle(source: str | Path, spec_type: type[S_co]) -> OpenBundle[S_co]:
    """Open a bundle and check every file against its hash.

    Parameters
    ----------
    source : str or Path
        Name of an embedded bundle, or a folder or zip that holds ``bundle.json``.
    spec_type : type of Spec
        The kind of model expected.

    Raises
    ------
    BundleError
        Not a bundle, of another kind, made by a newer version, or a file missing or altered.
    """
    root = _root(source)
    found, wanted = _read_spec(root, _Kind).kind, spec_type.model_fields["kind"].default
    if found != wanted:
        raise BundleError(f"Model bundle {root} holds a {found}; expected a {wanted} here.")
    spec = _read_spec(root, spec_type)
    for file, digest in spec.hashed():
        if sha256(_content(root, file)).hexdigest() != digest:
            raise BundleError(
                f"Model bundle {root}: {file} is not the file it was made with (its SHA-256 differs); "
                "get the bundle again."
            )
    bundle = OpenBundle(spec, root)
    self_test_pixels(bundle)
    return bundle


def kind_of(source: str | Path) -> str:
    """What kind of model a bundle holds: classifier or detector."""
    return _read_spec(_root(source), _Kind).kind


def save_bundle(folder: Path, spec: Spec, files: Mapping[str, bytes]) -> None:
    """Write a bundle; ``files`` holds the members, the self-test image and the card by file name."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    (folder / SPEC_FILE).write_text(spec.model_dump_json(indent=2) + "\n", encoding="utf-8")


def named_members(weights: Sequence[bytes]) -> tuple[dict[str, bytes], tuple[Member, ...]]:
    """Contents by file name, and their entries in the bundle's description."""
    contents = {f"member-{i}.safetensors": content for i, content in enumerate(weights)}
    entries = (
        Member(file=name, sha256=sha256(content).hexdigest(), cycle=i)
        for i, (name, content) in enumerate(contents.items())
    )
    return contents, tuple(entries)


def test_image(side_px: int, outputs: int) -> tuple[dict[str, bytes], SelfTest]:
    """Noise of several sizes, which excites any network; its expected output is still to be filled in."""
    from PIL import Image  # noqa: PLC0415  only who makes a bundle needs it

    rng = np.random.default_rng(0)
    sizes = (3, 8, 24)
    noise = [rng.random((n, n, 3)).repeat(side_px // n + 1, 0).repeat(side_px // n + 1, 1) for n in sizes]
    pixels = np.mean([each[:side_px, :side_px] for each in noise], axis=0) * 255
    png = BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(png, "PNG")
    digest = sha256(png.getvalue()).hexdigest()
    even = (1 / outputs,) * outputs
    return {_TEST_FILE: png.getvalue()}, SelfTest(image=_TEST_FILE, sha256=digest, expected=even)


class _Kind(BaseModel):
    kind: str


def _embedded() -> dict[str, _Kind]:
    files = EMBEDDED.glob(f"*/{SPEC_FILE}")
    return {file.parent.name: _Kind.model_validate_json(file.read_bytes()) for file in files}


def _root(source: str | Path) -> Path | zipfile.Path:
    path = EMBEDDED / source if str(source) in _embedded() else Path(source)
    if is_file(path) and zipfile.is_zipfile(path):
        root = _opened_zip(path)
        folders = [entry for entry in root.iterdir() if entry.is_dir()]
        # a zip of the folder itself, as file managers make it
        return folders[0] if not (root / SPEC_FILE).exists() and len(folders) == 1 else root
    return path


def _opened_zip(path: Path) -> zipfile.Path:
    """A zip whose list of contents can be believed: the sizes it states are those that are held to."""
    try:
        root = zipfile.Path(path)
        entries = root.root.infolist()
    except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError) as err:
        raise BundleError(
            f"Model bundle {path}: the zip cannot be read ({err}); get the bundle again."
        ) from err
    if len(entries) > _MAX_ENTRIES:
        raise BundleError(
            f"Model bundle {path}: the zip has {len(entries)} files, expected at most {_MAX_ENTRIES}; "
            "get the bundle again."
        )
    return root


M = TypeVar("M", bound=BaseModel)


def _read_spec(root: Path | zipfile.Path, model: type[M]) -> M:
    file = root / SPEC_FILE
    if not (is_file(file) if isinstance(file, Path) else file.is_file()):
        raise BundleError(
            f"Model bundle {root}: no {SPEC_FILE} there; expected a bundle's folder or zip, or one of the "
            f"embedded names ({', '.join(sorted(_embedded()))})."
        )
    try:
        return model.model_validate_json(_content(root, SPEC_FILE, _MAX_SPEC_BYTES))
    except ValidationError as err:
        first = err.errors()[0]
        where = ".".join(str(step) for step in first["loc"]) or SPEC_FILE
        raise BundleError(
            f"Model bundle {root}: {SPEC_FILE} does not fit format version 1 at {where} ({first['msg']}); "
            "get the bundle again or update napari-deepheme."
        ) from err


def _content(root: Path | zipfile.Path, file: str, most: int = _MAX_FILE_BYTES) -> bytes:
    """One file of a bundle, at most ``most`` bytes of it."""
    try:
        if isinstance(root, Path):
            return read_bounded(root / file, most)
        # the size a zip states is not yet the true one
        with root.joinpath(file).open("rb") as packed:
            data: bytes = packed.read(most + 1)
    except (
        OSError,
        KeyError,
        ValueError,
        EOFError,
        zipfile.BadZipFile,
        zlib.error,
        lzma.LZMAError,
        RuntimeError,
        NotImplementedError,
    ) as err:  # the last two from encrypted and unknown kinds
        raise BundleError(
            f"Model bundle {root}: the file {file} is missing or unreadable ({_short(err)}); "
            "get the bundle again."
        ) from err
    if len(data) > most:
        raise BundleError(
            f"Model bundle {root}: the file {file} unpacks to more than {most / 2**20:g} MB; "
            "get the bundle again."
        )
    return data


def self_test_pixels(bundle: OpenBundle[Spec]) -> NDArray[np.uint8]:
    """The self-test image, RGB.

    Raises
    ------
    BundleError
        It is no picture, or so large that it cannot be one.
    """
    from PIL import Image  # noqa: PLC0415  as above

    name = bundle.spec.self_test.image
    try:
        # opened as PNG alone: Pillow knows formats that call other programs
        with Image.open(BytesIO(bundle.read(name)), formats=("PNG",)) as image:
            if image.width * image.height <= _MAX_TEST_PIXELS:
                return np.asarray(image.convert("RGB"))
            why = f"{image.width} × {image.height} px"
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as err:
        why = _short(err)
    raise BundleError(
        f"Model bundle {bundle.root}: {name} is no self-test image ({why}); get the bundle again."
    )


def _short(err: Exception) -> str:
    lines = str(err).strip().splitlines()
    return lines[0][:120] if lines else type(err).__name__
