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
    assert weight.nbytes == 8 * weight.parameters + 4 * (shape[0] + 1)
    again = Csr.from_state(*weight.state())
    np.testing.assert_array_equal(again.dense(), w)


def test_rows_are_brought_into_order_and_same_places_added() -> None:
    weight = Csr(np.array([1, 2, 4], np.float32), np.array([2, 0, 2], np.int32), np.array([0, 3, 3], np.int32), (2, 3))
    assert weight.indices.tolist() == [0, 2] and weight.data.tolist() == [2, 5] and weight.indptr.tolist() == [0, 2, 2]
    assert weight.dense().tolist() == [[2, 0, 5], [0, 0, 0]]


def test_arrays_are_read_only() -> None:
    weight = Csr.from_dense(np.eye(3, dtype=np.float32))
    for array in (weight.data, weight.indices, weight.indptr):
        assert not array.flags.writeable


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


@pytest.mark.parametrize("shape", [5, None, "ab"])
def test_a_shape_is_a_tuple(shape: object) -> None:
    arrays = np.ones(1, np.float32), np.zeros(1, np.int32), np.array([0, 1], np.int32)
    with pytest.raises(TypeError, match="shape: expected a tuple of sizes, got "):
        Csr(*arrays, shape)  # type: ignore[arg-type]
