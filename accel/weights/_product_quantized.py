"""Clustering of ProductQuantized weights."""

from __future__ import annotations

import numpy as np


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
