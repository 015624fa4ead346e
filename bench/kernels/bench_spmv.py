"""Sparse matrix times a vector beside scipy.sparse, torch's CSR and dense products: 4096 x 4096, one thread.

"hot" is the same matrix over and over, so its values come from the L3 cache where they fit: 32 MB on the machine of the
results. "cold" reads as much as fills that cache twice before every call. The dense matrix, of 64 MB, is never hot.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

import accel
from accel.kernels import program
from accel.kernels.sparse import SparseArrays
from accel.kernels.spmv import pack_spmv

sys.path[:0] = [str(Path(__file__).parent)]
from sparsity import DENSE_PEERS, KINDS, PEERS, check, of_kind, random_weights, sparse_linear_step  # noqa: E402

SIZE = 4096
ZEROS = (90, 95, 98)
COLD_BYTES = 64 << 20
Work = Callable[..., None]


def vectors(batch: int = 1) -> np.ndarray:
    return np.random.default_rng(1).standard_normal((batch, SIZE), np.float32)


def measure(benchmark: BenchmarkFixture, run: Callable[[], object], heat: str) -> None:
    if heat == "hot":
        benchmark(run)
        return
    other = np.ones(COLD_BYTES // 4, np.float32)
    benchmark.pedantic(run, setup=lambda: float(other.sum()) and None, rounds=100)


def describe(benchmark: BenchmarkFixture, work: Work, name: str, operations: int, nbytes: int) -> None:
    benchmark.group = f"spmv/4096/{name}"
    work(operations, nbytes // 4 * 4, streams=True)  # the peak is read as float32


def bench(benchmark: BenchmarkFixture, work: Work, zeros: int, kind: str, heat: str = "hot") -> None:
    """A prepared step, as a session runs it."""
    arrays, w = of_kind(random_weights((SIZE, SIZE), zeros), kind)
    x = vectors()
    step = sparse_linear_step(arrays, x)
    step.run()
    check(step.y, x @ w.T)
    describe(benchmark, work, f"{zeros}%/{heat}", 2 * arrays.values.size, step.nbytes)
    measure(benchmark, step.run, heat)


@pytest.mark.parametrize("zeros", ZEROS)
def bench_spmv(benchmark: BenchmarkFixture, work: Work, implementation: str, zeros: int) -> None:
    if not implementation.startswith("native"):
        pytest.skip("native kernels only")
    bench(benchmark, work, zeros, "f32")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("heat", ["hot", "cold"])
def bench_spmv_kinds(benchmark: BenchmarkFixture, work: Work, kind: str, heat: str) -> None:
    if not program.native():
        pytest.skip("native kernels only")
    with accel.using(threads=1):
        bench(benchmark, work, 90, kind, heat)


@pytest.mark.parametrize("threads", [1, 2])
def bench_spmv_threads(benchmark: BenchmarkFixture, threads: int) -> None:
    """Do not pin the process."""
    if not program.native():
        pytest.skip("native kernels only")
    with accel.using(threads=threads):
        step = sparse_linear_step(SparseArrays.of(random_weights((SIZE, SIZE), 90)), vectors())
        benchmark.group = "spmv/threads/4096/90%/hot"
        benchmark(step.run)


@pytest.mark.parametrize(("zeros", "heat"), [*((zeros, "hot") for zeros in ZEROS), (90, "cold")])
@pytest.mark.parametrize("peer", PEERS)
def bench_spmv_peers(benchmark: BenchmarkFixture, work: Work, zeros: int, heat: str, peer: str) -> None:
    limits = pytest.importorskip("threadpoolctl").threadpool_limits
    pytest.importorskip(peer.partition("-")[0])
    w, x = random_weights((SIZE, SIZE), zeros), vectors()[0]
    values = int(np.count_nonzero(w))
    with accel.using(threads=1), limits(1):
        call = PEERS[peer](w, x)
        check(call(), w @ x)
        dense = peer in DENSE_PEERS
        nbytes = w.nbytes if dense else 8 * values + 4 * (SIZE + 1)
        describe(benchmark, work, f"{zeros}%/{heat}", 2 * (w.size if dense else values), nbytes)
        measure(benchmark, call, heat)


def bench_spmv_pack(benchmark: BenchmarkFixture) -> None:
    """From a dense array on one thread: zeros are found, and what is left is packed."""
    if not program.native():
        pytest.skip("native kernels only")
    w = random_weights((SIZE, SIZE), 90)
    benchmark.group = "spmv/pack/4096/90%"
    with accel.using(threads=1):
        benchmark.pedantic(lambda: pack_spmv(SparseArrays.of(w), SIZE), rounds=7, warmup_rounds=1)
