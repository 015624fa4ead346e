"""Pooling in one to three axes against its definition."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from layers.operators.call import floats, ints, refused, run
from layers.operators.windows import cells, geometries, pooled


@settings(max_examples=80, deadline=None)
@given(
    data=st.data(), ceil=st.booleans(), dtype=st.sampled_from([np.float16, np.float32, np.float64, np.int8, np.uint8])
)
def test_max_pool_by_definition(data, ceil, dtype):
    size, case, out = data.draw(geometries(ceil=ceil))
    x = np.random.default_rng(0).integers(0, 9, (2, 2, *size)).astype(dtype)
    y, index = run("MaxPool", x, ceil_mode=int(ceil), outputs=2, **case)
    assert y.dtype == dtype and index.dtype == np.int64
    assert np.array_equal(run("MaxPool", x, ceil_mode=int(ceil), **case), y)
    low = -np.inf if np.dtype(dtype).kind == "f" else np.iinfo(dtype).min
    assert np.array_equal(y, pooled(x.astype(np.float64), case, out, lambda v: v.max(initial=low)))
    inside = pooled(x, case, out, len) > 0  # windows in the padding alone have no index
    assert np.array_equal(x.reshape(-1)[index[inside]], y[inside])


@settings(max_examples=60, deadline=None)
@given(data=st.data(), ceil=st.booleans(), dtype=st.sampled_from([np.float16, np.float32, np.float64]))
def test_average_and_lp_pool_by_definition(data, ceil, dtype):
    size, case, out = data.draw(geometries(ceil=ceil))
    x = floats(1, 2, *size, dtype=dtype)
    wide = x.astype(np.float64)
    close = {"rtol": 20 * np.finfo(dtype).eps, "atol": 20 * np.finfo(dtype).eps, "equal_nan": True}
    average = run("AveragePool", x, ceil_mode=int(ceil), **case)
    assert average.dtype == dtype
    assert np.allclose(average, pooled(wide, case, out, lambda v: v.mean() if v.size else np.nan), **close)
    norm = run("LpPool", x, ceil_mode=int(ceil), p=3, **case)
    assert norm.dtype == dtype
    assert np.allclose(norm, pooled(wide, case, out, lambda v: (abs(v) ** 3).sum() ** (1 / 3)), **close)


@settings(max_examples=60, deadline=None)
@given(data=st.data(), ceil=st.booleans())
def test_average_that_counts_the_padding_does_not_count_what_ceil_mode_adds(data, ceil):
    size, case, out = data.draw(geometries(ceil=ceil))
    rank = len(size)
    x = floats(1, 1, *size, dtype=np.float64)
    y = run("AveragePool", x, ceil_mode=int(ceil), count_include_pad=1, **case)
    bordered = np.pad(x, [(0, 0)] * 2 + list(zip(case["pads"][:rank], case["pads"][rank:], strict=True)))
    unpadded = {**case, "pads": [0] * rank}
    assert np.allclose(y, pooled(bordered, unpadded, out, lambda v: v.mean()))


@pytest.mark.parametrize("place", range(9))
def test_nan_wins_in_any_place(place):
    x = np.arange(9, dtype=np.float32).reshape(1, 1, 3, 3)
    x.reshape(-1)[place] = np.nan
    y, index = run("MaxPool", x, kernel_shape=[3, 3], outputs=2)
    assert np.isnan(y).all() and index.reshape(-1) == [place]
    assert np.isnan(run("GlobalMaxPool", x)).all()


def test_minus_infinity_has_an_index():
    x = np.full((1, 1, 2, 2), -np.inf, np.float32)
    y, index = run("MaxPool", x, kernel_shape=[2, 2], pads=[1, 1, 0, 0], outputs=2)
    assert (y == -np.inf).all() and index.tolist() == [[[[0, 0], [0, 0]]]]


@pytest.mark.parametrize("order", [0, 1])
def test_indices_count_images_channels_and_either_order_of_axes(order):
    x = floats(2, 3, 4, 5)
    case = {"kernel_shape": [2, 2], "strides": [2, 2], "dilations": [1, 1], "pads": [0] * 4}
    y, index = run("MaxPool", x, storage_order=order, outputs=2, kernel_shape=[2, 2], strides=[2, 2])
    for n, c, i, j in np.ndindex(*y.shape):
        best = max((place for _, place in cells((i, j), case, (4, 5))), key=lambda p: x[(n, c, *p)])
        flat = best[0] + best[1] * 4 if order else best[0] * 5 + best[1]
        assert index[n, c, i, j] == (n * 3 + c) * 20 + flat


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kernel_shape": [0, 2]}, "kernel_shape: expected values >= 1, got [0, 2]"),
        ({"kernel_shape": [2]}, "kernel_shape: expected 2 values, got [2]"),
        ({"kernel_shape": [2, 2], "strides": [0, 0]}, "strides: expected values >= 1, got [0, 0]"),
        (
            {"kernel_shape": [9, 9]},
            "X: expected spatial sizes that hold a window of (9, 9) cells, got shape",
        ),
        ({"kernel_shape": [2**50, 1], "pads": [2**50, 0, 2**50, 0]}, "output: expected at most"),
    ],
)
@pytest.mark.parametrize("name", ["MaxPool", "AveragePool", "LpPool"])
def test_what_is_refused(name, options, message):
    with refused(f"{name}: {message}"):
        run(name, floats(1, 1, 4, 4), **options)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_global_pools(dtype):
    x = floats(2, 3, 4, 5, 6, dtype=dtype)
    wide = x.astype(np.float64)
    for name, expected in (
        ("GlobalAveragePool", wide.mean(axis=(2, 3, 4), keepdims=True)),
        ("GlobalMaxPool", wide.max(axis=(2, 3, 4), keepdims=True)),
        ("GlobalLpPool", np.sqrt((wide**2).sum(axis=(2, 3, 4), keepdims=True))),
    ):
        y = run(name, x)
        assert y.dtype == dtype and np.allclose(y, expected, rtol=2e-3 if dtype == np.float16 else 1e-5, atol=1e-4)
    with refused("GlobalMaxPool: X: expected no empty spatial axis, got shape (1, 2, 0)"):
        run("GlobalMaxPool", np.zeros((1, 2, 0), np.float32))


def test_max_unpool_puts_values_back():
    x = floats(1, 2, 4, 4)
    y, index = run("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2], outputs=2)
    back = run("MaxUnpool", y, index, kernel_shape=[2, 2], strides=[2, 2])
    assert back.shape == x.shape and np.array_equal(np.sort(back[back != 0]), np.sort(y[y != 0]))
    assert np.array_equal(back[back != 0], x[back != 0])
    with refused("MaxUnpool: I: expected in 0..31, got"):
        run("MaxUnpool", y, index + 32, kernel_shape=[2, 2], strides=[2, 2])
    with refused("MaxUnpool: output_shape: expected values >= 1, got [1, 2, 0, 4]"):
        run("MaxUnpool", y, index, ints(1, 2, 0, 4), kernel_shape=[2, 2], strides=[2, 2])
