from threading import Barrier, current_thread

import numpy as np
import pytest
import torch

from napari_deepheme.errors import OptionError
from napari_deepheme.models.device import Device, Precision, has_bf16, torch_precision
from napari_deepheme.models.runner import Runner

CPU = torch.device("cpu")
FAULTS = [
    torch.OutOfMemoryError("CUDA out of memory"),
    RuntimeError("MPS backend out of memory (MPS allocated …)"),
    RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
]


@pytest.fixture
def cores(monkeypatch):
    """How many of its processors torch may use; one, unless a test takes more."""

    def take(n: int) -> None:
        monkeypatch.setattr(torch, "get_num_threads", lambda: n)

    take(1)
    return take


def inference(batch_px: int = 0, precision: Precision = Precision.FP32) -> Runner:
    return Runner(Device.CPU, precision, batch_px, bears_bf16=True)


def images(n: int) -> np.ndarray:
    return np.arange(n, dtype=np.uint8)[:, None, None, None] * np.ones((1, 4, 5, 3), np.uint8)


def first_values(batch: torch.Tensor) -> list[int]:
    assert batch.shape[1:] == (3, 4, 5)
    return batch[:, 0, 0, 0].tolist()


@pytest.mark.parametrize(
    ("batch_px", "batches"),
    [(40, [[0, 1], [2, 3], [4]]), (59, [[0, 1], [2, 3], [4]]), (99, [[0, 1, 2, 3], [4]])],
)
def test_a_batch_holds_as_many_images_as_have_its_pixels(batch_px, batches, cores):
    assert inference(batch_px).run(images(5), first_values) == batches


def test_larger_images_go_one_at_a_time_and_none_still_has_an_answer(cores):
    assert inference(3).run(images(2), first_values) == [[0], [1]]
    assert inference(40).run(images(0), first_values) == [[]]


@pytest.mark.parametrize("fault", FAULTS, ids=["cuda", "mps", "cpu"])
def test_out_of_memory_halves_the_batch_for_good_and_loses_nothing(fault, cores):
    tight = inference(160)

    def run(batch: torch.Tensor) -> list[int]:
        if len(batch) > 3:
            raise fault
        return first_values(batch)

    assert tight.run(images(5), run) == [[0, 1], [2, 3], [4]]
    assert tight.batch_px == 40


def test_on_the_cpu_every_core_has_its_share_and_the_order_stays(cores, monkeypatch):
    monkeypatch.setattr("napari_deepheme.models.runner._SHARE_PX", 40)
    cores(3)
    assert inference(200).run(images(8), first_values) == [[0, 1, 2], [3, 4, 5], [6, 7]]
    assert inference(40).run(images(5), first_values) == [[0, 1], [2, 3], [4]]
    assert inference(200).run(images(3), first_values) == [[0, 1], [2]]  # less is not worth the call
    assert inference(200).run(images(0), first_values) == [[]]


def test_batches_run_at_once_each_on_one_core_and_other_threads_keep_theirs(monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    both = inference(40)
    monkeypatch.undo()
    here, together = torch.get_num_threads(), Barrier(2, timeout=60)

    def run(batch: torch.Tensor) -> tuple[str, int]:
        together.wait()  # for ever, if one batch waited for the other
        torch.zeros(256, 256) @ torch.zeros(256, 256)
        return current_thread().name, torch.get_num_threads()

    assert sorted(both.run(images(4), run)) == [("deepheme-core_0", 1), ("deepheme-core_1", 1)]
    assert torch.get_num_threads() == here


@pytest.mark.parametrize("fault", FAULTS, ids=["cuda", "mps", "cpu"])
def test_an_image_that_does_not_fit_alone_is_an_error(fault):
    def run(batch: torch.Tensor) -> None:
        raise fault

    with pytest.raises(type(fault)):
        inference(160).run(images(5), run)


def test_other_faults_of_torch_are_not_taken_for_a_full_memory():
    def broken(batch: torch.Tensor) -> None:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="mat1"):
        inference(160).run(images(5), broken)


@pytest.mark.parametrize(
    ("precision", "dtype"), [(Precision.FP32, torch.float32), (Precision.BF16, torch.bfloat16)]
)
def test_networks_reckon_in_the_precision_asked_for(precision, dtype):
    chosen, network = inference(precision=precision), torch.nn.Conv2d(3, 2, 1)
    with torch.inference_mode(), chosen.autocast():
        assert network(torch.zeros(1, 3, 4, 5)).dtype is dtype


def test_auto_takes_bfloat16_where_it_is_fast_and_borne():
    borne, not_borne = (torch_precision(Precision.AUTO, CPU, bears_bf16=bears) for bears in (True, False))
    assert not_borne is torch.float32
    assert borne is (torch.bfloat16 if has_bf16(CPU) else torch.float32)


def test_half_precision_on_the_cpu_is_refused_with_what_to_take():
    with pytest.raises(OptionError, match="fp16 needs a GPU; on the CPU use auto, bf16 or fp32"):
        inference(precision=Precision.FP16)
