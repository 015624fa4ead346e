"""Layers for PyTorch that train the forms of weights which accel runs. Needs torch: pip install 'accel[torch]'.

    from accel.integrations.torch import METHODS, BinaryConv2d, clip_weights_, export_onnx

    layer = BinaryConv2d(64, 128, 3, padding=1, bias=False, **METHODS["xnor"])      # torch.nn.Conv2d's order
    ...                                                                             # train; after every step:
    clip_weights_(model)
    accel.InferenceSession(export_onnx(model, example))

One module per family of layers (`binary`, `structured_linear`, `structured_conv`), what is under them beside it
(`binarize`, `structured`, `structured_ops`), and `export` for all: a layer of any family has `to_dense()`, the weight
that its forward pass multiplies by, and `freeze_()`, which keeps that one as the layer's weight. Importing accel never
imports torch; importing this package does.
"""

from __future__ import annotations

from accel.errors import missing_extra

try:
    import torch as _torch  # noqa: F401
except ImportError as _why:
    raise missing_extra("torch", "torch", "accel.integrations.torch") from _why

from accel.integrations.torch.binarize import (
    activation_scale,
    binarize_activations,
    binarize_weights,
    loss_aware_scale,
    mean_scale,
)
from accel.integrations.torch.binary import (
    METHODS,
    BinaryConv2d,
    BinaryLinear,
    clip_weights_,
    update_curvature_,
)
from accel.integrations.torch.export import export_network, export_onnx, frozen
from accel.integrations.torch.structured_conv import CirculantConv2d
from accel.integrations.torch.structured_linear import CirculantLinear, FastfoodLinear, HashedLinear

__all__ = [
    "METHODS",
    "BinaryConv2d",
    "BinaryLinear",
    "CirculantConv2d",
    "CirculantLinear",
    "FastfoodLinear",
    "HashedLinear",
    "activation_scale",
    "binarize_activations",
    "binarize_weights",
    "clip_weights_",
    "export_network",
    "export_onnx",
    "frozen",
    "loss_aware_scale",
    "mean_scale",
    "update_curvature_",
]
