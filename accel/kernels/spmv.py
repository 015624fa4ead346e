"""Sparse matrix times one vector or a few: y = f(scale (x W^T) + bias), for the native kernels."""

from __future__ import annotations

from typing import Any

import numpy as np

from accel.kernels import checks, runtime
from accel.kernels import program as native
from accel.kernels.sparse import SparseArrays, check_arrays


def pack_spmv(arrays: SparseArrays, columns: int) -> Any:
    """A matrix of `columns` columns as `spmv` reads it; it has `rows`, `columns` and `nbytes`.

    Raises
    ------
    TypeError   an array has another dtype.
    ValueError  the kind is unknown, or the arrays are no such matrix.

    Notes
    -----
    The arrays are copied, for the instruction set in force. `nbytes` is at most about twice that of the arrays; `slots`
    and `singles` say how the values were packed: csrc/kernels/sparse/spmv.h.
    """
    check_arrays(arrays, columns)
    core = runtime.core
    return core.pack_spmv(
        runtime.isa_index(), arrays.indptr, arrays.indices, arrays.values, getattr(core.ValueKind, arrays.kind),
        arrays.scale, arrays.book, columns, runtime.threads(),
    )  # fmt: skip


def spmv(
    packed: Any, x: np.ndarray, bias: np.ndarray | None = None, activation: Any = None, out: np.ndarray | None = None
) -> np.ndarray:
    """y[..., r] = f(scale[r] sum_k w[r, k] x[..., k] + bias[r]).

    Parameters
    ----------
    packed : W of shape (rows, columns), from `pack_spmv` on the instruction set in force.
    x : (..., columns) float32, C-contiguous; made for up to four vectors, right for any number.
    bias : (rows,) float32, optional.
    activation : from accel.kernels.program.activation, optional.
    out : (..., rows) float32, optional; must not overlap x or bias.

    Returns
    -------
    (..., rows) float32

    Raises
    ------
    TypeError   an array is not float32. ValueError   shapes do not fit.

    Notes
    -----
    Error against float64 below 4 eps sqrt(n) (|bias| + |scale| sum |w| |x|), n the longest row. A row has the same bits
    in any batch and on any number of threads.
    """
    checks.array("x", x, np.float32)
    if x.ndim == 0 or x.shape[-1] != packed.columns:
        raise ValueError(f"x: expected shape (..., {packed.columns}), got {x.shape}")
    if bias is None:
        bias = np.zeros(packed.rows, np.float32)
    elif checks.array("bias", bias, np.float32, 1).shape != (packed.rows,):
        raise ValueError(f"bias: expected shape ({packed.rows},), got {bias.shape}")
    y = checks.output("out", out, np.float32, (*x.shape[:-1], packed.rows), x=x, bias=bias)
    batch = int(np.prod(x.shape[:-1], dtype=np.int64))
    program = native.new_program()
    program.spmv(packed, batch, activation or native.activation(None), native.place(0), native.place(1), bias)
    native.run(program, np.zeros(2, np.uintp), [(0, x), (1, y)], threads=runtime.threads(), keep_denormals=True)
    return y
