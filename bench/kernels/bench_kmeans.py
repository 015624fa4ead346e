"""One-dimensional k-means and nearest-centroid codes, beside scikit-learn on a sample."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

import accel
from accel.kernels.kmeans import assign_codes, kmeans_1d
from accel.reference import kmeans as reference

N = 2_000_000


@pytest.fixture(scope="module")
def weights() -> np.ndarray:
    return (np.random.default_rng(0).standard_t(5, N) * 0.02).astype(np.float32)


@pytest.mark.parametrize("k", [16, 256])
def bench_kmeans(benchmark: BenchmarkFixture, implementation: str, weights: np.ndarray, k: int) -> None:
    if implementation == "numpy" and k > 16:
        pytest.skip("the NumPy implementation takes ten seconds")
    centroids, codes = kmeans_1d(weights, k)
    linear = np.linspace(weights.min(), weights.max(), k)
    error = float(((weights - centroids[codes]).astype(np.float64) ** 2).sum())
    assert error < reference.error(weights[::100], linear) * 100
    benchmark.group = f"kmeans/n=2e6/k={k}"
    benchmark.extra_info |= {"values": N, "error": error}
    benchmark.pedantic(kmeans_1d, (weights, k), rounds=3)


@pytest.mark.parametrize("kind", ["normal", "codes"])
@pytest.mark.parametrize("k", [16, 256])
def bench_kmeans_of_a_large_layer(benchmark: BenchmarkFixture, kind: str, k: int) -> None:
    """60 million weights on one thread: drawn, or already of 200 values. What it allocates is noted beside the time."""
    values = np.empty(60_000_000, np.float32)
    rng = np.random.default_rng(0)
    for part in np.split(values, 60):
        part[:] = rng.standard_normal(part.size, np.float32) if kind == "normal" else rng.integers(0, 200, part.size)
    with accel.using(threads=1):
        tracemalloc.start()
        centroids, codes = kmeans_1d(values, k)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        sample = values[:10_000]
        np.testing.assert_array_equal(codes[:10_000], reference.assign_codes(sample, centroids))
        benchmark.group = f"kmeans/n=6e7/k={k}"
        benchmark.extra_info |= {"values": values.size, "allocated bytes per byte of the values": peak / values.nbytes}
        benchmark.pedantic(kmeans_1d, (values, k), rounds=5, warmup_rounds=1)


@pytest.mark.parametrize("k", [16])
def bench_kmeans_sklearn(benchmark: BenchmarkFixture, weights: np.ndarray, k: int) -> None:
    """Lloyd from k-means++, one start, on a tenth of the weights: the whole takes half a minute."""
    cluster = pytest.importorskip("sklearn.cluster")
    sample = weights[: N // 10, None]
    benchmark.group = f"kmeans/n=2e5/k={k}"
    model = benchmark.pedantic(cluster.KMeans(k, n_init=1, random_state=0).fit, (sample,), rounds=1)
    centroids, _ = kmeans_1d(sample[:, 0].copy(), k)
    assert reference.error(sample[:, 0], centroids) <= model.inertia_ * (1 + 1e-6)
    benchmark.extra_info |= {"values": N // 10, "error": float(model.inertia_)}


@pytest.mark.parametrize("k", [16, 256])
def bench_assign(benchmark: BenchmarkFixture, implementation: str, weights: np.ndarray, k: int) -> None:
    centroids = np.unique(np.quantile(weights, np.linspace(0, 1, k)).astype(np.float32))
    sample = weights[:10_000]
    np.testing.assert_array_equal(assign_codes(sample, centroids), reference.assign_codes(sample, centroids))
    benchmark.group = f"assign_codes/n=2e6/k={k}"
    benchmark.extra_info |= {"values": N, "bytes": 5 * N}
    benchmark.pedantic(assign_codes, (weights, centroids), rounds=7, warmup_rounds=1)
