"""Matrix product with a fixed right operand: y = x W^T + bias."""

from __future__ import annotations

from typing import Any

import numpy as np

from accel.kernels import checks, runtime
from accel.kernels import program as native

_MOST = 16  # numbers of rows kept ready


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


class PackedLinear:
    """`linear` with weights that are packed once, and a program ready for each number of rows."""

    def __init__(self, w: np.ndarray, bias: np.ndarray | None) -> None:
        self._out, self._depth = w.shape
        self._weights, self._bias = native.pack_linear(w), native.pack_bias(bias, self._out)
        self._ready: dict[tuple[int, int], tuple[Any, int]] = {}  # by rows and instruction set: program and scratch

    def __call__(self, x: np.ndarray) -> np.ndarray:
        key = x.size // self._depth, runtime.isa_index()
        program, floats = self._ready.get(key) or self._prepare(*key)
        y = np.empty((*x.shape[:-1], self._out), np.float32)
        bindings = [(0, x), (1, y), (2, np.empty(floats, np.float32))]
        threads = runtime.threads()
        native.run(program, np.zeros(3, np.uintp), bindings, threads=threads, keep_denormals=True)
        return y

    def _prepare(self, rows: int, isa: int) -> tuple[Any, int]:
        program, places = native.new_program(), [native.place(i) for i in range(3)]
        floats = program.linear(
            rows, self._depth, self._out, native.activation(None), *places, self._weights, self._bias
        )
        if len(self._ready) >= _MOST:
            self._ready.clear()
        self._ready[rows, isa] = program, floats
        return program, floats
