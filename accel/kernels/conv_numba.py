"""Convolution and pooling compiled by Numba: independent of the native kernels, readable, and where none were built."""

from __future__ import annotations

from typing import Any

import numpy as np

from accel.kernels import runtime
from accel.kernels.jit import njit

Pair = tuple[int, int]
Pads = tuple[int, int, int, int]


def padded(x: np.ndarray, pads: Pads, fill: float) -> np.ndarray:
    top, left, bottom, right = pads
    return np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)), constant_values=fill)


@njit
def _conv(x: Any, w: Any, bias: Any, strides: Any, dilations: Any, group: int, y: Any) -> None:  # x is padded
    images, channels = y.shape[0], y.shape[1]
    per_group, kernel_h, kernel_w = w.shape[1], w.shape[2], w.shape[3]
    for image in range(images):
        for o in range(channels):
            first = o // (channels // group) * per_group
            for i in range(y.shape[2]):
                row = y[image, o, i]
                row[:] = bias[o]
                for c in range(per_group):
                    for p in range(kernel_h):
                        line = x[image, first + c, i * strides[0] + p * dilations[0]]
                        for q in range(kernel_w):
                            weight = w[o, c, p, q]
                            for j in range(row.size):
                                row[j] += weight * line[j * strides[1] + q * dilations[1]]


def conv2d_numba(
    x: np.ndarray,
    w: np.ndarray,
    bias: np.ndarray | None,
    shape: tuple[int, int, int, int],
    strides: Pair,
    pads: Pads,
    dilations: Pair,
    group: int,
) -> np.ndarray:
    """Arguments as checked by accel.kernels.conv.conv2d; `shape` is that of the result."""
    y = runtime.empty(shape, np.float32)
    _conv(
        padded(x, pads, 0.0), w, np.zeros(shape[1], np.float32) if bias is None else bias, strides, dilations, group, y
    )
    return y


@njit
def _max_pool(x: Any, kernel: Any, strides: Any, dilations: Any, y: Any) -> None:
    for image in range(y.shape[0]):
        for c in range(y.shape[1]):
            for i in range(y.shape[2]):
                for j in range(y.shape[3]):
                    best = -np.inf
                    for p in range(kernel[0]):
                        for q in range(kernel[1]):
                            v = x[image, c, i * strides[0] + p * dilations[0], j * strides[1] + q * dilations[1]]
                            # A NaN is taken and then stays: nothing is greater than it.
                            if v > best or v != v:
                                best = v
                            if best != best:
                                break
                    y[image, c, i, j] = best


@njit
def _sum_pool(x: Any, kernel: Any, strides: Any, dilations: Any, y: Any) -> None:
    for image in range(y.shape[0]):
        for c in range(y.shape[1]):
            for i in range(y.shape[2]):
                for j in range(y.shape[3]):
                    total = np.float32(0.0)
                    for p in range(kernel[0]):
                        for q in range(kernel[1]):
                            total += x[image, c, i * strides[0] + p * dilations[0], j * strides[1] + q * dilations[1]]
                    y[image, c, i, j] = total


def max_pool2d_numba(
    x: np.ndarray, kernel: Pair, shape: tuple[int, int, int, int], strides: Pair, pads: Pads, dilations: Pair
) -> np.ndarray:
    """Arguments as checked by accel.kernels.pool; pads cover every window."""
    y = runtime.empty(shape, np.float32)
    _max_pool(padded(x, pads, -np.inf), kernel, strides, dilations, y)
    return y


def sum_pool2d_numba(
    x: np.ndarray, kernel: Pair, shape: tuple[int, int, int, int], strides: Pair, pads: Pads, dilations: Pair
) -> np.ndarray:
    """Sums of the windows; arguments as max_pool2d_numba."""
    y = runtime.empty(shape, np.float32)
    _sum_pool(padded(x, pads, 0.0), kernel, strides, dilations, y)
    return y
