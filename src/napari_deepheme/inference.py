"""Runs networks over images: on one device, in one precision, a batch after the other."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from napari_deepheme.device import Device, Precision, torch_device, torch_precision

R = TypeVar("R")


class Inference:
    """Where networks run, how exactly, and how much at once.

    Parameters
    ----------
    device : Device
    precision : Precision
    batch_px : int
        Pixels of the images of a batch; of images that are larger one at a time.
    bears_bf16 : bool
        Whether ``auto`` may take bfloat16.

    Attributes
    ----------
    device : torch.device
    dtype : torch.dtype
    batch_px : int
        Halved for good when the device runs out of memory.

    Raises
    ------
    OptionError
        The device is not there, or cannot reckon in that precision.
    """

    def __init__(self, device: Device, precision: Precision, batch_px: int, *, bears_bf16: bool) -> None:
        self.device = torch_device(device)
        self.dtype = torch_precision(precision, self.device, bears_bf16=bears_bf16)
        self.batch_px = batch_px

    def run(self, images: NDArray[np.uint8], function: Callable[[torch.Tensor], R]) -> list[R]:
        """What a function gives for each batch of images.

        Parameters
        ----------
        images : ndarray of uint8, shape (n, h, w, 3)
        function : callable
            Called with a tensor of uint8, shape (b, 3, h, w), on the device; once even if there is no image,
            so that its answer still has a shape.
        """
        results: list[R] = []
        start, px = 0, max(1, images.shape[1] * images.shape[2])
        while start < len(images) or not results:
            size = max(1, self.batch_px // px)
            try:
                results.append(self._run(images[start : start + size], function))
            except RuntimeError as err:
                if size == 1 or not _out_of_memory(err):
                    raise
                self.batch_px = size // 2 * px
                continue
            start += size
        return results

    @torch.inference_mode()
    def _run(self, images: NDArray[np.uint8], function: Callable[[torch.Tensor], R]) -> R:
        # a copy, for torch takes neither read-only arrays nor mirrored ones
        pixels = torch.from_numpy(np.array(images, np.uint8, order="C"))
        return function(pixels.to(self.device).permute(0, 3, 1, 2))

    def precisely(self) -> torch.autocast:
        """Within it, networks reckon in the chosen precision; what is done to pixels stays outside."""
        return torch.autocast(self.device.type, self.dtype, enabled=self.dtype is not torch.float32)


def _out_of_memory(err: RuntimeError) -> bool:
    """CUDA has its own exception; MPS and the CPU allocator only have words."""
    words = ("out of memory", "can't allocate memory")
    return isinstance(err, torch.OutOfMemoryError) or any(word in str(err) for word in words)
