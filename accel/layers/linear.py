"""Linear: a weight bound to a bias and an activation."""

from __future__ import annotations

import numpy as np

from accel.kernels import checks
from accel.kernels import program as native
from accel.kernels._linear_cost import linear_cycles
from accel.kernels._sparse_product import SparseProduct
from accel.kernels.linear import linear, linear_packed
from accel.kernels.sparse import SparseArrays
from accel.layers.activation import apply_activation, checked_activation
from accel.weights.base import Weight, dense
from accel.weights.zeros import sparse_arrays


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

    Sparse weights (`Csr` and its kin) run without their zeros where that is predicted to be faster; others, and few
    zeros, through the dense form. Either is packed at the first call.
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
        self._product: SparseProduct | None = None
        self._arrays: SparseArrays | None = None
        self._sought = False
        self._own = weight.product(bias) if isinstance(weight, Weight) else None

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """(..., in) float32 to (..., out)."""
        checks.array("x", x, np.float32)
        out, depth = self.weight.shape
        if x.ndim == 0 or x.shape[-1] != depth:
            raise ValueError(f"x: expected shape (..., {depth}), got {x.shape}")
        if self._own is not None:
            return apply_activation(self.activation, self._own(x))
        if not native.native() or 0 in x.shape or 0 in self.weight.shape:
            return apply_activation(self.activation, linear(x, dense(self.weight), self.bias))
        rows, arrays = x.size // depth, self._sparse()
        if arrays is not None and self._gains(rows, arrays):
            if self._product is None:
                self._product = SparseProduct(arrays, depth, self.bias)
            return apply_activation(self.activation, self._product(x))
        if self._packed is None:
            self._packed = native.pack_linear(dense(self.weight)), native.pack_bias(self.bias, out)
        return apply_activation(self.activation, linear_packed(x, *self._packed, out))

    def _gains(self, rows: int, arrays: SparseArrays) -> bool:
        out, depth = self.weight.shape
        dense, sparse = linear_cycles(rows, out, depth, arrays.values.size)
        return sparse < dense

    def _sparse(self) -> SparseArrays | None:
        """A sparse weight's arrays, found once; an array is dense, whatever it holds."""
        if not self._sought:
            self._sought, weight = True, self.weight
            self._arrays = sparse_arrays(weight) if isinstance(weight, Weight) else None
        return self._arrays
