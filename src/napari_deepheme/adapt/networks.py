"""The frozen members of a parent: their features of labelled cells, and their last layers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from safetensors.torch import load
from torch import nn

from napari_deepheme.adapt.head import LastLayer
from napari_deepheme.adapt.labelled import LabelledCells
from napari_deepheme.classify.bundle import Bundle
from napari_deepheme.classify.ensemble import Ensemble
from napari_deepheme.classify.network import build_network
from napari_deepheme.classify.stain import stain_colours
from napari_deepheme.errors import BundleError
from napari_deepheme.jobs import Job, Progress
from napari_deepheme.models.device import Device, Precision

_BATCH = 128


def last_layer_name(bundle: Bundle) -> str:
    """Name of a member's last layer; :class:`BundleError` if it is no plain one."""
    network = build_network(bundle.spec.architecture, len(bundle.spec.taxonomy.classes))
    last: object = getattr(network, "get_classifier", lambda: None)()
    if not isinstance(last, nn.Linear) or last.bias is None:
        raise BundleError(
            f"{bundle.spec.name}: {bundle.spec.architecture.name} has no plain last layer, so it cannot be "
            "adapted; expected a fully connected one with biases."
        )
    names: dict[nn.Module, str] = {module: name for name, module in network.named_modules()}
    return names[last]


class Frozen:
    """The members of a bundle, for their features.

    Attributes
    ----------
    layers : tuple of LastLayer
        Of each member.
    """

    def __init__(self, bundle: Bundle, device: Device) -> None:
        self._ensemble = Ensemble(bundle, device, Precision.FP32)
        name = last_layer_name(bundle)
        weights = [load(bundle.read(member.file)) for member in bundle.spec.members]
        self.layers = tuple(
            LastLayer(each[f"{name}.weight"].double().numpy(), each[f"{name}.bias"].double().numpy())
            for each in weights
        )

    def features(self, cells: LabelledCells) -> Job[dict[bool, NDArray[np.float32]]]:
        """Features (m, n, d) with the stain matched (True) and as it is (False).

        The former only if the parent can match, and the stain of some smear can be measured.
        """
        smears = np.unique(cells.smears, return_inverse=True)[1]
        found: dict[bool, NDArray[np.float32]] = {}
        matches = False
        for matched in (True, False) if self._ensemble.facts.stain is not None else (False,):
            parts: list[tuple[NDArray[np.intp], NDArray[np.float32]]] = []
            for smear in range(smears.max() + 1):
                index = np.flatnonzero(smears == smear)
                stain = stain_colours(cells.crops[index]) if matched else None
                matches |= stain is not None
                for start in range(0, len(index), _BATCH):
                    some = index[start : start + _BATCH]
                    parts.append((some, self._ensemble.features(cells.crops[some], stain)))
                    done = sum(len(each) for each, _ in parts)
                    yield Progress("Looking at labelled cells", done, len(cells))
            if matched and not matches:
                continue
            order = np.argsort(np.concatenate([index for index, _ in parts]))
            found[matched] = np.concatenate([features for _, features in parts], axis=1)[:, order]
        return found
