"""Walsh-Hadamard transforms beside FFHT, for which ACCEL_FFHT names a folder with its sources (FALCONN-LIB/FFHT).

FFHT is compiled with -O3 -march=native into a temporary folder, with a loop over rows of its own, so that no Python
stands between them. Below 2^17 a call transforms as many rows as make 512 KB. All arrays begin on a page: what NumPy
allocates begins anywhere, and then both are 20 to 40 % slower.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

import accel
from accel.kernels import fwht
from accel.kernels.program import aligned
from accel.reference import structured as reference

SIZES = tuple(range(8, 23))


def zeros(rows: int, log2n: int) -> np.ndarray:
    return aligned(rows << log2n)[: rows << log2n].reshape(rows, 1 << log2n)


def rows_of(log2n: int) -> int:
    return max((1 << 17) >> log2n, 1)


def check(bind: Callable[[np.ndarray], Callable[[], object]], log2n: int) -> None:
    x = np.random.default_rng(0).integers(-7, 8, (2, 1 << log2n)).astype(np.float32)
    y = x.copy()
    transform = bind(y)
    transform()
    if log2n <= 16:
        assert (y == reference.fwht(x)).all()
    transform()
    assert (y == x * (1 << log2n)).all() or log2n > 18  # sums leave 24 bits


def note(benchmark: BenchmarkFixture, x: np.ndarray) -> None:
    n = x.shape[-1]
    benchmark.extra_info |= {"additions": x.size * (n.bit_length() - 1), "bytes": 8 * x.size}


@pytest.mark.parametrize("log2n", SIZES)
def bench_fwht(benchmark: BenchmarkFixture, implementation: str, log2n: int) -> None:
    if implementation in ("numba", "numpy") and log2n not in (10, 16, 20):
        pytest.skip("timed at three sizes")
    check(lambda x: partial(fwht, x, out=x), log2n)
    x = zeros(rows_of(log2n), log2n)
    benchmark.group = f"fwht/n=2^{log2n}"
    note(benchmark, x)
    benchmark(fwht, x, out=x)


@pytest.mark.parametrize("log2n", SIZES)
def bench_ffht(benchmark: BenchmarkFixture, ffht: Callable[[np.ndarray], Callable[[], object]], log2n: int) -> None:
    check(ffht, log2n)
    x = zeros(rows_of(log2n), log2n)
    benchmark.group = f"fwht/n=2^{log2n}"
    note(benchmark, x)
    benchmark(ffht(x))


@pytest.mark.parametrize("peer", ["accel", "ffht"])
def bench_batch(benchmark: BenchmarkFixture, request: pytest.FixtureRequest, peer: str) -> None:
    """64 rows of 2^10; FFHT row by row."""
    x = zeros(64, 10)
    benchmark.group = "fwht/64 x 2^10"
    note(benchmark, x)
    if peer == "ffht":
        benchmark(request.getfixturevalue("ffht")(x))
        return
    with accel.using(backend="native", threads=1):
        benchmark(fwht, x, out=x)


@pytest.mark.parametrize("log2n", [0, 8, 10])
@pytest.mark.parametrize("peer", ["accel", "ffht"])
def bench_call(benchmark: BenchmarkFixture, request: pytest.FixtureRequest, peer: str, log2n: int) -> None:
    """One row through Python: what a call costs. FFHT by ctypes, which checks nothing."""
    if peer == "ffht" and log2n == 0:
        pytest.skip("no transform of one number")
    x = zeros(1, log2n)[0]
    benchmark.group = f"fwht/one call/n=2^{log2n}"
    if peer == "ffht":
        benchmark(request.getfixturevalue("ffht")(x))
        return
    with accel.using(backend="native", threads=1):
        benchmark(fwht, x, out=x)
