"""Where and how exactly networks run. torch is imported when a device is asked for, not with this module."""

from __future__ import annotations

import os
from enum import StrEnum
from typing import TYPE_CHECKING

from napari_deepheme.errors import OptionError

if TYPE_CHECKING:
    import torch


class Device(StrEnum):
    """Where the networks run; ``auto`` takes CUDA, then MPS, then the CPU."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"
    MPS = "mps"


class Precision(StrEnum):
    """Precision of the networks' arithmetic.

    ``auto`` takes bfloat16 where it is fast and calls stay the same.
    """

    AUTO = "auto"
    FP32 = "fp32"
    BF16 = "bf16"
    FP16 = "fp16"


class Backend(StrEnum):
    """What computes the classifier's networks; the answers are the same but for rounding."""

    TORCH = "torch"
    OPENVINO = "openvino"


def cores() -> int:
    """How many threads work at once: what ``OMP_NUM_THREADS`` grants, as torch takes it, else every core."""
    granted = os.environ.get("OMP_NUM_THREADS", "")
    if granted.isdecimal() and int(granted):
        return int(granted)
    affinity = getattr(os, "sched_getaffinity", None)  # not on macOS and Windows
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def torch_precision(wanted: Precision, device: torch.device, *, bears_bf16: bool) -> torch.dtype:
    """The number type of a choice; :class:`OptionError` if the device cannot compute in it.

    ``auto`` is float32 for a network whose calls change in bfloat16.
    """
    import torch

    if wanted is Precision.FP16 and device.type == "cpu":
        raise OptionError("Precision fp16 needs a GPU; on the CPU use auto, bf16 or fp32.")
    if wanted is Precision.AUTO:
        wanted = Precision.BF16 if bears_bf16 and has_bf16(device) else Precision.FP32
    return {
        Precision.FP32: torch.float32,
        Precision.BF16: torch.bfloat16,
        Precision.FP16: torch.float16,
    }[wanted]


def has_bf16(device: torch.device) -> bool:
    """Whether a device has instructions for bfloat16, in which convolutions take about half the time."""
    return _computes_bf16(device, "amx_bf16", "avx512_bf16")


def trains_faster_in_bf16(device: torch.device) -> bool:
    """Whether autocast pays in training: on a CPU only with tiles, others train slower than in float32."""
    return _computes_bf16(device, "amx_bf16")


def _computes_bf16(device: torch.device, *instructions: str) -> bool:
    import torch

    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    # torch before 2.10 cannot tell
    capabilities: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()
    return device.type == "cpu" and any(capabilities.get(name) for name in instructions)


def torch_device(wanted: Device) -> torch.device:
    """The device of a choice; :class:`OptionError` if torch cannot use it here."""
    import torch

    available = {
        Device.CUDA: torch.cuda.is_available(),
        Device.MPS: torch.backends.mps.is_available(),
        Device.CPU: True,
    }
    if wanted is Device.AUTO:
        return torch.device(next(device for device, there in available.items() if there).value)
    if not available[wanted]:
        raise OptionError(
            f"Device {wanted.value} is not available to torch on this machine; use auto or cpu."
        )
    return torch.device(wanted.value)
