"""What the Export menu writes."""

from __future__ import annotations

import json
import re

import pandas as pd
import pytest
from PIL import Image
from review_cells import analysis_of

from napari_deepheme.datasets.folders import labelled_images
from napari_deepheme.errors import OptionError
from napari_deepheme.export.counts import differential_of
from napari_deepheme.jobs import drain
from napari_deepheme.taxonomy import own_colours
from napari_deepheme.ui.exports import Export, export_job
from napari_deepheme.ui.session import Session


@pytest.fixture
def session(smear_path, toy_bundle):
    return Session.of_analysis(analysis_of(smear_path, toy_bundle, 12, 4), "cells")


def test_the_training_set_holds_the_cells_a_person_named_and_train_reads_it(session, tmp_path):
    with pytest.raises(OptionError, match="named by a person"):
        drain(export_job(session, Export.TRAINING_SET, tmp_path / "set"))
    session.relabel([1, 2], "L2")
    session.relabel([3], "MO2")
    session.delete([2])
    assert "2 crops" in drain(export_job(session, Export.TRAINING_SET, tmp_path / "set"))
    images = labelled_images(tmp_path / "set", session.taxonomy)
    assert sorted(each.label for each in images) == ["L2", "MO2"]
    side = session.analysis.facts.bundle.input_px
    for each in images:
        with Image.open(each.path) as picture:
            assert picture.size == (side, side)


def test_the_differential_is_that_of_the_command_line(session, tmp_path):
    path = tmp_path / "differential.csv"
    session.relabel([1], "L2")
    assert drain(export_job(session, Export.DIFFERENTIAL, path)) == ""
    wanted = differential_of(session.analysis, session.options).table()
    written = pd.read_csv(path)
    for name in ("class", "count"):
        assert written[name].tolist() == wanted[name].tolist()


@pytest.fixture
def own_palette(tmp_path, monkeypatch):
    """A person's settings: basophils in a colour that no class has."""
    monkeypatch.setattr(own_colours, "COLOURS_FILE", tmp_path / "settings" / "colours.toml")
    own_colours.own_colours.cache_clear()
    own_colours.keep_colour("B2", "#12fe56")
    yield
    own_colours.own_colours.cache_clear()


@pytest.mark.usefixtures("own_palette")
def test_what_is_written_has_the_colours_that_a_person_chose(session, tmp_path):
    session.relabel([1], "B2")
    drain(export_job(session, Export.GEOJSON, tmp_path / "cells.geojson"))
    (cell,) = [
        each["properties"]
        for each in json.loads((tmp_path / "cells.geojson").read_text())["features"]
        if each["id"] == "cell-1"
    ]
    assert cell["classification"] == {"name": "Basophil", "color": [0x12, 0xFE, 0x56]}
    drain(export_job(session, Export.HTML, tmp_path / "report.html"))
    assert re.search(r"#12fe56\W+/span> Basophil", (tmp_path / "report.html").read_text())


def test_of_a_table_only_csv_can_be_written(session, tmp_path):
    table = Session.of_table(session.table, session.origin, "read")
    drain(export_job(table, Export.CSV, tmp_path / "a.cells.csv"))
    assert len(pd.read_csv(tmp_path / "a.cells.csv")) == 12
    with pytest.raises(OptionError, match="only CSV"):
        drain(export_job(table, Export.PARQUET, tmp_path / "a.cells.parquet"))
