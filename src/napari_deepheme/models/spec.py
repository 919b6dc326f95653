"""What ``bundle.json`` says of every kind of model, and what it may say."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from typing_extensions import TypedDict  # pydantic asks for it before Python 3.12

FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Share = Annotated[float, Field(ge=0, le=1)]
Channels = tuple[Share, Share, Share]
"""Of colours from 0 to 1."""
Deviation = Annotated[float, Field(gt=0, le=1)]
Deviations = tuple[Deviation, Deviation, Deviation]
Width = Annotated[int, Field(ge=1, le=16384)]
"""Outputs of a layer."""
Scale = Annotated[float, Field(ge=0.02, le=10)]
"""µm/px that a network may ask for."""


def _shown(text: str) -> str:
    if not text.isprintable():
        raise ValueError("expected printable characters")
    return text


Line = Annotated[str, Field(max_length=200), AfterValidator(_shown)]
"""Text that titles and tables show."""


class Part(BaseModel):
    """Something a bundle's description is made of."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class HashedFile(Part):
    """A file of the bundle, and the hash it must have."""

    file: FileName
    sha256: Sha256


class NetworkOptions(TypedDict, total=False):
    """What a bundle or a recipe may tell timm beside the name of a network, and nothing else.

    ``timm.create_model`` takes options that open files (``checkpoint_path``) or download them
    (``pretrained``): a file that someone else made must not reach those.
    """

    __pydantic_config__ = ConfigDict(extra="forbid", allow_inf_nan=False)  # type: ignore[misc]

    drop_rate: Annotated[float, Field(ge=0, lt=1)]
    drop_path_rate: Annotated[float, Field(ge=0, lt=1)]
    global_pool: Literal["avg", "max", "avgmax", "catavgmax"]
    img_size: Annotated[int, Field(ge=32, le=2048)]
    output_stride: Literal[8, 16, 32]


class Architecture(Part):
    """A network by the name and the options that timm has for it.

    ``classifier`` (outputs of the network, hidden units) adds two fully connected layers with a ReLU between
    them, as the first DeepHeme had.
    """

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)?$", max_length=100)]
    kwargs: NetworkOptions = {}
    classifier: tuple[Width, Width] | None = None


class Member(HashedFile):
    """One network's weights, and the learning-rate cycle they ended."""

    cycle: int


class Training(Part):
    """Where a model comes from and what was measured."""

    data: str
    licence: str
    split: str
    metrics: dict[str, float]


class SelfTest(Part):
    """An image with the numbers the bundle must give for it."""

    image: FileName
    sha256: Sha256
    expected: tuple[float, ...]


class Parent(Part):
    """The model that another was adapted from, and the hashes of its members."""

    name: str
    version: str
    members: tuple[Sha256, ...]


class Spec(Part):
    """What ``bundle.json`` says of every kind of model; ``parent`` where it was adapted from another."""

    format_version: Literal[1] = 1
    name: Line
    version: Line
    kind: str
    architecture: Architecture
    mpp: Scale
    mean: Channels
    std: Deviations
    members: Annotated[tuple[Member, ...], Field(min_length=1)]
    training: Training
    licence: str
    self_test: SelfTest
    parent: Parent | None = None

    def hashed(self) -> Iterator[tuple[str, str]]:
        """Names and hashes of the files it relies on."""
        yield from ((member.file, member.sha256) for member in self.members)
        yield self.self_test.image, self.self_test.sha256
