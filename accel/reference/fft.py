"""Convolution by Fourier transforms of overlapping tiles (overlap-save), float64."""

from __future__ import annotations

import numpy as np

TILE = 16
"""Pixels a side of a transformed tile."""


def conv2d(
    x: np.ndarray,
    w: np.ndarray,
    bias: np.ndarray | None = None,
    *,
    pads: tuple[int, int, int, int] = (0, 0, 0, 0),
    group: int = 1,
) -> np.ndarray:
    """accel.reference.conv.conv2d with strides and dilations 1, kernels of at most 16 x 16.

    For every 16 x 16 window d: Y = F^-1 [ sum_c conj(F w_c) * (F d_c) ], of which the first 17 - kh by 17 - kw cells
    are not touched by wrapping round.
    """
    out, per_group, kh, kw = w.shape
    step_h, step_w, (top, left, bottom, right) = TILE + 1 - kh, TILE + 1 - kw, pads
    height, width = x.shape[2] + top + bottom - kh + 1, x.shape[3] + left + right - kw + 1
    rows, columns = -(-height // step_h), -(-width // step_w)
    below, beside = rows * step_h + kh - 1 - x.shape[2] - top, columns * step_w + kw - 1 - x.shape[3] - left
    x = np.pad(x.astype(np.float64), ((0, 0), (0, 0), (top, below), (left, beside)))
    u = np.conj(np.fft.rfft2(w.astype(np.float64), (TILE, TILE))).reshape(group, out // group, per_group, TILE, -1)
    y = np.zeros((x.shape[0], out, rows * step_h, columns * step_w))
    for i in range(0, rows * step_h, step_h):
        for j in range(0, columns * step_w, step_w):
            v = np.fft.rfft2(x[:, :, i : i + TILE, j : j + TILE]).reshape(-1, group, per_group, TILE, TILE // 2 + 1)
            products = np.einsum("gocij,ngcij->ngoij", u, v).reshape(-1, out, TILE, TILE // 2 + 1)
            y[:, :, i : i + step_h, j : j + step_w] = np.fft.irfft2(products, (TILE, TILE))[:, :, :step_h, :step_w]
    y = y[:, :, :height, :width]
    return y if bias is None else np.asarray(y + bias.astype(np.float64)[:, None, None])
