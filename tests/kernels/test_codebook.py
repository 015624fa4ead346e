"""Products straight from codes: every implementation against the definition, the dense product's bits, each error."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kernels.floats import EPS, IMPLEMENTATIONS, assert_same_bits, normal, using

from accel.kernels import linear
from accel.kernels.codebook import codebook_matmul, pack_codebook, unfold
from accel.kernels.program import native
from accel.kernels.runtime import isa_index
from accel.reference import codebook as reference

NATIVE = [name for name in IMPLEMENTATIONS if name.startswith("native")]
SPLIT = 2.0**-16
"""Relative error of x as two bfloat16 numbers."""

# out, in, values, rows of x, groups
CASES = [
    (1, 1, 1, 1, 1),
    (5, 7, 16, 3, 1),
    (67, 130, 16, 5, 1),
    (64, 64, 64, 33, 1),
    (130, 100, 200, 4, 2),
    (63, 33, 100, 1, 3),
    (200, 71, 256, 9, 4),
    (129, 8, 17, 2, 1),
    (192, 257, 13, 17, 3),
    (66, 65, 65, 7, 66),
]


def bfloat16(values: np.ndarray) -> np.ndarray:
    return (values.view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32)


def drawn(out: int, depth: int, values: int, groups: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Codes, and a codebook of (k,) for one group."""
    codes = np.random.default_rng(seed).integers(0, values, (out, depth), dtype=np.uint8)
    book = normal(groups, values, seed=seed + 1)
    return codes, book if groups > 1 else book[0]


def check(x: np.ndarray, codes: np.ndarray, book: np.ndarray, bias: np.ndarray | None) -> np.ndarray:
    y = codebook_matmul(x, codes, book, bias)
    expected = reference.codebook_matmul(x, codes, book, bias)
    scale = np.abs(x).astype(np.float64) @ np.abs(reference.codebook_dense(codes, book)).T
    scale += 0 if bias is None else np.abs(bias)
    split = native() and pack_codebook(codes, book.reshape(-1, book.shape[-1])).dots(isa_index())
    assert y.shape == expected.shape and y.dtype == np.float32
    assert (np.abs(y - expected) <= (4 * EPS * np.sqrt(codes.shape[1]) + (SPLIT if split else 0)) * scale).all()
    return y


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("halves", [False, True])
def test_it_is_the_product_with_the_matrix_that_codes_stand_for(
    implementation: str, case: tuple[int, ...], halves: bool
) -> None:
    out, depth, values, rows, groups = case
    codes, book = drawn(out, depth, values, groups)
    x, bias = normal(rows, depth, seed=3), normal(out, seed=4)
    check(x, codes, bfloat16(book) if halves else book, bias)
    check(x, codes, book, None)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 140), st.integers(1, 140), st.integers(1, 256), st.integers(1, 33), st.booleans())
def test_any_size(out: int, depth: int, values: int, rows: int, halves: bool) -> None:
    codes, book = drawn(out, depth, values, 1, seed=out)
    for name in NATIVE or ["numpy"]:
        with using(name):
            check(normal(rows, depth), codes, bfloat16(book) if halves else book, normal(out, seed=1))


@pytest.mark.parametrize("name", NATIVE)
@pytest.mark.parametrize("values", [16, 64, 128, 256])
def test_the_bits_of_the_dense_product_in_any_batch_and_on_any_number_of_threads(name: str, values: int) -> None:
    for halves in (False, True):
        codes, book = drawn(200, 77, values, 2)
        book = bfloat16(book) if halves else book
        x, bias = normal(33, 77, seed=3), normal(200, seed=4)
        with using(name, threads=1):
            whole = codebook_matmul(x, codes, book, bias)
            if not pack_codebook(codes, book).dots(isa_index()):
                dense = reference.codebook_dense(codes, book).astype(np.float32)
                assert_same_bits(whole, linear(x, dense, bias))
            for rows in (1, 2, 3, 4, 5, 8, 16):
                assert_same_bits(codebook_matmul(x[:rows], codes, book, bias), whole[:rows])
        with using(name, threads=2):
            assert_same_bits(codebook_matmul(x, codes, book, bias), whole)
            assert_same_bits(codebook_matmul(x[:1], codes, book, bias), whole[:1])


@pytest.mark.parametrize("values", [16, 256])
@pytest.mark.parametrize("halves", [False, True])
def test_what_is_not_finite_stays_in_its_row(implementation: str, values: int, halves: bool) -> None:
    codes, book = drawn(70, 33, values, 1)
    book = np.abs(bfloat16(book) if halves else book) + np.float32(0.5)
    x = np.abs(normal(6, 33))
    clean = codebook_matmul(x, codes, book)
    x[1, 32], x[3, 5], x[4, 0] = np.nan, np.inf, np.finfo(np.float32).max
    y = codebook_matmul(x, codes, bfloat16(book) if halves else book)
    if not halves:
        assert_same_bits(y[[0, 2, 5]], clean[[0, 2, 5]])
    assert np.isnan(y[1]).all() and np.isposinf(y[3]).all() and np.isfinite(y[[0, 2, 5]]).all()
    assert (y[4] > 1e38).all()  # infinite or near it, by the value


def test_small_numbers_are_not_lost(implementation: str) -> None:
    codes, book = drawn(64, 16, 16, 1)
    x = normal(2, 16) * np.float32(1e-38)
    y = codebook_matmul(x, codes, book)
    np.testing.assert_allclose(y, reference.codebook_matmul(x, codes, book), atol=1e-43)


def test_shapes_and_out(implementation: str) -> None:
    codes, book = drawn(5, 6, 3, 1)
    x = normal(2, 3, 6)
    out = np.empty((2, 3, 5), np.float32)
    assert codebook_matmul(x, codes, book, out=out) is out
    np.testing.assert_allclose(out, reference.codebook_matmul(x, codes, book), rtol=1e-5, atol=1e-5)
    assert codebook_matmul(x[:0], codes, book).shape == (0, 3, 5)
    assert codebook_matmul(x[0, 0], codes, book).shape == (5,)
    assert np.isnan(codebook_matmul(np.full((1, 6), np.nan, np.float32), codes, book)).all()


CODES, BOOK, X = np.zeros((4, 3), np.uint8), np.zeros(2, np.float32), np.zeros((2, 3), np.float32)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"x": X.astype(np.float64)}, TypeError, "x: expected float32"),
        ({"codes": CODES.astype(np.int32)}, TypeError, "codes: expected uint8"),
        ({"codebook": BOOK.astype(np.float64)}, TypeError, "codebook: expected float32"),
        ({"x": X[:, :2].copy()}, ValueError, r"x: expected shape \(..., 3\)"),
        ({"x": np.zeros((), np.float32)}, ValueError, "x: expected shape"),
        ({"codes": CODES[0]}, ValueError, "codes: expected 2 axes"),
        ({"codes": CODES[:0]}, ValueError, "codes: expected shape"),
        ({"codes": CODES.T}, ValueError, "codes: expected a C-contiguous"),
        ({"codes": CODES + np.uint8(2)}, ValueError, "codes: expected codes below 2, the size of the codebook, got 2"),
        ({"codebook": np.zeros(0, np.float32)}, ValueError, "codebook: expected 1..256 values, got 0"),
        ({"codebook": np.zeros(257, np.float32)}, ValueError, "codebook: expected 1..256 values, got 257"),
        ({"codebook": np.zeros((3, 2), np.float32)}, ValueError, "number of groups that divides 4"),
        ({"codebook": np.zeros((0, 2), np.float32)}, ValueError, "number of groups that divides 4"),
        ({"codebook": np.zeros((1, 1, 2), np.float32)}, ValueError, r"codebook: expected shape \(k,\)"),
        ({"codebook": np.full(2, np.inf, np.float32)}, ValueError, "codebook: expected finite"),
        ({"bias": np.zeros(3, np.float32)}, ValueError, r"bias: expected shape \(4,\)"),
        ({"out": np.zeros((2, 3), np.float32)}, ValueError, "out: expected shape"),
    ],
)
def test_bad_input_is_named(backend: str, change: dict[str, Any], error: type[Exception], message: str) -> None:
    arguments: dict[str, Any] = {"x": X, "codes": CODES, "codebook": BOOK} | change
    with pytest.raises(error, match=message):
        codebook_matmul(**arguments)


def test_out_may_not_be_an_input(backend: str) -> None:
    x = np.zeros((3, 3), np.float32)
    with pytest.raises(ValueError, match="out: expected memory of its own, got memory of x"):
        codebook_matmul(x, np.zeros((3, 3), np.uint8), BOOK, out=x)


@pytest.mark.parametrize("name", NATIVE)
def test_packed_codes_take_four_bits_or_eight(name: str) -> None:
    with using(name):
        for values, bits in ((1, 4), (16, 4), (17, 8), (256, 8)):
            codes, book = drawn(100, 20, values, 1)
            packed = pack_codebook(codes, book[np.newaxis])
            assert (packed.out, packed.depth, packed.bits) == (100, 20, bits)
            assert packed.nbytes == 128 * 24 * bits // 8 + 2048  # whole tiles of 64 x 8, and the book twice


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("shape", [(2, 1), (6, 3, 3, 3), (4, 77)])
def test_codes_unfold_to_their_values(backend: str, shape: tuple[int, ...], groups: int) -> None:
    for values in (1, 7, 256):
        codes = np.random.default_rng(0).integers(0, values, shape, np.uint8)
        books = normal(groups, values, seed=1)
        wanted = reference.codebook_dense(codes, books if groups > 1 else books[0])
        assert_same_bits(unfold(codes, books), np.float32(wanted))
        assert_same_bits(unfold(codes, books, slice(1, 2)), np.float32(wanted[1:2]))
