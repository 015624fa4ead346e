"""Products straight from codes beside dense ones, one thread, weights read from memory: every call finds them cold.

4096 x 4096 weights in 16 or 256 values, float32 or bfloat16 ones, times one vector and sixteen. Dense: accel, NumPy's
BLAS and torch.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

import accel
from accel.kernels.codebook import PackedCodebook
from accel.kernels.linear import PackedLinear
from accel.weights import Codebook

sys.path[:0] = [str(Path(__file__).parent)]
from bench_linear import torch_linear  # noqa: E402

SIZE, ROUNDS = 4096, 30
VALUES = {"4 bits": (16, False), "4 bits bfloat16": (16, True), "8 bits": (256, False), "8 bits bfloat16": (256, True)}
PEERS = ("dense", "numpy", "torch")
_elsewhere = np.zeros(16 << 20, np.float32)  # twice the last cache


def evict() -> None:
    """Nothing of the weights stays in a cache."""
    np.add(_elsewhere, 1, out=_elsewhere)


@cache
def weight(name: str) -> Codebook:
    values, halves = VALUES[name]
    rng = np.random.default_rng(0)
    book = np.sort(rng.standard_normal(values, np.float32)) / np.float32(np.sqrt(SIZE))
    if halves:
        book = (book.view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32)
    return Codebook(rng.integers(0, values, (SIZE, SIZE), dtype=np.uint8), book)


@cache
def matrix() -> np.ndarray:
    return weight("4 bits").dense()


def measure(benchmark: BenchmarkFixture, name: str, rows: int, w: np.ndarray, call: Callable[[], np.ndarray]) -> None:
    wanted = vectors(rows).astype(np.float64) @ w.T.astype(np.float64)
    assert np.abs(call() - wanted).max() <= 3e-5 * np.abs(wanted).max()
    benchmark.group = f"codebook/{SIZE} x {SIZE}/rows={rows}"
    nbytes = 4 * w.size if name in PEERS else w.size * int(name[0]) // 8
    benchmark.extra_info |= {"operations": 2 * rows * w.size, "bytes": nbytes}
    benchmark.pedantic(call, setup=evict, rounds=ROUNDS if rows == 1 else ROUNDS // 3)


def vectors(rows: int) -> np.ndarray:
    return np.random.default_rng(1).standard_normal((rows, SIZE), np.float32)


@pytest.mark.parametrize("rows", [1, 16])
@pytest.mark.parametrize("name", VALUES)
def bench_codes(benchmark: BenchmarkFixture, implementation: str, rows: int, name: str) -> None:
    if implementation in ("numba", "numpy"):
        pytest.skip("made to be right, not fast")
    w, x = weight(name), vectors(rows)
    product = PackedCodebook(w.codes, w.codebook[np.newaxis], None)
    measure(benchmark, name, rows, w.dense(), lambda: product(x))


@pytest.mark.parametrize("rows", [1, 16])
@pytest.mark.parametrize("name", VALUES)
def bench_layer(benchmark: BenchmarkFixture, rows: int, name: str) -> None:
    """What `Linear` makes of it: never slower than dense."""
    w, x = weight(name), vectors(rows)
    layer = accel.Linear(w)
    with accel.using(threads=1):
        measure(benchmark, name, rows, w.dense(), lambda: layer(x))


@pytest.mark.parametrize("rows", [1, 16])
@pytest.mark.parametrize("peer", PEERS)
def bench_dense(benchmark: BenchmarkFixture, rows: int, peer: str) -> None:
    limits = pytest.importorskip("threadpoolctl").threadpool_limits
    w, x = matrix(), vectors(rows)
    if peer == "dense":
        layer = PackedLinear(w, None)
        call: Callable[[], np.ndarray] = lambda: layer(x)  # noqa: E731
    else:
        call = torch_linear(x, w, np.zeros(SIZE, np.float32)) if peer == "torch" else lambda: x @ w.T
    with limits(1), accel.using(threads=1):
        measure(benchmark, peer, rows, w, call)
