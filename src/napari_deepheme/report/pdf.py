"""The report of a slide as PDF, with reportlab: pages, tables and text without a browser.

Chosen over a browser's or WeasyPrint's print of the HTML page, which need system libraries that pip does not
bring, and over matplotlib's pages, which break neither text nor tables.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from html import escape
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib as mpl
from reportlab.lib import colors
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.platypus import Flowable, Image, KeepTogether, Paragraph, SimpleDocTemplate, Spacer, Table

from napari_deepheme.report.card import card_blocks
from napari_deepheme.report.method import CAPTIONS_IN_WORDS, METHODS_IN_WORDS, method_notes
from napari_deepheme.report.parts import RESEARCH_USE, jpeg, percent, percents
from napari_deepheme.report.pictures import differential_chart, entropy_chart, overview_picture

if TYPE_CHECKING:
    from reportlab.pdfgen.canvas import Canvas

    from napari_deepheme.report.slide import Crop, SlideReport

_WIDTH = A4[0] - 30 * mm
_CROP, _CROPS = 12.5 * mm, 6  # of each kind, so that the two stand side by side
_PLAIN = [
    ("LEFTPADDING", (0, 0), (-1, -1), 0),
    ("RIGHTPADDING", (0, 0), (-1, -1), 0),
    ("TOPPADDING", (0, 0), (-1, -1), 0),
    ("BOTTOMPADDING", (0, 0), (-1, -1), 1),
]
_VERDICT = {"green": "#2b8a3e", "amber": "#b36b00", "red": "#c92a2a", "unknown": "#555555"}


def slide_pdf(report: SlideReport) -> bytes:
    """The report as a PDF file."""
    buffer = BytesIO()
    document = SimpleDocTemplate(
        buffer,
        pagesize=A4,
        margins=15 * mm,
        leftMargin=15 * mm,
        rightMargin=15 * mm,
        topMargin=15 * mm,
        bottomMargin=17 * mm,
        title=f"Differential count of {report.slide}",
        author="napari-deepheme",
        invariant=1,
    )
    styles = _styles()
    story = [
        *_head(report, styles),
        *_differential(report, styles),
        *_methods(report, styles),
        *_indices(report, styles),
        *_slide(report, styles),
        *_review(report, styles),
        *_gallery(report, styles),
        *_method(report, styles),
        *_facts(report, styles),
    ]

    def footer(canvas: Canvas, _: SimpleDocTemplate) -> None:
        canvas.setFont("DejaVu", 7)
        canvas.drawString(15 * mm, 9 * mm, f"{report.slide} · {RESEARCH_USE}")
        canvas.drawRightString(A4[0] - 15 * mm, 9 * mm, str(canvas.getPageNumber()))

    document.build(story, onFirstPage=footer, onLaterPages=footer)
    return buffer.getvalue()


@cache
def _styles() -> Mapping[str, ParagraphStyle]:
    # the fonts that come with matplotlib have every letter the report needs
    folder = Path(mpl.get_data_path()) / "fonts" / "ttf"
    pdfmetrics.registerFont(TTFont("DejaVu", folder / "DejaVuSans.ttf"))
    pdfmetrics.registerFont(TTFont("DejaVu-Bold", folder / "DejaVuSans-Bold.ttf"))
    pdfmetrics.registerFontFamily("DejaVu", normal="DejaVu", bold="DejaVu-Bold")
    text = ParagraphStyle("text", fontName="DejaVu", fontSize=8, leading=11, spaceAfter=3)
    return {
        "text": text,
        "title": ParagraphStyle("title", text, fontName="DejaVu-Bold", fontSize=14, leading=18),
        "h2": ParagraphStyle(
            "h2", text, fontName="DejaVu-Bold", fontSize=10.5, leading=14, spaceBefore=9, keepWithNext=1
        ),
        "h3": ParagraphStyle("h3", text, fontName="DejaVu-Bold", spaceBefore=4, keepWithNext=1),
        "small": ParagraphStyle("small", text, fontSize=6.2, leading=7.6),
        "use": ParagraphStyle("use", text, fontName="DejaVu-Bold", textColor=colors.HexColor("#8a1c1c")),
        "warning": ParagraphStyle("warning", text, backColor=colors.HexColor("#fff5d6"), borderPadding=3),
    }


def _text(value: str, style: ParagraphStyle) -> Paragraph:
    return Paragraph(escape(value).replace("\n", "<br/>"), style)


def _table(
    rows: Sequence[Sequence[object]], headings: Sequence[int] = (), widths: Sequence[float] | None = None
) -> Table:
    style = [
        ("FONT", (0, 0), (-1, -1), "DejaVu", 7.5),
        ("FONT", (0, 0), (-1, 0), "DejaVu-Bold", 7.5),
        ("ALIGN", (1, 0), (-1, -1), "RIGHT"),
        ("LINEBELOW", (0, 0), (-1, 0), 0.6, colors.grey),
        ("LINEBELOW", (0, 1), (-1, -1), 0.2, colors.lightgrey),
        ("TOPPADDING", (0, 0), (-1, -1), 1.5),
        ("BOTTOMPADDING", (0, 0), (-1, -1), 1.5),
        ("VALIGN", (0, 0), (-1, -1), "TOP"),
    ]
    for i in headings:
        style += [
            ("FONT", (0, i), (-1, i), "DejaVu-Bold", 7.5),
            ("BACKGROUND", (0, i), (-1, i), colors.whitesmoke),
        ]
    return Table(list(rows), colWidths=widths, style=style, hAlign="LEFT", repeatRows=1)


def _picture(content: bytes, width: float, most: float = 110 * mm) -> Image:
    image = Image(BytesIO(content))
    scale = min(width / image.imageWidth, most / image.imageHeight)
    image.drawWidth, image.drawHeight = image.imageWidth * scale, image.imageHeight * scale
    image.hAlign = "LEFT"
    return image


def _head(report: SlideReport, styles: Mapping[str, ParagraphStyle]) -> list[Flowable]:
    count, like = report.differential, report.exchangeability
    story: list[Flowable] = [
        _text(f"Differential count of {report.slide}", styles["title"]),
        _text(
            f"{report.created} · {count.n_counted} cells counted of {count.n_cells} found · "
            f"rule {count.rule}",
            styles["text"],
        ),
        _text(RESEARCH_USE, styles["use"]),
    ]
    for notice in report.notices:
        story += [_text(notice, styles["warning"]), Spacer(1, 5)]
    story.append(_text("Is this slide one of ours?", styles["h2"]))
    if like is None:
        return [*story, _text("Not tested.", styles["text"])]
    figures = f" (p = {like.p:.3g}; {like.n} and {like.n_calibration} cells)" if like.p == like.p else ""
    verdict = f'<font color="{_VERDICT[like.verdict.value]}"><b>{like.verdict.value.capitalize()}</b></font>'
    return [*story, Paragraph(f"{verdict}{figures}. {escape(like.advice)}", styles["text"])]


def _differential(report: SlideReport, styles: Mapping[str, ParagraphStyle]) -> list[Flowable]:
    count, best = report.differential, report.correction
    corrected = {} if best is None else (best.by_code(report.taxonomy.codes) or {})
    rows: list[list[object]] = [
        ["class", "n", "%", f"{100 * count.options.confidence:g} % sampling interval"]
    ]
    rows[0] += ["corrected %", "interval"] if corrected else []
    headings, by_code = [], {row.cell_class.code: row for row in count.rows}
    for lineage in count.lineages:
        if len(lineage.codes) > 1:
            headings.append(len(rows))
            title = lineage.lineage.value.capitalize()
            rows.append(
                [title, lineage.count, percent(lineage.fraction), percents(lineage.low, lineage.high)]
            )
        for code in lineage.codes:
            row = by_code[code]
            line = [row.cell_class.name, row.count, percent(row.fraction), percents(row.low, row.high)]
            if code in corrected:
                share, low, high = corrected[code]
                line += [percent(share), percents(low, high)]
            rows.append([f"   {line[0]}", *line[1:]])
    headings.append(len(rows))
    rows.append(["Not counted"])
    rows += [[f"   {row.cell_class.name}", row.count] for row in count.rows if not row.counted]
    filled = [row + [""] * (len(rows[0]) - len(row)) for row in rows]
    notes = [report.intervals_in_words, " ".join(count.plan)]
    notes += [f"No shares by {method}: {reason}." for method, reason in report.refusals.items()]
    if count.unknown:
        names = ", ".join(c.name.lower() for c in count.unknown)
        notes.append(f"The model has no class for {names}: such cells are called something else.")
    return [
        _text("Differential", styles["h2"]),
        _table(filled, headings),
        Spacer(1, 4),
        *(_text(note, styles["text"]) for note in notes),
        _picture(differential_chart(count, report.taxonomy, corrected, dpi=180), 0.8 * _WIDTH, 75 * mm),
    ]


def _methods(report: SlideReport, styles: Mapping[str, ParagraphStyle]) -> list[Flowable]:
    if not report.shares_by_method:
        return []
    words = f"Percent of the counted cells. {METHODS_IN_WORDS}"
    table = _table(report.shares_by_method)
    return [_text("Shares by all methods", styles["h2"]), table, _text(words, styles["small"])]


def _indices(report: SlideReport, styles: Mapping[str, ParagraphStyle]) -> list[Flowable]:
    story: list[Flowable] = []
    if report.differential.indices:
        rows: list[list[object]] = [["index", "value", "sampling interval", "cells"]]
        for index in report.differential.indices.values():
            lacking = f" (knows no {', '.join(index.without).lower()})" if index.without else ""
            reason = f"; {index.lacking}" if index.lacking else ""
            name = Paragraph(escape(f"{index.title}: {index.text}{lacking}{reason}"), styles["small"])
            cells = f"{index.numerator} : {index.denominator}"
            rows.append([name, index.figure, index.bounds, cells])
        story += [_text("Indices", styles["h2"]), _table(rows, widths=[90 * mm, 20 * mm, 35 * mm, 25 * mm])]
    for reference, comparisons in report.references:
        if not comparisons:
            continue
        lines: list[list[object]] = [["group", "this slide", "sampling interval", "reference"]]
        for each in comparisons:
            usual = f"{each.usual[0]:g}–{each.usual[1]:g}"
            lines.append([each.name, each.figure, each.bounds, usual])
        heading = f"Beside reference values: {reference.title}"
        story += [_text(heading, styles["h2"]), _table(lines)]
        story.append(_text(f"Sources disagree; no verdict. {reference.source}", styles["small"]))
    return story


def _slide(report: SlideReport, styles: Mapping[str, ParagraphStyle]) -> list[Flowable]:
    if report.overview is None:
        return []
    picture = overview_picture(report.overview.pixels, report.overview.fields)
    n = len(report.overview.fields)
    caption = [_text(f"{n} field{'s' if n > 1 else ''} outlined", styles["small"])] if n else []
    return [KeepTogether([_text("Slide", styles["h2"]), _picture(picture, _WIDTH), *caption])]


def _review(report: SlideReport, styles: Mapping[str, ParagraphStyle]) -> list[Flowable]:
    review = report.review
    story: list[Flowable] = [
        _text("Uncertainty and review", styles["h2"]),
        *(_text(each, styles["text"]) for each in review.statements),
        _picture(entropy_chart(review.entropy, review.threshold, dpi=180), 0.55 * _WIDTH),
    ]
    if review.changed:
        changes = [(*pair, str(n)) for pair, n in review.changed.items()]
        story.append(_table([("the model's", "the person's", "cells"), *changes]))
    if report.corrections:
        made = [(c.when, c.who, c.what) for c in report.corrections]
        table = _table([("when", "who", "what"), *made])
        table.setStyle([("ALIGN", (0, 0), (-1, -1), "LEFT")])
        story += [_text("Corrections", styles["h2"]), table]
    return story


def _gallery(report: SlideReport, styles: Mapping[str, ParagraphStyle]) -> list[Flowable]:
    story: list[Flowable] = []
    for i, row in enumerate(report.ordered_gallery):
        kinds = (("surest", row.typical), ("most doubtful", row.doubtful))
        shown_kinds = [(title, crops[:_CROPS]) for title, crops in kinds if crops]
        titles = [_text(title, styles["small"]) for title, _ in shown_kinds]
        sets = [_crops(crops, styles["small"]) for _, crops in shown_kinds]
        name = Paragraph(f"<b>{escape(row.cell_class.name)}</b>", styles["text"])
        widths = [_WIDTH / 2] * len(sets)
        # the heading goes with the first class, or it may stand alone at the foot of a page
        heading = [_text("Cells", styles["h2"]), _text(CAPTIONS_IN_WORDS, styles["small"])] if i == 0 else []
        both = Table([titles, sets], widths, style=_PLAIN, hAlign="LEFT")
        story.append(KeepTogether([*heading, name, both]))
    return story


def _crops(crops: Sequence[Crop], style: ParagraphStyle) -> Table:
    images = [Image(BytesIO(jpeg(crop.pixels)), _CROP, _CROP) for crop in crops]
    captions = [_text(crop.caption, style) for crop in crops]
    return Table([images, captions], [_CROP + 2 * mm] * len(images), hAlign="LEFT", style=_PLAIN)


def _method(report: SlideReport, styles: Mapping[str, ParagraphStyle]) -> list[Flowable]:
    story: list[Flowable] = [_text("Method", styles["h2"])]
    for note in method_notes(report.differential):
        parts = [
            f"<b>{escape(note.title)}.</b> {escape(note.text)}",
            escape(note.formula),
            escape(note.source),
        ]
        story.append(Paragraph("<br/>".join(part for part in parts if part), styles["text"]))
    return story


def _facts(report: SlideReport, styles: Mapping[str, ParagraphStyle]) -> list[Flowable]:
    story: list[Flowable] = []
    for heading, table in report.facts.items():
        story.append(_text(heading, styles["h2"]))
        for name, value in table.items():
            story.append(Paragraph(f"<b>{escape(name)}</b> {escape(value)}", styles["text"]))
    if report.card:
        story += [_text("Model card", styles["h2"]), *_card(report.card, styles)]
    return story


def _card(card: str, styles: Mapping[str, ParagraphStyle]) -> Iterator[Flowable]:
    for block in card_blocks(card):
        text = block.rows[0][0]
        match block.kind:
            case "table":
                table = _table(block.rows)
                table.setStyle([("ALIGN", (0, 0), (-1, -1), "LEFT")])
                yield table
            case "heading":
                yield _text(text, styles["h3"])
            case "item":
                yield Paragraph(escape(text), styles["text"], bulletText="•")
            case "text":
                yield _text(text, styles["text"])
