"""Products with shared values by their definitions, in float64."""

from __future__ import annotations

import numpy as np


def codebook_dense(codes: np.ndarray, codebook: np.ndarray) -> np.ndarray:
    """w[o, ...] = codebook[g, codes[o, ...]], g = o // (out / groups), of a codebook (k,) or (groups, k)."""
    books = codebook.astype(np.float64).reshape(-1, codebook.shape[-1])
    each = codes.shape[0] // len(books)
    return np.stack([books[o // each][codes[o]] for o in range(codes.shape[0])])


def codebook_matmul(
    x: np.ndarray, codes: np.ndarray, codebook: np.ndarray, bias: np.ndarray | None = None
) -> np.ndarray:
    """x W^T + bias."""
    y = x.astype(np.float64) @ codebook_dense(codes, codebook).T
    return np.asarray(y if bias is None else y + bias)


def product_quantized_dense(codes: np.ndarray, centroids: np.ndarray, depth: int) -> np.ndarray:
    """(out, depth): row o is the sub-vectors centroids[j, codes[o, j]] one after another, the last cut off at depth."""
    rows = [np.concatenate([centroids[j, code] for j, code in enumerate(row)])[:depth] for row in codes]
    return np.stack(rows).astype(np.float64)
