"""Hashed weights: a matrix of which every number is one of K shared ones, plus or minus, by a fixed hash."""

from __future__ import annotations

from typing import Any

import numpy as np

from accel.kernels import checks, runtime
from accel.kernels import program as native
from accel.kernels._hash import MAX_SEED, stream
from accel.kernels.conv import MOST

MOST_VALUES = 1 << 31
_ROWS = 64  # of the matrix that other back ends unfold at a time


def hashed_matmul(
    x: np.ndarray, values: np.ndarray, out_features: int, seed: int = 0, bias: np.ndarray | None = None
) -> np.ndarray:
    """y = x W^T + bias with w[i, j] = xi values[h], h and xi from hash64(hash64(seed) ^ (i in + j)).

    The upper 32 bits of the hash times K, over 2**32, are h; its lowest bit makes xi -1. hash64 is the finaliser of
    SplitMix64: docs/formats/accel.md.

    Parameters
    ----------
    x : (..., in) float32, C-contiguous, in >= 1.
    values : (K,) float32, C-contiguous, K >= 1.
    out_features : rows of W, 1 .. 2**31 - 1.
    seed : 0 .. 2**63 - 1.
    bias : (out_features,) float32, optional.

    Returns
    -------
    (..., out_features) float32

    Raises
    ------
    TypeError, ValueError  an array or a number is not as above.

    Notes
    -----
    W is unfolded a tile of its rows at a time into the dense product, never as a whole. That saves memory, not time: it
    makes all of the dense product's operations, and a hash a weight besides. Error as of `linear`.

    References
    ----------
    .. [1] Chen et al., "Compressing neural networks with the hashing trick", ICML 2015.
    """
    checks.array("x", x, np.float32)
    checks.array("values", values, np.float32, 1)
    out_features = checks.integer("out_features", out_features, 1, MOST)
    seed = checks.integer("seed", seed, 0, MAX_SEED)
    if x.ndim == 0 or x.shape[-1] == 0:
        raise ValueError(f"x: expected shape (..., in) with in >= 1, got {x.shape}")
    if not 1 <= values.size <= MOST_VALUES:
        raise ValueError(f"values: expected 1..{MOST_VALUES} of them, got {values.size}")
    if bias is not None and checks.array("bias", bias, np.float32, 1).shape != (out_features,):
        raise ValueError(f"bias: expected shape ({out_features},), got {bias.shape}")
    y = runtime.empty((*x.shape[:-1], out_features), np.float32)
    if x.size == 0:
        return y
    if native.native():
        rows = x.size // x.shape[-1]
        program = native.new_program()
        scratch = add_hashed(
            program, rows, x.shape[-1], out_features, values, seed, bias, [native.place(i) for i in range(3)]
        )
        arrays = [x, y, native.scratch(scratch)]
        native.run(
            program, np.zeros(3, np.uintp), list(enumerate(arrays)), threads=runtime.threads(), keep_denormals=True
        )
        return y
    for first in range(0, out_features, _ROWS):
        rows_of = slice(first, min(first + _ROWS, out_features))
        y[..., rows_of] = x @ unfold(values, rows_of, x.shape[-1], seed).T
    return y if bias is None else np.add(y, bias, out=y)


def hashed_backward(
    grad: np.ndarray, x: np.ndarray, values: np.ndarray, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Gradients of sum(grad * hashed_matmul(x, values, out, seed)) by x and by values.

    Parameters
    ----------
    grad : (..., out) float32 or float64, C-contiguous, out >= 1.
    x : (..., in), values : (K,), of the dtype of grad, C-contiguous, in and K >= 1.
    seed : as for `hashed_matmul`.

    Returns
    -------
    dx of the shape of x; dvalues of the shape of values, summed over the rows: what every shared number collects from
    the places that the hash gives it. Both of the dtype of grad.

    Raises
    ------
    TypeError, ValueError  an array or a number is not as above.
    """
    dtype = np.float64 if getattr(grad, "dtype", None) == np.float64 else np.float32
    for name, array in (("grad", grad), ("x", x)):
        if checks.array(name, array, dtype).ndim == 0 or array.shape[-1] == 0:
            raise ValueError(f"{name}: expected shape (..., n) with n >= 1, got {array.shape}")
    checks.array("values", values, dtype, 1)
    seed = checks.integer("seed", seed, 0, MAX_SEED)
    if not 1 <= values.size <= MOST_VALUES:
        raise ValueError(f"values: expected 1..{MOST_VALUES} of them, got {values.size}")
    if grad.shape[:-1] != x.shape[:-1]:
        raise ValueError(f"grad: expected leading sizes {x.shape[:-1]} as of x, got {grad.shape[:-1]}")
    out, depth = grad.shape[-1], x.shape[-1]
    rows, wide = grad.reshape(-1, out), x.reshape(-1, depth)
    dx, dvalues = np.zeros_like(wide), np.zeros(values.size)
    for first in range(0, out, _ROWS):
        part = rows[:, first : first + _ROWS]
        at, turned = hashed_places(first * depth, (first + part.shape[1]) * depth, values.size, seed)
        sign = np.where(turned, dtype(-1), dtype(1))
        dx += part @ (values[at] * sign).reshape(-1, depth)
        dvalues += np.bincount(at, (part.T @ wide).ravel() * sign, values.size)
    return dx.reshape(x.shape), dvalues.astype(dtype)


def add_hashed(
    program: Any,
    rows: int,
    depth: int,
    out: int,
    values: np.ndarray,
    seed: int,
    bias: np.ndarray | None,
    places: list[Any],
    activation: Any = None,
) -> int:
    """Add the product to a native program; `places` are x, y and scratch. Returns the floats of scratch it needs."""
    floats: int = program.hashed(
        rows, depth, out, activation or native.activation(None), *places, values, seed, native.pack_bias(bias, out)
    )
    return floats


def hashed_scratch(rows: int, depth: int) -> int:
    """Floats of scratch that are enough for any number of outputs."""
    return max(1 << 16, 16 * depth) + 128 * rows + (rows + 1) * (depth + native.BLOCK)


def unfold(values: np.ndarray, rows: slice, depth: int, seed: int) -> np.ndarray:
    """Rows `rows` of the matrix, (rows, depth) float32."""
    at, turned = hashed_places(rows.start * depth, rows.stop * depth, values.size, seed)
    picked: np.ndarray = values[at]
    return np.where(turned, -picked, picked).reshape(-1, depth)


def hashed_places(first: int, last: int, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Of weights first .. last - 1, row by row: which of `count` values each is, int64, and whether it is minus it."""
    bits = stream(seed, first, last)
    at = ((bits >> np.uint64(32)) * np.uint64(count)) >> np.uint64(32)
    return at.astype(np.int64), (bits & np.uint64(1)).astype(np.bool_)
