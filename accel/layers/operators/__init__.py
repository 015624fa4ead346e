"""Every ONNX operator accel runs, as functions over NumPy arrays: the engine's fall-back and its constant folder.

A result may be a view of an input: whoever writes into arrays copies first.
"""

from accel.layers.operators import (
    activations,
    arithmetic,
    convolution,
    creation,
    indexing,
    linear,
    logic,
    normalization,
    pooling,
    quantize,
    reduce,
    resize,
    shape,
)
from accel.layers.operators.registry import Operator, operator, registry

__all__ = [
    "Operator",
    "activations",
    "arithmetic",
    "convolution",
    "creation",
    "indexing",
    "linear",
    "logic",
    "normalization",
    "operator",
    "pooling",
    "quantize",
    "reduce",
    "registry",
    "resize",
    "shape",
]
