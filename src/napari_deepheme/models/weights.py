"""Weights of a bundle's member into the network they belong to, ready to predict."""

from __future__ import annotations

from itertools import pairwise

from safetensors import SafetensorError
from safetensors.torch import load
from torch import nn
from torch.nn.utils import fuse_conv_bn_eval

from napari_deepheme.errors import BundleError
from napari_deepheme.models.bundle import Member, OpenBundle, Spec


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

    Of timm's pairs ``conv`` and ``bn``, and of neighbours in a sequence; others stay.
    """
    for module in list(network.modules()):
        names = list(dict(module.named_children())) if isinstance(module, nn.Sequential) else []
        pairs = pairwise(names) if names else [("conv", "bn")]
        for first, second in pairs:
            conv, norm = getattr(module, first, None), getattr(module, second, None)
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                setattr(module, first, fuse_conv_bn_eval(conv, norm))
                # timm's norms end with the activation
                setattr(module, second, getattr(norm, "act", nn.Identity()))
    return network
