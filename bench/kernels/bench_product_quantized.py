"""Products with product-quantized weights beside dense ones, one thread, weights read from memory."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

import accel
from accel.kernels.linear import PackedLinear
from accel.kernels.product_quantized import PackedProduct
from accel.weights import ProductQuantized

sys.path[:0] = [str(Path(__file__).parent)]
from bench_codebook import SIZE, evict, vectors  # noqa: E402

FORMS = [(16, 2), (16, 4), (16, 8), (256, 8)]  # centroids, size of a sub-vector


def weight(values: int, size: int) -> ProductQuantized:
    rng = np.random.default_rng(0)
    codes = rng.integers(0, values, (SIZE, SIZE // size), dtype=np.uint8)
    return ProductQuantized(codes, rng.standard_normal((SIZE // size, values, size), np.float32) / np.float32(64))


@pytest.mark.parametrize(("values", "size"), FORMS)
def bench_tables(benchmark: BenchmarkFixture, implementation: str, values: int, size: int) -> None:
    if implementation in ("numba", "numpy"):
        pytest.skip("made to be right, not fast")
    w, x = weight(values, size), vectors(1)
    product = PackedProduct(w.codes, w.centroids, SIZE, None)
    wanted = x.astype(np.float64) @ w.dense().T
    assert np.abs(product(x) - wanted).max() <= 1e-5 * np.abs(wanted).max()
    benchmark.group = f"product quantized/{SIZE} x {SIZE}"
    benchmark.extra_info |= {"operations": SIZE * (values + SIZE // size), "bytes": product.packed().nbytes}
    benchmark.pedantic(lambda: product(x), setup=evict, rounds=30)


def bench_dense(benchmark: BenchmarkFixture) -> None:
    w, x = weight(*FORMS[0]).dense(), vectors(1)
    layer = PackedLinear(w, None)
    benchmark.group = f"product quantized/{SIZE} x {SIZE}"
    benchmark.extra_info |= {"operations": 2 * w.size, "bytes": w.nbytes}
    with accel.using(threads=1):
        benchmark.pedantic(lambda: layer(x), setup=evict, rounds=30)
