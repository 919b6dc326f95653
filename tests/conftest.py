"""Fixtures every kind of test uses: a toy bundle with fixed weights, a small rendered smear."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest
from toys import make_bundle

from napari_deepheme import synth
from napari_deepheme.classify.bundle import Bundle, load_bundle
from napari_deepheme.jobs import drain

SHARED = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The real data beside the checkout."""
    if not SHARED.is_dir():
        pytest.skip("the real data of ../shared/data is not beside this checkout")
    return SHARED


@pytest.fixture(scope="session")
def toy_bundle_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("bundle") / "toy")


@pytest.fixture(scope="session")
def toy_bundle(toy_bundle_folder: Path) -> Bundle:
    return load_bundle(toy_bundle_folder)


@pytest.fixture(scope="session")
def smear_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A rendered smear of 1,536 × 1,280 px at 0.25 µm/px with 40 nucleated cells, its truth beside it."""
    path = tmp_path_factory.mktemp("smear") / "smear.svs"
    drain(synth.write_smear(path, synth.SmearSpec(shape=(1536, 1280), n_cells=40, seed=7)))
    return path


@pytest.fixture(scope="session")
def small_smear_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A third of such a smear, 768 × 768 px with 30 nucleated cells: for what does not hang on its size."""
    path = tmp_path_factory.mktemp("small") / "smear.svs"
    drain(synth.write_smear(path, synth.SmearSpec(shape=(768, 768), n_cells=30, seed=7)))
    return path


@pytest.fixture(scope="module")
def client() -> Iterator[object]:
    """Of a dask cluster of two workers in this process."""
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=False, dashboard_address="127.0.0.1:0"
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


def pytest_collection_finish() -> None:
    """Keep what is imported out of garbage collection: napari collects whenever a layer or a viewer goes."""
    gc.collect()
    gc.freeze()
