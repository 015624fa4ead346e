"""The product with compressed sparse rows as they are, beside scipy and the dense product."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from accel.kernels.csr import csr_from_dense, csr_matmul


class Case(NamedTuple):
    rows: int
    columns: int
    zeros: int  # per cent
    batch: int

    def __str__(self) -> str:
        return f"{self.rows}x{self.columns}/{self.zeros}%/batch={self.batch}"


SIZE = 1024
SMALL = [Case(1000, SIZE, 90, 1), Case(1000, SIZE, 90, 16), Case(512, 512, 90, 196)]
LARGE = [Case(4096, 4096, zeros, batch) for zeros in (90, 95, 99) for batch in (1, 2, 8, 32, 64)]


@cache
def _matrix(rows: int, columns: int, zeros: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    keep = rng.random((rows, columns), np.float32) >= zeros / 100
    return rng.standard_normal((rows, columns), np.float32) * keep.astype(np.float32)


def _arrays(case: Case) -> tuple[np.ndarray, np.ndarray]:
    x = np.random.default_rng(1).standard_normal((case.batch, case.columns), np.float32)
    return _matrix(case.rows, case.columns, case.zeros), x


def _describe(benchmark: BenchmarkFixture, case: Case) -> None:
    nnz = int(np.count_nonzero(_matrix(case.rows, case.columns, case.zeros)))
    benchmark.group = f"csr_matmul/{case}"
    nbytes = 8 * nnz + 8 * (case.rows + 1) + 4 * (case.rows + case.columns) * case.batch
    benchmark.extra_info |= {"operations": 2 * nnz * case.batch, "bytes": nbytes}


@pytest.mark.parametrize("case", SMALL + LARGE, ids=str)
def bench_csr_matmul(benchmark: BenchmarkFixture, implementation: str, case: Case) -> None:
    if case in LARGE and not implementation.startswith("native"):
        pytest.skip("seconds a call")
    w, x = _arrays(case)
    arrays, out = csr_from_dense(w), np.empty((case.batch, case.rows), np.float32)
    np.testing.assert_allclose(csr_matmul(*arrays, x, out), x @ w.T, rtol=1e-4, atol=1e-3)
    _describe(benchmark, case)
    benchmark(csr_matmul, *arrays, x, out)


@pytest.mark.parametrize("case", SMALL + LARGE, ids=str)
@pytest.mark.parametrize("peer", ["scipy", "dense"])
def bench_csr_peers(benchmark: BenchmarkFixture, case: Case, peer: str) -> None:
    w, x = _arrays(case)
    _describe(benchmark, case)
    if peer == "dense":
        benchmark(np.matmul, x, w.T)
        return
    data, indices, indptr = csr_from_dense(w, indptr_dtype=np.int32)
    sparse = pytest.importorskip("scipy.sparse").csr_array((data, indices, indptr), shape=w.shape)
    columns = x[0] if case.batch == 1 else np.ascontiguousarray(x.T)  # as scipy is fastest; the copy is not timed
    np.testing.assert_allclose((sparse @ columns).T.reshape(x.shape[0], -1), x @ w.T, rtol=1e-4, atol=1e-3)
    benchmark(sparse.__matmul__, columns)


def bench_csr_from_dense(benchmark: BenchmarkFixture, implementation: str) -> None:
    w = _matrix(SIZE, SIZE, 90)
    data, indices, indptr = csr_from_dense(w)
    assert (w[np.repeat(np.arange(SIZE), np.diff(indptr)), indices] == data).all()
    benchmark.group = "csr_from_dense/1024/90%"
    benchmark.pedantic(csr_from_dense, (w,), rounds=7, warmup_rounds=1)
