"""CSR: scipy's arrays and products, the same bits for any batch, invalid index arrays refused."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kernels.floats import EPS, assert_same_bits, normal, using

import accel
from accel.kernels import runtime
from accel.kernels.csr import Arrays, csr_canonical, csr_from_dense, csr_matmul, csr_validate

sparse = pytest.importorskip("scipy.sparse")
BOUND = 4.0
DTYPES = [np.float32, np.float64, np.int32]
SHAPES = [(0, 0), (0, 3), (3, 0), (1, 1), (5, 7), (64, 33), (10, 1000)]


def matrix(shape: tuple[int, int], dtype: type, density: float = 0.2, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    w = rng.normal(size=shape) * 100 * (rng.random(shape) < density)
    return w.astype(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("pointers", [np.int32, np.int64])
def test_from_dense_is_scipys(backend: str, dtype: type, pointers: type) -> None:
    for shape in SHAPES:
        for density in (0, 0.1, 1):
            w = matrix(shape, dtype, density)
            expected = sparse.csr_array(w)
            data, indices, indptr = csr_from_dense(w, indptr_dtype=pointers)
            assert (data.dtype, indices.dtype, indptr.dtype) == (dtype, np.int32, pointers)
            np.testing.assert_array_equal(data, expected.data)
            np.testing.assert_array_equal(indices, expected.indices)
            np.testing.assert_array_equal(indptr, expected.indptr)
            assert csr_validate(data, indices, indptr, shape[1])


def test_special_values_from_dense(backend: str) -> None:
    w = np.array([[np.nan, -0.0, 0.0], [np.inf, 1e-45, -1]], np.float32)
    data, indices, indptr = csr_from_dense(w)
    np.testing.assert_array_equal(data, np.array([np.nan, np.inf, 1e-45, -1], np.float32))
    assert indices.tolist() == [0, 0, 1, 2] and indptr.tolist() == [0, 1, 4]
    assert csr_from_dense(w, np.float64)[0].dtype == np.float64


def product_error(y: np.ndarray, arrays: Arrays, x: np.ndarray) -> float:
    """The largest error in units of eps sqrt(n) sum |w||x|, n the values of the row. The products promise 4."""
    data, indices, indptr = (a.astype(np.float64) if a.dtype == np.float32 else a for a in arrays)
    w, size = (sparse.csr_array((a, indices, indptr), (indptr.size - 1, x.shape[-1])) for a in (data, np.abs(data)))
    batch = math.prod(x.shape[:-1])
    flat = x.reshape(batch, x.shape[-1]).astype(np.float64).T
    unit = EPS * np.sqrt(np.diff(indptr))[:, None] * (size @ np.abs(flat))
    error = np.abs(y.reshape(batch, indptr.size - 1).T - w @ flat)
    return float((error / np.where(unit > 0, unit, EPS)).max(initial=0))


def rows_of(counts: list[int], columns: int, pointers: type = np.int64, seed: int = 0) -> Arrays:
    """Rows with so many values, at any columns in any order and more than once."""
    indptr = np.concatenate([[0], np.cumsum(counts)]).astype(pointers)
    return (
        normal(indptr[-1], seed=seed),
        np.random.default_rng(seed).integers(0, columns, indptr[-1], dtype=np.int32),
        indptr,
    )


@pytest.mark.parametrize("dtype", [np.float64, np.int32])
@pytest.mark.parametrize("batch", [(), (1,), (3,), (2, 3), (0,)])
def test_matmul_is_the_dense_product(backend: str, dtype: type, batch: tuple[int, ...]) -> None:
    for shape in SHAPES:
        w = matrix(shape, dtype)
        x = matrix((*batch, shape[1]), dtype, 1, seed=1)  # type: ignore[arg-type]
        y = csr_matmul(*csr_from_dense(w), x)
        assert y.shape == (*batch, shape[0]) and y.dtype == dtype
        exact = x.astype(np.float64) @ w.T.astype(np.float64)
        # Added up in float64 and rounded once: half a unit of the result, and float64's own error.
        slack = np.abs(x).astype(np.float64) @ np.abs(w.T).astype(np.float64) * 1e-13
        unit = 0 if dtype == np.int32 else np.abs(exact) * np.finfo(dtype).eps
        assert (np.abs(y - exact) <= unit + slack).all()


@pytest.mark.parametrize("batch", [(), (1,), (3,), (2, 3), (0,), (17,), (100,)])
def test_float32_within_the_bound(implementation: str, batch: tuple[int, ...]) -> None:
    for shape in SHAPES:
        arrays = csr_from_dense(matrix(shape, np.float32))
        x = normal(*batch, shape[1], seed=1)
        y = csr_matmul(*arrays, x)
        assert y.shape == (*batch, shape[0]) and y.dtype == np.float32
        assert product_error(y, arrays, x) <= BOUND


@pytest.mark.parametrize("pointers", [np.int32, np.int64])
@pytest.mark.parametrize("rows", [1, 2, 31, 33, 70])
def test_rows_of_any_length_unsorted_with_duplicates(implementation: str, rows: int, pointers: type) -> None:
    rng = np.random.default_rng(rows)
    for columns in (1, 15, 64, 65, 130):
        counts = [int(n) for n in rng.choice([0, 0, 1, 2, 3, 4, 5, 7, 8, 50], rows)]
        arrays = rows_of(counts, columns, pointers, rows)
        for batch in (1, 2, 4, 5, 16, 33, 47, 65):
            x = normal(batch, columns, seed=batch)
            assert product_error(csr_matmul(*arrays, x), arrays, x) <= BOUND


def test_a_row_of_x_has_the_same_bits_in_any_batch_on_any_threads(implementation: str) -> None:
    counts = [int(n) for n in np.random.default_rng(0).integers(0, 60, 1500)]
    for columns in (90, 3000):  # 3000: tiles of fewer vectors
        arrays, x = rows_of([4000, *counts], columns), normal(130, columns)
        alone = np.stack([csr_matmul(*arrays, row) for row in x])
        for threads in (1, 2, 5):
            with accel.using(threads=threads):
                assert_same_bits(csr_matmul(*arrays, x[0]), alone[0])
                for batch in (2, 3, 4, 5, 16, 17, 40, 130):
                    assert_same_bits(csr_matmul(*arrays, x[:batch]), alone[:batch])


def test_whoever_does_a_part_the_result_is_the_same() -> None:
    """Calls so short that a worker may wake too late for its part, which the caller then does."""
    if runtime.core is None:
        pytest.skip("native kernels only")
    w, x = normal(640, 640), normal(1, 640)
    w[np.abs(w) < 0.5] = 0
    arrays = csr_from_dense(w)
    with accel.using(threads=1):
        wanted = csr_matmul(*arrays, x)
    with accel.using(threads=3):
        for _ in range(500):
            assert_same_bits(csr_matmul(*arrays, x), wanted)


def test_few_values_of_many_columns(implementation: str) -> None:
    arrays, x = rows_of([5, 0, 7, 9, 1, 0, 30], 3000), normal(41, 3000)
    alone = np.stack([csr_matmul(*arrays, row) for row in x])
    assert product_error(alone, arrays, x) <= BOUND
    for batch in (2, 5, 41):
        assert_same_bits(csr_matmul(*arrays, x[:batch]), alone[:batch])


def test_zeros_have_one_sign_in_any_batch(implementation: str) -> None:
    data = np.array([-1e-30, -0.0, -0.0, -1e-30, -1e-30, -1e-30, -1e-30, -0.0], np.float32)
    arrays = data, np.zeros(8, np.int32), np.array([0, 1, 3, 7, 8])
    alone = csr_matmul(*arrays, np.full((1, 1), 1e-30, np.float32))
    for batch in (2, 5, 40):
        assert_same_bits(csr_matmul(*arrays, np.full((batch, 1), 1e-30, np.float32)), np.repeat(alone, batch, axis=0))


@pytest.mark.parametrize("batch", [1, 3, 20])
def test_nan_and_infinity_reach_exactly_the_rows_that_hold_them(implementation: str, batch: int) -> None:
    for count in range(1, 12):
        arrays = csr_from_dense(np.kron(np.eye(3), np.ones((1, count))).astype(np.float32))
        for special in (np.nan, np.inf):
            for at in range(count):
                x = np.ones((batch, 3 * count), np.float32)
                x[-1, count + at] = special
                y = csr_matmul(*arrays, x)
                expected = np.full((batch, 3), count, np.float32)
                expected[-1, 1] = special
                np.testing.assert_array_equal(y, expected)
    huge = csr_from_dense(np.array([[np.inf, 0], [0, np.nan], [1, 0]], np.float32))
    y = csr_matmul(*huge, np.ones((batch, 2), np.float32))
    np.testing.assert_array_equal(y, np.tile(np.array([np.inf, np.nan, 1], np.float32), (batch, 1)))


def test_denormals_are_kept(implementation: str) -> None:
    arrays = csr_from_dense(np.full((1, 5), 1e-40, np.float32))
    for batch in (1, 4, 9):
        assert (csr_matmul(*arrays, np.ones((batch, 5), np.float32)) > 4e-40).all()


@pytest.mark.parametrize("batch", [1, 4, 20, 200])
@pytest.mark.parametrize("threads", [1, 2])
def test_every_index_is_checked(implementation: str, batch: int, threads: int) -> None:
    data, indices, indptr = rows_of([7] * 400, 50)
    with accel.using(threads=threads):
        for at in (0, 3, 1501, 2799):
            for wrong in (-1, 50, 2**31 - 1, -(2**31)):
                hostile = indices.copy()
                hostile[at] = wrong
                with pytest.raises(ValueError, match=f"indices: expected 0..49, got {wrong} at {at}"):
                    csr_matmul(data, hostile, indptr, normal(batch, 50))
        for bad in ([1, *indptr[1:]], [*indptr[:-1], 2**40], [0, 9, 5, *indptr[3:]], [0, -1, *indptr[2:]]):
            with pytest.raises(ValueError, match="indptr: expected ascending values from 0 to 2800"):
                csr_matmul(data, indices, np.array(bad, np.int64), normal(batch, 50))


def test_every_back_end_gives_the_same_bits() -> None:
    for dtype in (np.float64, np.int32):
        w, x = matrix((40, 300), dtype, 0.5), matrix((7, 300), dtype, 1, 2)
        results = []
        for backend in runtime.isa_info()["backends"]:
            with accel.using(backend=backend):
                results.append(csr_matmul(*csr_from_dense(w), x).tobytes())
        assert len(set(results)) == 1


def test_fused_instruction_sets_agree_to_the_bit() -> None:
    arrays, x = rows_of([int(n) for n in range(100)], 70), normal(37, 70)
    results = []
    for isa in {"avx2", "avx512"} & set(runtime.isa_info()["supported"]):
        with using(f"native-{isa}"):
            results.append(csr_matmul(*arrays, x).tobytes())
    assert len(set(results)) <= 1


def test_integers_wrap_and_floats_overflow_to_infinity(backend: str) -> None:
    w, x = np.full((1, 3), 2**30, np.int32), np.array([4, 1, 1], np.int32)
    assert csr_matmul(*csr_from_dense(w), x).tolist() == [-(2**31)]
    big = np.full((1, 2), 3e38, np.float32)
    assert csr_matmul(*csr_from_dense(big), np.ones(2, np.float32)).tolist() == [np.inf]
    assert np.isnan(csr_matmul(*csr_from_dense(big), np.array([np.nan, 0], np.float32))).all()


@settings(max_examples=150, deadline=None)
@given(st.data(), st.sampled_from(DTYPES), st.sampled_from(runtime.isa_info()["backends"]))
def test_canonical_is_scipys(draw: st.DataObject, dtype: type, backend: str) -> None:
    rows, columns = draw.draw(st.integers(1, 6)), draw.draw(st.integers(1, 6))
    counts = draw.draw(st.lists(st.integers(0, 9), min_size=rows, max_size=rows))
    indptr = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    indices = np.array(
        draw.draw(st.lists(st.integers(0, columns - 1), min_size=sum(counts), max_size=sum(counts))), np.int32
    )
    data = np.arange(1, indices.size + 1).astype(dtype)
    given_arrays = data.copy(), indices.copy(), indptr.copy()
    with accel.using(backend=backend):
        found = csr_canonical(data, indices, indptr, columns)
        assert csr_validate(*found, columns)
    for now, before in zip((data, indices, indptr), given_arrays, strict=True):
        np.testing.assert_array_equal(now, before)
    expected = sparse.csr_array(given_arrays, shape=(rows, columns))
    expected.sum_duplicates()
    for mine, theirs in zip(found, (expected.data, expected.indices, expected.indptr), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    assert found[0].dtype == dtype and found[2].dtype == np.int32


def test_canonical_keeps_what_is_in_order() -> None:
    arrays = csr_from_dense(matrix((5, 7), np.float32))
    assert all(a is b for a, b in zip(csr_canonical(*arrays, 7), arrays, strict=True))


@pytest.mark.parametrize("pointers", [np.int32, np.int64])
def test_invalid_index_arrays_are_refused(backend: str, pointers: type) -> None:
    data, indices = np.ones(4, np.float32), np.array([0, 2, 1, 2], np.int32)
    fine = np.array([0, 2, 4], pointers)
    assert csr_validate(data, indices, fine, 3)
    assert not csr_validate(data, indices, np.array([0, 4, 4], pointers), 3)
    most = np.iinfo(pointers).max
    for bad in ([1, 2, 4], [0, 2, 3], [0, 2, 5], [0, 5, 4], [0, -1, 4], [0, most, 4], [0, most, -5, 4], [0], [-1, 4]):
        with pytest.raises(ValueError, match="indptr: expected ascending values from 0 to 4"):
            csr_validate(data, indices, np.array(bad, pointers), 3)
    for at in range(4):
        for wrong in (-1, 3, 2**31 - 1, -(2**31)):
            hostile = indices.copy()
            hostile[at] = wrong
            with pytest.raises(ValueError, match=f"indices: expected 0..2, got {wrong} at {at}"):
                csr_validate(data, hostile, fine, 3)
            with pytest.raises(ValueError, match="indices: expected"):
                csr_matmul(data, hostile, fine, np.ones(3, np.float32))
            with pytest.raises(ValueError, match="indices: expected"):
                csr_canonical(data, hostile, fine, 3)


def test_arguments_are_checked(backend: str) -> None:
    data, indices, indptr = csr_from_dense(matrix((4, 3), np.float32))
    x = np.ones((2, 3), np.float32)
    with pytest.raises(TypeError, match="x: expected float32, got float64"):
        csr_matmul(data, indices, indptr, x.astype(np.float64))
    with pytest.raises(ValueError, match=r"indices: expected 0\.\.1, got 2"):
        csr_matmul(np.ones(1, np.float32), np.array([2], np.int32), np.array([0, 1]), np.ones((2, 2), np.float32))
    with pytest.raises(ValueError, match="x: expected at least one axis"):
        csr_matmul(data, indices, indptr, np.array(1, np.float32))
    with pytest.raises(ValueError, match=r"out: expected shape \(2, 4\)"):
        csr_matmul(data, indices, indptr, x, np.empty((2, 3), np.float32))
    square = np.ones((3, 3), np.float32)
    with pytest.raises(ValueError, match="out: expected memory of its own"):
        csr_matmul(*csr_from_dense(square), square, square)
    with pytest.raises(TypeError, match="data: expected float32 or float64 or int32, got float16"):
        csr_validate(data.astype(np.float16), indices, indptr, 3)
    with pytest.raises(TypeError, match="data: expected a NumPy array, got list"):
        csr_matmul([1.0], indices, indptr, x)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="indices: expected int32"):
        csr_validate(data, indices.astype(np.int64), indptr, 3)
    with pytest.raises(TypeError, match="indptr: expected int32 or int64"):
        csr_validate(data, indices, indptr.astype(np.uint32), 3)
    with pytest.raises(TypeError, match="indptr: expected int32 or int64"):
        csr_validate(data, indices, indptr.tolist(), 3)
    with pytest.raises(ValueError, match="indices: expected"):
        csr_validate(data, indices[:-1].copy(), indptr, 3)
    with pytest.raises(ValueError, match=r"indptr: expected rows \+ 1 entries, got none"):
        csr_validate(data, indices, np.empty(0, np.int64), 3)
    with pytest.raises(TypeError, match="w: expected float32 or float64 or int32, got int8"):
        csr_from_dense(np.zeros((2, 2), np.int8))
    with pytest.raises(ValueError, match="w: expected 2 axes"):
        csr_from_dense(np.zeros(2, np.float32))
    with pytest.raises(TypeError, match="indptr_dtype: expected int32 or int64, got uint8"):
        csr_from_dense(np.zeros((2, 2), np.float32), indptr_dtype=np.uint8)
    out = np.full((2, 4), np.nan, np.float32)
    assert csr_matmul(data, indices, indptr, x, out) is out and not np.isnan(out).any()


def test_the_result_does_not_lie_over_the_matrix() -> None:
    data, indices, indptr = np.ones(4, np.float32), np.arange(4, dtype=np.int32), np.array([0, 2, 4], np.int32)
    with pytest.raises(ValueError, match="out: expected memory of its own, got memory of data"):
        csr_matmul(data, indices, indptr, np.ones((2, 4), np.float32), data.reshape(2, 2))
    numbers = [np.array(a, np.int32) for a in ([1, 1], [0, 1], [0, 1, 2])]
    with pytest.raises(ValueError, match="out: expected memory of its own, got memory of indices"):
        csr_matmul(*numbers, np.ones(2, np.int32), numbers[1])
