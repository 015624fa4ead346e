"""Reductions: every one against float64, empty sets, NaN, integers."""

from __future__ import annotations

import numpy as np
import pytest
from layers.operators.call import floats, ints, refused, run

DEFINITIONS = {
    "ReduceSum": lambda x, a: x.sum(axis=a),
    "ReduceMean": lambda x, a: x.mean(axis=a),
    "ReduceMax": lambda x, a: x.max(axis=a),
    "ReduceMin": lambda x, a: x.min(axis=a),
    "ReduceProd": lambda x, a: x.prod(axis=a),
    "ReduceL1": lambda x, a: abs(x).sum(axis=a),
    "ReduceL2": lambda x, a: np.sqrt((x * x).sum(axis=a)),
    "ReduceSumSquare": lambda x, a: (x * x).sum(axis=a),
    "ReduceLogSum": lambda x, a: np.log(x.sum(axis=a)),
    "ReduceLogSumExp": lambda x, a: np.log(np.exp(x).sum(axis=a)),
}


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("name", DEFINITIONS)
def test_against_the_definition(name, dtype):
    x = (np.abs(floats(3, 4, 5)) + 0.1).astype(dtype)
    expected = DEFINITIONS[name](x.astype(np.float64), (0, 2))
    y = run(name, x, ints(0, -1), keepdims=0)
    assert y.dtype == dtype and y.shape == (4,)
    assert np.allclose(y, expected, rtol=40 * np.finfo(dtype).eps)
    assert run(name, x, ints(0, -1)).shape == (1, 4, 1)
    assert run(name, x).shape == (1, 1, 1)


@pytest.mark.parametrize("name", DEFINITIONS)
def test_no_axes_may_mean_none(name):
    x = np.abs(floats(2, 3)).astype(np.float64)
    y = run(name, x, ints(), noop_with_empty_axes=1)
    assert y.shape == x.shape and np.allclose(y, DEFINITIONS[name](x[..., None], -1))


@pytest.mark.parametrize("name", DEFINITIONS)
def test_integers_stay_integers(name):
    y = run(name, np.array([[3, 4]], np.int32), ints(1), keepdims=0)
    expected = DEFINITIONS[name](np.array([[3.0, 4.0]]), 1).astype(np.int32)
    assert y.dtype == np.int32 and y.tolist() == expected.tolist()


@pytest.mark.parametrize("name", ["ReduceMax", "ReduceMin", "ReduceSum", "ReduceMean", "ReduceL2", "ReduceLogSumExp"])
@pytest.mark.parametrize("place", [0, 3, 6])
def test_nan_wins_in_any_place(name, place):
    x = np.arange(7, dtype=np.float32)
    x[place] = np.nan
    assert np.isnan(run(name, x, keepdims=0))


@pytest.mark.parametrize(
    ("name", "expected"),
    [("ReduceSum", 0), ("ReduceProd", 1), ("ReduceMax", -np.inf), ("ReduceMin", np.inf), ("ReduceL1", 0),
     ("ReduceL2", 0), ("ReduceSumSquare", 0), ("ReduceLogSum", -np.inf), ("ReduceLogSumExp", -np.inf),
     ("ReduceMean", np.nan)],
)  # fmt: skip
def test_of_nothing(name, expected):
    y = run(name, np.zeros((2, 0), np.float32), ints(1), keepdims=0)
    assert np.array_equal(y, np.full(2, expected, np.float32), equal_nan=True)


@pytest.mark.parametrize(("dtype", "low", "high"), [(np.int8, -128, 127), (np.uint8, 0, 255), (np.bool_, False, True)])
def test_extremes_of_nothing_for_integers(dtype, low, high):
    x = np.zeros((1, 0), dtype)
    assert run("ReduceMax", x, ints(1)).tolist() == [[low]] and run("ReduceMin", x, ints(1)).tolist() == [[high]]


def test_large_numbers_do_not_overflow_in_log_sum_exp():
    assert run("ReduceLogSumExp", np.float32([1000, 1000]), keepdims=0) == pytest.approx(1000 + np.log(2))
    assert run("ReduceLogSumExp", np.float32([-np.inf, -np.inf]), keepdims=0) == -np.inf
    assert run("ReduceLogSumExp", np.float32([np.inf, 1]), keepdims=0) == np.inf


def test_half_is_summed_in_single():
    assert run("ReduceSum", np.ones(5000, np.float16), keepdims=0) == 5000


def test_what_is_refused():
    with refused("ReduceSum: axes: expected in -2..1 for 2 axes, got 2"):
        run("ReduceSum", floats(2, 3), ints(2))
    with refused("ReduceSum: axes: expected distinct axes, got [0, -2]"):
        run("ReduceSum", floats(2, 3), ints(0, -2))
    with refused("ReduceSum: data: expected numbers, got bool"):
        run("ReduceSum", np.ones(2, np.bool_))


@pytest.mark.parametrize(("name", "expected"), [("ArgMax", [1, 2]), ("ArgMin", [0, 3])])
def test_positions(name, expected):
    x = np.array([1, 5, 5, 1], np.int32)
    for last in (0, 1):
        y = run(name, x, select_last_index=last, keepdims=0)
        assert y.dtype == np.int64 and y == expected[last]
    assert run(name, x[None], axis=-1).shape == (1, 1)
    with refused(f"{name}: data: expected elements along axis 0, got shape (0, 2)"):
        run(name, np.zeros((0, 2)), axis=0)
