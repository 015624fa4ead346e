"""The loops of k-means compiled by Numba; same functions as csrc/kernels/kmeans and _kmeans_numpy."""

from __future__ import annotations

import numpy as np

from accel.kernels._kmeans_numpy import distinct_values as distinct_values
from accel.kernels.jit import njit


@njit
def _best(
    weight: np.ndarray, first: np.ndarray, second: np.ndarray, before: np.ndarray, j: int, low: int, high: int
) -> tuple[float, int]:
    """Least cost of the first j points, and where its last cluster begins, low..high."""
    least, at = np.inf, low
    for i in range(low, min(high, j - 1) + 1):
        w, s = weight[j] - weight[i], first[j] - first[i]
        error = second[j] - second[i] - (s * s / w if w > 0 else 0.0)
        total = before[i] + max(error, 0.0)
        if total < least:
            least, at = total, i
    return least, at


@njit
def kmeans_starts(weight: np.ndarray, first: np.ndarray, second: np.ndarray, k: int) -> np.ndarray:
    m = weight.size - 1
    cost, before = np.empty(m + 1), np.zeros(m + 1)
    split = np.zeros((k, m + 1), np.int64)
    for j in range(1, m + 1):
        before[j], _ = _best(weight, first, second, np.zeros(1), j, 0, 0)
    stack = np.empty((128, 4), np.int64)  # from, to, low, high; a row halves its span, so 2 * 64 are enough
    for c in range(2, k + 1):
        stack[0] = (c, m + 1, c - 1, m)
        top = 1
        while top:
            top -= 1
            begin, end, low, high = stack[top]
            mid = begin + (end - begin) // 2
            cost[mid], at = _best(weight, first, second, before, mid, low, high)
            split[c - 1, mid] = at
            if begin < mid:
                stack[top] = (begin, mid, low, at)
                top += 1
            if mid + 1 < end:
                stack[top] = (mid + 1, end, at, high)
                top += 1
        cost, before = before, cost
    starts = np.zeros(k, np.int64)
    end = m
    for c in range(k - 1, 0, -1):
        end = split[c, end]
        starts[c] = end
    return starts


def prefix_counts(values: np.ndarray) -> np.ndarray:
    return _count_prefixes(values.view(np.uint32))


@njit
def _count_prefixes(bits: np.ndarray) -> np.ndarray:
    counts = np.zeros(1 << 16, np.uint32)
    for i in range(bits.size):
        counts[bits[i] >> 16] += 1
    return counts


def value_histogram(values: np.ndarray, places: np.ndarray, bins: int) -> tuple[np.ndarray, np.ndarray]:
    return _count_bins(values.view(np.uint32), places, bins)


@njit
def _count_bins(bits: np.ndarray, places: np.ndarray, bins: int) -> tuple[np.ndarray, np.ndarray]:
    counts, sums = np.zeros(bins, np.uint64), np.zeros(bins, np.uint64)
    for i in range(bits.size):
        place, low = places[bits[i] >> 16], np.int64(bits[i] & 0xFFFF)
        drop = np.int64(place & 31)
        part = low >> drop
        at = np.int64(place >> 5) + part
        counts[at] += np.uint64(1)
        sums[at] += np.uint64(low - (part << drop))
    return counts, sums


@njit
def assign_codes(values: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    codes = np.empty(values.size, np.uint8)
    for i in range(values.size):
        low, high = 0, thresholds.size
        while low < high:
            mid = (low + high) // 2
            if thresholds[mid] < values[i]:
                low = mid + 1
            else:
                high = mid
        codes[i] = low
    return codes
