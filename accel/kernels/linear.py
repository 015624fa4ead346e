"""Matrix product with a fixed right operand: y = x W^T + bias."""

from __future__ import annotations

import numpy as np

from accel.kernels import checks, runtime
from accel.kernels import program as native


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
    return linear_packed(x, native.pack_linear(w), native.pack_bias(bias, w.shape[0]), w.shape[0])


def linear_packed(x: np.ndarray, weights: np.ndarray, bias: np.ndarray, out: int) -> np.ndarray:
    """`linear` with weights and bias from accel.kernels.program.pack_linear and pack_bias."""
    depth = x.shape[-1]
    rows = x.size // depth
    y = np.empty((*x.shape[:-1], out), np.float32)
    program = native.new_program()
    scratch = program.linear(
        rows, depth, out, native.activation(None), native.place(0), native.place(1), native.place(2), weights, bias
    )  # fmt: skip
    arrays = [x, y, np.empty(scratch, np.float32)]
    native.run(program, np.zeros(3, np.uintp), list(enumerate(arrays)), threads=runtime.threads(), keep_denormals=True)
    return y
