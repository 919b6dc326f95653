"""Weights of a bundle's member into the network they belong to."""

from __future__ import annotations

from safetensors import SafetensorError
from safetensors.torch import load
from torch import nn

from napari_deepheme.bundle import Member, OpenBundle, Spec
from napari_deepheme.errors import BundleError


def fill(network: nn.Module, bundle: OpenBundle[Spec], member: Member) -> None:
    """Load a member's weights as float32; :class:`BundleError` if they are of another network."""
    try:
        weights = load(bundle.read(member.file))
        network.load_state_dict(
            {name: value.float() if value.is_floating_point() else value for name, value in weights.items()}
        )
    except (SafetensorError, RuntimeError) as err:
        raise BundleError(
            f"Model bundle {bundle.root}: the weights in {member.file} do not fit "
            f"{bundle.spec.architecture.name}; get the bundle again."
        ) from err
