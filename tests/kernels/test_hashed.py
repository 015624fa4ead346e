"""Hashed weights: every implementation against the written hash, and each error."""

from __future__ import annotations

import numpy as np
import pytest
from kernels.floats import EPS, IMPLEMENTATIONS, assert_same_bits, normal, using

from accel.kernels.hashed import hashed_backward, hashed_matmul
from accel.reference import structured as reference


def test_it_is_the_product_with_the_unfolded_matrix(implementation: str) -> None:
    for rows, out, depth, count, seed in [
        (3, 5, 7, 4, 0),
        (1, 33, 40, 1, 1),
        (20, 130, 19, 50, 2**63 - 1),
        (70, 16, 64, 9, 5),
    ]:
        x, values, bias = normal(rows, depth), normal(count, seed=1), normal(out, seed=2)
        w = reference.unhash(values, (out, depth), seed)
        for b in (None, bias):
            y = hashed_matmul(x, values, out, seed, b)
            expected = x.astype(np.float64) @ w.T + (0 if b is None else b)
            bound = 4 * EPS * np.sqrt(depth) * (np.abs(x) @ np.abs(w.T) + np.abs(bias))
            assert y.shape == (rows, out) and y.dtype == np.float32
            assert (np.abs(y - expected) <= bound).all()


@pytest.mark.parametrize("name", [name for name in IMPLEMENTATIONS if name.startswith("native")])
def test_threads_do_not_change_bits(name: str) -> None:
    x, values = normal(40, 500), normal(300, seed=1)
    with using(name, threads=1):
        y = hashed_matmul(x, values, 300)
    with using(name, threads=2):
        assert_same_bits(hashed_matmul(x, values, 300), y)


def test_nan_stays_in_its_row(implementation: str) -> None:
    x, values = normal(6, 32), normal(11, seed=1)
    clean = hashed_matmul(x, values, 20)
    x[2, 5] = np.nan
    y = hashed_matmul(x, values, 20)
    assert np.isnan(y[2]).all()
    assert_same_bits(np.delete(y, 2, 0), np.delete(clean, 2, 0))


def test_bad_input_is_named(implementation: str) -> None:
    x, values = normal(2, 8), normal(3, seed=1)
    with pytest.raises(TypeError, match="x: expected float32"):
        hashed_matmul(x.astype(np.float64), values, 4)
    with pytest.raises(ValueError, match=r"x: expected shape \(..., in\)"):
        hashed_matmul(normal(2, 0), values, 4)
    with pytest.raises(ValueError, match=r"values: expected 1\.\."):
        hashed_matmul(x, values[:0], 4)
    with pytest.raises(ValueError, match="out_features: expected an integer in 1"):
        hashed_matmul(x, values, 0)
    with pytest.raises(ValueError, match="seed: expected an integer in"):
        hashed_matmul(x, values, 4, -1)
    with pytest.raises(ValueError, match=r"bias: expected shape \(4,\)"):
        hashed_matmul(x, values, 4, 0, values)
    assert hashed_matmul(normal(0, 8), values, 4).shape == (0, 4)


def test_narrow_integers_count_as_others(implementation: str) -> None:
    x, values, bias = normal(2, 3), normal(5, seed=1), normal(200, seed=2)
    y = hashed_matmul(x, values, np.uint8(200), np.uint8(255), bias)  # type: ignore[arg-type]
    assert np.array_equal(y, hashed_matmul(x, values, 200, 255, bias))
    with pytest.raises(ValueError, match="out_features: expected an integer in 1"):
        hashed_matmul(x, values, 1 << 70)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("rows", "out", "depth", "count"), [(3, 5, 7, 4), (1, 70, 9, 200), (6, 130, 3, 1)])
def test_gradients_are_those_of_the_unfolded_matrix(dtype: type, rows: int, out: int, depth: int, count: int) -> None:
    grad, x, values = (
        normal(*size, seed=i).astype(dtype) for i, size in enumerate([(rows, out), (rows, depth), (count,)])
    )
    dx, dvalues = hashed_backward(grad, x, values, 9)
    tolerance = 100 * rows * out * depth * np.finfo(dtype).eps
    np.testing.assert_allclose(dx, grad @ reference.unhash(values, (out, depth), 9), atol=tolerance)
    for k in range(0, count, 37):  # the product is linear in the values
        unit = np.eye(count)[k]
        by_value = (grad * (x @ reference.unhash(unit, (out, depth), 9).T)).sum()
        np.testing.assert_allclose(dvalues[k], by_value, atol=tolerance)
    assert dx.dtype == dvalues.dtype == dtype and dx.shape == x.shape and dvalues.shape == values.shape


def test_bad_operands_of_gradients_are_named() -> None:
    grad, x, values = normal(2, 5), normal(2, 8), normal(3)
    with pytest.raises(TypeError, match="x: expected float32"):
        hashed_backward(grad, x.astype(np.float64), values)
    with pytest.raises(ValueError, match=r"grad: expected leading sizes \(3,\) as of x, got \(2,\)"):
        hashed_backward(grad, normal(3, 8), values)
    with pytest.raises(ValueError, match=r"grad: expected shape \(\.\.\., n\) with n >= 1"):
        hashed_backward(normal(2, 0), x, values)
    with pytest.raises(ValueError, match=r"values: expected 1\.\."):
        hashed_backward(grad, x, values[:0])
    assert not hashed_backward(normal(0, 5), normal(0, 8), values)[1].any()
