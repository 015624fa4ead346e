"""The Walsh-Hadamard transform compiled by Numba."""

from __future__ import annotations

import numpy as np

from accel.kernels.jit import njit


@njit
def fwht_in_place(y: np.ndarray) -> None:
    """Along the middle one of three axes."""
    outer, n, inner = y.shape
    for row in range(outer):
        half = 1
        while half < n:
            for first in range(0, n, 2 * half):
                for i in range(first, first + half):
                    for k in range(inner):
                        a, b = y[row, i, k], y[row, i + half, k]
                        y[row, i, k] = a + b
                        y[row, i + half, k] = a - b
            half *= 2
