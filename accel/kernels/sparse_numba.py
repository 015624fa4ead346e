"""Products and convolutions of stored rows compiled by Numba: independent of the native kernels, from the bytes that a
weight holds, a row at a time."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from accel.kernels import checks
from accel.kernels.conv import Pads, Pair, result_shape
from accel.kernels.conv_numba import padded
from accel.kernels.jit import njit
from accel.kernels.sparse import StoredRows

_ACTIVATIONS = (None, "Relu", "LeakyRelu", "Sigmoid", "HardSigmoid", "HardSwish", "Tanh", "Elu")
_CODE4, _CODE8, _BFLOAT16, _SCALED = range(4)
_HOW = {"code16": _CODE4, "code256": _CODE8, "bf16": _BFLOAT16, "f32": _SCALED, "i8": _SCALED}


@njit
def _columns(deltas: Any, at: int, columns: Any) -> int:
    """The columns of one row from its bytes, which begin at `at`; where they end."""
    now = -1
    for k in range(columns.size):
        while deltas[at] == 255:
            now += 255
            at += 1
        now += int(deltas[at]) + 1
        at += 1
        columns[k] = now
    return at


@njit
def _numbers(values: Any, begin: int, how: int, scale: Any, book: Any, numbers: Any) -> None:
    """The entries from `begin` on as float32, as many as `numbers` holds."""
    bits = numbers.view(np.uint32)
    for k in range(numbers.size):
        p = begin + k
        if how == _CODE4:
            numbers[k] = book[int(values[p >> 1]) >> 4 * (p & 1) & 15]
        elif how == _CODE8:
            numbers[k] = book[int(values[p])]
        elif how == _BFLOAT16:
            bits[k] = np.uint32(values[p]) << np.uint32(16)
        else:
            numbers[k] = np.float32(values[p]) * scale


@njit
def _activated(v: Any, activation: int) -> Any:
    """ACTIVATIONS[activation] with ONNX's default parameters; NaN stays NaN."""
    one = np.float32(1)
    if activation == 1:
        return np.float32(0) if v < 0 else v
    if activation == 2:
        return v * np.float32(0.01) if v < 0 else v
    if activation == 3:
        return one / (one + np.exp(-v))
    if activation == 4:
        return min(max(v * np.float32(0.2) + np.float32(0.5), np.float32(0)), one) if v == v else v
    if activation == 5:
        return v * min(max(v / np.float32(6) + np.float32(0.5), np.float32(0)), one) if v == v else v
    if activation == 6:
        return np.tanh(v)
    if activation == 7:
        return np.float32(math.expm1(v)) if v < 0 else v
    return v


@njit
def _longest(indptr: Any) -> int:
    most = 0
    for o in range(indptr.size - 1):
        most = max(most, indptr[o + 1] - indptr[o])
    return most


@njit
def _product(
    x: Any, y: Any, indptr: Any, deltas: Any, values: Any, how: int, scale: Any, book: Any, bias: Any, activation: int
) -> None:
    """y (rows, batch) of x (columns, batch)."""
    longest, at = _longest(indptr), 0
    columns, numbers = np.empty(longest, np.int64), np.empty(longest, np.float32)
    for o in range(indptr.size - 1):
        count = indptr[o + 1] - indptr[o]
        at = _columns(deltas, at, columns[:count])
        _numbers(values, indptr[o], how, scale[o], book, numbers[:count])
        row = y[o]
        row[:] = bias[o]
        for k in range(count):
            weight, column = numbers[k], columns[k]
            for j in range(row.size):
                row[j] += weight * x[column, j]
        for j in range(row.size):
            row[j] = _activated(row[j], activation)


@njit
def _add_lines(weight: Any, channel: Any, top: int, left: int, strides: Any, plane: Any) -> None:
    """plane += weight times what one tap sees of a padded channel."""
    for i in range(plane.shape[0]):
        seen = channel[top + i * strides[0], left:]
        for j in range(plane.shape[1]):
            plane[i, j] += weight * seen[j * strides[1]]


@njit
def _add_run(weight: Any, channel: Any, first: int, sums: Any) -> None:
    """The same without strides, of lines as wide as the padded ones: one run, what lies between the outputs too."""
    seen = channel.reshape(-1)[first : first + sums.size]
    for j in range(sums.size):  # an index with a sum in it could be negative for all that Numba knows: no vectors then
        sums[j] += weight * seen[j]


@njit
def _conv(
    x: Any, y: Any, kernel: Any, strides: Any, dilations: Any, group: int, indptr: Any, deltas: Any, values: Any,
    how: int, scale: Any, book: Any, bias: Any, activation: int,
) -> None:  # fmt: skip
    """y (images, rows, height, width) of x (images, channels, ...), which is padded."""
    rows, channels, taps, width = indptr.size - 1, x.shape[1] // group, kernel[0] * kernel[1], x.shape[3]
    longest, at, height = _longest(indptr), 0, y.shape[2]
    columns, numbers = np.empty(longest, np.int64), np.empty(longest, np.float32)
    wide = np.empty((height, width), np.float32)
    in_runs, run = strides[0] == 1 and strides[1] == 1, wide.reshape(-1)[: (height - 1) * width + y.shape[3]]
    for o in range(rows):
        count, first = indptr[o + 1] - indptr[o], o // (rows // group) * channels
        at = _columns(deltas, at, columns[:count])
        _numbers(values, indptr[o], how, scale[o], book, numbers[:count])
        for image in range(y.shape[0]):
            plane = wide[:, : y.shape[3]]
            wide[:] = bias[o]
            for k in range(count):
                tap, channel = columns[k] % taps, x[image, first + columns[k] // taps]
                top, left = tap // kernel[1] * dilations[0], tap % kernel[1] * dilations[1]
                if in_runs:
                    _add_run(numbers[k], channel, top * width + left, run)
                else:
                    _add_lines(numbers[k], channel, top, left, strides, plane)
            for i in range(height):
                for j in range(y.shape[3]):
                    y[image, o, i, j] = _activated(plane[i, j], activation)


def _arguments(rows: StoredRows, bias: np.ndarray | None, activation: str | None) -> tuple[Any, ...]:
    """What both kernels take last."""
    count = rows.indptr.size - 1
    return (
        rows.indptr, rows.deltas, rows.values, _HOW[rows.kind],
        np.ones(count, np.float32) if rows.scale is None else rows.scale,
        np.zeros(1, np.float32) if rows.book is None else rows.book,
        np.zeros(count, np.float32) if bias is None else bias,
        _ACTIVATIONS.index(activation),
    )  # fmt: skip


def sparse_linear_numba(
    x: np.ndarray, rows: StoredRows, bias: np.ndarray | None = None, activation: str | None = None
) -> np.ndarray:
    """f(x W^T + bias) for float32 x of shape (..., columns), C-contiguous, with one row or more."""
    depth, count = x.shape[-1], rows.indptr.size - 1
    y = np.empty((count, x.size // depth), np.float32)
    _product(np.ascontiguousarray(x.reshape(-1, depth).T), y, *_arguments(rows, bias, activation))
    return np.ascontiguousarray(y.T).reshape(*x.shape[:-1], count)


def sparse_conv2d_numba(
    x: np.ndarray,
    rows: StoredRows,
    bias: np.ndarray | None,
    activation: str | None,
    w_shape: tuple[int, ...],
    *,
    strides: Pair,
    pads: Pads,
    dilations: Pair,
    group: int,
) -> np.ndarray:
    """f(accel.kernels.conv.conv2d) for a weight of `w_shape`, with the same errors."""
    y = np.zeros(
        result_shape(checks.array("x", x, np.float32, 4), w_shape, strides, pads, dilations, group), np.float32
    )
    kernel = w_shape[2], w_shape[3]
    _conv(padded(x, pads, 0.0), y, kernel, strides, dilations, group, *_arguments(rows, bias, activation))
    return y
