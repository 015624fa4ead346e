"""Matrix product with a fixed right operand: y = x W^T + bias."""

from __future__ import annotations

from typing import Any

import numpy as np

from accel.kernels import checks, runtime
from accel.kernels import program as native
from accel.kernels._row_product import RowProduct


def linear(x: np.ndarray, w: np.ndarray, bias: np.ndarray | None = None) -> np.ndarray:
    """y[..., o] = bias[o] + sum_i w[o, i] x[..., i].

    Parameters
    ----------
    x : (..., in) float32, C-contiguous.
    w : (out, in) float32, C-contiguous.
    bias : (out,) float32, optional.

    Returns
    -------
    (..., out) float32

    Raises
    ------
    TypeError   an array is not float32 (nothing is converted).
    ValueError  shapes do not fit.

    Notes
    -----
    Weights are packed at every call; `accel.Linear` packs them once. Error against float64 below
    4 eps sqrt(in) sum |w| |x|.
    """
    checks.array("x", x, np.float32)
    checks.array("w", w, np.float32, 2)
    if x.ndim == 0 or x.shape[-1] != w.shape[1]:
        raise ValueError(f"x: expected shape (..., {w.shape[1]}) for w of shape {w.shape}, got {x.shape}")
    if bias is not None and checks.array("bias", bias, np.float32, 1).shape != w.shape[:1]:
        raise ValueError(f"bias: expected shape ({w.shape[0]},), got {bias.shape}")
    if 0 in x.shape or 0 in w.shape or not native.native():
        y = x @ w.T  # NumPy's BLAS serves the other back ends
        return np.asarray(y if bias is None else np.add(y, bias, out=y))
    return PackedLinear(w, bias)(x)


class PackedLinear(RowProduct):
    """`linear` with weights that are packed once, and a program ready for each number of rows."""

    def __init__(self, w: np.ndarray, bias: np.ndarray | None) -> None:
        super().__init__(w.shape[1])
        self._out = w.shape[0]
        self._weights, self._bias = native.pack_linear(w), native.pack_bias(bias, self._out)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        y = runtime.empty((*x.shape[:-1], self._out), np.float32)
        self._run(x, y)
        return y

    def _add(self, program: Any, rows: int, x: Any, y: Any, scratch: Any, threads: int) -> int:
        floats: int = program.linear(
            rows, self._depth, self._out, native.activation(None), x, y, scratch, self._weights, self._bias
        )
        return floats
