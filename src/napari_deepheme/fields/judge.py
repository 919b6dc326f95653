"""Judge every field of a slide: all of it from afar, the promising fields close by."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass

import numpy as np

from napari_deepheme.cells import Region
from napari_deepheme.detect.stain import NuclearStain
from napari_deepheme.errors import DamagedTileError
from napari_deepheme.fields.field import Field, FieldKind, spread
from napari_deepheme.fields.measure import (
    FIELD_UM,
    Measurements,
    kind_of,
    measure_closely,
    measure_from_afar,
    priority,
    score_of,
    stain_of,
)
from napari_deepheme.jobs import Job, Progress
from napari_deepheme.slide.planes import WHITE, Pixels, halve
from napari_deepheme.slide.reader import Slide
from napari_deepheme.slide.tiles import prefetch

# a nucleus is two pixels wide from afar; of a very large slide no more pixels than this are kept
_FAR_MPP, _FAR_MOST_PX = 4.0, 48_000_000
_NEAR_MPP = 0.5  # chromatin shows in focus
_BLOCK = 8  # fields a side that are read at once
_MOST_LOOKS, _SAMPLES, _SAMPLE_PX = 300, 16, 1_000_000
_Block = tuple[int, int, int, int]
"""First row and column of some fields, row and column after the last."""

_NO_LOOK = (FieldKind.GLASS, FieldKind.FOREIGN)


def judge_fields(slide: Slide) -> Job[tuple[Field, ...]]:
    """Judge every field of a slide, squares of up to 256 µm, in row order.

    The whole slide is read at about 4 µm/px, then at most 300 fields that hold something, spread over the
    slide, at 0.5 µm/px. A field that was not looked at closely has a score of 0 and says so.

    Raises
    ------
    ScaleError
        The slide's µm/px is not known.
    """
    fields = _Grid.of(slide)
    picture, damaged = yield from _picture(slide, fields)
    step = math.ceil(math.sqrt(picture.shape[0] * picture.shape[1] / _SAMPLE_PX))
    far_stain = stain_of([picture[::step, ::step]], fields.far_mpp)
    looks = [measure_from_afar(fields.cut(picture, i), far_stain) for i in range(len(fields))]
    chosen = [i for i in _chosen(fields, looks) if i not in damaged]
    stain = _near_stain(slide, fields, chosen)
    near = yield from _near_looks(slide, fields, chosen, stain)
    damaged |= {i for i, look in near.items() if look is None}
    best = _best_focus([look for look in near.values() if look is not None])
    judged = []
    for i, look in enumerate(looks):
        region, close = fields.region(i), near.get(i)
        if i in damaged:
            judged.append(Field(region, FieldKind.DAMAGED, 0.0, "a tile of the file is damaged", 0.0))
        elif close is not None:
            judged.append(_near_field(region, close, stain, best))
        else:
            judged.append(_far_field(region, look))
    return tuple(judged)


@dataclass(frozen=True, slots=True)
class _Grid:
    """Fields of equal size that cover a slide.

    Attributes
    ----------
    rows, columns : int
        Of fields.
    size_px : tuple of float
        Height and width of one, level-0 pixels.
    far_px : tuple of int
        The same in the picture from afar.
    far_mpp, near_mpp : float
        µm/px from afar and close by.
    mpp : tuple of float
        µm/px of level 0.
    """

    rows: int
    columns: int
    size_px: tuple[float, float]
    far_px: tuple[int, int]
    far_mpp: float
    near_mpp: float
    mpp: tuple[float, float]

    @classmethod
    def of(cls, slide: Slide) -> _Grid:
        """Cut a slide."""
        mpp = slide.scale()
        height, width = (side * scale for side, scale in zip(slide.info.shape, mpp, strict=True))
        rows, columns = math.ceil(height / FIELD_UM - 1e-9), math.ceil(width / FIELD_UM - 1e-9)
        far = max(_FAR_MPP, math.sqrt(height * width / _FAR_MOST_PX))
        return cls(
            rows,
            columns,
            (slide.info.shape[0] / rows, slide.info.shape[1] / columns),
            (max(1, round(height / rows / far)), max(1, round(width / columns / far))),
            far,
            max(_NEAR_MPP, *mpp),
            mpp,
        )

    def __len__(self) -> int:
        return self.rows * self.columns

    def region(self, index: int) -> Region:
        """Outline of a field."""
        row, column = divmod(index, self.columns)
        (top, left), (bottom, right) = self._corner(row, column), self._corner(row + 1, column + 1)
        return Region.box(f"field {index + 1}", top, left, bottom, right)

    def centre(self, index: int) -> tuple[float, float]:
        """(y, x) of a field's middle, level-0 pixels."""
        row, column = divmod(index, self.columns)
        return self._corner(row + 0.5, column + 0.5)

    def cut(self, picture: Pixels, index: int) -> Pixels:
        """A field of the picture from afar."""
        (row, column), (height, width) = divmod(index, self.columns), self.far_px
        return picture[row * height : (row + 1) * height, column * width : (column + 1) * width]

    def read_far(self, slide: Slide, block: _Block) -> Pixels:
        """The fields of a block (first row and column, row and column after the last) from afar."""
        top, left, bottom, right = block
        shape = ((bottom - top) * self.far_px[0], (right - left) * self.far_px[1])
        downsample = (self.size_px[0] / self.far_px[0], self.size_px[1] / self.far_px[1])
        return slide.read_downsampled(self._corner((top + bottom) / 2, (left + right) / 2), shape, downsample)

    def read_near(self, slide: Slide, index: int) -> Pixels | None:
        """A field close by; None if it is damaged."""
        height, width = (
            max(2, round(side * mpp / self.near_mpp))
            for side, mpp in zip(self.size_px, self.mpp, strict=True)
        )
        try:
            return slide.read(self.centre(index), (height, width), self.near_mpp)
        except DamagedTileError:
            return None

    def blocks(self) -> list[_Block]:
        """Blocks of fields to read at once."""
        return [
            (top, left, min(top + _BLOCK, self.rows), min(left + _BLOCK, self.columns))
            for top in range(0, self.rows, _BLOCK)
            for left in range(0, self.columns, _BLOCK)
        ]

    def _corner(self, row: float, column: float) -> tuple[float, float]:
        # pixel centres lie at integers, so the slide begins at -½
        return row * self.size_px[0] - 0.5, column * self.size_px[1] - 0.5


def _picture(slide: Slide, fields: _Grid) -> Job[tuple[Pixels, set[int]]]:
    """The whole slide from afar, every field the same whole number of pixels, and the damaged fields."""
    height, width = fields.far_px
    picture = np.full((fields.rows * height, fields.columns * width, 3), WHITE, np.uint8)
    damaged: set[int] = set()
    blocks = fields.blocks()

    def read(block: _Block) -> Pixels | None:
        try:
            return fields.read_far(slide, block)
        except DamagedTileError:
            return None

    with closing(prefetch(blocks, read)) as parts:
        for number, (part, block) in enumerate(zip(parts, blocks, strict=True)):
            # of a block with damage, every field by itself
            pieces = [(block, part)] if part is not None else [(each, read(each)) for each in _single(block)]
            for (top, left, bottom, right), piece in pieces:
                if piece is None:
                    damaged.add(top * fields.columns + left)
                else:
                    picture[top * height : bottom * height, left * width : right * width] = piece
            yield Progress("Looking over the slide", number + 1, len(blocks))
    return picture, damaged


def _single(block: _Block) -> list[_Block]:
    """A block for each field of a block."""
    top, left, bottom, right = block
    return [(y, x, y + 1, x + 1) for y in range(top, bottom) for x in range(left, right)]


def _chosen(fields: _Grid, looks: Sequence[Measurements]) -> list[int]:
    """Fields to look at closely, in the order to do so."""
    held = [i for i, look in enumerate(looks) if kind_of(look)[0] not in _NO_LOOK]
    places = np.array([fields.centre(i) for i in held]).reshape(-1, 2)
    order = spread(places, np.array([priority(looks[i]) for i in held]), _MOST_LOOKS)
    return [held[i] for i in order]


def _near_stain(slide: Slide, fields: _Grid, chosen: Sequence[int]) -> NuclearStain:
    """The nuclear stain of the most promising fields."""
    samples = [fields.read_near(slide, i) for i in chosen[:_SAMPLES]]
    return stain_of([halve(sample) for sample in samples if sample is not None], 2 * fields.near_mpp)


def _near_looks(
    slide: Slide, fields: _Grid, chosen: Sequence[int], stain: NuclearStain
) -> Job[dict[int, Measurements | None]]:
    """Looks at chosen fields; None of damaged ones."""
    found: dict[int, Measurements | None] = {}

    def look(index: int) -> Measurements | None:
        image = fields.read_near(slide, index)
        return None if image is None else measure_closely(image, stain)

    with closing(prefetch(chosen, look)) as looks:
        for index, each in zip(chosen, looks, strict=True):
            found[index] = each
            yield Progress("Looking at fields", len(found), len(chosen))
    return found


def _best_focus(looks: Sequence[Measurements]) -> float:
    """Focus of the sharpest tenth of the fields with cells, or of all where none has any."""
    focus = [look.focus for look in looks if look.cells] or [look.focus for look in looks]
    return float(np.percentile(focus, 90)) if focus else 0.0


def _near_field(region: Region, look: Measurements, stain: NuclearStain, best_focus: float) -> Field:
    kind, reason = kind_of(look, best_focus)
    score = score_of(look, stain, best_focus) if kind is FieldKind.GOOD else 0.0
    return Field(region, kind, score, reason, _expected(kind, look))


def _far_field(region: Region, look: Measurements) -> Field:
    kind, reason = kind_of(look)
    if kind is FieldKind.GOOD:
        reason = f"about {look.cells:.0f} nucleated cells from afar, not looked at closely"
    elif kind not in _NO_LOOK:
        reason = f"{reason}, from afar"
    return Field(region, kind, 0.0, reason, _expected(kind, look))


def _expected(kind: FieldKind, look: Measurements) -> float:
    """Nucleated cells; what looks like one where there are none is not."""
    return 0.0 if kind in (*_NO_LOOK, FieldKind.RED_CELLS) else look.cells
