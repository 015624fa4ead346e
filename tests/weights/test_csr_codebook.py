"""CsrCodebook: pruned weights that share values."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accel.weights import Codebook, CsrCodebook


def sparse(seed: int, shape: tuple[int, ...], density: float, values: int) -> np.ndarray:
    """Of so many distinct values that are not zero."""
    rng = np.random.default_rng(seed)
    array = rng.standard_normal(values).astype(np.float32)[rng.integers(0, values, shape)]
    return np.where(rng.random(shape) < density, array, np.float32(0))


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([(1, 1), (3, 7), (5, 2, 3, 3), (0, 4), (4, 0), (2, 600)]),
    st.sampled_from([0.0, 0.2, 1.0]),
    st.sampled_from([1, 4, 8]),
)
def test_fit_is_lossless_where_the_values_are_enough(
    seed: int, shape: tuple[int, ...], density: float, bits: int
) -> None:
    w = sparse(seed, shape, density, 2**bits)
    weight = CsrCodebook.fit(w, bits)
    np.testing.assert_array_equal(weight.dense(), w)
    nnz = np.count_nonzero(w)
    assert weight.shape == shape and weight.codes.size == nnz and weight.parameters == nnz + weight.codebook.size
    held = -(-nnz // 2) if weight.codebook.size <= 16 else nnz
    assert weight.nbytes == held + weight.deltas.nbytes + weight.indptr.nbytes + weight.codebook.nbytes


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([(3, 7), (5, 2, 3, 3), (0, 4), (4, 0)]), st.integers(1, 8))
def test_a_codebook_keeps_its_dense_weight(seed: int, shape: tuple[int, ...], bits: int) -> None:
    before = Codebook.fit(sparse(seed, shape, 0.3, 300), bits)
    after = CsrCodebook.from_codebook(before)
    np.testing.assert_array_equal(after.dense(), before.dense())
    assert after.codes.size == np.count_nonzero(before.dense())
    assert (after.codebook != 0).all() or after.codes.size == 0


def test_every_entry_that_is_zero_goes() -> None:
    before = Codebook(np.array([[0, 1, 2], [3, 3, 2]], np.uint8), np.array([0, 5, -0.0, 7], np.float32))
    after = CsrCodebook.from_codebook(before)
    assert after.codebook.tolist() == [5, 7] and after.codes.tolist() == [0, 1, 1]
    assert after.indices.tolist() == [1, 0, 1] and after.indptr.tolist() == [0, 1, 3]


def test_sixteen_values_and_zero_take_four_bits() -> None:
    codes = np.arange(34, dtype=np.uint8).reshape(2, 17) % 17
    after = CsrCodebook.from_codebook(Codebook(codes, np.arange(17, dtype=np.float32)))
    assert after.kernel_arrays().kind == "code16" and after.nbytes == 16 + 32 + 3 * 4 + 64


def test_a_value_of_zero_is_not_stored() -> None:
    weight = CsrCodebook.fit(np.array([[1, -1, 0], [50, 0, 50]], np.float32), bits=1)
    assert weight.codebook.tolist() == [50] and weight.parameters == 3
    assert weight.dense().tolist() == [[0, 0, 0], [50, 0, 50]]


@pytest.mark.parametrize(("bits", "kind", "size"), [(3, "code16", 16), (4, "code16", 16), (5, "code256", 256)])
def test_the_kernels_arrays_are_the_weight(bits: int, kind: str, size: int) -> None:
    weight = CsrCodebook.fit(sparse(1, (9, 700), 0.1, 2**bits), bits)
    found = weight.kernel_arrays()
    assert found.kind == kind and found.scale is None and found.book is not None
    assert found.book.shape == (size,) and not found.book[2**bits :].any()
    assert found.values.dtype == np.uint8 and found.values.size == found.indices.size
    out = np.zeros((9, 700), np.float32)
    for row in range(9):
        here = slice(found.indptr[row], found.indptr[row + 1])
        out[row, found.indices[here]] = found.book[found.values[here]]
    np.testing.assert_array_equal(out, weight.dense())


GOOD = {
    "codes": np.array([1, 0, 2], np.uint8),
    "indices": np.array([2, 0, 1], np.int32),
    "indptr": np.array([0, 2, 3], np.int32),
    "codebook": np.array([1, 2, 3], np.float32),
    "shape": (2, 3),
}


def test_rows_are_brought_into_order() -> None:
    weight = CsrCodebook(**GOOD)  # type: ignore[arg-type]
    assert weight.dense().tolist() == [[1, 0, 2], [0, 3, 0]]
    assert weight.codes.tolist() == [0, 1, 2] and weight.indices.tolist() == [0, 2, 1]
    for array in (weight.codebook, weight.deltas, weight.indptr):
        assert not array.flags.writeable


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"codes": np.zeros(3, np.int64)}, TypeError, "codes: expected uint8"),
        ({"codes": np.zeros(2, np.uint8)}, ValueError, "indices: expected 2 entries as in codes, got 3"),
        ({"codes": np.array([0, 3, 1], np.uint8)}, ValueError, "codes: expected codes below 3"),
        ({"codes": np.zeros(6, np.uint8)[::2]}, ValueError, "codes: expected a C-contiguous"),
        ({"indices": np.array([0, 0, 1], np.int32)}, ValueError, "indices: expected each column once in a row, got 0"),
        ({"indices": np.array([0, 3, 1], np.int32)}, ValueError, r"indices: expected 0\.\.2, got 3"),
        ({"indices": np.array([0, -1, 1], np.int32)}, ValueError, r"indices: expected 0\.\.2, got -1"),
        ({"indices": np.zeros(3)}, TypeError, "indices: expected int32"),
        ({"indptr": np.array([0, 3, 2], np.int32)}, ValueError, "indptr: expected ascending"),
        ({"indptr": np.array([0, 3], np.int32)}, ValueError, "indptr: expected 3 entries for 2 rows"),
        ({"codebook": np.zeros(0, np.float32)}, ValueError, r"codebook: expected 1\.\.256 values, got 0"),
        ({"codebook": np.zeros(257, np.float32)}, ValueError, r"codebook: expected 1\.\.256 values, got 257"),
        ({"codebook": np.array([1, np.nan, 2], np.float32)}, ValueError, "codebook: expected finite"),
        ({"codebook": np.zeros(3)}, TypeError, "codebook: expected float32"),
        ({"shape": (2, 2**31)}, ValueError, "columns: expected an integer"),
        ({"shape": 6}, TypeError, "shape: expected a tuple"),
    ],
)
def test_every_argument_is_checked(change: dict[str, object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        CsrCodebook(**{**GOOD, **change})  # type: ignore[arg-type]


def test_sources_are_checked() -> None:
    with pytest.raises(ValueError, match="w: expected finite"):
        CsrCodebook.fit(np.array([[1, np.inf]], np.float32))
    with pytest.raises(ValueError, match=r"bits: expected an integer in 1\.\.8, got 9"):
        CsrCodebook.fit(np.eye(2, dtype=np.float32), 9)
    with pytest.raises(TypeError, match="weight: expected a Codebook, got "):
        CsrCodebook.from_codebook(np.eye(2, dtype=np.float32))  # type: ignore[arg-type]
