"""One-dimensional k-means: the optimum by brute force, never worse than Lloyd, the same bits on every back end."""

from __future__ import annotations

import itertools
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import accel
from accel.kernels import kmeans, runtime
from accel.kernels.kmeans import assign_codes, kmeans_1d
from accel.reference import kmeans as reference

BACKENDS = runtime.isa_info()["backends"]
# Centroids are rounded to float32: that may add (x * eps)^2 a value.
ROUNDING = 1e-12


def lloyd_error(values: np.ndarray, k: int) -> float:
    """Lloyd's iteration from k points equally spaced between the least and the largest value."""
    x = values.astype(np.float64)
    centroids = np.linspace(x.min(), x.max(), k)
    for _ in range(300):
        codes = np.searchsorted((centroids[1:] + centroids[:-1]) / 2, x)
        counts = np.bincount(codes, minlength=k)
        moved = np.where(counts > 0, np.bincount(codes, x, k) / np.maximum(counts, 1), centroids)
        if (moved == centroids).all():
            break
        centroids = np.sort(moved)
    return reference.error(values, centroids)


def least_error(values: np.ndarray, k: int) -> float:
    """The best of all ways to cut the sorted values into at most k runs."""
    x = np.sort(values.astype(np.float64))
    return min(
        sum(((part - part.mean()) ** 2).sum() for part in np.split(x, cuts))
        for count in range(min(k, x.size))
        for cuts in map(list, itertools.combinations(range(1, x.size), count))
    )


@settings(max_examples=120, deadline=None)
@given(st.lists(st.integers(-40, 40), min_size=1, max_size=9), st.integers(1, 5), st.sampled_from(BACKENDS))
def test_tiny_inputs_are_solved_as_by_brute_force(numbers: list[int], k: int, backend: str) -> None:
    values = np.array(numbers, np.float32) / 8
    with accel.using(backend=backend):
        centroids, codes = kmeans_1d(values, k)
    least = least_error(values, k)
    found = float(((values.astype(np.float64) - centroids[codes]) ** 2).sum())
    assert found == pytest.approx(least, rel=1e-6, abs=1e-9)
    assert reference.kmeans_1d(values, k)[1] == pytest.approx(least, rel=1e-9, abs=1e-12)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 60), st.integers(1, 8), st.sampled_from(BACKENDS))
def test_weighted_inputs_are_solved_as_by_the_definition(seed: int, n: int, k: int, backend: str) -> None:
    rng = np.random.default_rng(seed)
    values = rng.normal(size=n).round(1).astype(np.float32)
    weights = rng.integers(0, 4, n).astype(np.float64)
    weights[0] = 1
    with accel.using(backend=backend):
        centroids, _ = kmeans_1d(values, k, weights=weights)
        same, _ = kmeans_1d(np.repeat(values, weights.astype(int)), k)
    used = weights > 0
    _, least = reference.kmeans_1d(values[used], k, weights[used])
    assert reference.error(values, centroids, weights) == pytest.approx(least, rel=1e-6, abs=1e-9)
    np.testing.assert_allclose(centroids, same, rtol=1e-6, atol=1e-7)


def test_back_ends_give_the_same_bits() -> None:
    rng = np.random.default_rng(4)
    for values in (rng.normal(size=900), rng.standard_t(2, size=700), rng.integers(0, 40, 500), rng.random(60_000)):
        for k in (2, 7, 16):
            results = []
            for backend in BACKENDS:
                with accel.using(backend=backend):
                    centroids, codes = kmeans_1d(values.astype(np.float32), k)
                    results.append(centroids.tobytes() + codes.tobytes())
            assert len(set(results)) == 1


@pytest.mark.parametrize("k", [1, 2, 15, 16, 64, 256])
def test_never_worse_than_lloyd_from_linear_init(k: int) -> None:
    rng = np.random.default_rng(k)
    for values in (rng.normal(size=30_000) * 0.05, rng.standard_t(2, size=30_000), rng.random(30_000)):
        values = values.astype(np.float32)
        centroids, codes = kmeans_1d(values, k)
        found = float(((values.astype(np.float64) - centroids[codes]) ** 2).sum())
        assert found <= lloyd_error(values, k) * (1 + 1e-9) + ROUNDING * (values.astype(np.float64) ** 2).sum()


def test_never_worse_than_scikit_learn() -> None:
    cluster = pytest.importorskip("sklearn.cluster")
    values = np.random.default_rng(0).normal(size=2000).astype(np.float32)
    for k in (2, 8):
        centroids, _ = kmeans_1d(values, k)
        peer = cluster.KMeans(k, n_init=3, random_state=0).fit(values[:, None].astype(np.float64))
        assert reference.error(values, centroids) <= peer.inertia_ * (1 + 1e-9)


def test_many_values_come_close_to_the_optimum(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut at 16,384 places, 60,000 distinct values lose less than a thousandth against the exact solution."""
    values = np.random.default_rng(1).standard_t(3, size=60_000).astype(np.float32)
    for k in (16, 256):
        coarse, _ = kmeans_1d(values, k)
        with monkeypatch.context() as patch:
            patch.setattr(kmeans, "MOST_POINTS", 1 << 16)
            exact, _ = kmeans_1d(values, k)
        assert reference.error(values, coarse) <= 1.001 * reference.error(values, exact)


def test_outliers_do_not_starve_the_middle() -> None:
    values = np.random.default_rng(1).normal(size=100_000).astype(np.float32)
    values[:2] = -1e4, 1e4
    centroids, codes = kmeans_1d(values, 18)
    alone, inner = kmeans_1d(values[2:], 16)
    found = ((values.astype(np.float64) - centroids[codes]) ** 2).sum()
    assert found <= 1.01 * ((values[2:].astype(np.float64) - alone[inner]) ** 2).sum()


@pytest.mark.parametrize("k", [16, 256])
def test_two_million_weights_take_about_a_second(k: int) -> None:
    if "native" not in BACKENDS:
        pytest.skip("the native kernels are not built")
    values = np.random.default_rng(2).normal(size=2_000_000).astype(np.float32)
    begin = time.perf_counter()
    kmeans_1d(values, k)
    assert time.perf_counter() - begin < 4  # 0.3 s on an idle core


def test_as_many_centroids_as_values_leave_no_error(backend: str) -> None:
    values = np.array([3, -1, 3, 0, -0.0, 7.5, 1e-30, 3e38], np.float32)
    for k in (6, 7, 256):
        centroids, codes = kmeans_1d(values, k)
        np.testing.assert_array_equal(centroids, np.array([-1, 0, 1e-30, 3, 7.5, 3e38], np.float32))
        np.testing.assert_array_equal(centroids[codes], values)
        assert not np.signbit(centroids[1])
    centroids, codes = kmeans_1d(np.zeros(0, np.float32), 4)
    assert centroids.shape == codes.shape == (0,) and centroids.dtype == np.float32 and codes.dtype == np.uint8


def test_one_cluster_is_the_mean(backend: str) -> None:
    values = np.array([1, 2, 6], np.float32)
    centroids, codes = kmeans_1d(values, 1)
    assert centroids.tolist() == [3] and codes.tolist() == [0, 0, 0]
    assert kmeans_1d(values, 1, weights=np.array([1, 0, 3], np.float32))[0].tolist() == [4.75]


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.integers(-64, 64), max_size=40),
    st.sets(st.integers(-64, 64), min_size=1, max_size=30),
    st.sampled_from(BACKENDS),
)
def test_codes_are_the_nearest_centroids_ties_to_the_lower(values: list[int], points: set[int], backend: str) -> None:
    x, centroids = np.array(values, np.float32) / 4, np.array(sorted(points), np.float32) / 2
    with accel.using(backend=backend):
        np.testing.assert_array_equal(assign_codes(x, centroids), reference.assign_codes(x, centroids))


@pytest.mark.parametrize("k", [1, 2, 3, 16, 17, 255, 256])
def test_codes_next_to_the_borders(backend: str, k: int) -> None:
    """The two floats around the middle of each two centroids fall on their own sides."""
    centroids = np.unique(np.random.default_rng(k).normal(size=4 * k).astype(np.float32))[:k].copy()
    middle = ((centroids[1:].astype(np.float64) + centroids[:-1]) / 2).astype(np.float32)
    x = np.concatenate([centroids, middle, np.nextafter(middle, np.float32(9)), np.nextafter(middle, np.float32(-9))])
    np.testing.assert_array_equal(assign_codes(x, centroids), reference.assign_codes(x, centroids))
    extremes = np.array([-3.4e38, 3.4e38], np.float32)
    assert assign_codes(extremes, centroids).tolist() == [0, centroids.size - 1]


def test_arguments_are_checked() -> None:
    values = np.arange(5, dtype=np.float32)
    for bad in (np.nan, np.inf, -np.inf):
        spoilt = values.copy()
        spoilt[3] = bad
        with pytest.raises(ValueError, match=f"values: expected finite values, got {bad} at index 3"):
            kmeans_1d(spoilt, 2)
        with pytest.raises(ValueError, match="values: expected finite values"):
            assign_codes(spoilt, values)
        with pytest.raises(ValueError, match="centroids: expected finite values"):
            assign_codes(values, spoilt)
        with pytest.raises(ValueError, match="weights: expected finite values"):
            kmeans_1d(values, 2, weights=spoilt)
    with pytest.raises(TypeError, match="values: expected float32, got float64"):
        kmeans_1d(values.astype(np.float64), 2)
    with pytest.raises(ValueError, match="values: expected 1 axes"):
        kmeans_1d(values[None], 2)
    for k in (0, 257, -1):
        with pytest.raises(ValueError, match=f"k: expected an integer in 1..256, got {k}"):
            kmeans_1d(values, k)
    with pytest.raises(TypeError, match="k: expected an integer"):
        kmeans_1d(values, 2.0)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="weights: expected float64, got int64"):
        kmeans_1d(values, 2, weights=np.ones(5, np.int64))
    with pytest.raises(ValueError, match=r"weights: expected shape \(5,\) as values, got \(4,\)"):
        kmeans_1d(values, 2, weights=np.ones(4))
    with pytest.raises(ValueError, match="weights: expected none below 0, got -1"):
        kmeans_1d(values, 2, weights=-np.ones(5))
    with pytest.raises(ValueError, match="weights: expected one above 0, got none"):
        kmeans_1d(values, 2, weights=np.zeros(5))
    with pytest.raises(ValueError, match="centroids: expected strictly ascending values"):
        assign_codes(values, np.array([1, 1], np.float32))
    for count in (0, 257):
        with pytest.raises(ValueError, match=f"centroids: expected 1..256 of them, got {count}"):
            assign_codes(values, np.arange(count, dtype=np.float32))


@pytest.mark.parametrize("size", [1e308, 1.0, 5e-324])
def test_only_the_ratio_of_weights_counts(size: float, recwarn: pytest.WarningsRecorder) -> None:
    values = np.random.default_rng(0).standard_normal(100).astype(np.float32)
    centroids, _ = kmeans_1d(values, 4, weights=np.full(100, size))
    assert centroids.tobytes() == kmeans_1d(values, 4)[0].tobytes()
    assert not recwarn.list


def test_a_weight_too_small_beside_another_to_count_does_not() -> None:
    values = np.arange(4, dtype=np.float32)
    centroids, codes = kmeans_1d(values, 2, weights=np.array([1e-300, 1e308, 1e308, 1e-300]))
    assert centroids.tolist() == [1, 2] and codes.tolist() == [0, 0, 1, 1]
