"""Exact one-dimensional k-means by its definition: the oracle of accel.kernels.kmeans."""

from __future__ import annotations

import numpy as np


def error(values: np.ndarray, centroids: np.ndarray, weights: np.ndarray | None = None) -> float:
    """Sum of weight * squared distance to the nearest centroid, in float64."""
    x = np.asarray(values, np.float64)
    nearest = np.min((x[:, None] - np.asarray(centroids, np.float64)) ** 2, axis=1, initial=np.inf)
    return float(np.sum(nearest if weights is None else nearest * weights))


def assign_codes(values: np.ndarray, centroids: np.ndarray) -> np.ndarray:
    """Index of the nearest centroid, the lower of two that are as near."""
    distance = np.abs(np.asarray(values, np.float64)[:, None] - np.asarray(centroids, np.float64))
    codes: np.ndarray = np.argmin(distance, axis=1).astype(np.uint8)
    return codes


def _group_error(x: np.ndarray, w: np.ndarray) -> float:
    total = w.sum()
    return float((w * (x - (w * x).sum() / total) ** 2).sum()) if total > 0 else 0.0


def kmeans_1d(values: np.ndarray, k: int, weights: np.ndarray | None = None) -> tuple[np.ndarray, float]:
    """(centroids, error) of the best k groups, all consecutive in sorted order; O(k n^2) errors of O(n) each."""
    order = np.argsort(values, kind="stable")
    x = np.asarray(values, np.float64)[order]
    w = np.ones(x.size) if weights is None else np.asarray(weights, np.float64)[order]
    n, k = x.size, min(k, x.size)
    group = np.array([[_group_error(x[i:j], w[i:j]) if i < j else 0.0 for j in range(n + 1)] for i in range(n + 1)])
    best = np.full((k + 1, n + 1), np.inf)
    split = np.zeros((k + 1, n + 1), np.intp)
    best[0, 0] = 0.0
    for c in range(1, k + 1):
        for j in range(c, n + 1):
            costs = best[c - 1, :j] + group[:j, j]
            split[c, j] = np.argmin(costs)
            best[c, j] = costs[split[c, j]]
    centroids = []
    end = n
    for c in range(k, 0, -1):
        start = split[c, end]
        total = w[start:end].sum()
        centroids.append((w[start:end] * x[start:end]).sum() / total if total > 0 else x[start])
        end = start
    return np.array(centroids[::-1]), float(best[k, n])
