"""One-dimensional k-means: the optimum by brute force, never worse than Lloyd, the same bits on every back end."""

from __future__ import annotations

import itertools
import time
import tracemalloc
from collections.abc import Callable

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


DISTRIBUTIONS: dict[str, Callable[[np.random.Generator, int], np.ndarray]] = {
    "normal": lambda rng, n: rng.normal(size=n) * 0.02,
    "heavy tails": lambda rng, n: rng.standard_t(2, size=n),
    "far from 0": lambda rng, n: rng.normal(size=n) + 1000,
    "one octave": lambda rng, n: rng.random(n) + 1,
    "pruned": lambda rng, n: rng.normal(size=n) * (rng.random(n) < 0.2),
    "two scales": lambda rng, n: np.append(rng.normal(size=n // 2) * 1e-6, rng.normal(size=n - n // 2) + 100),
    "outliers": lambda rng, n: np.append(rng.normal(size=n - 2), [1e6, -1e5]),
}


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_a_histogram_does_as_well_as_all_values_sorted(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    values = DISTRIBUTIONS[name](np.random.default_rng(5), kmeans.MANY + 1000).astype(np.float32)
    for k in (16, 256):
        centroids, codes = kmeans_1d(values, k)
        assert centroids.size == k
        with monkeypatch.context() as patch:
            patch.setattr(kmeans, "MANY", values.size)
            exact, _ = kmeans_1d(values, k)
        found = float(((values.astype(np.float64) - centroids[codes]) ** 2).sum())
        best = float(((values.astype(np.float64) - exact[assign_codes(values, exact)]) ** 2).sum())
        assert found <= 1.001 * best
    with accel.using(backend="numpy"):
        np.testing.assert_array_equal(codes, assign_codes(values, centroids))


def test_back_ends_make_the_same_histogram(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(6)
    n = kmeans.MANY + 1
    few = rng.integers(-100, 100, n) / 8
    for values in (
        rng.normal(size=n),
        rng.normal(size=n) + 1000,
        few,
        np.append(np.zeros(n - 3), [-0.0, 1e-45, -3e38]),
    ):
        results = set()
        for backend in BACKENDS:
            with accel.using(backend=backend):
                centroids, codes = kmeans_1d(values.astype(np.float32), 16)
                results.add(centroids.tobytes() + codes.tobytes())
        assert len(results) == 1


def test_many_values_that_are_few_numbers_are_solved_exactly(backend: str) -> None:
    rng = np.random.default_rng(7)
    numbers = np.sort(rng.normal(size=kmeans.MOST_POINTS)).astype(np.float32)
    values = np.concatenate([np.repeat(numbers[:200], 400), numbers, rng.choice(numbers, kmeans.MANY)])
    kept, counts = np.unique(values, return_counts=True)
    exact, _ = kmeans_1d(kept, 7, weights=counts.astype(np.float64))
    np.testing.assert_allclose(kmeans_1d(values, 7)[0], exact, rtol=1e-6)
    few = np.resize(np.array([3, -0.0, 0.0, 1e-40, -7], np.float32), kmeans.MANY + 1)
    centroids, codes = kmeans_1d(few, 256)
    np.testing.assert_array_equal(centroids, np.array([-7, 0, 1e-40, 3], np.float32))
    np.testing.assert_array_equal(centroids[codes], few)


def test_many_values_take_little_memory_beside_their_own() -> None:
    if "native" not in BACKENDS:
        pytest.skip("the native kernels are not built")
    values = np.random.default_rng(8).standard_normal(1 << 24, np.float32)
    tracemalloc.start()
    try:
        kmeans_1d(values, 16)
        peak = tracemalloc.get_traced_memory()[1]
        assert peak <= 0.25 * values.nbytes + 32e6  # codes, and tables of one size for any number of values
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_many_values_have_to_be_finite_too(backend: str, bad: float) -> None:
    values = np.zeros(kmeans.MANY + 5, np.float32)
    values[1234] = bad
    with pytest.raises(ValueError, match=f"values: expected finite values, got {bad} at index 1234"):
        kmeans_1d(values, 4)


@pytest.mark.parametrize("count", [1, 2, 16, 255, 256])
def test_codes_of_many_values_are_those_of_few(count: int) -> None:
    """With a table of prefixes and without: thresholds in the same prefix, at its ends, around 0 and far out."""
    if "native" not in BACKENDS:
        pytest.skip("the native kernels are not built")
    rng = np.random.default_rng(count)
    for scale, shift in ((1.0, 0.0), (1e-3, 1000.0), (1e-40, 0.0), (1e37, 0.0)):
        centroids = np.unique((rng.normal(size=4 * count) * scale + shift).astype(np.float32))[:count].copy()
        near = np.concatenate([kmeans._thresholds(centroids), centroids, np.array([0.0, -0.0, 3.4e38, -3.4e38])])
        near = near.astype(np.float32)
        near = np.concatenate([near, np.nextafter(near, np.float32(np.inf)), np.nextafter(near, np.float32(-np.inf))])
        values = np.resize(near[np.isfinite(near)], (1 << 18) + 3)
        codes = assign_codes(values, centroids)
        alone = assign_codes(values[: near.size].copy(), centroids)
        np.testing.assert_array_equal(codes[: near.size], alone)
        np.testing.assert_array_equal(codes, np.searchsorted(kmeans._thresholds(centroids), values))


def test_the_extension_checks_what_memory_hangs_on() -> None:
    if "native" not in BACKENDS:
        pytest.skip("the native kernels are not built")
    values, core = np.ones(3, np.float32), runtime.core
    places = np.full(1 << 16, 16, np.uint32)
    assert [part.tolist() for part in core.value_histogram(values, places, 1)] == [[3], [3 * 0]]
    for bad in (places[:9].copy(), np.full(1 << 16, 17, np.uint32), np.full(1 << 16, 15, np.uint32)):
        with pytest.raises(ValueError, match="kmeans: a place"):
            core.value_histogram(values, bad, 1)
    with pytest.raises(ValueError, match="at most 255 thresholds"):
        core.assign_codes(values, np.zeros(256, np.float32))


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
