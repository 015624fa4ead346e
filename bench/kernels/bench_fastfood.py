"""Fastfood beside two FFHT with NumPy between them, beside its own bare transforms, and FastfoodRBF beside RBFSampler.

ACCEL_FFHT names a folder with the sources of FFHT: see bench_fwht.py.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

import accel
from accel.kernels import fastfood, fwht
from accel.kernels._hash import permutations
from accel.kernels.fastfood import Fastfood
from accel.kernels.program import aligned
from accel.reference import structured as reference

N, BATCH = 1024, 64


def arrays() -> tuple[np.ndarray, ...]:
    draw = np.random.default_rng(0)
    s, g, b = (draw.standard_normal(N, np.float32) for _ in range(3))
    return s, g, permutations(1, N, 0)[0], b


def room() -> np.ndarray:
    """Where a batch begins on a page."""
    return aligned(BATCH * N).reshape(BATCH, N)


def rows() -> np.ndarray:
    x = room()
    np.random.default_rng(1).standard_normal(out=x, dtype=np.float32)
    return x


def assert_answer(y: np.ndarray, x: np.ndarray) -> None:
    expected = reference.fastfood(x, *arrays())
    np.testing.assert_allclose(y, expected, atol=1e-5 * np.abs(expected).max())


def bench_prepared(benchmark: BenchmarkFixture, implementation: str) -> None:
    product, x = Fastfood(*arrays(), N), rows()
    out = room()
    assert_answer(product(x), x)
    benchmark.group = f"fastfood/n={N}/batch={BATCH}"
    benchmark(product, x, out)


def bench_array_function(benchmark: BenchmarkFixture) -> None:
    x, operands = rows(), arrays()
    out = room()
    benchmark.group = f"fastfood/n={N}/batch={BATCH}"
    with accel.using(backend="native", threads=1):
        benchmark(fastfood, x, *operands, out)


@pytest.mark.parametrize("way", ["expressions", "buffers"])
def bench_two_ffht(benchmark: BenchmarkFixture, ffht: Callable[[np.ndarray], Callable[[], object]], way: str) -> None:
    """Row by row; diagonals and permutation of the batch by NumPy, as one writes it and as fast as it gets."""
    (s, g, perm, b), x = arrays(), rows()
    first, out = room(), room()
    scaled, transform_first, transform_out = g / np.float32(N), ffht(first), ffht(out)

    def expressions() -> np.ndarray:
        z = x * b
        ffht(z)()
        z = np.ascontiguousarray(z[:, perm]) * scaled  # an index leaves it transposed
        ffht(z)()
        return z * s

    def buffers() -> np.ndarray:
        np.multiply(x, b, out=first)
        transform_first()
        np.take(first, perm, axis=1, out=out, mode="clip")
        np.multiply(out, scaled, out=out)
        transform_out()
        return np.multiply(out, s, out=out)

    run = expressions if way == "expressions" else buffers
    assert_answer(run(), x)
    benchmark.group = f"fastfood/n={N}/batch={BATCH}"
    benchmark(run)


def bench_two_bare_transforms(benchmark: BenchmarkFixture) -> None:
    """Two transforms of the batch by accel: what diagonals and permutation come on top of."""
    x = room()
    benchmark.group = f"fastfood/n={N}/batch={BATCH}"

    def run() -> None:
        fwht(x, out=x)
        fwht(x, out=x)

    with accel.using(backend="native", threads=1):
        benchmark(run)


@pytest.mark.parametrize("kind", ["FastfoodRBF-kept", "FastfoodRBF-not-kept", "RBFSampler"])
def bench_features(benchmark: BenchmarkFixture, kind: str, request: pytest.FixtureRequest) -> None:
    """4096 features of 64 inputs for 10^4 rows, float32, in memory that earlier ones have left or not."""
    approximation = pytest.importorskip("sklearn.kernel_approximation")
    from sklearn.metrics.pairwise import rbf_kernel

    from accel.integrations.sklearn import FastfoodRBF

    x = np.random.default_rng(0).standard_normal((10_000, 64)).astype(np.float32)
    sample, gamma = x[:300].astype(np.float64), 1 / 128
    features = (FastfoodRBF if kind.startswith("FastfoodRBF") else approximation.RBFSampler)(
        gamma=gamma, n_components=4096, random_state=0
    ).fit(x)
    z = features.transform(x[:300]).astype(np.float64)
    error = float(np.sqrt(((z @ z.T - rbf_kernel(sample, gamma=gamma)) ** 2).mean()))
    assert error < 1.3 / np.sqrt(4096)
    benchmark.group = "features/64 to 4096/rows=10^4"
    benchmark.extra_info |= {"kernel error": error}
    if kind == "FastfoodRBF-not-kept":
        request.getfixturevalue("nothing_kept")
    with accel.using(threads=1):
        benchmark.pedantic(features.transform, (x,), rounds=5, warmup_rounds=1)
