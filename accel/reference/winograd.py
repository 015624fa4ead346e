"""Winograd convolution F(m x m, r x r) by definition, float64: the matrices from their points, and the loop over tiles.

A. Lavin and S. Gray, Fast Algorithms for Convolutional Neural Networks, CVPR 2016; matrices by Toom and Cook's method.
"""

from __future__ import annotations

import numpy as np

POINTS = {
    4: (0.0, 1.0, -1.0),
    6: (0.0, np.sqrt(0.5), -np.sqrt(0.5), np.sqrt(2.0), -np.sqrt(2.0)),
    8: (0.0, 1.0, -1.0, 0.5, -0.5, 2.0, -2.0),
}
"""The finite points by n = m + r - 1; infinity is the last one."""


def matrices(m: int, r: int, points: tuple[float, ...] | None = None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A^T (m x n), G (n x r) and B^T (n x n) of y = A^T [(G g) * (B^T d)], y[i] = sum_k g[k] d[i + k]."""
    n = m + r - 1
    points = POINTS[n] if points is None else points
    at, g, bt = np.zeros((m, n)), np.zeros((n, r)), np.zeros((n, n))
    for i, point in enumerate(points):
        others = [p for j, p in enumerate(points) if j != i]
        at[:, i] = point ** np.arange(m)
        g[i] = point ** np.arange(r) / np.prod([point - p for p in others])
        bt[i, : n - 1] = np.poly(others)[::-1]  # coefficients of prod (x - p), lowest first
    at[m - 1, n - 1] = g[n - 1, r - 1] = 1.0
    bt[n - 1] = np.poly(points)[::-1]
    return at, g, bt


def folded_weights(w: np.ndarray, stride: int) -> np.ndarray:
    """Weights (O, C, k, k) of a strided convolution as (O, C stride^2, r, r) of one with stride 1, r = ceil(k / s)."""
    out, channels, kernel = w.shape[:3]
    taps = -(-kernel // stride)
    padded = np.zeros((out, channels, taps * stride, taps * stride), w.dtype)
    padded[:, :, :kernel, :kernel] = w
    phases = padded.reshape(out, channels, taps, stride, taps, stride).transpose(0, 1, 3, 5, 2, 4)
    return np.ascontiguousarray(phases).reshape(out, channels * stride**2, taps, taps)


def folded_input(x: np.ndarray, kernel: int, stride: int, pads: tuple[int, int, int, int]) -> np.ndarray:
    """The input of that convolution, without pads: channel (c s + p) s + q holds pixels (i s + p, j s + q) of c."""
    taps, (images, channels) = -(-kernel // stride), x.shape[:2]
    sides = [(x.shape[2 + i] + pads[i] + pads[2 + i] - kernel) // stride + taps for i in (0, 1)]
    padded = np.zeros((images, channels, sides[0] * stride, sides[1] * stride), x.dtype)
    seen = x[:, :, : padded.shape[2] - pads[0], : padded.shape[3] - pads[1]]
    padded[:, :, pads[0] : pads[0] + seen.shape[2], pads[1] : pads[1] + seen.shape[3]] = seen
    phases = padded.reshape(images, channels, sides[0], stride, sides[1], stride).transpose(0, 1, 3, 5, 2, 4)
    return np.ascontiguousarray(phases).reshape(images, channels * stride**2, *sides)


def conv2d(
    x: np.ndarray,
    w: np.ndarray,
    bias: np.ndarray | None = None,
    *,
    m: int,
    stride: int = 1,
    pads: tuple[int, int, int, int] = (0, 0, 0, 0),
    group: int = 1,
) -> np.ndarray:
    """accel.reference.conv.conv2d with dilations 1 for square kernels, in tiles of m x m outputs.

    Y = A^T [ sum_c (G w_c G^T) * (B^T d_c B) ] A for every n x n window d, n = m + r - 1 with r x r taps. A stride is
    folded into the channels first.
    """
    if stride > 1:
        x, w, pads = folded_input(x, w.shape[2], stride, pads), folded_weights(w, stride), (0, 0, 0, 0)
    out, per_group, r, _ = w.shape
    at, g, bt = matrices(m, r)
    n, (top, left, bottom, right) = m + r - 1, pads
    height, width = x.shape[2] + top + bottom - r + 1, x.shape[3] + left + right - r + 1
    rows, columns = -(-height // m), -(-width // m)
    below, beside = rows * m + r - 1 - x.shape[2] - top, columns * m + r - 1 - x.shape[3] - left
    x = np.pad(x.astype(np.float64), ((0, 0), (0, 0), (top, below), (left, beside)))
    u = (g @ w.astype(np.float64) @ g.T).reshape(group, out // group, per_group, n, n)
    y = np.zeros((x.shape[0], out, rows * m, columns * m))
    for i in range(0, rows * m, m):
        for j in range(0, columns * m, m):
            v = (bt @ x[:, :, i : i + n, j : j + n] @ bt.T).reshape(-1, group, per_group, n, n)
            products = np.einsum("gocij,ngcij->ngoij", u, v).reshape(-1, out, n, n)
            y[:, :, i : i + m, j : j + m] = at @ products @ at.T
    y = y[:, :, :height, :width]
    return y if bias is None else np.asarray(y + bias.astype(np.float64)[:, None, None])
