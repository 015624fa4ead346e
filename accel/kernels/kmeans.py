"""One-dimensional k-means for codebooks: the best centroids, and the nearest centroid of every value."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from accel.kernels import checks, runtime
from accel.kernels._kmeans_numpy import MOST_POINTS

MANY = 1 << 18  # values that are no longer sorted
_FINE = 1 << 16  # bins of their histogram, about


def kmeans_1d(values: np.ndarray, k: int, *, weights: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """The centroids of least total squared error, and each value's code.

    minimises sum_i weights[i] * (values[i] - centroids[codes[i]])**2

    Up to 16,384 distinct values the result is the global optimum (dynamic programming, [1]_). Beyond, it is the
    optimum among the clusterings whose borders lie on 16,384 cuts of the sorted values (half of them equal counts
    apart, half equal distances), improved by Lloyd's iteration on the values themselves until nothing changes; that
    never raises the error. More than 262,144 values without weights are not sorted: in their place stand the means of
    a histogram of about 100,000 bins, laid out where centroids of least error lie densely.
    Deterministic; every back end gives the same bits.

    Parameters
    ----------
    values : ndarray, shape (n,), float32, finite; n may be 0.
    k : most centroids, 1..256.
    weights : ndarray, shape (n,), float64 or float32, optional: finite, not negative, not all zero.

    Returns
    -------
    centroids : ndarray, shape (m,), float32, strictly ascending, m <= k; m is the number of distinct values (of
        positive weight) where that is at most k, and the error then zero.
    codes : ndarray, shape (n,), uint8: `assign_codes(values, centroids)`

    Raises
    ------
    TypeError   values is not float32, or weights is neither float64 nor float32.
    ValueError  values or weights hold NaN or infinity, weights are negative or all zero, k is outside 1..256.

    Notes
    -----
    Errors are differences of running float64 sums about the mean: values that spread over more than about 8 decades
    may be clustered less than optimally. Temporary memory: for many values without weights 20 MB, whatever their
    number; else about 40 bytes per distinct value.

    References
    ----------
    .. [1] Gronlund et al., "Fast exact k-means, k-medians and Bregman divergence clustering in 1D", arXiv 1701.07204.
    .. [2] Han, Mao & Dally, "Deep compression", ICLR 2016 (weight sharing).
    """
    checks.array("values", values, np.float32, 1)
    checks.integer("k", k, 1, 256)
    if weights is None and MANY < values.size < 1 << 32:
        x, w = _histogram(values)
    else:
        _check_finite("values", values)
        if weights is not None:
            _check_weights(weights, values)
        if values.size == 0:
            return np.empty(0, np.float32), np.empty(0, np.uint8)
        x, w = _distinct(values, weights)
    centroids = _solve(x, w, k) if x.size > k else x.astype(np.float32)
    return centroids, _codes(values, centroids)


def assign_codes(values: np.ndarray, centroids: np.ndarray) -> np.ndarray:
    """Code of the nearest centroid for every value; of two equally near ones, the lower.

    Parameters
    ----------
    values : ndarray, shape (n,), float32, finite.
    centroids : ndarray, shape (k,), float32, finite, strictly ascending, 1 <= k <= 256.

    Returns
    -------
    ndarray, shape (n,), uint8

    Raises
    ------
    TypeError   an array is not float32.
    ValueError  an array holds NaN or infinity, or centroids do not ascend or are not 1..256.
    """
    checks.array("values", values, np.float32, 1)
    checks.array("centroids", centroids, np.float32, 1)
    _check_finite("values", values)
    _check_finite("centroids", centroids)
    if not 1 <= centroids.size <= 256:
        raise ValueError(f"centroids: expected 1..256 of them, got {centroids.size}")
    if (centroids[1:] <= centroids[:-1]).any():
        raise ValueError("centroids: expected strictly ascending values")
    return _codes(values, centroids)


def _codes(values: np.ndarray, centroids: np.ndarray) -> np.ndarray:
    return np.asarray(_backend().assign_codes(values, _thresholds(centroids)), np.uint8)


class _Sums(NamedTuple):
    """Running sums of weight, weight * x, weight * x**2 over the points before each index."""

    weight: np.ndarray
    first: np.ndarray
    second: np.ndarray

    def at(self, cuts: np.ndarray) -> _Sums:
        return _Sums(self.weight[cuts], self.first[cuts], self.second[cuts])

    def clusters(self, starts: np.ndarray) -> tuple[np.ndarray, float]:
        """(means, total error) of the clusters that begin at `starts`."""
        w, s, e = (np.diff(part[np.append(starts, part.size - 1)]) for part in self)
        return s / w, float(np.sum(np.maximum(e - s * s / w, 0.0)))


def _check_finite(name: str, values: np.ndarray) -> None:
    finite = np.isfinite(values)
    if not finite.all():
        k = int(np.argmin(finite))
        raise ValueError(f"{name}: expected finite values, got {values[k]} at index {k}")


def _check_weights(weights: np.ndarray, values: np.ndarray) -> None:
    kind = np.float32 if getattr(weights, "dtype", None) == np.float32 else np.float64
    checks.array("weights", weights, kind, 1)
    if weights.shape != values.shape:
        raise ValueError(f"weights: expected shape {values.shape} as values, got {weights.shape}")
    _check_finite("weights", weights)
    if (weights < 0).any():
        raise ValueError(f"weights: expected none below 0, got {weights.min()}")
    if weights.size and not weights.any():
        raise ValueError("weights: expected one above 0, got none")


def _distinct(values: np.ndarray, weights: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """The distinct values, ascending, and the float64 weight of each, those of weight 0 left out."""
    if weights is None:
        x = np.sort(values)
    else:
        order = np.argsort(values, kind="stable")
        order = order[weights[order] > 0]
        x = values[order]
    first = np.flatnonzero(np.append(True, x[1:] != x[:-1]))
    if weights is None:
        w = np.diff(np.append(first, x.size)).astype(np.float64)
    else:
        # By a power of two to at most 1: exact, and the sums of the largest weights stay finite.
        scaled = np.ldexp(weights[order].astype(np.float64), -int(np.frexp(weights.max())[1]))
        w = np.add.reduceat(scaled, first)
        first, w = first[w > 0], w[w > 0]
    distinct: np.ndarray = x[first] + np.float32(0)  # + 0: a zero is never -0.0
    return distinct, w


def _histogram(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The distinct values and the weight of each, or the mean and weight of each bin of a histogram; float64.

    The upper halves of the bits are counted first: sign, exponent and 7 bits of the mantissa. Then each such prefix is
    parted into 2^0 .. 2^16 bins. Counts and sums are integers, so that no order changes them.
    """
    backend = _backend()
    counts = backend.prefix_counts(values)
    if counts[0x7F80:0x8000].any() or counts[0xFF80:].any():
        _check_finite("values", values)
    found = backend.distinct_values(values)
    if found is not None:
        order = np.argsort(found[0])
        return found[0][order].astype(np.float64), found[1][order].astype(np.float64)
    places, first = _places(counts)
    numbers, low = backend.value_histogram(values, places, first.size)
    used = np.flatnonzero(numbers)
    base = first[used].view(np.float32).astype(np.float64)
    step = (first[used] | np.uint32(1)).view(np.float32) - base  # of all bits below the prefix: one exponent
    w = numbers[used].astype(np.float64)
    x = base + step * (low[used] / w)
    order = np.argsort(x, kind="stable")
    return x[order], w[order]


def _places(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For csrc/kernels/kmeans: where a prefix's bins begin and how many bits they drop; and each bin's least bits."""
    prefixes = np.flatnonzero(counts)
    count = counts[prefixes].astype(np.float64)
    ends = (prefixes << 16 | np.array([[0], [0xFFFF]])).astype(np.uint32).view(np.float32).astype(np.float64)
    # Centroids of least error lie as densely as the cube root of the values' density: so do the bins. Outliers may
    # claim them all, so that a prefix has at least as many as its share of the values.
    claim = np.cbrt(count * (ends[1] - ends[0]) ** 2) * (count > 1)
    share = np.maximum(claim / max(claim.sum(), np.finfo(np.float64).tiny), count / count.sum())
    wanted = np.minimum(share * _FINE, 64 * count * (count > 1))  # one value needs one bin
    kept = np.clip(np.frexp(np.ceil(wanted) - 0.5)[1], 0, 16)  # least k with wanted <= 2^k
    sizes = 1 << kept
    begin = np.cumsum(sizes) - sizes
    places = np.full(counts.size, 16, np.uint32)
    places[prefixes] = begin << 5 | 16 - kept
    within = np.arange(sizes.sum()) - np.repeat(begin, sizes)
    first = np.repeat(prefixes << 16, sizes) | within << np.repeat(16 - kept, sizes)
    return places, first.astype(np.uint32)


def _solve(values: np.ndarray, w: np.ndarray, k: int) -> np.ndarray:
    """Centroids for more than k distinct values."""
    x = values.astype(np.float64)
    centre = float(np.average(x, weights=w))  # sums of squares about the mean cancel least
    x -= centre
    sums = _Sums(*(np.concatenate([[0.0], np.cumsum(part)]) for part in (w, w * x, w * x * x)))
    if x.size <= MOST_POINTS:
        starts = _backend().kmeans_starts(*sums, k)
    else:
        cuts = _cuts(x)
        starts = cuts[_backend().kmeans_starts(*sums.at(cuts), k)]
        starts = _lloyd(x, sums, starts)
    means, _ = sums.clusters(starts)
    centroids: np.ndarray = np.unique((means + centre).astype(np.float32) + np.float32(0))
    return centroids


def _cuts(x: np.ndarray) -> np.ndarray:
    """Places to cut: half equal counts apart for the dense middle, half equal distances for the tails."""
    counts = np.linspace(0, x.size, MOST_POINTS // 2, dtype=np.int64)
    distances = np.searchsorted(x, np.linspace(x[0], x[-1], MOST_POINTS // 2))
    return np.unique(np.concatenate([counts, distances]))


def _lloyd(x: np.ndarray, sums: _Sums, starts: np.ndarray) -> np.ndarray:
    """Moves the cluster borders between the means until the error falls no more."""
    means, least = sums.clusters(starts)
    while True:
        borders = np.searchsorted(x, (means[1:] + means[:-1]) / 2, side="right")
        moved = np.unique(np.concatenate([[0], borders[borders < x.size]]))
        means, now = sums.clusters(moved)
        if not now < least:
            return starts
        starts, least = moved, now


def _thresholds(centroids: np.ndarray) -> np.ndarray:
    """Largest float32 at or below the middle of each two centroids: a value is nearer to the upper iff it is above."""
    middle = (centroids[1:].astype(np.float64) + centroids[:-1]) / 2
    rounded = middle.astype(np.float32)
    below: np.ndarray = np.where(rounded > middle, np.nextafter(rounded, np.float32(-np.inf)), rounded)
    return below.astype(np.float32)


def _backend() -> Any:
    if runtime.backend() == "native":
        return runtime.core
    if runtime.backend() == "numba":
        from accel.kernels import kmeans_numba

        return kmeans_numba
    from accel.kernels import _kmeans_numpy

    return _kmeans_numpy
