"""Slides with little or nothing to count: no crash, few cells, and a sentence on what was seen."""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from napari_deepheme import AnalysisOptions, analyse, cli, drain, open_slide
from napari_deepheme.synth import SmearSpec, Stain, render_region

OPTIONS = AnalysisOptions(target_cells=500)
Picture = NDArray[np.uint8]


def glass() -> Picture:
    """A scan of nothing: white as the camera sees it."""
    noise = np.random.default_rng(0).normal(243, 1.2, (1500, 1400, 3))
    return noise.round().astype(np.uint8)


def blank() -> Picture:
    """White of a file that was never scanned: every pixel the same."""
    return np.full((1100, 1500, 3), 255, np.uint8)


def red_cells() -> Picture:
    return render_region(SmearSpec((1400, 1400), 0, seed=2, stain=Stain()), 0, 0, 1400, 1400)


def clot() -> Picture:
    """A clot wider than any field: dark, violet, ragged, without gaps."""
    rng = np.random.default_rng(1)
    ragged = gaussian_filter(rng.normal(size=(1400, 1400)), 30)
    y, x = np.mgrid[:1400, :1400] - 700
    inside = np.hypot(y, x) < 620 + 60 * ragged / ragged.std()
    grain = gaussian_filter(rng.normal(size=(1400, 1400)), 3)
    dark = np.array([70, 30, 90]) + 12 * (grain / grain.std())[..., None]
    picture = np.where(inside[..., None], dark, 240.0)
    return np.clip(picture, 0, 255).round().astype(np.uint8)


def bordered() -> Picture:
    """A smear with 20 cells, and black where the scanner saw nothing: the left half and all round."""
    picture = np.zeros((2000, 2000, 3), np.uint8)
    smear = SmearSpec((1800, 890), 20, seed=6, stain=Stain())
    picture[100:1900, 1010:1900] = render_region(smear, 0, 0, *smear.shape)
    return picture


def fluorescence() -> Picture:
    """Spots that shine in blue and green on black."""
    rng = np.random.default_rng(3)
    light = np.zeros((1400, 1400, 3))
    for channel, n in ((2, 60), (1, 25)):
        places = rng.integers(40, 1360, (n, 2))
        light[(*places.T, channel)] = 1
        light[..., channel] = gaussian_filter(light[..., channel], 9)
        light[..., channel] *= 220 / light[..., channel].max()
    return np.clip(light + rng.normal(4, 1, light.shape), 0, 255).astype(np.uint8)


@dataclass(frozen=True)
class Odd:
    """A picture, the most cells that may be called on it, and words of which one must be in a warning."""

    paint: Callable[[], Picture]
    most_cells: int
    words: tuple[str, ...]


ODD = {
    "glass": Odd(glass, 0, ("glass",)),
    "blank": Odd(blank, 0, ("glass",)),
    "red_cells": Odd(red_cells, 2, ("red cells",)),
    "clot": Odd(clot, 3, ("clot",)),
    "bordered": Odd(bordered, 21, ("not a stained smear", "black")),
    "fluorescence": Odd(fluorescence, 3, ("not a stained smear", "black")),
}


@pytest.fixture(scope="module", params=ODD)
def slide(request, tmp_path_factory) -> tuple[Path, Odd]:
    """The path of an odd slide, 0.25 µm/px, and what is expected of it."""
    odd = ODD[request.param]
    path = tmp_path_factory.mktemp("odd") / f"{request.param}.tif"
    tags = {"resolution": (40_000, 40_000), "resolutionunit": "CENTIMETER", "tile": (256, 256)}
    tifffile.imwrite(path, odd.paint(), photometric="rgb", **tags)
    return path, odd


def says(warnings: list[str] | tuple[str, ...], words: tuple[str, ...]) -> bool:
    return any(word in warning for warning in warnings for word in words)


def test_few_cells_and_a_sentence_on_what_was_seen(slide, toy_bundle):
    path, odd = slide
    with open_slide(path) as opened:
        analysis = drain(analyse(opened, toy_bundle, OPTIONS))
    assert len(analysis.counting().cells) <= odd.most_cells
    texts = [notice.text for notice in analysis.notices]
    assert says(texts, odd.words), texts


def test_the_command_line_succeeds_and_warns(slide, monkeypatch, capsys, tmp_path, toy_bundle_folder):
    path, odd = slide
    command = ("classify", path, "--out", tmp_path, "--model", toy_bundle_folder, "--device", "cpu", "--json")
    monkeypatch.setattr(sys, "argv", ["napari-deepheme", *map(str, command)])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    printed = capsys.readouterr()
    assert not stop.value.code, printed.err
    assert "Traceback" not in printed.err
    report = json.loads(printed.out)["slides"][0]
    assert report["cells"] <= odd.most_cells
    assert says(report["warnings"], odd.words)
    assert says([" ".join(printed.err.split())], odd.words), printed.err
    assert (tmp_path / f"{path.stem}.cells.csv").read_text(encoding="utf-8").startswith("cell_id,x_px,y_px")


def test_black_borders_hide_no_cell_of_the_smear_between_them(tmp_path, toy_bundle):
    path = tmp_path / "framed.tif"
    tifffile.imwrite(path, bordered(), photometric="rgb", resolution=(40_000, 40_000), resolutionunit=3)
    with open_slide(path) as opened:
        found = drain(analyse(opened, toy_bundle, OPTIONS)).counting().cells.yx
    assert len(found) >= 19
    assert ((found >= [95, 1005]) & (found <= [1905, 1905])).all()
