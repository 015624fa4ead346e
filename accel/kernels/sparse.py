"""Products with a sparse matrix packed for the native kernels."""

from __future__ import annotations

from typing import Any

import numpy as np

from accel.kernels import program as native
from accel.kernels import runtime


def pack_sparse(
    indptr: np.ndarray,
    indices: np.ndarray,
    values: np.ndarray,
    columns: int,
    *,
    kind: str = "f32",
    scale: np.ndarray | None = None,
    book: np.ndarray | None = None,
) -> Any:
    """A CSR matrix as `sparse_linear` and sparse convolution read it, for the instruction set in force.

    Parameters
    ----------
    indptr, indices : int32, rows + 1 and nnz; every row ascends.
    values : (nnz,), by `kind`: float32 for "f32", the upper halves of float32 as uint16 for "bf16", int8 for "i8",
        uint8 for "code16" and "code256".
    scale : (rows,) float32, for "i8".
    book : (16,) or (256,) float32, for codes.

    Raises
    ------
    ValueError  the arrays are no such matrix.
    """
    core = runtime.core
    return core.pack_sparse(
        runtime.isa_index(), indptr, indices, values, getattr(core.ValueKind, kind), scale, book, columns,
        runtime.threads(),
    )  # fmt: skip


def sparse_linear(x: np.ndarray, matrix: Any, bias: np.ndarray | None = None) -> np.ndarray:
    """y[..., r] = bias[r] + sum_k w[r, k] x[..., k] for a matrix from `pack_sparse`; x float32, C-contiguous."""
    batch = x.size // matrix.columns
    y = np.empty((*x.shape[:-1], matrix.rows), np.float32)
    program = native.new_program()
    bias = native.pack_bias(bias, matrix.rows)
    scratch = program.sparse_linear(
        matrix, batch, native.activation(None), runtime.threads(), native.place(0), native.place(1), native.place(2), bias
    )  # fmt: skip
    arrays = [x, y, native.aligned(scratch)]
    native.run(program, np.zeros(3, np.uintp), list(enumerate(arrays)), threads=runtime.threads(), keep_denormals=True)
    return y
