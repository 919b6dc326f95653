"""What opens a slide on a server, a password or a signed query, is written down nowhere."""

from __future__ import annotations

import gzip
import logging

import pytest
from range_server import serving

from napari_deepheme import AnalysisOptions, open_analysis, open_slide
from napari_deepheme.analysis.engine import Engine
from napari_deepheme.batch import Plan, Status, classify_in_turn
from napari_deepheme.detect.choose import STAIN
from napari_deepheme.errors import UnreachableError
from napari_deepheme.export.formats import Format
from napari_deepheme.report.making import write_report_of
from napari_deepheme.slide import remote

pytest.importorskip("aiohttp", reason="slides on servers need aiohttp (napari-deepheme[remote])")


def test_keys_in_a_url_are_kept_nowhere(smear_path, tmp_path, toy_bundle, caplog, monkeypatch):
    monkeypatch.setattr(remote, "PAUSES", (0.0, 0.0))
    caplog.set_level(logging.DEBUG, logger="napari_deepheme")
    with serving(smear_path.parent) as server:
        url = server.url("smear.svs?key=secret").replace("http://", "http://me:secret@")
        plan = Plan(tmp_path, formats=tuple(Format), options=AnalysisOptions(target_cells=0, detector=STAIN))
        rows, said = None, []
        job = classify_in_turn(Engine(toy_bundle), [url], plan)
        while rows is None:
            try:
                said.append(next(job))
            except StopIteration as stop:
                rows = stop.value
        assert rows[0].status is Status.DONE
        with open_analysis(tmp_path / "smear.deepheme.db") as file:
            analysis = file.analysis()
        write_report_of(analysis, tmp_path / "report.html")
        server.faults = ["503"] * 3
        with pytest.raises(UnreachableError) as fault:
            open_slide(url)
    kept = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(kept) >= 7
    for path in kept:
        data = path.read_bytes()
        assert b"secret" not in (gzip.decompress(data) if path.suffix == ".gz" else data), path
    logged = [record.getMessage() for record in caplog.records if record.name.startswith("napari_deepheme")]
    assert any("smear.svs" in line for line in logged)
    for text in (repr(said), repr(rows), str(fault.value), *logged):
        assert "secret" not in text
