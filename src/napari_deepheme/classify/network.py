"""One member network, filled with a bundle's weights."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import torch
from torch import nn

from napari_deepheme.classify.bundle import Bundle
from napari_deepheme.models.networks import build_body, without_weights
from napari_deepheme.models.spec import Architecture, Member
from napari_deepheme.models.weights import fill, fused


def build_network(architecture: Architecture, classes: int, *, pretrained: bool = False) -> nn.Module:
    """A network with ``classes`` outputs; :class:`BundleError` if it is neither built here nor known to timm.

    Untrained, or with the ImageNet weights that timm downloads.
    """
    outputs, hidden = architecture.classifier or (classes, 0)
    network = build_body(architecture, outputs, pretrained=pretrained)
    if not hidden:
        return network
    classifier = nn.Sequential(nn.Linear(outputs, hidden), nn.ReLU(), nn.Linear(hidden, classes))
    return nn.Sequential(OrderedDict(network=network, classifier=classifier))


def features_and_logits(network: nn.Module, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """What a network of :func:`build_network` has before its last layer (n, d), and its outputs (n, k)."""
    parts = dict(network.named_children()) if isinstance(network, nn.Sequential) else {"network": network}
    body: Any = parts["network"]  # ours and timm's networks share these methods, but no type
    features = body.forward_head(body.forward_features(images), pre_logits=True)
    outputs = body.get_classifier()(features)
    return features, parts["classifier"](outputs) if "classifier" in parts else outputs


def load_member(bundle: Bundle, member: Member, device: torch.device) -> nn.Module:
    """A member ready to predict: weights as float32 on ``device``, evaluation mode."""
    with without_weights(bundle.spec.architecture):
        network = build_network(bundle.spec.architecture, len(bundle.spec.taxonomy.classes))
    fill(network, bundle, member)
    # channels-last is what convolutions run fastest on
    return fused(network.eval()).to(device).to(memory_format=torch.channels_last)
