"""Dense: an array with the manners of a Weight."""

from __future__ import annotations

import numpy as np
import pytest

from accel.errors import FormatError
from accel.weights import Dense, dense


def test_it_stands_for_its_array_and_counts_it() -> None:
    array = np.arange(24, dtype=np.float32).reshape(2, 3, 2, 2)
    weight = Dense(array)
    assert weight.shape == (2, 3, 2, 2) and weight.parameters == 24 and weight.nbytes == 96
    np.testing.assert_array_equal(weight.dense(), array)
    assert dense(weight) is weight.dense() and dense(array) is array


def test_it_cannot_be_changed_from_outside() -> None:
    array = np.zeros((2, 2), np.float32)
    weight = Dense(array)
    array[0, 0] = 1
    assert weight.dense()[0, 0] == 0
    with pytest.raises(ValueError, match="read-only"):
        weight.dense()[0, 0] = 1


def test_state_round_trip() -> None:
    weight = Dense(np.ones((3, 5), np.float32))
    np.testing.assert_array_equal(Dense.from_state(*weight.state()).dense(), weight.dense())


def test_wrong_arrays_are_named() -> None:
    with pytest.raises(TypeError, match="array: expected float32, got float64"):
        Dense(np.zeros((2, 2)))
    with pytest.raises(ValueError, match=r"array: expected \(out, in\) or"):
        Dense(np.zeros(3, np.float32))
    with pytest.raises(ValueError, match="C-contiguous"):
        Dense(np.zeros((2, 3), np.float32).T)


@pytest.mark.parametrize(
    ("arrays", "meta", "message"),
    [
        ({}, {}, "expected the arrays"),
        ({"array": np.zeros((2, 2), np.float32), "more": np.zeros(1)}, {}, "expected the arrays"),
        ({"array": np.zeros((2, 2), np.float32)}, {"x": 1}, "expected the fields"),
        ({"array": np.zeros((2, 2), np.int8)}, {}, "array as float32"),
        ({"array": np.zeros(2, np.float32)}, {}, "expected \\(out, in\\)"),
    ],
)
def test_bad_state_is_refused(arrays: dict, meta: dict, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        Dense.from_state(arrays, meta)
