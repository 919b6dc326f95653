"""Pictures of a slide's report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from napari_deepheme.report.parts import drawn, jpeg
from napari_deepheme.stats.differential import Differential
from napari_deepheme.taxonomy import Taxonomy

_BLUE, _MOST_PX = "#2f66c4", 1400


def differential_chart(
    count: Differential,
    taxonomy: Taxonomy,
    corrected: Mapping[str, tuple[float, float, float]],
    dpi: int = 110,
) -> bytes:
    """Bars of the counted classes in a taxonomy's colours, their intervals, corrected shares as diamonds."""
    rows = [row for row in count.rows if row.counted]

    def draw(axes: Axes) -> None:
        place = np.arange(len(rows))
        share = 100 * np.nan_to_num([row.fraction for row in rows])
        low, high = (100 * np.nan_to_num([getattr(row, name) for row in rows]) for name in ("low", "high"))
        colours = [taxonomy[row.cell_class.code].colour for row in rows]
        axes.bar(place, share, color=colours, edgecolor="#444444", linewidth=0.5)
        errors = np.maximum([share - low, high - share], 0)
        axes.errorbar(place - 0.12, share, errors, fmt="none", ecolor="black", elinewidth=1, capsize=2)
        known = [
            (i, corrected[row.cell_class.code])
            for i, row in enumerate(rows)
            if row.cell_class.code in corrected
        ]
        if known:
            index, values = np.array([i for i, _ in known]), 100 * np.array([v for _, v in known])
            spread = np.maximum([values[:, 0] - values[:, 1], values[:, 2] - values[:, 0]], 0)
            axes.errorbar(
                index + 0.18, values[:, 0], spread, fmt="D", color="#c92a2a", markersize=3, elinewidth=1,
                capsize=2, label="corrected",
            )  # fmt: skip
            axes.legend(frameon=False, fontsize=8)
        axes.set_xticks(place, [row.cell_class.name for row in rows], rotation=60, ha="right", size=8)
        axes.set(ylabel="% of counted cells", ylim=(0, None))
        axes.spines[["top", "right"]].set_visible(False)

    return drawn((max(5.5, 0.42 * len(rows) + 1.5), 4.0), draw, dpi)


def entropy_chart(entropy: NDArray[np.float64], threshold: float, dpi: int = 110) -> bytes:
    """Histogram of the cells' entropies with the review threshold."""
    entropy = entropy[np.isfinite(entropy)]  # NaN: cells that no model was asked about

    def draw(axes: Axes) -> None:
        most = max(float(entropy.max(initial=0.0)), threshold, 0.1) * 1.02
        axes.hist(entropy, bins=np.linspace(0, most, 41).tolist(), color=_BLUE)
        axes.axvline(threshold, color="#c92a2a", linewidth=1)
        axes.text(threshold, 0.97, " review above", transform=axes.get_xaxis_transform(), va="top", size=8)
        axes.set(xlabel="entropy, nats", ylabel="cells", xlim=(0, most))
        axes.spines[["top", "right"]].set_visible(False)

    return drawn((4.6, 3.0), draw, dpi)


def overview_picture(pixels: NDArray[np.uint8], fields: Sequence[NDArray[np.float64]]) -> bytes:
    """The slide with the outlines of its fields, its longer side at most 1,400 px, as JPEG."""
    picture = Image.fromarray(pixels)
    scale = min(1.0, _MOST_PX / max(picture.size))
    if scale < 1:
        picture = picture.resize((round(picture.width * scale), round(picture.height * scale)))
    draw = ImageDraw.Draw(picture)
    for outline in fields:
        # pixel centres at integers, in the picture and in what it is made from
        corners = [(float((x + 0.5) * scale - 0.5), float((y + 0.5) * scale - 0.5)) for y, x in outline]
        draw.line([*corners, corners[0]], fill="#1c3f94", width=3)
    return jpeg(np.asarray(picture))
