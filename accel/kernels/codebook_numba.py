"""Products with codes compiled by Numba."""

from __future__ import annotations

import numpy as np

from accel.kernels.jit import njit


@njit
def codebook_product(x: np.ndarray, codes: np.ndarray, books: np.ndarray, bias: np.ndarray, y: np.ndarray) -> None:
    """y = x W^T + bias: (rows, in), (out, in), (groups, k), (out,), (rows, out); a row of W is looked up once.

    Added up in float64.
    """
    out, depth = codes.shape
    each = out // books.shape[0]
    w = np.empty(depth, np.float64)
    for o in range(out):
        book = books[o // each]
        for k in range(depth):
            w[k] = book[codes[o, k]]
        for r in range(x.shape[0]):
            total = np.float64(bias[o])
            for k in range(depth):
                total += w[k] * x[r, k]
            y[r, o] = total


@njit
def add_looked_up(tables: np.ndarray, codes: np.ndarray, bias: np.ndarray, y: np.ndarray) -> None:
    """y[o] = bias[o] + sum_j tables[j, codes[o, j]], added up in float64."""
    out, subs = codes.shape
    for o in range(out):
        total = np.float64(bias[o])
        for j in range(subs):
            total += tables[j, codes[o, j]]
        y[o] = total
