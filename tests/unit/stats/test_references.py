"""Reference ranges stand beside a count, with their source."""

import numpy as np
import pytest

from napari_deepheme.errors import OptionError
from napari_deepheme.stats.differential import Differential
from napari_deepheme.stats.references import beside, embedded_references, reference_set
from napari_deepheme.taxonomy import DEEPHEME_23, PBC_11, PRESETS


@pytest.mark.parametrize("name", embedded_references())
def test_every_set_is_cited_and_names_classes_there_are(name):
    references = reference_set(name)
    assert references.source
    known = {n for t in PRESETS.values() for c in t.classes for n in (c.code, *c.aliases)}
    for usual in (*references.percent.values(), *references.indices.values()):
        assert usual.low < usual.high
        assert set(usual.codes) <= known


def test_a_count_stands_beside_what_is_usual():
    labels = ["ER4"] * 25 + ["M6"] * 65 + ["MO2"] * 10
    count = Differential.of(labels, np.zeros(100), DEEPHEME_23)
    found = {each.name: each for each in beside(count, reference_set("davis"))}
    assert found["erythroid"].value == 25.0
    assert found["erythroid"].usual == (18, 32)
    assert found["M:E"].value == 3.0
    assert found["plasma cells"].value == 0.0


def test_what_a_model_has_no_class_for_has_no_line():
    count = Differential.of(["M6"], np.zeros(1), PBC_11)
    assert "plasma cells" not in {each.name for each in beside(count, reference_set("davis"))}


def test_an_unknown_set_names_those_there_are(tmp_path):
    with pytest.raises(OptionError, match="davis, wintrobe"):
        reference_set("nowhere")
    path = tmp_path / "own.toml"
    path.write_text('name = "a"\ntitle = "A"\n')
    with pytest.raises(OptionError, match="source"):
        reference_set(str(path))


def test_a_ratio_that_nothing_was_counted_for_stands_beside_nothing():
    one_sided = {each.name: each for each in beside(of(["M6"] * 9), reference_set("davis"))}
    assert one_sided["M:E"].figure == "∞"
    assert one_sided["M:E"].bounds.endswith("–∞")
    assert one_sided["M:E"].to_json()["value"] is None
    assert "M:E" not in {each.name for each in beside(of(["L2"] * 9), reference_set("davis"))}


def of(labels):
    return Differential.of(labels, np.zeros(len(labels)), DEEPHEME_23)


@pytest.mark.parametrize("usual", ["low = 5.0\nhigh = 1.0", "low = nan\nhigh = 1.0", "low = 0.0\nhigh = inf"])
def test_a_range_without_two_limits_in_order_is_refused(tmp_path, usual):
    path = tmp_path / "own.toml"
    path.write_text(f'name = "own"\ntitle = "own"\nsource = "x"\n[indices.m_e]\n{usual}\n')
    with pytest.raises(OptionError, match=r"indices\.m_e"):
        reference_set(str(path))
