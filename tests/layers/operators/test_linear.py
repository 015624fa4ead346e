"""Matrix products."""

from __future__ import annotations

import numpy as np
import pytest
from layers.operators.call import floats, refused, run


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int32, np.uint64])
@pytest.mark.parametrize(
    ("a", "b"), [((3,), (3,)), ((3,), (3, 2)), ((2, 3), (3,)), ((2, 3), (3, 4)), ((5, 1, 2, 3), (4, 3, 2))]
)
def test_matmul(a, b, dtype):
    x, y = (np.abs(floats(*a)) * 4).astype(dtype), (np.abs(floats(*b, seed=1)) * 4).astype(dtype)
    z = run("MatMul", x, y)
    bound = 8 * np.finfo(dtype).eps if np.dtype(dtype).kind == "f" else 0
    assert z.dtype == dtype and np.allclose(z, x.astype(np.float64) @ y.astype(np.float64), rtol=bound, atol=0)


@pytest.mark.parametrize(("a", "b"), [((2, 3), (2, 3)), ((), (1,)), ((3,), ())])
def test_matmul_refuses_shapes_that_do_not_fit(a, b):
    with refused(f"MatMul: B: expected a matrix that fits A of shape {a}, got shape {b}"):
        run("MatMul", np.zeros(a), np.zeros(b))


@pytest.mark.parametrize("left", [0, 1])
@pytest.mark.parametrize("right", [0, 1])
@pytest.mark.parametrize("bias", [None, (), (4,), (2, 1), (2, 4)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_gemm(left, right, bias, dtype):
    a, b = floats(2, 3, dtype=dtype), floats(3, 4, seed=1, dtype=dtype)
    c = None if bias is None else np.asarray(floats(*bias, seed=2, dtype=dtype))
    y = run("Gemm", a.T if left else a, b.T if right else b, c, alpha=0.5, beta=2.0, transA=left, transB=right)
    expected = 0.5 * a.astype(np.float64) @ b + (0 if c is None else 2.0 * c)
    assert y.dtype == dtype and np.allclose(y, expected, rtol=1e-5, atol=1e-6)


def test_gemm_refuses():
    with refused("Gemm: A, B: expected two matrices, got shapes (2,) and (2, 3)"):
        run("Gemm", floats(2), floats(2, 3))
    with refused("Gemm: B: expected a matrix that fits A of shape (2, 3), got shape (2, 3)"):
        run("Gemm", floats(2, 3), floats(2, 3))
    with refused("Gemm: expected inputs that fit together, got float32[2, 3], float32[3, 2], float32[3]"):
        run("Gemm", floats(2, 3), floats(3, 2), floats(3))


@pytest.mark.parametrize(
    "equation", ["ij,jk->ik", "ij,jk", "ij, jk -> ki", "...j,jk->...k", "ij,jk->", "ij,jk,km->im", "ij,Bj->iB"]
)
def test_einsum(equation):
    inputs = [floats(3, 3, seed=seed) for seed in range(equation.count(",") + 1)]
    y = run("Einsum", *inputs, equation=equation)
    assert y.dtype == np.float32 and np.allclose(y, np.einsum(equation, *inputs), atol=1e-6)


def test_einsum_refuses():
    x = floats(2, 3)
    with refused("Einsum: equation: expected 2 terms, got 'ij->i'"):
        run("Einsum", x, x, equation="ij->i")
    with refused("Einsum: equation: expected 2 labels for shape (2, 3), got 'ijk'"):
        run("Einsum", x, equation="ijk->i")
    with refused("Einsum: output: expected at most"):
        run("Einsum", *[np.zeros(2**12)] * 4, equation="a,b,c,d->abcd")
    with refused("Einsum: expected inputs that fit together"):
        run("Einsum", x, equation="ij->k")


def test_matmul_integer_is_exact_with_zero_points_per_row_and_column():
    rng = np.random.default_rng(0)
    a = rng.integers(0, 256, (4, 700)).astype(np.uint8)
    b = rng.integers(-128, 128, (700, 3)).astype(np.int8)
    row, column = np.array([0, 255, 128, 3], np.uint8), np.array([-128, 127, 5], np.int8)
    expected = (a.astype(int) - row.astype(int)[:, None]) @ (b.astype(int) - column.astype(int))
    y = run("MatMulInteger", a, b, row, column)
    assert y.dtype == np.int32 and np.array_equal(y, expected)
    with refused("MatMulInteger: a_zero_point: expected 1 or 4 values, got 3"):
        run("MatMulInteger", a, b, row[:3])
    with refused("MatMulInteger: input 1: expected uint8 like input 0, got int8"):
        run("MatMulInteger", a, b, column[:1])
