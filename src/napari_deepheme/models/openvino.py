"""Networks compiled by OpenVINO, which on many CPUs takes less time than torch for the same answers."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import torch
from torch import nn

from napari_deepheme.errors import OptionError

Answer = Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]]
"""What a network makes of images (n, 3, p, p): features (n, d) and logits (n, k)."""


def check_openvino(device: torch.device) -> None:
    """Refuse, with an :class:`OptionError`, where OpenVINO is not installed or not for the device."""
    if device.type != "cpu":
        raise OptionError(f"Back end openvino is for CPUs, not for {device}; give --device cpu.")
    if find_spec("openvino") is None:
        raise OptionError(
            "Back end openvino needs the package openvino; install napari-deepheme[openvino] or take torch."
        )


class OpenVinoNetwork:
    """A network on the CPU whose answers are computed by OpenVINO; callable from several threads at once.

    Parameters
    ----------
    network : Module
        In evaluation mode, on the CPU.
    answer : callable
        What is asked of it: features and logits of images.
    side_px : int
        Of the images.
    dtype : torch.dtype
        Of the arithmetic: float32 or bfloat16.
    """

    def __init__(
        self,
        network: nn.Module,
        answer: Callable[[nn.Module, torch.Tensor], tuple[torch.Tensor, torch.Tensor]],
        side_px: int,
        dtype: torch.dtype,
    ) -> None:
        import openvino  # noqa: PLC0415  an optional package

        threads = torch.get_num_threads()
        options = {
            # each thread that asks computes by itself, as with torch
            "NUM_STREAMS": threads,
            "INFERENCE_NUM_THREADS": threads,
            "INFERENCE_PRECISION_HINT": "bf16" if dtype is torch.bfloat16 else "f32",
        }
        model = _converted(_Asked(network, answer), side_px)
        self._compiled: Any = openvino.compile_model(model, "CPU", options)
        self._own = threading.local()

    def __call__(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Features (n, d) and logits (n, k) of images (n, 3, p, p), float32."""
        if not hasattr(self._own, "request"):
            self._own.request = self._compiled.create_infer_request()
        request, n = self._own.request, len(images)
        # OpenVINO refuses a batch of none
        asked = images if n else images.new_zeros(1, *images.shape[1:])
        request.infer([asked.float().contiguous().numpy()])
        # copies: the next batch is written to the same memory
        features, logits = (torch.tensor(request.get_output_tensor(i).data[:n]) for i in range(2))
        return features, logits


class _Asked(nn.Module):
    def __init__(self, network: nn.Module, answer: Callable[..., tuple[torch.Tensor, torch.Tensor]]) -> None:
        super().__init__()
        self.network, self._answer = network, answer

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self._answer(self.network, images)


def _converted(network: nn.Module, side_px: int) -> Any:  # noqa: ANN401 - OpenVINO has no types
    """As a model of OpenVINO, for any number of images.

    Not by ``openvino.convert_model``, which sends usage statistics to its makers.
    """
    from openvino.frontend import FrontEndManager  # noqa: PLC0415
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder  # noqa: PLC0415

    with warnings.catch_warnings(), torch.no_grad():
        # sizes that depend on the image are those of side_px for good, which is what is wanted
        warnings.simplefilter("ignore")
        example = torch.zeros(2, 3, side_px, side_px)
        traced = torch.jit.trace(network.eval(), example, check_trace=False)  # type: ignore[no-untyped-call]
        decoder = TorchScriptPythonDecoder(torch.jit.freeze(traced))  # held until the model is converted
        front = FrontEndManager().load_by_framework("pytorch")
        model = front.convert(front.load(decoder))
    model.reshape([-1, 3, side_px, side_px])
    return model
