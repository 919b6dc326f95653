"""What the pages share: templates, numbers as text, pictures inside the page, writing a file."""

from __future__ import annotations

import math
import re
from base64 import b64encode
from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from napari_deepheme.errors import OutputError
from napari_deepheme.report.card import card_html

RESEARCH_USE = "Research use only. Not for diagnosis."


def page(template: str, **values: object) -> str:
    """A page from one of the templates beside this module."""
    folder = FileSystemLoader(Path(__file__).parent)
    environment = Environment(loader=folder, autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    environment.filters |= {
        "shown": shown,
        "interval": shown_interval,
        "percent": percent,
        "percents": percents,
        "card": card_html,
        "formula": formula_html,
        "jpeg": lambda pixels: data_url(jpeg(pixels), "jpeg"),
    }
    return environment.get_template(template).render(research_use=RESEARCH_USE, **values)


def shown(value: float) -> str:
    """Three decimals, a dash for what could not be measured."""
    return f"{value:.3f}" if math.isfinite(value) else "–"


def shown_interval(interval: Sequence[float] | None) -> str:
    """Low–high, empty without an interval."""
    if interval is None or not all(math.isfinite(bound) for bound in interval):
        return ""
    return f"{interval[0]:.3f}–{interval[1]:.3f}"


def percent(fraction: float) -> str:
    """A share in percent with one decimal, a dash where it is not known."""
    return f"{100 * fraction:.1f}" if math.isfinite(fraction) else "–"


def percents(low: float, high: float) -> str:
    """An interval of a share in percent, empty where it is not known."""
    return f"{100 * low:.1f}–{100 * high:.1f}" if math.isfinite(low) and math.isfinite(high) else ""


def formula_html(formula: str) -> Markup:
    """A formula with what follows an underscore as a subscript."""
    return Markup(re.sub(r"_(\w+)", r"<sub>\1</sub>", str(escape(formula))))


def drawn(size: tuple[float, float], draw: Callable[[Axes], None], dpi: int = 110) -> bytes:
    """A drawing as PNG; the size in inches."""
    # a Figure of its own, not pyplot's: no window system, nothing left open
    figure = Figure(figsize=size, layout="constrained")
    draw(figure.subplots())
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi)
    return buffer.getvalue()


def jpeg(pixels: NDArray[np.uint8]) -> bytes:
    """RGB pixels (h, w, 3) as JPEG."""
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=88)
    return buffer.getvalue()


def data_url(content: bytes, kind: str = "png") -> str:
    """A picture as a link that holds it."""
    return f"data:image/{kind};base64," + b64encode(content).decode("ascii")


def write_file(content: bytes, path: Path) -> None:
    """Write a file, making its folder.

    Raises
    ------
    OutputError
        It cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    except OSError as err:
        raise OutputError(
            f"{path} cannot be written ({err.strerror or err}); choose another file, or free some space."
        ) from err
