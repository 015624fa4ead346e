"""Gather, scatter, selection by value: against definitions, and indices out of range."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from layers.operators.call import floats, ints, refused, run


@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.uint8])
def test_gather(dtype):
    x = floats(3, 4)
    index = np.array([[0, 2], [1, 0]], dtype)
    assert np.array_equal(run("Gather", x, index, axis=1), x[:, index])
    if np.dtype(dtype).kind == "i":
        assert np.array_equal(run("Gather", x, -index - 1), x[-(index.astype(int)) - 1])


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("Gather", lambda bad: (floats(3, 2), ints(bad))),
        ("GatherElements", lambda bad: (floats(3, 2), ints(bad, 0).reshape(1, 2))),
        ("GatherND", lambda bad: (floats(3, 2), ints(bad).reshape(1, 1))),
        ("ScatterND", lambda bad: (floats(3, 2), ints(bad).reshape(1, 1), floats(1, 2))),
        ("ScatterElements", lambda bad: (floats(3, 2), ints(bad, 0).reshape(1, 2), floats(1, 2))),
    ],
)
@pytest.mark.parametrize("bad", [3, -4, 2**62, -(2**63)])
def test_an_index_out_of_range_is_refused(name, arguments, bad):
    with refused(f"{name}: indices: expected in -3..2, got"):
        run(name, *arguments(bad))


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_elements_by_definition(data):
    """out[i, j] = x[index[i, j], j], an index smaller than x in the other axis included, and its inverse."""
    rows, columns = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 4))
    axis = data.draw(st.integers(0, 1))
    shape = [data.draw(st.integers(0, 5)), data.draw(st.integers(0, 5))]
    shape[1 - axis] = min(shape[1 - axis], (rows, columns)[1 - axis])
    size = (rows, columns)[axis]
    count = shape[0] * shape[1]
    index = np.array(data.draw(st.lists(st.integers(-size, size - 1), min_size=count, max_size=count)), np.int64)
    index = index.reshape(shape)
    x = floats(rows, columns)
    y = run("GatherElements", x, index, axis=axis)
    added = run("ScatterElements", x, index, np.ones(shape, np.float32), axis=axis, reduction="add")
    expected = x.copy()
    for i, j in np.ndindex(*shape):
        place = (index[i, j], j) if axis == 0 else (i, index[i, j])
        assert y[i, j] == x[place]
        expected[place] += 1
    assert np.array_equal(added, expected)


def test_elements_refuse_a_shape_that_does_not_fit():
    with refused("GatherElements: indices: expected a shape within (2, 3) but for axis 0, got (2, 4)"):
        run("GatherElements", floats(2, 3), np.zeros((2, 4), np.int64))
    with refused("ScatterElements: updates: expected shape (1, 1) like indices, got (1, 2)"):
        run("ScatterElements", floats(2, 3), np.zeros((1, 1), np.int64), floats(1, 2))
    with refused("ScatterElements: reduction: expected one of none, add, mul, max, min, got 'mean'"):
        run("ScatterElements", floats(2, 3), np.zeros((1, 1), np.int64), floats(1, 1), reduction="mean")


def test_gather_nd_with_batch_axes():
    x = floats(2, 3, 4)
    index = ints(2, 0).reshape(2, 1)
    assert np.array_equal(run("GatherND", x, index, batch_dims=1), np.stack([x[0, 2], x[1, 0]]))
    with refused("GatherND: batch_dims: expected leading axes that (2, 3, 4) and (2, 1) share, got 2"):
        run("GatherND", x, index, batch_dims=2)
    with refused("GatherND: indices: expected a last axis of 1..3, got shape (2, 4)"):
        run("GatherND", x, np.zeros((2, 4), np.int64))


def test_scatter_nd():
    x = np.zeros((3, 2), np.float32)
    y = run("ScatterND", x, ints(1, 1).reshape(2, 1), np.ones((2, 2), np.float32), reduction="add")
    assert y.tolist() == [[0, 0], [2, 2], [0, 0]] and not x.any()
    with refused("ScatterND: updates: expected shape (2, 2), got (2, 1)"):
        run("ScatterND", x, ints(1, 1).reshape(2, 1), np.ones((2, 1), np.float32))


def test_one_hot():
    y = run("OneHot", ints(0, -1, 5, -4), ints(3), np.float32([2, 7]))
    assert y.dtype == np.float32 and y.tolist() == [[7, 2, 2], [2, 2, 7], [2, 2, 2], [2, 2, 2]]
    assert np.array_equal(run("OneHot", ints(0, -1, 5, -4), ints(3), np.float32([2, 7]), axis=0), y.T)
    with refused("OneHot: depth, values: expected depth >= 0 and two values, got -1 and shape (2,)"):
        run("OneHot", ints(0), ints(-1), np.float32([0, 1]))


@settings(max_examples=100, deadline=None)
@given(values=st.lists(st.integers(-3, 3), min_size=1, max_size=8), data=st.data())
def test_top_k_breaks_ties_by_the_lower_index(values, data):
    k = data.draw(st.integers(0, len(values)))
    largest = data.draw(st.integers(0, 1))
    order = sorted(range(len(values)), key=lambda i: (-values[i] if largest else values[i], i))[:k]
    y, index = run("TopK", np.array(values, np.int8), ints(k), largest=largest, outputs=2)
    assert index.tolist() == order and y.tolist() == [values[i] for i in order] and index.dtype == np.int64


@pytest.mark.parametrize("largest", [0, 1])
def test_top_k_of_many_equal_values(largest):
    """Many, since short arrays are sorted by insertion, which is stable whatever is asked for."""
    values = np.random.default_rng(0).integers(0, 3, 1000)
    order = sorted(range(1000), key=lambda i: (-values[i] if largest else values[i], i))
    for dtype in (np.int32, np.int64, np.float32, np.float64):
        index = run("TopK", values.astype(dtype), ints(1000), largest=largest, outputs=2)[1]
        assert index.tolist() == order


def test_top_k_refuses():
    with refused("TopK: K: expected one value in 0..3, got [4]"):
        run("TopK", floats(2, 3), ints(4))
    with refused("TopK: K: expected one value in 0..3, got [-1]"):
        run("TopK", floats(2, 3), ints(-1))


@pytest.mark.parametrize("sorted_", [0, 1])
@pytest.mark.parametrize("axis", [None, 0, 1])
def test_unique(axis, sorted_):
    x = np.array([[2, 1, 2], [0, 1, 0], [2, 1, 2]], np.int32)
    options = {} if axis is None else {"axis": axis}
    values, first, inverse, counts = run("Unique", x, sorted=sorted_, outputs=4, **options)
    flat = x.reshape(-1) if axis is None else x
    along = 0 if axis is None else axis
    assert np.array_equal(np.take(values, inverse, along), flat)
    assert np.array_equal(np.take(flat, first, along), values)
    assert counts.sum() == flat.shape[along]
    if not sorted_:
        assert (np.diff(first) > 0).all()


def test_compress_and_non_zero():
    x = floats(3, 2)
    assert np.array_equal(run("Compress", x, np.array([False, True]), axis=0), x[1:2])
    assert np.array_equal(run("Compress", x, np.array([True] * 6)), x.reshape(-1))
    assert run("NonZero", np.float32([[0, 1], [2, 0]])).tolist() == [[0, 1], [1, 0]]
    assert run("NonZero", np.float32(3)).shape == (0, 1)
    with refused("Compress: condition: expected at most 3 values, got 4"):
        run("Compress", x, np.array([True] * 4), axis=0)
    with refused("Compress: condition: expected a vector of bool, got int64 of shape (3,)"):
        run("Compress", x, ints(1, 0, 1), axis=0)


@pytest.mark.parametrize("exclusive", [0, 1])
@pytest.mark.parametrize("reverse", [0, 1])
@pytest.mark.parametrize(("name", "fold"), [("CumSum", np.sum), ("CumProd", np.prod)])
def test_cumulative_by_definition(name, fold, exclusive, reverse):
    x = np.array([[1, 2, 3, 4]], np.int32)
    parts = [x[0, i + exclusive :] if reverse else x[0, : i + 1 - exclusive] for i in range(4)]
    y = run(name, x, ints(-1)[0], exclusive=exclusive, reverse=reverse)
    assert y.dtype == np.int32 and y[0].tolist() == [fold(part) for part in parts]
