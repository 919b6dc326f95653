"""A network by its name."""

from __future__ import annotations

from collections.abc import Callable, Container
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import nn

from napari_deepheme.errors import BundleError
from napari_deepheme.models.networks.efficientnet import EfficientNetLite
from napari_deepheme.models.networks.regnet import RegNet, RegNetEncoder
from napari_deepheme.models.networks.resnet import ResNeXt50
from napari_deepheme.models.networks.timm_import import import_timm
from napari_deepheme.models.spec import Architecture

BODIES: dict[str, Callable[[int], nn.Module]] = {
    "regnetx_002": partial(RegNet, squeeze=False),
    "regnety_002": partial(RegNet, squeeze=True),
    "resnext50_32x4d": ResNeXt50,
    "tf_efficientnet_lite0": partial(EfficientNetLite, wider=1.0, deeper=1.0),
    "tf_efficientnet_lite1": partial(EfficientNetLite, wider=1.0, deeper=1.1),
    "tf_efficientnet_lite2": partial(EfficientNetLite, wider=1.1, deeper=1.2),
}
"""Classifying networks built here; each takes the number of its outputs."""

ENCODERS: dict[str, Callable[[], RegNetEncoder]] = {
    "regnetx_002": partial(RegNetEncoder, squeeze=False),
    "regnety_002": partial(RegNetEncoder, squeeze=True),
}
"""Encoders built here."""

_ENCODER_STAGES = (1, 2, 3)  # of timm's features: those at 4, 8 and 16 px


def build_body(architecture: Architecture, outputs: int, *, pretrained: bool = False) -> nn.Module:
    """A network that classifies images.

    Parameters
    ----------
    architecture : Architecture
    outputs : int
    pretrained : bool
        Whether it has the ImageNet weights, which timm downloads; else it is untrained.

    Raises
    ------
    BundleError
        timm does not know the network, or cannot build it with these options.
    """
    if _is_own(architecture, BODIES) and not pretrained:
        return BODIES[architecture.name](outputs)
    return _from_timm(architecture, {"num_classes": outputs}, pretrained=pretrained)


def build_encoder(
    architecture: Architecture, *, pretrained: bool = False
) -> tuple[nn.Module, tuple[int, ...]]:
    """Features of images at 4, 8 and 16 px, and their channels; otherwise as :func:`build_body`."""
    if _is_own(architecture, ENCODERS) and not pretrained:
        return ENCODERS[architecture.name](), RegNetEncoder.channels
    options: dict[str, object] = {"features_only": True, "out_indices": _ENCODER_STAGES}
    encoder = _from_timm(architecture, options, pretrained=pretrained)
    facts: Any = encoder.feature_info  # timm has no types
    return encoder, tuple(facts.channels())


def without_weights(architecture: Architecture) -> AbstractContextManager[object]:
    """A context in which a network is built whose weights are all loaded afterwards.

    Drawing weights first would take longer than loading them. Only for networks built here: timm's may
    compute other things than weights while they are built.
    """
    return torch.device("meta") if _is_own(architecture, BODIES) else nullcontext()


def _is_own(architecture: Architecture, known: Container[str]) -> bool:
    return architecture.name in known and not architecture.kwargs


def _from_timm(architecture: Architecture, options: dict[str, object], *, pretrained: bool) -> nn.Module:
    timm, name = import_timm(), architecture.name
    # only names timm itself holds: a prefix such as "hf-hub:" would go to the internet
    if not timm.is_model(name):
        raise BundleError(f"timm {timm.__version__} has no network {name!r}; update timm.")
    create: Callable[..., nn.Module] = timm.create_model
    try:
        return create(name, **{**architecture.kwargs, **options, "pretrained": pretrained})
    except (TypeError, ValueError, AssertionError, RuntimeError) as err:
        if pretrained:  # what went wrong there is the download, and is said by who asked for it
            raise
        raise BundleError(
            f"timm {timm.__version__} cannot build {name} with {dict(architecture.kwargs)} "
            f"({str(err).splitlines()[0] if str(err) else type(err).__name__}); "
            "take these options out, or name another network."
        ) from err
