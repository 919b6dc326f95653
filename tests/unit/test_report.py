import re
from base64 import b64decode
from html.parser import HTMLParser
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from napari_deepheme.errors import OutputError
from napari_deepheme.report import headline, render, write_report
from napari_deepheme.stats.agreement import Raters
from napari_deepheme.stats.evaluation import Evaluation, LabelledPredictions
from napari_deepheme.stats.scoring import evaluate_predictions
from napari_deepheme.taxonomy import PBC_11


@pytest.fixture(scope="module")
def evaluation() -> Evaluation:
    rng = np.random.default_rng(0)
    truth = np.arange(110) % 10  # no artefacts: a class without cells
    logits = rng.normal(size=(2, 110, 11)) + 2 * np.eye(11)[truth]
    members = np.exp(logits) / np.exp(logits).sum(axis=2, keepdims=True)
    names = tuple(f"{i}.png" for i in range(110))
    data = LabelledPredictions(names, PBC_11, truth, members.mean(axis=0), members)
    raters = Raters(("Ann <script>", "Bob"), np.stack([truth, np.roll(truth, 1)]))
    return evaluate_predictions(data, "set & more", "model", raters=raters, replicates=20)


class Links(HTMLParser):
    """Collects what a page would load, and whether every element is closed."""

    VOID = frozenset({"meta", "img"})

    def __init__(self) -> None:
        super().__init__()
        self.sources: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.sources += [value for name, value in attrs if name in ("src", "href")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_needs_no_other_file_and_no_network(evaluation):
    page = Links()
    page.feed(render(evaluation))
    assert page.open == []
    assert len(page.sources) == 4
    for source in page.sources:
        kind, data = source.split(",", 1)
        assert kind == "data:image/png;base64"
        assert Image.open(BytesIO(b64decode(data))).width > 300


def test_the_page_says_what_it_must_not_be_used_for(evaluation):
    assert "Research use only" in render(evaluation)


def test_the_page_tells_what_was_measured(evaluation):
    page = re.sub(r"data:image[^\"]+", "", render(evaluation))
    for word in ("Metamyelocyte", "Members", "ensemble", "Lineages", "Conformal", "Experts", "Fleiss"):
        assert word in page
    assert f"{evaluation.scores['macro_f1']:.3f}" in page
    assert "nan" not in page


def test_names_from_a_table_cannot_run_as_code(evaluation):
    page = render(evaluation)
    assert "Ann &lt;script&gt;" in page
    assert "set &amp; more" in page
    assert "<script" not in page


def test_the_headline_goes_with_its_interval(evaluation):
    name, value, interval = headline(evaluation)[0]
    assert name == "Accuracy"
    low, high = (float(bound) for bound in interval.split("–"))
    assert low <= float(value) <= high


def test_a_page_without_members_raters_or_intervals_is_still_a_page():
    mean = np.array([[0.6, 0.4] + [0.0] * 9])
    data = LabelledPredictions(("a",), PBC_11, np.array([0]), mean, np.zeros((0, 1, 11)))
    page = render(evaluate_predictions(data, "set", replicates=5))
    assert "Experts" not in page
    assert "Predictions on set" in page


def test_the_report_is_written_where_it_was_asked_for(evaluation, tmp_path):
    path = tmp_path / "new" / "report.html"
    write_report(evaluation, path)
    assert path.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    with pytest.raises(OutputError, match="cannot be written"):
        write_report(evaluation, tmp_path)
