"""What several networks share; submodules have the names that timm gives them."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn
from torch.nn.functional import adaptive_avg_pool2d, conv2d, pad


class NormAct(nn.BatchNorm2d):
    """Batch normalisation and the activation after it, which may be none."""

    def __init__(self, channels: int, act: nn.Module | None = None, eps: float = 1e-5) -> None:
        super().__init__(channels, eps)
        self.act = act or nn.Identity()

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Features (n, c, h, w), normalised and activated."""
        activated: torch.Tensor = self.act(super().forward(features))
        return activated


class SameConv(nn.Conv2d):
    """A convolution without bias that gives ceil(side / stride) pixels a side, padded as TensorFlow does."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        # with a stride the padding depends on the size of the image, and is added in forward
        padding = 0 if stride > 1 else kernel // 2
        super().__init__(inputs, outputs, kernel, stride, padding, groups=groups, bias=False)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Features (n, c, h, w), convolved."""
        if self.stride[0] == 1:
            return super().forward(features)
        rows, columns = (self._missing(side) for side in features.shape[-2:])
        # of an odd number of pixels the larger half goes below and to the right
        if self.groups == 1 or self.training:
            features = pad(features, (columns // 2, columns - columns // 2, rows // 2, rows - rows // 2))
            return super().forward(features)
        # weights of zero do the same without a copy of the features, which takes longer than this convolution
        weight, margins = pad(self.weight, (columns % 2, 0, rows % 2, 0)), (-(-rows // 2), -(-columns // 2))
        return conv2d(features, weight, self.bias, self.stride, margins, groups=self.groups)

    def _missing(self, side: int) -> int:
        stride, kernel = self.stride[0], self.kernel_size[0]
        return max((-(-side // stride) - 1) * stride + kernel - side, 0)


class Classifier(nn.Module):
    """An image's features, their mean over its pixels, and one linear layer; the methods are timm's.

    Parameters
    ----------
    last : str
        Name of the linear layer.
    """

    def __init__(self, last: str) -> None:
        super().__init__()
        self._last = last

    def forward_features(self, images: torch.Tensor) -> torch.Tensor:
        """Features (n, d, h, w) of images."""
        raise NotImplementedError

    def initialise(self) -> None:
        """Draw the weights that a training begins with; a network that was built without weights has none."""
        # torch would import its compiler, which takes seconds, to draw from a normal distribution there
        if not next(self.parameters()).is_meta:
            self._draw_weights()

    def _draw_weights(self) -> None:
        raise NotImplementedError

    def get_classifier(self) -> nn.Module:
        """The linear layer."""
        return self.get_submodule(self._last)

    def forward_head(self, features: torch.Tensor, *, pre_logits: bool = False) -> torch.Tensor:
        """Outputs (n, k); with ``pre_logits`` what goes into the linear layer, (n, d)."""
        pooled = adaptive_avg_pool2d(features, 1).flatten(1)
        if pre_logits:
            return pooled
        outputs: torch.Tensor = self.get_classifier()(pooled)
        return outputs

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Outputs (n, k) of images (n, 3, h, w)."""
        return self.forward_head(self.forward_features(images))


def initialise_convolutions(network: nn.Module) -> None:
    """Draw weights with the variance 2 / fan out of a group (He et al. 2015, arXiv:1502.01852)."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            fan_out = module.kernel_size[0] * module.kernel_size[1] * module.out_channels // module.groups
            nn.init.normal_(module.weight, 0.0, (2.0 / fan_out) ** 0.5)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def zero_weights(norms: Iterable[nn.BatchNorm2d]) -> None:
    """Have residual blocks begin as the identity (Goyal et al. 2017, arXiv:1706.02677, section 5.1)."""
    for norm in norms:
        nn.init.zeros_(norm.weight)
