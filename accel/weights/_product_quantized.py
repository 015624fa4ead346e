"""Clustering and products of ProductQuantized weights."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from accel.kernels import program as native
from accel.kernels._codebook_cost import quantized_cycles
from accel.kernels._linear_cost import linear_cycles
from accel.kernels.linear import PackedLinear
from accel.kernels.product_quantized import PackedProduct


class ProductQuantizedProduct:
    """x W^T + bias from tables or, where that should be faster, as a dense product, each made when first needed."""

    def __init__(self, tables: PackedProduct, dense: Callable[[], np.ndarray], bias: np.ndarray | None) -> None:
        self.tables, self._dense, self._bias = tables, dense, bias
        self._packed: PackedLinear | None = None

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """(..., in) float32, C-contiguous, to (..., out)."""
        if x.size and native.native() and not self.gains(x.size // self.tables.depth):
            if self._packed is None:
                self._packed = PackedLinear(self._dense(), self._bias)
            return self._packed(x)
        return self.tables(x)

    def gains(self, rows: int) -> bool:
        """Whether tables should be faster than the dense product, for the native kernels."""
        out, subs = self.tables.codes.shape
        cycles = quantized_cycles(rows, out, subs, *self.tables.centroids.shape[1:])
        return cycles < linear_cycles(rows, out, self.tables.depth, 0)[0]


def nearest_centroids(
    points: np.ndarray, count: int, iterations: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Lloyd's k-means of (n, size) points: the code of each, and (count, size) centroids; an empty one stays where it
    was."""
    wide = points.astype(np.float64)
    centroids = wide[rng.choice(len(points), count, replace=False)]
    codes = np.full(len(points), -1)
    for _ in range(iterations):
        before, codes = codes, np.argmin((centroids**2).sum(1) - 2 * wide @ centroids.T, 1)
        if np.array_equal(before, codes):
            break
        counts = np.bincount(codes, minlength=count)
        sums = np.stack([np.bincount(codes, column, count) for column in wide.T], 1)
        centroids = np.where(counts[:, None] > 0, sums / np.maximum(counts, 1)[:, None], centroids)
    return codes.astype(np.uint8), centroids.astype(np.float32)
