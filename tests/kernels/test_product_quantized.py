"""Products with product-quantized weights: every implementation against the definition, and each error."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from kernels.floats import EPS, IMPLEMENTATIONS, assert_same_bits, normal, using

from accel.kernels.product_quantized import product_quantized_matmul
from accel.reference import codebook as reference

NATIVE = [name for name in IMPLEMENTATIONS if name.startswith("native")]
# out, sub-vectors, centroids, size, in, rows
CASES = [
    (1, 1, 1, 1, 1, 1),
    (5, 3, 16, 4, 11, 3),
    (67, 9, 16, 2, 18, 2),
    (130, 17, 7, 3, 49, 5),
    (64, 8, 256, 8, 64, 1),
    (66, 13, 17, 5, 63, 4),
    (200, 6, 100, 1, 6, 2),
]


def drawn(out: int, subs: int, values: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    codes = np.random.default_rng(0).integers(0, values, (out, subs), dtype=np.uint8)
    return codes, normal(subs, values, size, seed=1)


@pytest.mark.parametrize("case", CASES)
def test_it_is_the_product_with_the_matrix_of_sub_vectors(implementation: str, case: tuple[int, ...]) -> None:
    out, subs, values, size, depth, rows = case
    codes, centroids = drawn(out, subs, values, size)
    x, bias = normal(rows, depth, seed=2), normal(out, seed=3)
    w = reference.product_quantized_dense(codes, centroids, depth)
    for b in (None, bias):
        y = product_quantized_matmul(x, codes, centroids, b)
        expected = x.astype(np.float64) @ w.T + (0 if b is None else b)
        bound = 4 * EPS * np.sqrt(depth) * (np.abs(x) @ np.abs(w.T) + np.abs(bias))
        assert y.shape == (rows, out) and y.dtype == np.float32
        assert (np.abs(y - expected) <= bound).all()


@pytest.mark.parametrize("name", NATIVE)
@pytest.mark.parametrize("values", [16, 200])
def test_threads_and_the_batch_do_not_change_bits(name: str, values: int) -> None:
    codes, centroids = drawn(700, 70, values, 4)
    x = normal(5, 280)
    with using(name, threads=1):
        y = product_quantized_matmul(x, codes, centroids)
        assert_same_bits(product_quantized_matmul(x[2:3], codes, centroids), y[2:3])
    with using(name, threads=2):
        assert_same_bits(product_quantized_matmul(x, codes, centroids), y)


@pytest.mark.parametrize("values", [16, 100])
def test_nan_stays_in_its_row(implementation: str, values: int) -> None:
    codes, centroids = drawn(70, 5, values, 3)
    x = normal(4, 13)  # the last sub-vectors are cut off
    clean = product_quantized_matmul(x, codes, centroids)
    x[1, 12] = np.nan
    y = product_quantized_matmul(x, codes, centroids)
    assert np.isnan(y[1]).all()
    assert_same_bits(np.delete(y, 1, 0), np.delete(clean, 1, 0))


def test_shapes_and_out(implementation: str) -> None:
    codes, centroids = drawn(5, 3, 4, 2)
    x = normal(2, 3, 6)
    out = np.empty((2, 3, 5), np.float32)
    assert product_quantized_matmul(x, codes, centroids, out=out) is out
    assert_same_bits(product_quantized_matmul(x[1, 2], codes, centroids), out[1, 2])
    assert product_quantized_matmul(x[:0], codes, centroids).shape == (0, 3, 5)


CODES, CENTROIDS, X = np.zeros((4, 3), np.uint8), np.zeros((3, 2, 2), np.float32), np.zeros((2, 6), np.float32)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"x": X.astype(np.float64)}, TypeError, "x: expected float32"),
        ({"codes": CODES.astype(np.int64)}, TypeError, "codes: expected uint8"),
        ({"centroids": CENTROIDS.astype(np.float64)}, TypeError, "centroids: expected float32"),
        ({"x": X[:, :4].copy()}, ValueError, r"x: expected shape \(..., in\) with in in 5..6"),
        ({"x": np.zeros((1, 7), np.float32)}, ValueError, "with in in 5..6"),
        ({"codes": CODES[:0]}, ValueError, "codes: expected shape"),
        ({"codes": CODES[0]}, ValueError, "codes: expected 2 axes"),
        ({"codes": CODES + np.uint8(2)}, ValueError, "codes: expected codes below 2, the number of centroids, got 2"),
        ({"centroids": CENTROIDS[:2]}, ValueError, r"centroids: expected shape \(3, k, size\)"),
        ({"centroids": CENTROIDS[:, :, :0]}, ValueError, r"centroids: expected shape \(3, k, size\)"),
        ({"centroids": CENTROIDS[:, :0]}, ValueError, "centroids: expected 1..256 for each sub-vector, got 0"),
        ({"centroids": np.zeros((3, 257, 2), np.float32)}, ValueError, "centroids: expected 1..256"),
        ({"centroids": np.full((3, 2, 2), np.nan, np.float32)}, ValueError, "centroids: expected finite"),
        ({"bias": np.zeros(3, np.float32)}, ValueError, r"bias: expected shape \(4,\)"),
        ({"out": np.zeros((2, 3), np.float32)}, ValueError, "out: expected shape"),
    ],
)
def test_bad_input_is_named(backend: str, change: dict[str, Any], error: type[Exception], message: str) -> None:
    arguments: dict[str, Any] = {"x": X, "codes": CODES, "centroids": CENTROIDS} | change
    with pytest.raises(error, match=message):
        product_quantized_matmul(**arguments)
