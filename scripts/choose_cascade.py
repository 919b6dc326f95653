"""Choose the threshold of the cascade of the embedded bundle pbc-11 and write it into ``bundle.json``.

    python scripts/choose_cascade.py --work /tmp/pbc11

For a bundle that was made before cascades: ``make_pbc11.py`` does the same for a new one. The cells are those
it was calibrated on, held back from ``pbc/train``; nothing else of the bundle changes.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from make_pbc11 import divided

from napari_deepheme.classify.bundle import load_bundle
from napari_deepheme.classify.ensemble import Ensemble
from napari_deepheme.classify.ood import OodReference
from napari_deepheme.models.bundle import EMBEDDED, save_bundle
from napari_deepheme.models.device import Device, Precision
from napari_deepheme.train.cascading import choose_cascade
from napari_deepheme.train.recipe import read_recipe


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--work", type=Path, required=True)
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)

    bundle, recipe = load_bundle("pbc-11"), read_recipe("small")
    cells, _, held = divided(arguments.data, recipe, arguments.work)
    crops = cells.take(held).crops(recipe.input_px)
    members, features = Ensemble(bundle, Device.CPU, Precision.FP32).outputs(crops)
    ood = bundle.spec.ood
    if ood is None:
        raise SystemExit("pbc-11 has no out-of-distribution reference; make it anew.")
    reference = OodReference.from_bytes(bundle.read(ood.file))
    distances = np.stack([reference.member_distance(i, each) for i, each in enumerate(features)])
    cascade = choose_cascade(members, distances, ood.threshold)
    save_bundle(EMBEDDED / "pbc-11", bundle.spec.model_copy(update={"cascade": cascade}), {})
    print(f"{len(crops)} cells: {cascade}")


if __name__ == "__main__":
    main()
