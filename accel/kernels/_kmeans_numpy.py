"""The loops of k-means as whole-array NumPy operations; same functions as csrc/kernels/kmeans and kmeans_numba."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

MOST_POINTS = 1 << 14  # solved exactly up to here: 256 centroids in 0.3 s, docs/kernels/kmeans.md

_AT_ONCE = 1 << 21  # values looked at at a time


def _best(sums: np.ndarray, before: np.ndarray, j: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """For each of several j at once: (least cost of the first j points, where its last cluster begins)."""
    length = np.minimum(high, j - 1) - low + 1
    offset = np.cumsum(length) - length
    i = np.arange(int(length.sum())) + np.repeat(low - offset, length)
    w, s, e = sums[:, np.repeat(j, length)] - sums[:, i]
    error = e - np.divide(s * s, w, out=np.zeros_like(w), where=w > 0)
    total = before[i] + np.maximum(error, 0.0)
    least = np.minimum.reduceat(total, offset)
    hits = np.flatnonzero(total == np.repeat(least, length))
    return np.stack([least, i[hits[np.searchsorted(hits, offset)]].astype(np.float64)])


def _row(sums: np.ndarray, before: np.ndarray, c: int) -> tuple[np.ndarray, np.ndarray]:
    """Costs and splits of c clusters: the middles of all spans of one size at a time."""
    m = before.size - 1
    cost, split = np.empty(m + 1), np.zeros(m + 1, np.int64)
    begin, end, low, high = (np.array([v]) for v in (c, m + 1, c - 1, m))
    while begin.size:
        mid = begin + (end - begin) // 2
        cost[mid], at = _best(sums, before, mid, low, high)
        split[mid] = at
        begin, end, low, high = (
            np.concatenate(sides) for sides in ((begin, mid + 1), (mid, end), (low, split[mid]), (split[mid], high))
        )
        some = begin < end
        begin, end, low, high = begin[some], end[some], low[some], high[some]
    return cost, split


def kmeans_starts(weight: np.ndarray, first: np.ndarray, second: np.ndarray, k: int) -> np.ndarray:
    m = weight.size - 1
    sums = np.stack([weight, first, second])
    cost = np.zeros(m + 1)
    j = np.arange(1, m + 1)
    cost[1:] = _best(sums, cost, j, np.zeros_like(j), np.zeros_like(j))[0]
    splits = []
    for c in range(2, k + 1):
        cost, split = _row(sums, cost, c)
        splits.append(split)
    starts = np.zeros(k, np.int64)
    end = m
    for c in range(k - 1, 0, -1):
        end = splits[c - 1][end]
        starts[c] = end
    return starts


def parts(values: np.ndarray) -> Iterator[np.ndarray]:
    """Views of at most 2^21 values each, so that what is made of them stays small."""
    for first in range(0, values.size, _AT_ONCE):
        yield values[first : first + _AT_ONCE]


def prefix_counts(values: np.ndarray) -> np.ndarray:
    counts = np.zeros(1 << 16, np.int64)
    for part in parts(values):
        counts += np.bincount(part.view(np.uint32) >> 16, minlength=counts.size)
    return counts.astype(np.uint32)


def distinct_values(values: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    kept, counts = np.empty(0, np.float32), np.empty(0, np.int64)
    for part in parts(values):
        new, times = np.unique(part, return_counts=True)
        kept, at = np.unique(np.concatenate([kept, new]), return_inverse=True)
        if kept.size > MOST_POINTS:
            return None
        counts = np.bincount(at, np.concatenate([counts, times])).astype(np.int64)
    return kept + np.float32(0), counts.astype(np.uint32)


def value_histogram(values: np.ndarray, places: np.ndarray, bins: int) -> tuple[np.ndarray, np.ndarray]:
    counts, sums = np.zeros((2, bins))
    for part in parts(values):
        bits = part.view(np.uint32)
        place, low = places[bits >> 16], bits & 0xFFFF
        drop = place & 31
        at = (place >> 5) + (low >> drop)
        counts += np.bincount(at, minlength=bins)
        sums += np.bincount(at, low - (low >> drop << drop), bins)
    return counts.astype(np.uint64), sums.astype(np.uint64)


def assign_codes(values: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    return np.searchsorted(thresholds, values, side="left").astype(np.uint8)
