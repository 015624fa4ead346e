"""The activations a layer can end in, by their ONNX names with ONNX's default parameters."""

from __future__ import annotations

import numpy as np

from accel.errors import shown
from accel.layers.operators import registry

ACTIVATIONS = ("Relu", "LeakyRelu", "Sigmoid", "HardSigmoid", "HardSwish", "Tanh", "Elu")


def checked_activation(name: str | None) -> str | None:
    """The name itself; ValueError for one that is not in ACTIVATIONS."""
    if name is not None and name not in ACTIVATIONS:
        raise ValueError(f"activation: expected None or one of {', '.join(ACTIVATIONS)}, got {shown(name)}")
    return name


def apply_activation(name: str | None, x: np.ndarray) -> np.ndarray:
    """x itself, or the activation of it."""
    if name is None:
        return x
    result: np.ndarray = registry()[name]([x], {})[0]
    return result
