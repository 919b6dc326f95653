"""The report of a slide: whole, self-contained, honest about what it cannot promise."""

import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from napari_deepheme.errors import OutputError
from napari_deepheme.report import SlideReport, render_slide, write_slide_report
from napari_deepheme.report.card import card_blocks
from napari_deepheme.report.slide import Correction, Crop, GalleryRow, Overview, ReviewState
from napari_deepheme.stats.differential import CellFacts, Differential
from napari_deepheme.stats.exchangeability import Exchangeability, Verdict
from napari_deepheme.stats.quantify import Quantification
from napari_deepheme.stats.references import beside, reference_set
from napari_deepheme.taxonomy import PBC_11


class Elements(HTMLParser):
    """Elements that are still open."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag, _):
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def like(verdict: Verdict) -> Exchangeability:
    return Exchangeability(verdict, 0.4, 0.5, 0.5, 120, 900)


@pytest.fixture
def report() -> SlideReport:
    rng = np.random.default_rng(0)
    labels = rng.choice(PBC_11.codes, 200)
    entropy = rng.gamma(1, 0.3, 200)
    count = Differential.of(labels, entropy, PBC_11, facts=CellFacts(fields=np.arange(200) // 20))
    pixels = rng.integers(0, 255, (60, 90, 3), np.uint8)
    crop = Crop(pixels[:40, :40], "M6 .91 <i>")
    shares = np.full(11, 0.1)
    shares[10] = np.nan
    references = reference_set("davis")
    return SlideReport(
        slide="smear & <b>co</b>",
        created="2026-11-24",
        taxonomy=PBC_11,
        differential=count,
        review=ReviewState(
            entropy,
            0.7,
            ("promised",),
            {("M5", "M6"): 3},
        ),
        exchangeability=like(Verdict.GREEN),
        correction=Quantification("em", shares, shares - 0.05, shares + 0.05),
        methods=tuple(Quantification(name, shares, shares - 0.05, shares + 0.05) for name in ("pacc", "em")),
        refusals={"count, acc": "M4 and M5 are called nearly alike"},
        references=((references, beside(count, references)),),
        overview=Overview(pixels, (np.array([[5.0, 5], [5, 40], [40, 40]]),)),
        gallery=(GalleryRow(PBC_11["M6"], (crop,) * 9, (crop,)), GalleryRow(PBC_11["M2"], (crop,), ())),
        corrections=(Correction("yesterday", "Ann", "cell 7: Band → Segmented"),),
        notices=("a tile was damaged",),
        facts={"Versions": {"napari-deepheme": "9.9.9"}},
        card="# card\n\nIt *knows*\nlittle.\n\n- <b>no</b> blast\n\n| code | n |\n|---|--:|\n| M6 | 7 |\n",
    )


def test_the_page_needs_nothing_else_and_every_element_is_closed(report):
    page, elements = render_slide(report), Elements()
    elements.feed(page)
    assert not elements.open
    assert "http" not in page
    sources = re.findall(r'src="([^"]{22})', page)
    assert len(sources) >= 5
    assert all(source.startswith("data:image/") for source in sources)
    assert "<script" not in page
    assert "smear &amp; &lt;b&gt;co&lt;/b&gt;" in page


def test_the_page_tells_all_that_is_known(report):
    page = render_slide(report)
    for said in (
        "Research use only",
        "a tile was damaged",
        "M4 and M5 are called nearly alike",
        "cell 7: Band → Segmented",
        "9.9.9",
        "<h3>card</h3>",
        "<td>M6</td>",
        "p<sub>il</sub>",
        "Green",
        "M:E",
        "18–32",
        "plasma cell",
        "design effect",
        "Saerens",
        "promised",
        "No mark of ICSH is reached; ",
        "<th>pacc</th><th>em</th>",
        "<td>10.0 (5.0–15.0)</td><td>10.0 (5.0–15.0)</td>",
        "the class prior that makes the probabilities likeliest",
    ):
        assert said in page, said
    assert page.index("Promyelocyte</h3>") < page.index("Segmented neutrophil</h3>")


def test_a_card_neither_leads_nor_loads_from_elsewhere(report):
    card = '<script>x</script><img src="a"> [b](https://c) ![d](file:///e) <https://f> [g]\n\n[g]: https://h'
    page = render_slide(replace(report, card=card))
    assert "<script" not in page
    assert "href" not in page
    assert page.count("<img") == render_slide(report).count("<img")


def test_the_parts_of_a_card_in_order(report):
    assert list(card_blocks(report.card)) == [
        ("heading", (("card",),)),
        ("text", (("It knows little.",),)),
        ("item", (("<b>no</b> blast",),)),
        ("table", (("code", "n"), ("M6", "7"))),
    ]


def test_the_page_says_what_its_intervals_hold(report):
    """An interval that knows nothing of the model's error is nowhere called the interval."""
    page = render_slide(report)
    assert "cells like the calibration cells" in page
    assert "corrected %" in page
    assert "<th>interval</th>" in page
    page = render_slide(replace(report, correction=None, exchangeability=like(Verdict.RED)))
    assert "the truth may lie well outside" in page
    assert "corrected %" not in page
    assert "<th>interval</th>" not in page
    assert "95 % sampling interval" in page
    audited = replace(report.correction, method="audit")
    page = render_slide(replace(report, correction=audited, exchangeability=like(Verdict.RED)))
    assert "random audit of this slide" in page


def test_a_slide_without_cells_has_a_report_as_well(report, tmp_path):
    bare = SlideReport(
        "empty",
        "today",
        PBC_11,
        Differential.of([], np.zeros(0), PBC_11),
        ReviewState(np.zeros(0), 0.7),
    )
    page = render_slide(bare)
    assert "Not tested." in page
    assert "no cell that belongs to it was counted" in page
    assert "nan" not in re.sub(r'src="[^"]*"', "", page)
    write_slide_report(bare, tmp_path / "empty.pdf")
    assert (tmp_path / "empty.pdf").read_bytes().startswith(b"%PDF")


def test_cells_that_no_model_was_asked_about_do_not_cost_the_report(report):
    entropy = np.append(report.review.entropy, np.nan)
    render_slide(replace(report, review=replace(report.review, entropy=entropy)))


def test_the_pdf_is_whole_and_the_same_every_time(report, tmp_path):
    for name in ("a.pdf", "b.PDF"):
        write_slide_report(report, tmp_path / name)
    content = (tmp_path / "a.pdf").read_bytes()
    assert content.startswith(b"%PDF")
    assert content.rstrip().endswith(b"%%EOF")
    assert content.count(b"/Subtype /Image") >= 5
    assert content == (tmp_path / "b.PDF").read_bytes()


def test_another_kind_of_file_or_a_place_that_cannot_be_written_is_refused(report, tmp_path):
    with pytest.raises(OutputError, match=r"\.html or \.pdf"):
        write_slide_report(report, tmp_path / "report.docx")
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        write_slide_report(report, tmp_path / "file" / "report.html")
