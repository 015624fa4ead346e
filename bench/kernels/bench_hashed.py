"""A product with hashed weights beside the dense one: what saving the storage costs."""

from __future__ import annotations

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

import accel
from accel.kernels.hashed import hashed_matmul
from accel.weights import Hashed

SIZE, VALUES = 1024, 1 << 14


@pytest.mark.parametrize("rows", [1, 64])
def bench_hashed(benchmark: BenchmarkFixture, implementation: str, rows: int) -> None:
    draw = np.random.default_rng(0)
    x, values = draw.standard_normal((rows, SIZE), np.float32), draw.standard_normal(VALUES, np.float32)
    w = Hashed(values, 0, (SIZE, SIZE)).dense()
    np.testing.assert_allclose(hashed_matmul(x, values, SIZE), x @ w.T, atol=1e-3)
    benchmark.group = f"hashed/{SIZE} x {SIZE}/rows={rows}"
    benchmark.extra_info |= {"operations": 2 * rows * SIZE * SIZE, "bytes": values.nbytes}
    benchmark(hashed_matmul, x, values, SIZE)


@pytest.mark.parametrize("rows", [1, 64])
def bench_dense(benchmark: BenchmarkFixture, rows: int) -> None:
    draw = np.random.default_rng(0)
    layer, x = (
        accel.Linear(draw.standard_normal((SIZE, SIZE), np.float32)),
        draw.standard_normal((rows, SIZE), np.float32),
    )
    benchmark.group = f"hashed/{SIZE} x {SIZE}/rows={rows}"
    benchmark.extra_info |= {"operations": 2 * rows * SIZE * SIZE, "bytes": 4 * SIZE * SIZE}
    with accel.using(threads=1):
        benchmark(layer, x)
