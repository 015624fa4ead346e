"""The generic CSR product beside scipy and the dense product: 1024 x 1024, 90 % zeros."""

from __future__ import annotations

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from accel.kernels.csr import csr_from_dense, csr_matmul

SIZE = 1024


@pytest.fixture(scope="module")
def w() -> np.ndarray:
    rng = np.random.default_rng(0)
    return (rng.normal(size=(SIZE, SIZE)) * (rng.random((SIZE, SIZE)) < 0.1)).astype(np.float32)


def _input(batch: int) -> np.ndarray:
    return np.random.default_rng(1).normal(size=(batch, SIZE)).astype(np.float32)


def _describe(benchmark: BenchmarkFixture, w: np.ndarray, batch: int) -> None:
    nnz = int(np.count_nonzero(w))
    benchmark.group = f"csr_matmul/1024/90%/batch={batch}"
    benchmark.extra_info |= {"operations": 2 * nnz * batch, "bytes": 8 * nnz + 8 * (SIZE + 1) + 8 * SIZE * batch}


@pytest.mark.parametrize("batch", [1, 16])
def bench_csr_matmul(benchmark: BenchmarkFixture, implementation: str, w: np.ndarray, batch: int) -> None:
    arrays, x = csr_from_dense(w), _input(batch)
    out = np.empty((batch, SIZE), np.float32)
    np.testing.assert_allclose(csr_matmul(*arrays, x, out), x @ w.T, rtol=1e-4, atol=1e-4)
    _describe(benchmark, w, batch)
    benchmark(csr_matmul, *arrays, x, out)


@pytest.mark.parametrize("batch", [1, 16])
@pytest.mark.parametrize("peer", ["scipy", "dense"])
def bench_csr_peers(benchmark: BenchmarkFixture, w: np.ndarray, batch: int, peer: str) -> None:
    x = _input(batch)
    _describe(benchmark, w, batch)
    if peer == "dense":
        benchmark(np.matmul, x, w.T)
        return
    sparse = pytest.importorskip("scipy.sparse").csr_array(w)
    columns = np.ascontiguousarray(x.T)
    np.testing.assert_allclose((sparse @ columns).T, x @ w.T, rtol=1e-4, atol=1e-4)
    benchmark(sparse.__matmul__, columns)


def bench_csr_from_dense(benchmark: BenchmarkFixture, implementation: str, w: np.ndarray) -> None:
    data, indices, indptr = csr_from_dense(w)
    assert (w[np.repeat(np.arange(SIZE), np.diff(indptr)), indices] == data).all()
    benchmark.group = "csr_from_dense/1024/90%"
    benchmark.pedantic(csr_from_dense, (w,), rounds=7, warmup_rounds=1)
