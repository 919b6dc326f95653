"""Runs networks over images: on one device, in one precision, a batch after the other."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

from napari_deepheme.models.device import Device, Precision, torch_device, torch_precision
from napari_deepheme.models.memory import keep_freed_memory

R = TypeVar("R")

_LIBRARIES = ThreadpoolController()
_GPU_BATCHES = 4
_SHARE_PX = 75_000  # with less, a core spends longer on calling the network than on its arithmetic


class Runner:
    """Where networks run, how exactly, and how much at once.

    Parameters
    ----------
    device : Device
    precision : Precision
    batch_px : int
        Pixels of the images of a batch for each core of the CPU; of images that are larger one at a time. A
        GPU takes four times as many.
    bears_bf16 : bool
        Whether ``auto`` may take bfloat16.

    Attributes
    ----------
    device : torch.device
    dtype : torch.dtype
    batch_px : int
        Those of a batch on this device. Halved for good when the device runs out of memory.

    Raises
    ------
    OptionError
        The device is not there, or cannot compute in that precision.
    """

    def __init__(self, device: Device, precision: Precision, batch_px: int, *, bears_bf16: bool) -> None:
        self.device = torch_device(device)
        self.dtype = torch_precision(precision, self.device, bears_bf16=bears_bf16)
        self.batch_px = batch_px if self.device.type == "cpu" else _GPU_BATCHES * batch_px
        # cores that share a batch wait for each other, in networks as small as these a seventh of the time
        self._cores = torch.get_num_threads() if self.device.type == "cpu" else 1
        self._pool = _core_threads(self._cores)
        if self.device.type == "cpu":
            keep_freed_memory()

    @property
    def full_px(self) -> int:
        """Pixels of as many images as keep every core busy."""
        return max(self.batch_px, 4 * _SHARE_PX * self._cores)

    def run(self, images: NDArray[np.uint8], function: Callable[[torch.Tensor], R]) -> list[R]:
        """What a function gives for each batch of images; on the CPU a batch on each core at once.

        Parameters
        ----------
        images : ndarray of uint8, shape (n, h, w, 3)
        function : callable
            Called on other threads with a tensor of uint8, shape (b, 3, h, w), on the device; once even if
            there is no image, so that its answer still has a shape.
        """
        n, px = len(images), max(1, images.shape[1] * images.shape[2])
        while True:
            share = max(-(-n // self._cores), _SHARE_PX // px)
            size = max(1, min(self.batch_px // px, share))
            batches = [images[start : start + size] for start in range(0, max(n, 1), size)]
            try:
                return list(self._pool.map(partial(self._run, function), batches))
            except RuntimeError as err:
                if size == 1 or not _out_of_memory(err):
                    raise
                self.batch_px = size // 2 * px

    @torch.inference_mode()
    def _run(self, function: Callable[[torch.Tensor], R], images: NDArray[np.uint8]) -> R:
        # a copy, for torch takes neither read-only arrays nor mirrored ones
        pixels = torch.from_numpy(np.array(images, np.uint8, order="C"))
        return function(pixels.to(self.device).permute(0, 3, 1, 2))

    def autocast(self) -> torch.autocast:
        """A context in which networks compute in the chosen precision; arithmetic on pixels stays outside."""
        return torch.autocast(self.device.type, self.dtype, enabled=self.dtype is not torch.float32)


@cache
def _core_threads(n: int) -> ThreadPoolExecutor:
    """A thread for each core, shared by all networks: more would push each other out of the caches."""
    return ThreadPoolExecutor(n, "deepheme-core", _one_core)


def _one_core() -> None:
    """Have torch compute on this thread alone; other threads keep the number of theirs."""
    torch.get_num_threads()  # sets the thread up, which would undo a limit set before
    _LIBRARIES.limit(limits=1, user_api="openmp")


def _out_of_memory(err: RuntimeError) -> bool:
    """CUDA has its own exception; MPS and the CPU allocator only have words."""
    words = ("out of memory", "can't allocate memory")
    return isinstance(err, torch.OutOfMemoryError) or any(word in str(err) for word in words)
