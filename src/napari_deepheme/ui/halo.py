"""A dark halo round the outlines of cells, drawn by napari's own markers.

The pale classes have hardly any contrast with glass and red cells; a dark line on both sides of their outline
has it, whatever their colour. It is drawn in the markers' shaders, as are the width of the outline, which
stays the same on the screen, and the middle, which clears as one comes near: no array changes with the zoom.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from napari.layers import Points

from napari_deepheme.ui.napari_versions import markers_of
from napari_deepheme.ui.palette import HALO

if TYPE_CHECKING:
    from napari.components import ViewerModel

_log = logging.getLogger(__name__)

OUTLINE = 0.2
"""Width of an outline as a part of the size, until it is as wide as it gets."""
CORRECTED_OUTLINE = 0.3
_LEAST_OUTLINE_PX, _OUTLINE_PX = 2.0, 5.0
_FILLED_PX, _CLEAR_PX = 20.0, 34.0
"""Discs up to the one size are filled, from the other on one sees through them; screen pixels."""

_WIDTH = "v_edgewidth = ($v_size / a_size) * a_edgewidth;"
_STEADY = f"""{_WIDTH}
        float widest = {_OUTLINE_PX / OUTLINE:.1f} * a_edgewidth / a_size;
        v_edgewidth = clamp(v_edgewidth, {_LEAST_OUTLINE_PX:.1f} * u_px_scale, widest * u_px_scale);
        v_bg_color.a *= 1. - smoothstep({_FILLED_PX:.1f}, {_CLEAR_PX:.1f}, $v_size / u_px_scale);"""

_EDGE = "if (d < 0.0)"
_DARK = ", ".join(f"{int(HALO[i : i + 2], 16) / 255:.3f}" for i in (1, 3, 5))
_HALO = f"""if (v_edgewidth > 0.)
    {{
        float side = abs(r) / (0.5 * v_edgewidth);
        // outside always, inside only where one sees through: a filled dot would become dark
        float dark = smoothstep(0.4, 0.6, side) * (r > 0. ? 1. : 1. - v_bg_color.a);
        edgecolor.rgb = mix(edgecolor.rgb, vec3({_DARK}), dark);
    }}
    {_EDGE}"""


def draw_halo(viewer: ViewerModel, layer: Points) -> bool:
    """Let a layer of a viewer be drawn with halos; whether it is drawn at all, and by shaders we know."""
    markers = markers_of(viewer, layer)
    if markers is None:
        return False
    programs = list(markers.shared_program)
    known = all(_WIDTH in each.vert.code and _EDGE in each.frag.code for each in programs)
    if not known:
        _log.warning("This vispy draws points in another way: cells are shown without their dark halo.")
        return False
    for each in programs:
        each.vert.replace(_WIDTH, _STEADY)
        each.frag.replace(_EDGE, _HALO)
    return True
