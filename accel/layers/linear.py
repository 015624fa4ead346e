"""Linear: a weight bound to a bias and an activation."""

from __future__ import annotations

import numpy as np

from accel.kernels import checks
from accel.kernels import program as native
from accel.kernels.linear import linear, linear_packed
from accel.layers.activation import apply_activation, checked_activation
from accel.weights.base import Weight, dense


class Linear:
    """y = activation(x W^T + bias) for x of shape (..., in).

    Parameters
    ----------
    weight : (out, in) float32 array or any Weight of that shape, kept as `.weight`.
    bias : (out,) float32, optional.
    activation : None or one of accel.layers.activation.ACTIVATIONS.

    Raises
    ------
    TypeError, ValueError  a dtype or shape is not as above, or the activation is unknown.

    A Weight other than an array runs through its dense form, made at the first call.
    """

    def __init__(
        self, weight: np.ndarray | Weight, bias: np.ndarray | None = None, activation: str | None = None
    ) -> None:
        if not isinstance(weight, Weight):
            checks.array("weight", weight, np.float32, 2)
        elif weight.ndim != 2:
            raise ValueError(f"weight: expected 2 axes, got shape {weight.shape}")
        if bias is not None and checks.array("bias", bias, np.float32, 1).shape != weight.shape[:1]:
            raise ValueError(f"bias: expected shape ({weight.shape[0]},), got {bias.shape}")
        self.weight, self.bias, self.activation = weight, bias, checked_activation(activation)
        self._packed: tuple[np.ndarray, np.ndarray] | None = None

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """(..., in) float32 to (..., out)."""
        checks.array("x", x, np.float32)
        if x.ndim == 0 or x.shape[-1] != self.weight.shape[1]:
            raise ValueError(f"x: expected shape (..., {self.weight.shape[1]}), got {x.shape}")
        if not native.native() or 0 in x.shape or 0 in self.weight.shape:
            return apply_activation(self.activation, linear(x, dense(self.weight), self.bias))
        if self._packed is None:
            self._packed = native.pack_linear(dense(self.weight)), native.pack_bias(self.bias, self.weight.shape[0])
        return apply_activation(self.activation, linear_packed(x, *self._packed, self.weight.shape[0]))
