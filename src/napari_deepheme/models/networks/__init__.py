"""The networks of models: some are built here, the others by timm.

Those of the shipped and the published bundles are built here: timm has them too, but importing it takes
longer than importing torch, and loads torchvision, which no analysis needs. Tensor names and outputs are
timm's, so that weights go from one to the other.
"""

from napari_deepheme.models.networks.build import build_body, build_encoder, without_weights

__all__ = ["build_body", "build_encoder", "without_weights"]
