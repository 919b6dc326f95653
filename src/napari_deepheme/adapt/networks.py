"""The frozen members of a parent: their features of labelled cells, and their last layers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from safetensors.torch import load
from torch import nn

from napari_deepheme.adapt.choice import balance
from napari_deepheme.adapt.head import LastLayer
from napari_deepheme.adapt.labelled import LabelledCells
from napari_deepheme.adapt.look import Look
from napari_deepheme.adapt.normalisation import normalises, take_statistics
from napari_deepheme.classify.bundle import Bundle
from napari_deepheme.classify.ensemble import Ensemble
from napari_deepheme.classify.making import packed, unpacked
from napari_deepheme.classify.network import build_network
from napari_deepheme.classify.stain import StainColours, StainMatching, stain_colours
from napari_deepheme.errors import BundleError
from napari_deepheme.jobs import Job, Progress
from napari_deepheme.models.device import Device, Precision

_BATCH = 128
_AS_IT_IS = Look(StainMatching.NONE)
_STATISTICS = 128  # cells that statistics are of; a class with few labels is seen again
_CLASSES_SHARE = 0.3  # of the parent's that must be labelled to stand for the others

_Shown = list[tuple[NDArray[np.intp], StainColours | None]]
"""Cells of each smear, by number, with the stain that is to be matched."""


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
        self._bundle, self._device = bundle, device
        self._ensemble = Ensemble(bundle, device, Precision.FP32)
        self._facts = self._ensemble.facts
        self._own_norm: dict[StainMatching, list[bytes]] = {}
        name = last_layer_name(bundle)
        weights = [load(content) for content in self.weights(_AS_IT_IS)]
        self.layers = tuple(
            LastLayer(each[f"{name}.weight"].double().numpy(), each[f"{name}.bias"].double().numpy())
            for each in weights
        )

    def weights(self, look: Look) -> list[bytes]:
        """Each member's file; in an own look with statistics of the cells that :meth:`features` saw last."""
        if look.own_norm:
            return self._own_norm[look.stain]
        return [self._bundle.read(member.file) for member in self._bundle.spec.members]

    def features(
        self, cells: LabelledCells, labels: NDArray[np.intp]
    ) -> Job[dict[Look, NDArray[np.float32]]]:
        """Features (m, n, d) of labelled cells, in every look that the parent can have.

        The stain is matched only if the parent can match, and the stain of some smear can be measured; batch
        normalisation has the cells' statistics only if ``labels`` (n,) are of enough classes to stand for
        the others.
        """
        smears = np.unique(cells.smears, return_inverse=True)[1]
        stains = [self._stain(cells.crops[smears == smear]) for smear in range(smears.max() + 1)]
        matching = [StainMatching.NONE]
        if any(stain is not None for stain in stains):
            matching.append(StainMatching.ALL)
        looks = [Look(each) for each in matching]
        if len(matching) > 1 and self._facts.match_stain is StainMatching.HALF:
            looks.append(Look(StainMatching.HALF))
        if self._can_take_statistics(labels):
            looks += [Look(each, own_norm=True) for each in matching]
        self._own_norm.clear()
        found: dict[Look, NDArray[np.float32]] = {}
        for look in looks:
            shown = [
                (np.flatnonzero(smears == i), None if look.stain is StainMatching.NONE else stain)
                for i, stain in enumerate(stains)
            ]
            if look.own_norm:
                yield Progress("Measuring the laboratory's normalisation")
                self._own_norm[look.stain] = self._with_statistics(cells.crops, labels, shown, look.stain)
            found[look] = yield from self._seen(self.ensemble(look), cells.crops, shown)
        return found

    def ensemble(self, look: Look) -> Ensemble:
        """The members, as they look at cells; the stain is for the caller to match."""
        if not look.own_norm:
            return self._ensemble.matching(look.stain)
        facts = replace(self._facts, match_stain=look.stain)
        return Ensemble.from_networks(
            [self._network(each) for each in self.weights(look)], facts, self._device
        )

    def _stain(self, crops: NDArray[np.uint8]) -> StainColours | None:
        return None if self._facts.stain is None else stain_colours(crops)

    def _can_take_statistics(self, labels: NDArray[np.intp]) -> bool:
        known = len(self._bundle.spec.taxonomy.classes)
        enough = len(np.unique(labels[labels < known])) >= _CLASSES_SHARE * known
        return enough and normalises(build_network(self._bundle.spec.architecture, known))

    def _network(self, content: bytes) -> nn.Module:
        return unpacked(self._bundle.spec.architecture, len(self._bundle.spec.taxonomy.classes), content)

    def _with_statistics(
        self, crops: NDArray[np.uint8], labels: NDArray[np.intp], shown: _Shown, matching: StainMatching
    ) -> list[bytes]:
        """Each member's file with the cells' statistics, classes counting about equally."""
        weights = balance(labels)
        rng = np.random.default_rng(len(labels))
        drawn = rng.choice(len(labels), _STATISTICS, p=weights / weights.sum())
        batches, ensemble = [], self._ensemble.matching(matching)
        for index, stain in shown:
            some = drawn[np.isin(drawn, index)]
            batches += [
                ensemble.views(crops[some[i : i + _BATCH]], stain) for i in range(0, len(some), _BATCH)
            ]
        members = []
        for content in self.weights(_AS_IT_IS):
            network = self._network(content).to(self._ensemble.device)
            take_statistics(network, batches)
            members.append(packed(network.state_dict()))
        return members

    @staticmethod
    def _seen(ensemble: Ensemble, crops: NDArray[np.uint8], shown: _Shown) -> Job[NDArray[np.float32]]:
        parts: list[tuple[NDArray[np.intp], NDArray[np.float32]]] = []
        for index, stain in shown:
            for start in range(0, len(index), _BATCH):
                some = index[start : start + _BATCH]
                parts.append((some, ensemble.features(crops[some], stain)))
                done = sum(len(each) for each, _ in parts)
                yield Progress("Looking at labelled cells", done, len(crops))
        order = np.argsort(np.concatenate([index for index, _ in parts]))
        features: NDArray[np.float32] = np.concatenate([each for _, each in parts], axis=1)[:, order]
        return features
