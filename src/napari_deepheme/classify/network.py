"""One member network, built by timm and filled with a bundle's weights."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import timm
import torch
from torch import nn

from napari_deepheme.classify.bundle import Bundle
from napari_deepheme.errors import BundleError
from napari_deepheme.models.bundle import Architecture, Member
from napari_deepheme.models.weights import fill, fused


def build_network(architecture: Architecture, classes: int, *, pretrained: bool = False) -> nn.Module:
    """A network with ``classes`` outputs; :class:`BundleError` if timm does not know it.

    Untrained, or with the ImageNet weights that timm downloads.
    """
    # only names timm itself holds: a prefix such as "hf-hub:" would go to the internet
    if not timm.is_model(architecture.name):
        raise BundleError(f"timm {timm.__version__} has no network {architecture.name!r}; update timm.")
    create: Callable[..., nn.Module] = timm.create_model
    outputs, hidden = architecture.classifier or (classes, 0)
    options = {**architecture.kwargs, "pretrained": pretrained, "num_classes": outputs}
    try:
        network = create(architecture.name, **options)
    except (TypeError, ValueError, AssertionError, RuntimeError) as err:
        if pretrained:  # what went wrong there is the download, and is said by who asked for it
            raise
        raise BundleError(
            f"timm {timm.__version__} cannot build {architecture.name} with "
            f"{dict(architecture.kwargs)} ({str(err).splitlines()[0] if str(err) else type(err).__name__}); "
            "take these options out, or name another network."
        ) from err
    if not hidden:
        return network
    classifier = nn.Sequential(nn.Linear(outputs, hidden), nn.ReLU(), nn.Linear(hidden, classes))
    return nn.Sequential(OrderedDict(network=network, classifier=classifier))


def features_and_logits(network: nn.Module, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """What a network of :func:`build_network` has before its last layer (n, d), and its outputs (n, k)."""
    parts = dict(network.named_children()) if isinstance(network, nn.Sequential) else {"network": network}
    body: Any = parts["network"]  # timm's networks share these methods, but no type
    features = body.forward_head(body.forward_features(images), pre_logits=True)
    outputs = body.get_classifier()(features)
    return features, parts["classifier"](outputs) if "classifier" in parts else outputs


def load_member(bundle: Bundle, member: Member, device: torch.device) -> nn.Module:
    """A member ready to predict: weights as float32 on ``device``, evaluation mode."""
    network = build_network(bundle.spec.architecture, len(bundle.spec.taxonomy.classes))
    fill(network, bundle, member)
    # channels-last is what convolutions run fastest on
    return fused(network.eval()).to(device).to(memory_format=torch.channels_last)
