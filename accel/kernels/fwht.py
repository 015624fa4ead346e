"""Fast Walsh-Hadamard transform along one axis."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from accel.errors import shown
from accel.kernels import checks, runtime

MOST_AXES = 64
"""What any NumPy version can hold."""

DTYPES = (np.dtype(np.float32), np.dtype(np.float64), np.dtype(np.int32))


def fwht(x: np.ndarray, axis: int = -1, norm: str | None = None, out: np.ndarray | None = None) -> np.ndarray:
    """Walsh-Hadamard transform along one axis, natural order.

    y[..., i, ...] = sum_j (-1)**popcount(i & j) x[..., j, ...]

    Parameters
    ----------
    x : float32, float64 or int32 of any shape, C-contiguous; n = x.shape[axis] a power of two, 1 included.
    axis : along which to transform.
    norm : None, or "ortho" to divide by sqrt(n), which makes the transform its own inverse; not for int32.
    out : of the shape and dtype of x, C-contiguous, optional. It may be x (in place); else it must not overlap x.

    Returns
    -------
    Of the shape and dtype of x: `out` where it is given.

    Raises
    ------
    TypeError   x or out has another dtype (nothing is converted), or norm "ortho" was asked of int32.
    ValueError  n is no power of two (the message names the next), an axis, norm, shape or layout does not fit, or out
        is read-only or overlaps x in part.

    Notes
    -----
    n log2(n) additions a row. |error| <= eps (log2(n) + 2) sum |x| of the row, and none while the sums are integers
    below 2**24 (2**53 in float64); int32 wraps around. A row has the same bits alone, in any batch and on any number of
    threads; NaN stays in its row.

    References
    ----------
    .. [1] Fino & Algazi, "Unified matrix treatment of the fast Walsh-Hadamard transform", IEEE Trans. Computers, 1976.
    """
    known = type(axis) is int and abs(axis) <= MOST_AXES and (norm is None or (type(norm) is str and norm == "ortho"))
    if known and runtime.core is not None and runtime.backend() == "native":
        y: np.ndarray | None = runtime.core.fwht(runtime.isa_index(), x, axis, norm is not None, out, runtime.threads())
        if y is not None:
            return y
    spec = _checked(x, axis, norm)
    y = _output(x, out)
    if not checks.of_numpys_type(x, y):
        fwht(np.asarray(x), axis, norm, np.asarray(y))
    elif x.size:
        _other(x.reshape(spec), y.reshape(spec), norm)
    return y


def next_power(n: int) -> int:
    """The least power of two that is not below n."""
    return 1 << max(n - 1, 0).bit_length()


def _checked(x: Any, axis: Any, norm: Any) -> tuple[int, int, int]:
    """(outer, n, inner), or an error that names what does not fit."""
    dtype = getattr(x, "dtype", None)
    if not isinstance(x, np.ndarray) or dtype not in DTYPES:
        names = ", ".join(kind.name for kind in DTYPES)
        raise TypeError(f"x: expected an array of {names}, got {checks.describe(x)}")
    checks.array("x", x, x.dtype)
    if x.ndim == 0:
        raise ValueError("x: expected at least one axis, got a scalar")
    checks.integer("axis", axis, -x.ndim, x.ndim - 1)
    if norm is not None and not (isinstance(norm, str) and norm == "ortho"):
        raise ValueError(f"norm: expected None or 'ortho', got {shown(norm)}")
    if norm is not None and x.dtype == np.int32:
        raise TypeError("norm: expected None for int32, got 'ortho'; convert x with x.astype(np.float32)")
    n = x.shape[axis]
    if n != next_power(n):
        raise ValueError(f"x: expected a power of two along axis {axis}, got {n}; pad it with zeros to {next_power(n)}")
    axis %= x.ndim
    return math.prod(x.shape[:axis]), n, math.prod(x.shape[axis + 1 :])


def _output(x: np.ndarray, out: Any) -> np.ndarray:
    y = checks.output("out", out, x.dtype, x.shape)
    same = y.__array_interface__["data"][0] == x.__array_interface__["data"][0]
    if out is not None and not same and np.may_share_memory(x, y):
        raise ValueError("out: expected x itself or memory of its own, got an array that overlaps x in part")
    return y


def _other(x: np.ndarray, y: np.ndarray, norm: str | None) -> None:
    """The other back ends, on (outer, n, inner)."""
    if x.ctypes.data != y.ctypes.data:
        np.copyto(y, x)
    if norm is not None:
        y *= y.dtype.type(1 / math.sqrt(y.shape[1]))
    if runtime.backend() == "numba":
        from accel.kernels.fwht_numba import fwht_in_place

        fwht_in_place(y)
        return
    half = 1
    with np.errstate(all="ignore"):  # infinities meet
        while half < y.shape[1]:
            pairs = y.reshape(y.shape[0], -1, 2, half, y.shape[2])
            low, high = pairs[:, :, 0], pairs[:, :, 1]
            difference = low - high
            low += high
            high[...] = difference
            half *= 2
