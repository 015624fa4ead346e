"""Circulant and block-circulant matrices by their definition."""

from __future__ import annotations

import numpy as np


def dense(r: np.ndarray) -> np.ndarray:
    """float64 (p b, q b) from r (p, q, b): W[u b + i, v b + j] = r[u, v, (i - j) mod b]."""
    p, q, b = r.shape
    i, j = np.arange(b)[:, None], np.arange(b)
    blocks = r.astype(np.float64)[:, :, (i - j) % b]
    return blocks.transpose(0, 2, 1, 3).reshape(p * b, q * b)


def block_circulant_matmul(x: np.ndarray, r: np.ndarray) -> np.ndarray:
    """x (..., q b) times the transpose of `dense(r)`, float64."""
    return np.asarray(x.astype(np.float64) @ dense(r).T)


def circulant_matmul(x: np.ndarray, r: np.ndarray) -> np.ndarray:
    """y[..., i] = sum_j r[(i - j) mod d] x[..., j], float64."""
    return block_circulant_matmul(x, r[None, None])


def gradient_r(g: np.ndarray, x: np.ndarray, b: int) -> np.ndarray:
    """float64 (p, q, b): the derivative by r of the sum of g (..., p b) times the product with x (..., q b)."""
    p, q = g.shape[-1] // b, x.shape[-1] // b
    by_w = g.reshape(-1, p * b).astype(np.float64).T @ x.reshape(-1, q * b).astype(np.float64)
    blocks = by_w.reshape(p, b, q, b)
    i, j = np.arange(b)[:, None], np.arange(b)
    result = np.zeros((p, q, b))
    for k in range(b):
        result[:, :, k] = (blocks * ((i - j) % b == k)[None, :, None, :]).sum((1, 3))
    return result
