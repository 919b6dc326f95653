"""OpenVINO in place of torch: the same answers, on any number of crops at once."""

import numpy as np
import pytest

from napari_deepheme.classify.cascade import Settling
from napari_deepheme.classify.ensemble import Ensemble
from napari_deepheme.errors import OptionError
from napari_deepheme.models import openvino as back_end
from napari_deepheme.models.device import Backend, Device, Precision

EXACT = (Device.CPU, Precision.FP32)


@pytest.fixture(scope="module")
def compiled(toy_bundle) -> Ensemble:
    pytest.importorskip("openvino", reason="the extra openvino is not installed")
    return Ensemble(toy_bundle, *EXACT, batch_size=4, backend=Backend.OPENVINO)


@pytest.fixture(scope="module")
def crops() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 255, (21, 96, 96, 3), np.uint8)


@pytest.mark.parametrize("n", [0, 1, 21])
def test_the_answers_are_those_of_torch(compiled, toy_bundle, crops, n):
    expected = Ensemble(toy_bundle, *EXACT).outputs(crops[:n])
    for found, wanted in zip(compiled.outputs(crops[:n]), expected, strict=True):
        assert found.shape == wanted.shape
        np.testing.assert_allclose(found, wanted, atol=1e-4)


def test_members_can_be_asked_in_turn(compiled, crops):
    raw = compiled.run(crops, settling=Settling(0.0))
    np.testing.assert_allclose(raw.members[0], compiled.run(crops).members[0], atol=1e-3)
    assert np.isnan(raw.members[1]).all()


def test_nothing_of_its_use_is_told_to_its_makers(toy_bundle, monkeypatch):
    telemetry = pytest.importorskip("openvino_telemetry", reason="the extra openvino is not installed")
    told: list[object] = []
    monkeypatch.setattr(telemetry.Telemetry, "send_event", lambda self, *event, **more: told.append(event))
    Ensemble(toy_bundle, *EXACT, backend=Backend.OPENVINO)
    assert told == []


def test_without_the_package_it_is_said_what_to_install(toy_bundle, monkeypatch):
    monkeypatch.setattr(back_end, "find_spec", lambda name: None)
    with pytest.raises(OptionError, match=r"napari-deepheme\[openvino\]"):
        Ensemble(toy_bundle, *EXACT, backend=Backend.OPENVINO)
