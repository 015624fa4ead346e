"""Sparse matrix times a vector beside scipy.sparse and the dense product: 4096 x 4096, one thread.

The same matrix over and over, so its values come from the L3 cache where they fit: 32 MB on the machine of the results.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

import accel
from accel.kernels import program, runtime
from accel.kernels.csr import csr_from_dense
from accel.kernels.spmv import pack_spmv, spmv

SIZE = 4096
ZEROS = (90, 95, 98)
KINDS = ("f32", "bf16", "i8", "code16", "code256")
Work = Callable[..., None]


def dense(zeros: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    w = rng.standard_normal((SIZE, SIZE), np.float32)
    w[rng.random((SIZE, SIZE), np.float32) * 100 < zeros] = 0
    return w


def of_kind(w: np.ndarray, kind: str) -> tuple[tuple[Any, ...], np.ndarray]:
    """Arguments of pack_spmv, and the dense matrix that they stand for."""
    data, indices, indptr = csr_from_dense(w, indptr_dtype=np.int32)
    scale = book = None
    if kind == "f32":
        stored, values = data, data
    elif kind == "bf16":
        stored = (data.view(np.uint32) >> 16).astype(np.uint16)
        values = (stored.astype(np.uint32) << 16).view(np.float32)
    elif kind == "i8":
        scale = np.full(SIZE, 1 / 32, np.float32)
        stored = np.clip(np.rint(data * 32), -127, 127).astype(np.int8)
        values = stored / np.float32(32)
    else:
        book = np.linspace(-3, 3, int(kind[4:]), dtype=np.float32)
        stored = np.clip(np.rint((data + 3) / 6 * (book.size - 1)), 0, book.size - 1).astype(np.uint8)
        values = book[stored]
    meant = np.zeros_like(w)
    meant[np.repeat(np.arange(SIZE), np.diff(indptr)), indices] = values
    return (stored, indices, indptr, SIZE, kind, scale, book), meant


def describe(benchmark: BenchmarkFixture, work: Work, name: str, w: np.ndarray, nbytes: int, batch: int = 1) -> None:
    benchmark.group = f"spmv/4096/{name}"
    work(2 * int(np.count_nonzero(w)) * batch, nbytes // 4 * 4, streams=True)  # the peak is read as float32


def vectors(batch: int) -> np.ndarray:
    return np.random.default_rng(1).standard_normal((batch, SIZE), np.float32)


def bench(benchmark: BenchmarkFixture, work: Work, zeros: int, kind: str, batch: int) -> None:
    """A prepared step, as a session runs it."""
    arguments, w = of_kind(dense(zeros), kind)
    packed, x = pack_spmv(*arguments), vectors(batch)
    np.testing.assert_allclose(spmv(packed, x), x @ w.T, rtol=1e-4, atol=1e-3)
    describe(benchmark, work, f"{zeros}%/batch={batch}", w, packed.nbytes, batch)
    benchmark.extra_info["fill"] = round((arguments[0].size - packed.singles) / packed.slots, 3)
    steps, y = program.new_program(), np.empty((batch, SIZE), np.float32)
    bias = np.zeros(SIZE, np.float32)
    steps.spmv(packed, batch, program.activation(None), program.place(0), program.place(1), bias)
    slots, bindings = np.zeros(2, np.uintp), [(0, x), (1, y)]
    benchmark(lambda: program.run(steps, slots, bindings))


@pytest.mark.parametrize("zeros", ZEROS)
def bench_spmv(benchmark: BenchmarkFixture, work: Work, implementation: str, zeros: int) -> None:
    if not implementation.startswith("native"):
        pytest.skip("native kernels only")
    bench(benchmark, work, zeros, "f32", 1)


@pytest.mark.parametrize("kind", KINDS)
def bench_spmv_kinds(benchmark: BenchmarkFixture, work: Work, kind: str) -> None:
    if not program.native():
        pytest.skip("native kernels only")
    with accel.using(threads=1):
        bench(benchmark, work, 90, kind, 1)


@pytest.mark.parametrize("zeros", ZEROS)
@pytest.mark.parametrize("peer", ["scipy", "dense"])
def bench_spmv_peers(benchmark: BenchmarkFixture, work: Work, zeros: int, peer: str) -> None:
    limits = pytest.importorskip("threadpoolctl").threadpool_limits
    w, x = dense(zeros), vectors(1)[0]
    if peer == "dense":
        matrix: Any = w
        nbytes = w.nbytes
    else:
        matrix = pytest.importorskip("scipy.sparse").csr_array(w)
        nbytes = matrix.data.nbytes + matrix.indices.nbytes + matrix.indptr.nbytes
    describe(benchmark, work, f"{zeros}%/batch=1", w, nbytes)
    with limits(1):
        benchmark(matrix.__matmul__, x)


def bench_spmv_pack(benchmark: BenchmarkFixture) -> None:
    if not program.native():
        pytest.skip("native kernels only")
    arguments, _ = of_kind(dense(90), "f32")
    benchmark.group = "spmv_pack/4096/90%"
    benchmark.extra_info["threads"] = runtime.threads()
    benchmark.pedantic(pack_spmv, arguments, rounds=7, warmup_rounds=1)
