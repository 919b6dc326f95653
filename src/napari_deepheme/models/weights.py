"""Weights of a bundle's member into the network they belong to, ready to predict."""

from __future__ import annotations

from itertools import pairwise

from safetensors import SafetensorError
from safetensors.torch import load
from torch import nn
from torch.nn.utils import fuse_conv_bn_eval

from napari_deepheme.errors import BundleError
from napari_deepheme.models.bundle import OpenBundle
from napari_deepheme.models.spec import Member, Spec


def fill(network: nn.Module, bundle: OpenBundle[Spec], member: Member) -> None:
    """Load a member's weights as float32; :class:`BundleError` if they are of another network."""
    try:
        weights = load(bundle.read(member.file))
        network.load_state_dict(
            {name: value.float() if value.is_floating_point() else value for name, value in weights.items()},
            assign=True,  # a network that was built without weights has nothing to copy them into
        )
    except (SafetensorError, RuntimeError) as err:
        raise BundleError(
            f"Model bundle {bundle.root}: the weights in {member.file} do not fit "
            f"{bundle.spec.architecture.name}; get the bundle again."
        ) from err


def fused(network: nn.Module) -> nn.Module:
    """The same network with normalisations taken into the convolutions before them; for evaluation only.

    Of neighbours in a sequence, and of neighbours that timm calls ``conv…`` and ``bn…``; others stay.
    """
    for module in list(network.modules()):
        for (first, conv), (second, norm) in pairwise(list(module.named_children())):
            named = first.startswith("conv") and second.startswith("bn")
            if not (named or isinstance(module, nn.Sequential)):
                continue
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                setattr(module, first, fuse_conv_bn_eval(conv, norm))
                # timm's norms end with the activation
                setattr(module, second, getattr(norm, "act", nn.Identity()))
    return network
