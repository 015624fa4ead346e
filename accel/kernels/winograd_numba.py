"""Winograd, im2col and FFT convolution without native kernels: independent of them, readable, float32.

Winograd is compiled by Numba, in blocks of tiles whose lanes are the tiles. The other two are matrix product and
transform of NumPy.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from accel.kernels import runtime
from accel.kernels.jit import njit
from accel.reference.fft import TILE
from accel.reference.winograd import folded_input, folded_weights, matrices

Pair = tuple[int, int]
Pads = tuple[int, int, int, int]
_TILES = 64
"""Tiles of a block: rows of that many floats stay in the L1 cache."""


@njit
def _mix(matrix: Any, lines: Any, out: Any) -> None:
    """out[i] = sum_k matrix[i, k] lines[k], the last axis in the lanes."""
    for i in range(matrix.shape[0]):
        row = out[i]
        row[:] = np.float32(0)
        for k in range(matrix.shape[1]):
            factor = matrix[i, k]
            if factor != 0:
                for t in range(row.size):
                    row[t] += factor * lines[k, t]


@njit
def _multiply(u: Any, v: Any, out: Any) -> None:
    """out[o] = sum_c u[o, c] v[c], four channels at a time: each pass over a row costs a load and a store."""
    channels = u.shape[1]
    whole = channels // 4 * 4
    for o in range(u.shape[0]):
        row = out[o]
        row[:] = np.float32(0)
        for c in range(0, whole, 4):
            a, b, d, e = u[o, c], u[o, c + 1], u[o, c + 2], u[o, c + 3]
            for t in range(row.size):
                row[t] += (a * v[c, t] + b * v[c + 1, t]) + (d * v[c + 2, t] + e * v[c + 3, t])
        for c in range(whole, channels):
            a = u[o, c]
            for t in range(row.size):
                row[t] += a * v[c, t]


@njit
def _input(plane: Any, first: int, columns: int, m: int, bt: Any, window: Any, half: Any, v: Any) -> None:
    """v[i, j] = (B^T d B)[i, j] of the tiles from `first` on."""
    n, count = bt.shape[0], v.shape[2]
    for t in range(count):
        y, x = (first + t) // columns * m, (first + t) % columns * m
        for i in range(n):
            for j in range(n):
                window[i, j, t] = plane[y + i, x + j]
    for j in range(n):
        _mix(bt, window[:, j], half[:, j])
    for i in range(n):
        _mix(bt, half[i], v[i])


@njit
def _output(products: Any, at: Any, half: Any, tile: Any, first: int, columns: int, bias: Any, plane: Any) -> None:
    """The tiles from `first` on of one output channel: A^T M A, as far as they lie inside the image."""
    m, n = at.shape
    for j in range(n):
        _mix(at, products[:, j], half[:, j])
    for i in range(m):
        _mix(at, half[i], tile[i])
    for t in range(tile.shape[2]):
        y, x = (first + t) // columns * m, (first + t) % columns * m
        for i in range(min(m, plane.shape[0] - y)):
            for j in range(min(m, plane.shape[1] - x)):
                plane[y + i, x + j] = tile[i, j, t] + bias


@njit
def _winograd(x: Any, u: Any, bias: Any, at: Any, bt: Any, y: Any) -> None:
    """x is padded to whole tiles; u is (groups, n, n, out, in)."""
    groups, n, m = u.shape[0], at.shape[1], at.shape[0]
    out, per_group = u.shape[3], u.shape[4]
    columns = -(-y.shape[3] // m)
    tiles = -(-y.shape[2] // m) * columns
    for image in range(y.shape[0]):
        for first in range(0, tiles, _TILES):
            count = min(_TILES, tiles - first)
            window, half = np.empty((n, n, count), np.float32), np.empty((n, n, count), np.float32)
            v, tile = np.empty((per_group, n, n, count), np.float32), np.empty((m, m, count), np.float32)
            depth, products = np.empty((per_group, count), np.float32), np.empty((out, n, n, count), np.float32)
            sums = np.empty((out, count), np.float32)
            for g in range(groups):
                for c in range(per_group):
                    _input(x[image, g * per_group + c], first, columns, m, bt, window, half, v[c])
                for i in range(n):
                    for j in range(n):
                        depth[:] = v[:, i, j]
                        _multiply(u[g, i, j], depth, sums)
                        products[:, i, j] = sums
                for o in range(out):
                    channel = g * out + o
                    plane = y[image, channel]
                    _output(products[o], at, half, tile, first, columns, bias[channel], plane)


def winograd2d_numba(
    x: np.ndarray,
    w: np.ndarray,
    bias: np.ndarray | None,
    shape: tuple[int, int, int, int],
    m: int,
    stride: int,
    pads: Pads,
    group: int,
) -> np.ndarray:
    """Arguments as checked by accel.kernels.conv.conv2d, values finite; `shape` is that of the result."""
    if stride > 1:
        x, w, pads = folded_input(x, w.shape[2], stride, pads), folded_weights(w, stride), (0, 0, 0, 0)
    r, y = w.shape[2], runtime.empty(shape, np.float32)
    at, g, bt = matrices(m, r)
    u = (g @ w.astype(np.float64) @ g.T).astype(np.float32)
    u = u.reshape(group, -1, w.shape[1], m + r - 1, m + r - 1).transpose(0, 3, 4, 1, 2)
    below, beside = (-(-shape[2 + i] // m) * m + r - 1 - x.shape[2 + i] - pads[i] for i in (0, 1))
    padded = np.pad(x, ((0, 0), (0, 0), (pads[0], below), (pads[1], beside)))
    full = np.zeros(shape[1], np.float32) if bias is None else bias
    _winograd(padded, np.ascontiguousarray(u), full, at.astype(np.float32), bt.astype(np.float32), y)
    return y


def im2col2d_numpy(
    x: np.ndarray,
    w: np.ndarray,
    bias: np.ndarray | None,
    shape: tuple[int, int, int, int],
    strides: Pair,
    pads: Pads,
    dilations: Pair,
    group: int,
) -> np.ndarray:
    """One matrix product per image and group."""
    y = runtime.empty(shape, np.float32)
    top, left, bottom, right = pads
    padded = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)))
    reach = [dilations[i] * (w.shape[2 + i] - 1) + 1 for i in (0, 1)]
    windows = np.lib.stride_tricks.sliding_window_view(padded, reach, axis=(2, 3))
    windows = windows[:, :, :: strides[0], :: strides[1], :: dilations[0], :: dilations[1]]
    filters, per_group = w.reshape(group, shape[1] // group, -1), w.shape[1]
    for image in range(shape[0]):
        for g in range(group):
            cells = windows[image, g * per_group : (g + 1) * per_group].transpose(0, 3, 4, 1, 2)
            rows = cells.reshape(filters.shape[2], -1)
            part = y[image].reshape(group, shape[1] // group, -1)[g]
            np.matmul(filters[g], rows, out=part)
    return y if bias is None else np.add(y, bias[:, np.newaxis, np.newaxis], out=y)


def fft2d_numpy(
    x: np.ndarray, w: np.ndarray, bias: np.ndarray | None, shape: tuple[int, int, int, int], pads: Pads, group: int
) -> np.ndarray:
    """Tiles of 16 x 16 by NumPy's transform; values finite. Products per frequency are matrix products over tiles."""
    steps = [TILE + 1 - w.shape[2], TILE + 1 - w.shape[3]]
    counts = [-(-shape[2 + i] // steps[i]) for i in (0, 1)]
    below, beside = ((counts[i] - 1) * steps[i] + TILE - x.shape[2 + i] - pads[i] for i in (0, 1))
    padded = np.pad(x, ((0, 0), (0, 0), (pads[0], below), (pads[1], beside)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (TILE, TILE), axis=(2, 3))[
        :, :, :: steps[0], :: steps[1]
    ]
    v = np.fft.rfft2(windows).reshape(
        shape[0], group, w.shape[1], -1, TILE * (TILE // 2 + 1)
    )  # image, group, c, tile, f
    u = np.conj(np.fft.rfft2(w, (TILE, TILE))).reshape(group, -1, w.shape[1], v.shape[4])
    sums = u.transpose(0, 3, 1, 2) @ v.transpose(0, 1, 4, 2, 3)  # image, group, f, out, tile
    sums = np.moveaxis(sums, 2, 4).reshape(shape[0], shape[1], *counts, TILE, TILE // 2 + 1)
    tiles = np.fft.irfft2(sums, (TILE, TILE))[..., : steps[0], : steps[1]]
    y = tiles.transpose(0, 1, 2, 4, 3, 5).reshape(*shape[:2], counts[0] * steps[0], counts[1] * steps[1])
    y = y[:, :, : shape[2], : shape[3]]
    return np.ascontiguousarray(y if bias is None else y + bias[:, np.newaxis, np.newaxis], np.float32)
