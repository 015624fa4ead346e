"""Csr: pruned weights row by row."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accel.errors import FormatError
from accel.weights import Csr


def sparse(seed: int, shape: tuple[int, ...], density: float) -> np.ndarray:
    rng = np.random.default_rng(seed)
    array = rng.standard_normal(shape).astype(np.float32)
    return np.where(rng.random(shape) < density, array, np.float32(0))


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([(1, 1), (3, 7), (5, 2, 3, 3), (0, 4), (4, 0)]),
    st.sampled_from([0.0, 0.2, 1.0]),
)
def test_from_dense_is_lossless(seed: int, shape: tuple[int, ...], density: float) -> None:
    w = sparse(seed, shape, density)
    weight = Csr.from_dense(w)
    np.testing.assert_array_equal(weight.dense(), w)
    assert weight.shape == shape and weight.parameters == np.count_nonzero(w)
    assert weight.nbytes == 5 * weight.parameters + 4 * (shape[0] + 1)
    again = Csr.from_state(*weight.state())
    np.testing.assert_array_equal(again.dense(), w)


def test_rows_are_brought_into_order_and_same_places_added() -> None:
    weight = Csr(np.array([1, 2, 4], np.float32), np.array([2, 0, 2], np.int32), np.array([0, 3, 3], np.int32), (2, 3))
    assert weight.indices.tolist() == [0, 2] and weight.data.tolist() == [2, 5] and weight.indptr.tolist() == [0, 2, 2]
    assert weight.dense().tolist() == [[2, 0, 5], [0, 0, 0]]


def test_arrays_are_read_only() -> None:
    weight = Csr.from_dense(np.eye(3, dtype=np.float32), "int8")
    assert weight.scale is not None
    for array in (weight.data, weight.scale, weight.deltas, weight.indptr):
        assert not array.flags.writeable


def test_what_is_not_a_number_and_stored_zeros_are_kept() -> None:
    w = np.array([[0, np.nan, np.inf], [-np.inf, 0, 1]], np.float32)
    for values in ("float32", "bfloat16"):
        np.testing.assert_array_equal(Csr.from_dense(w, values).dense(), w)
    zero = Csr(np.zeros(1, np.float32), np.ones(1, np.int32), np.array([0, 1], np.int32), (1, 2))
    assert zero.parameters == 1 and not zero.dense().any()


def test_bytes_are_those_of_the_arrays_held() -> None:
    w = sparse(0, (64, 640), 0.05)
    w[:, 255:600] = 0  # gaps of more than a byte
    nnz = np.count_nonzero(w)
    escapes = sum((np.diff(np.flatnonzero(row), prepend=-1) > 255).sum() for row in w)
    for values, each, extra in (("float32", 4, 0), ("bfloat16", 2, 0), ("int8", 1, 4 * 64)):
        weight = Csr.from_dense(w, values)
        stored = weight.parameters
        assert stored == nnz or (values == "int8" and stored <= nnz)
        assert weight.values == values
        if stored == nnz:
            assert weight.deltas.size == nnz + escapes
        assert weight.nbytes == each * stored + weight.deltas.size + 4 * 65 + extra


def test_bfloat16_rounds_to_nearest_even() -> None:
    w = sparse(3, (50, 70), 0.5)
    w[0, :6] = [1 + 2**-8, 1 + 3 * 2**-8, 1 + 2**-8 + 2**-20, 3.39e38, -3.4028235e38, 1e-45]
    weight = Csr.from_dense(w, "bfloat16")
    below = float.fromhex("0x1.fep127")  # the largest bfloat16 is 0x1.fep127
    assert weight.dense()[0, :6].tolist() == [1, 1 + 2**-6, 1 + 2**-7, below, -np.inf, 0]
    fine = np.isfinite(weight.dense()) & (np.abs(w) > 1e-37)
    assert (np.abs(weight.dense() - w)[fine] <= np.abs(w)[fine] * 2**-8).all()
    kept = Csr.from_dense(weight.dense(), "bfloat16")
    np.testing.assert_array_equal(kept.data, weight.data)
    assert weight.parameters == np.count_nonzero(w) - 1, "what rounds to zero is not stored"


def test_int8_has_one_scale_a_row() -> None:
    w = sparse(4, (40, 90), 0.3)
    w[0] = 0
    w[1, :3] = [3.4028235e38, -3.4028235e38, 1]
    w[2] = 0
    w[2, 5] = 1e-45
    w[3, :2] = [127, -0.5]
    w[3, 2:] = 0
    weight = Csr.from_dense(w, "int8")
    assert weight.scale is not None and weight.data.dtype == np.int8 and weight.data.min() >= -127
    assert (np.abs(weight.dense().astype(np.float64) - w).max(axis=1) <= weight.scale / 2 * (1 + 1e-6)).all()
    np.testing.assert_array_equal(weight.dense()[[0, 2]], 0)
    assert np.isfinite(weight.dense()).all() and weight.dense()[3, :2].tolist() == [127, 0]
    assert (weight.data != 0).all() and weight.scale[0] == 1
    with pytest.raises(ValueError, match="w: expected finite values for int8, got NaN or infinity in row 2"):
        w[2, 7] = np.nan
        Csr.from_dense(w, "int8")


def test_values_are_named() -> None:
    with pytest.raises(ValueError, match="values: expected one of float32, bfloat16, int8, got 'int4'"):
        Csr.from_dense(np.eye(2, dtype=np.float32), "int4")


@pytest.mark.parametrize("values", ["float32", "bfloat16", "int8"])
def test_the_kernels_arrays_are_the_weight(values: str) -> None:
    weight = Csr.from_dense(sparse(5, (9, 700), 0.1), values)
    found = weight.kernel_arrays()
    assert found.kind == {"float32": "f32", "bfloat16": "bf16", "int8": "i8"}[values] and found.book is None
    numbers = (found.values.astype(np.uint32) << 16).view(np.float32) if values == "bfloat16" else found.values
    out = np.zeros((9, 700), np.float32)
    for row in range(9):
        here = slice(found.indptr[row], found.indptr[row + 1])
        out[row, found.indices[here]] = numbers[here] * (1 if found.scale is None else found.scale[row])
    np.testing.assert_array_equal(out, weight.dense())
    assert found.indices.dtype == found.indptr.dtype == np.int32


@pytest.mark.parametrize("form", ["csr", "csc", "coo", "dia", "lil", "dok", "bsr"])
@pytest.mark.parametrize("make", ["array", "matrix"])
def test_scipys_matrices(form: str, make: str) -> None:
    scipy_sparse = pytest.importorskip("scipy.sparse")
    w = sparse(6, (12, 20), 0.3)
    matrix = getattr(scipy_sparse, f"{form}_{make}")(scipy_sparse.coo_matrix(w))
    for values in ("float32", "int8"):
        np.testing.assert_array_equal(Csr.from_scipy(matrix, values).dense(), Csr.from_dense(w, values).dense())


def test_scipys_matrices_are_left_alone_and_checked() -> None:
    scipy_sparse = pytest.importorskip("scipy.sparse")
    arrays = np.array([1, 2, 4], np.float32), np.array([2, 0, 2], np.int64), np.array([0, 3, 3], np.int64)
    matrix = scipy_sparse.csr_array(arrays, shape=(2, 3))
    assert Csr.from_scipy(matrix).dense().tolist() == [[2, 0, 5], [0, 0, 0]]
    assert matrix.data.tolist() == [1, 2, 4] and matrix.indices.tolist() == [2, 0, 2]
    with pytest.raises(TypeError, match=r"matrix: expected float32, got float64 .* matrix.astype\(np.float32\)"):
        Csr.from_scipy(matrix.astype(np.float64))
    for other in (np.eye(3, dtype=np.float32), None, [[1]]):
        with pytest.raises(TypeError, match=r"matrix: expected a scipy\.sparse matrix or array, got "):
            Csr.from_scipy(other)
    broken = scipy_sparse.csr_array(arrays, shape=(2, 3))
    broken.indices[0] = 7
    with pytest.raises(ValueError, match=r"indices: expected 0\.\.2, got 7"):
        Csr.from_scipy(broken)


GOOD = {
    "data": np.array([1, 2], np.float32),
    "indices": np.array([0, 2], np.int32),
    "indptr": np.array([0, 1, 2], np.int32),
}


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("data", np.array([1, 2], np.float64), "data as float32"),
        ("data", np.array([1], np.float32), "indices: expected 1 entries"),
        ("indices", np.array([0, 3], np.int32), "indices: expected 0..2, got 3"),
        ("indices", np.array([0, -1], np.int32), "indices: expected 0..2, got -1"),
        ("indices", np.array([0, 2], np.int64), "indices as int32"),
        ("indptr", np.array([0, 2], np.int32), "indptr: expected 3 entries"),
        ("indptr", np.array([0, 2, 1], np.int32), "indptr"),
        ("indptr", np.array([1, 1, 2], np.int32), "indptr"),
        ("indptr", np.array([0, 1, 3], np.int32), "indptr"),
        ("shape", [2], "shape: expected"),
        ("shape", [2, -3], "a shape as a list of sizes"),
        ("shape", [2, True], "a shape as a list of sizes"),
        ("shape", "23", "a shape as a list of sizes"),
        ("shape", [2, 2**40], "columns"),
    ],
)
def test_bad_state_is_refused(name: str, value: object, message: str) -> None:
    arrays, meta = dict(GOOD), {"shape": [2, 3]}
    (meta if name == "shape" else arrays)[name] = value  # type: ignore[index]
    with pytest.raises(FormatError, match=message):
        Csr.from_state(arrays, meta)


def test_state_that_is_not_canonical_is_refused() -> None:
    arrays = {**GOOD, "indices": np.array([2, 0], np.int32), "indptr": np.array([0, 2, 2], np.int32)}
    with pytest.raises(FormatError, match="ascending columns"):
        Csr.from_state(arrays, {"shape": [2, 3]})
    with pytest.raises(FormatError, match="expected the arrays"):
        Csr.from_state({"data": GOOD["data"]}, {"shape": [2, 3]})


def test_wrong_dense_arrays_are_named() -> None:
    with pytest.raises(TypeError, match="w: expected float32"):
        Csr.from_dense(np.zeros((2, 2)))
    with pytest.raises(ValueError, match=r"w: expected \(out, in\)"):
        Csr.from_dense(np.zeros(2, np.float32))


def test_encoded_values_of_one_place_are_not_added() -> None:
    indices, indptr, scale = np.array([2, 0, 2], np.int32), np.array([0, 3], np.int32), np.ones(1, np.float32)
    for data, scales in ((np.ones(3, np.int8), scale), (np.ones(3, np.uint16), None)):
        with pytest.raises(ValueError, match="indices: expected each column once in a row, got 2 twice in row 0"):
            Csr(data, indices, indptr, (1, 3), scales)
        sorted_ = Csr(
            np.array([1, 2], data.dtype), np.array([2, 0], np.int32), np.array([0, 2], np.int32), (1, 3), scales
        )
        assert sorted_.data.tolist() == [2, 1] and sorted_.indices.tolist() == [0, 2]


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"data": np.zeros(2)}, TypeError, "data: expected an array of float32, uint16"),
        ({"data": [1, 2]}, TypeError, "data: expected an array of float32"),
        ({"data": np.zeros((1, 2), np.float32)}, ValueError, "data: expected 1 axes"),
        ({"data": np.zeros(4, np.float32)[::2]}, ValueError, "data: expected a C-contiguous"),
        ({"data": np.zeros(3, np.float32)}, ValueError, "indices: expected 3 entries as in data, got 2"),
        ({"indices": np.zeros(2, np.int64)}, TypeError, "indices: expected int32"),
        ({"indices": np.zeros(4, np.int32)[::2]}, ValueError, "indices: expected a C-contiguous"),
        ({"indptr": np.array([0, 1, 2])}, TypeError, "indptr: expected int32"),
        ({"indptr": np.array([0, 2], np.int32)}, ValueError, "indptr: expected 3 entries for 2 rows, got 2"),
        ({"indptr": np.array([0, 3, 2], np.int32)}, ValueError, "indptr: expected ascending values from 0 to 2"),
        ({"indptr": np.array([-1, 1, 2], np.int32)}, ValueError, "indptr: expected ascending values from 0 to 2"),
        ({"shape": (2,)}, ValueError, r"shape: expected \(out, in\)"),
        ({"shape": (2, -3)}, ValueError, "shape: expected an integer >= 0, got -3"),
        ({"shape": (2, 0, 2**70)}, ValueError, r"shape: expected at most 2\*\*61 - 1 elements"),
        ({"shape": (2, 2**40)}, ValueError, "columns: expected an integer in"),
        ({"shape": (2, *[1] * 40)}, ValueError, r"shape: expected \(out, in\)"),
        ({"scale": np.ones(2, np.float32)}, TypeError, "scale: expected None for float32 data"),
        ({"data": np.zeros(2, np.int8)}, TypeError, "scale: expected a float32 array for int8 data, got NoneType"),
        ({"data": np.zeros(2, np.int8), "scale": np.ones(2)}, TypeError, "scale: expected float32"),
        ({"data": np.zeros(2, np.int8), "scale": np.ones(3, np.float32)}, ValueError, "scale: expected 2 entries"),
        ({"data": np.zeros(2, np.int8), "scale": np.zeros(2, np.float32)}, ValueError, "scale: expected finite"),
    ],
)
def test_every_argument_is_checked(change: dict[str, object], error: type[Exception], message: str) -> None:
    good: dict[str, object] = {**GOOD, "shape": (2, 3)}
    with pytest.raises(error, match=message):
        Csr(**{**good, **change})  # type: ignore[arg-type]


@pytest.mark.parametrize("shape", [5, None, "ab"])
def test_a_shape_is_a_tuple(shape: object) -> None:
    arrays = np.ones(1, np.float32), np.zeros(1, np.int32), np.array([0, 1], np.int32)
    with pytest.raises(TypeError, match="shape: expected a tuple of sizes, got "):
        Csr(*arrays, shape)  # type: ignore[arg-type]
