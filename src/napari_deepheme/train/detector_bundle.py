"""A trained detector to a bundle: its threshold, its figures on fields held back, its card."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from io import BytesIO
from pathlib import Path

import jinja2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from napari_deepheme.datasets.fields import FIELD_MPP, MarkedField
from napari_deepheme.detect.bundle import DetectorBundle, DetectorSpec, load_detector
from napari_deepheme.detect.heatmap import HeatmapDetector
from napari_deepheme.models.bundle import CARD_FILE, named_members, save_bundle, test_image
from napari_deepheme.models.spec import Member, SelfTest, Training
from napari_deepheme.stats.detection import DetectionCounts, detection_counts, inside, matches
from napari_deepheme.train.heatmap import DetectorRecipe
from napari_deepheme.train.scenes import SceneMaker
from napari_deepheme.train.work import RECORD_FILE, take_place

_TEST_PX, _TEST_VALUES = 192, 16
_LOWEST, _THRESHOLDS = 0.1, np.arange(0.15, 0.75, 0.025)
_AS_GOOD = 0.002  # a difference of F1 that means nothing
_SCENES, _SCENE_BATCH = 64, 8

# how far from a composed cell's centre it counts as found, as a share of its diameter
_REACH = 0.35

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class DetectorFacts:
    """Where a detector comes from, for its description and card.

    ``notes`` are sentences, ``record`` is TOML of everything that made it.
    """

    name: str
    version: str
    data: str
    licence: str
    split: str
    notes: tuple[str, ...]
    record: str


@dataclass(frozen=True, slots=True, eq=False)
class _Looked:
    """What was found in one image with the lowest threshold, and what is marked there, px."""

    found: Floats
    score: NDArray[np.float32]
    centres: Floats
    reach: Floats

    def counts(self, threshold: float) -> DetectionCounts:
        return detection_counts(self.found[self.score >= threshold], self.centres, self.reach)


def make_detector(
    weights: bytes,
    recipe: DetectorRecipe,
    held: Sequence[MarkedField],
    facts: DetectorFacts,
    folder: Path,
) -> DetectorBundle:
    """Choose the threshold, measure, and write a bundle.

    Parameters
    ----------
    weights : bytes
        The network's, as safetensors.
    recipe : DetectorRecipe
    held : sequence of MarkedField
        Fields that were not learned from.
    facts : DetectorFacts
    folder : Path
        Replaced when the bundle is whole.
    """
    partial = folder.with_name(f"{folder.name}.partial")
    contents, members = named_members([weights])
    image, self_test = test_image(_TEST_PX, _TEST_VALUES)
    contents |= image | {RECORD_FILE: facts.record.encode()}
    spec = _unmeasured(recipe, facts, members, self_test)
    save_bundle(partial, spec, contents)
    detector = HeatmapDetector(load_detector(partial), checked=False)
    pixels = np.array(Image.open(BytesIO(image[self_test.image])).convert("RGB"), np.uint8)
    on_fields = [_on_field(detector, field) for field in held]
    in_scenes = _in_scenes(detector, held)
    threshold, crowded = _best_threshold(on_fields, in_scenes), _best_threshold(in_scenes)
    metrics = _figures("fields", on_fields, threshold) | _figures("crowded scenes", in_scenes, threshold)
    spec = spec.model_copy(
        update={
            "threshold": threshold,
            "crowded_threshold": min(threshold, crowded),
            "training": spec.training.model_copy(update={"metrics": metrics}),
            "self_test": self_test.model_copy(update={"expected": detector.test_values(pixels)}),
        }
    )
    contents[CARD_FILE] = _card(spec, facts).encode()
    save_bundle(partial, spec, contents)
    take_place(partial, folder)
    return load_detector(folder)


def _unmeasured(
    recipe: DetectorRecipe, facts: DetectorFacts, members: tuple[Member, ...], self_test: SelfTest
) -> DetectorSpec:
    """What is known before anything is measured, with the lowest threshold."""
    return DetectorSpec(
        name=facts.name,
        version=facts.version,
        architecture=recipe.architecture,
        mpp=recipe.mpp,
        mean=recipe.mean,
        std=recipe.std,
        members=members,
        width=recipe.width,
        threshold=_LOWEST,
        training=Training(data=facts.data, licence=facts.licence, split=facts.split, metrics={}),
        licence=facts.licence,
        self_test=self_test,
    )


def _on_field(detector: HeatmapDetector, field: MarkedField) -> _Looked:
    step = FIELD_MPP / detector.mpp
    shape = [max(1, round(side * step)) for side in field.image.shape[:2]]
    image = np.asarray(Image.fromarray(field.image).resize(shape[::-1], Image.Resampling.LANCZOS))
    found = detector.detect([image], detector.calibrate([image]))[0]
    cells, unsure = (marks.astype(np.float64) * step for marks in (field.cells, field.unsure))
    centres, reach = cells[:, :2], cells[:, 2:] / 2
    clear = ~inside(found.yx, unsure)
    clear[matches(found.yx, centres, reach)[:, 0]] = True
    return _Looked(found.yx[clear], found.score[clear], centres, reach)


def _in_scenes(detector: HeatmapDetector, held: Sequence[MarkedField]) -> list[_Looked]:
    """The same in crowded scenes composed of the fields; where either answer is right nothing is compared."""
    maker, rng = SceneMaker(held, detector.mpp), np.random.default_rng(0)
    looked = []
    for _ in range(_SCENES // _SCENE_BATCH):
        scenes = maker.scenes(_SCENE_BATCH, rng)
        images = (scenes.images * 255).byte().permute(0, 2, 3, 1).contiguous().numpy()
        for image, heat, counts, size in zip(
            images, scenes.heat.numpy(), scenes.counts.numpy(), scenes.log_diameter.numpy(), strict=True
        ):
            found = detector.detect([image], detector.calibrate([image]))[0]
            places = np.clip((found.yx / 2).round().astype(int), 0, np.array(counts.shape) - 1)
            clear = counts[places[:, 0], places[:, 1]]
            at = np.argwhere(heat == 1)
            diameter = np.exp(np.nan_to_num(size[heat == 1], nan=np.log(12.0))) / detector.mpp
            reach = np.repeat(diameter[:, None].astype(np.float64) * _REACH, 2, axis=1)
            looked.append(
                _Looked(found.yx[clear], found.score[clear], (at * 2.0 + 0.5).astype(np.float64), reach)
            )
    return looked


def _best_threshold(*sets: Sequence[_Looked]) -> float:
    """The mean of the thresholds best for each set by F1: crowds want a lower one than thin films."""
    marked = [looked for looked in sets if any(len(each.centres) for each in looked)]
    f1 = np.array([[_total(looked, t).f1 for t in _THRESHOLDS] for looked in marked])
    return float(np.mean([np.median(_THRESHOLDS[own >= own.max() - _AS_GOOD]) for own in f1]))


def _total(looked: Sequence[_Looked], threshold: float) -> DetectionCounts:
    return sum((each.counts(threshold) for each in looked), DetectionCounts())


def _figures(name: str, looked: Sequence[_Looked], threshold: float) -> dict[str, float]:
    total = _total(looked, threshold)
    figures = {
        f"cells, {name}": float(total.both + total.only_marked),
        f"precision, {name}": total.precision,
        f"recall, {name}": total.recall,
        f"f1, {name}": total.f1,
    }
    # JSON knows no NaN; where nothing was found there is no precision
    return {figure: value for figure, value in figures.items() if not np.isnan(value)}


def _card(spec: DetectorSpec, facts: DetectorFacts) -> str:
    template = (files(__package__) / "detector_card.md.j2").read_text(encoding="utf-8")
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, trim_blocks=True, autoescape=False)
    return environment.from_string(template).render(spec=spec, facts=facts)
