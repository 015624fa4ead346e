"""Convolution and pooling by definition, N x C x H x W, float64."""

from __future__ import annotations

import numpy as np


def _windows(
    x: np.ndarray,
    kernel: tuple[int, int],
    strides: tuple[int, int],
    pads: tuple[int, int, int, int],
    dilations: tuple[int, int],
    fill: float,
) -> np.ndarray:
    """All windows of the padded image: (N, C, out_h, out_w, kh, kw); pads are top, left, bottom, right."""
    top, left, bottom, right = pads
    x = np.pad(x.astype(np.float64), ((0, 0), (0, 0), (top, bottom), (left, right)), constant_values=fill)
    reach = [d * (k - 1) + 1 for k, d in zip(kernel, dilations, strict=True)]
    if x.shape[2] < reach[0] or x.shape[3] < reach[1]:
        return np.zeros((*x.shape[:2], 0, 0, *kernel))
    view = np.lib.stride_tricks.sliding_window_view(x, reach, axis=(2, 3))
    return view[:, :, :: strides[0], :: strides[1], :: dilations[0], :: dilations[1]]


def conv2d(
    x: np.ndarray,
    w: np.ndarray,
    bias: np.ndarray | None = None,
    *,
    strides: tuple[int, int] = (1, 1),
    pads: tuple[int, int, int, int] = (0, 0, 0, 0),
    dilations: tuple[int, int] = (1, 1),
    group: int = 1,
) -> np.ndarray:
    """y[n, o, i, j] = bias[o] + sum_{c, p, q} w[o, c, p, q] x[n, g*C/group + c, i*sh + p*dh - top, j*sw + q*dw - left].

    g = o // (O / group) is the group of output channel o; x is zero outside its edges.
    """
    n = x.shape[0]
    out, per_group, kh, kw = w.shape
    windows = _windows(x, (kh, kw), strides, pads, dilations, 0.0)
    windows = windows.reshape(n, group, per_group, *windows.shape[2:])
    weights = w.astype(np.float64).reshape(group, out // group, per_group, kh, kw)
    y = np.einsum("ngcijpq,gocpq->ngoij", windows, weights, optimize=True)
    y = y.reshape(n, out, *y.shape[3:])
    return y if bias is None else np.asarray(y + bias.astype(np.float64)[:, None, None])


def conv2d_im2col(
    x: np.ndarray,
    w: np.ndarray,
    bias: np.ndarray | None = None,
    *,
    strides: tuple[int, int] = (1, 1),
    pads: tuple[int, int, int, int] = (0, 0, 0, 0),
    dilations: tuple[int, int] = (1, 1),
    group: int = 1,
) -> np.ndarray:
    """`conv2d` as one matrix product per group: rows are windows, columns their (channel, row, column) cells."""
    out, per_group, kh, kw = w.shape
    windows = _windows(x, (kh, kw), strides, pads, dilations, 0.0)
    n, _, height, width = windows.shape[:4]
    columns = windows.reshape(n, group, per_group, height, width, kh, kw).transpose(1, 0, 3, 4, 2, 5, 6)
    rows = columns.reshape(group, n * height * width, per_group * kh * kw)
    products = rows @ w.astype(np.float64).reshape(group, out // group, -1).transpose(0, 2, 1)
    y = products.reshape(group, n, height, width, out // group).transpose(1, 0, 4, 2, 3).reshape(n, out, height, width)
    return y if bias is None else np.asarray(y + bias.astype(np.float64)[:, None, None])


def max_pool2d(
    x: np.ndarray,
    kernel: tuple[int, int],
    *,
    strides: tuple[int, int] = (1, 1),
    pads: tuple[int, int, int, int] = (0, 0, 0, 0),
    dilations: tuple[int, int] = (1, 1),
) -> np.ndarray:
    """Largest value of every window; NaN if the window holds one. The padding never wins."""
    return np.asarray(_windows(x, kernel, strides, pads, dilations, -np.inf).max(axis=(-2, -1), initial=-np.inf))


def average_pool2d(
    x: np.ndarray,
    kernel: tuple[int, int],
    *,
    strides: tuple[int, int] = (1, 1),
    pads: tuple[int, int, int, int] = (0, 0, 0, 0),
    dilations: tuple[int, int] = (1, 1),
    count_include_pad: bool = False,
) -> np.ndarray:
    """Mean of every window, over the cells inside the image or over all of them."""
    sums = _windows(x, kernel, strides, pads, dilations, 0.0).sum(axis=(-2, -1))
    if count_include_pad:
        return np.asarray(sums / (kernel[0] * kernel[1]))
    ones = np.ones((1, 1, *x.shape[2:]))
    return np.asarray(sums / _windows(ones, kernel, strides, pads, dilations, 0.0).sum(axis=(-2, -1)))
