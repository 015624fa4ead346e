"""Pooling: every implementation against plain loops in float64.

Maxima are exact. Means err by at most 2 eps sqrt(K) sum |x| / cells for windows of K cells, and the native ones have
the same bits on every instruction set: they add in the same order and never fuse.
"""

from __future__ import annotations

import itertools
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from kernels.floats import EPS, IMPLEMENTATIONS, assert_same_bits, normal, using

from accel.kernels import average_pool2d, global_average_pool2d, max_pool2d
from accel.reference import conv as reference

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")  # NumPy's, for values that are meant
BOUND = 2.0
CHANNELS = (1, 2, 7, 15, 16, 17, 24, 31, 33, 130)


class Pooling(NamedTuple):
    kernel: tuple[int, int] = (3, 3)
    strides: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    dilations: tuple[int, int] = (1, 1)
    ceil_mode: bool = False

    def fits(self, size: tuple[int, ...]) -> bool:
        reach = [self.dilations[i] * (self.kernel[i] - 1) + 1 for i in (0, 1)]
        enough = all(size[i] + self.pads[i] + self.pads[2 + i] >= reach[i] for i in (0, 1))
        return enough and all(p < reach[i % 2] for i, p in enumerate(self.pads))


def starts(size: int, case: Pooling, axis: int) -> range:
    """Where the windows of one axis begin. With ceil_mode a last one may overhang, if it begins before the end."""
    before, after, stride = case.pads[axis], case.pads[2 + axis], case.strides[axis]
    room = size + before + after - case.dilations[axis] * (case.kernel[axis] - 1) - 1
    count = room // stride + 1
    if case.ceil_mode and room % stride and count * stride - before < size:
        count += 1
    return range(-before, -before + count * stride, stride)


def cells(start: int, case: Pooling, axis: int) -> list[int]:
    return [start + i * case.dilations[axis] for i in range(case.kernel[axis])]


def by_definition(x: np.ndarray, case: Pooling, mode: str) -> tuple[np.ndarray, np.ndarray]:
    """The result in float64, and the same of |x|: the scale of a mean's error. mode: max, mean or padded mean."""
    n, channels, height, width = x.shape
    rows, columns = starts(height, case, 0), starts(width, case, 1)
    y, scale = (np.full((n, channels, len(rows), len(columns)), -np.inf) for _ in range(2))
    for (i, top), (j, left) in itertools.product(enumerate(rows), enumerate(columns)):
        r = [c for c in cells(top, case, 0) if 0 <= c < height]
        k = [c for c in cells(left, case, 1) if 0 <= c < width]
        part = x[:, :, r][:, :, :, k].astype(np.float64)
        if mode == "max":
            y[:, :, i, j] = part.max(axis=(2, 3), initial=-np.inf)
            continue
        count = len(r) * len(k)
        if mode == "padded mean":
            inside = [
                sum(c < size + case.pads[2 + a] for c in cells(start, case, a))
                for a, (start, size) in enumerate(((top, height), (left, width)))
            ]
            count = inside[0] * inside[1]
        y[:, :, i, j], scale[:, :, i, j] = part.sum(axis=(2, 3)) / count, np.abs(part).sum(axis=(2, 3)) / count
    return y, scale


def check(x: np.ndarray, case: Pooling) -> None:
    expected, _ = by_definition(x, case, "max")
    y = max_pool2d(x, **case._asdict())
    assert y.dtype == np.float32 and y.flags.c_contiguous
    np.testing.assert_array_equal(y, expected.astype(np.float32), strict=True)
    for mode in ("mean", "padded mean"):
        expected, scale = by_definition(x, case, mode)
        y = average_pool2d(x, **case._asdict(), count_include_pad=mode == "padded mean")
        assert y.shape == expected.shape and y.dtype == np.float32 and y.flags.c_contiguous
        bound = BOUND * EPS * np.sqrt(case.kernel[0] * case.kernel[1]) * scale
        # A window without a cell inside the image has no mean.
        assert ((np.abs(y - expected) <= bound) | (np.isnan(y) & np.isnan(expected))).all(), (case, mode)


CASES = [
    Pooling((1, 1)),
    Pooling((2, 2), (2, 2)),
    Pooling((3, 3), (2, 2), (1, 1, 1, 1)),
    Pooling((3, 3), (2, 2), (0, 0, 1, 1)),
    Pooling((3, 3), (2, 2), ceil_mode=True),
    Pooling((3, 2), (4, 3), (2, 1, 0, 1), ceil_mode=True),
    Pooling((2, 3), (1, 4), (1, 2, 1, 2)),
    Pooling((2, 2), (3, 3), (1, 1, 1, 1), ceil_mode=True),
    Pooling((3, 2), (1, 1), (3, 2, 4, 1), (2, 3)),
    Pooling((2, 2), (2, 2), (0, 1, 2, 0), (2, 2), ceil_mode=True),
    Pooling((7, 9)),
    Pooling((1, 1), (2**31 - 1, 2**30), (0, 0, 0, 0), (2**31 - 1, 2**31 - 1)),
]


def test_reference_agrees_with_plain_loops() -> None:
    x = normal(2, 3, 7, 9)
    for case in CASES:
        if not case.ceil_mode:
            options = {"strides": case.strides, "pads": case.pads, "dilations": case.dilations}
            np.testing.assert_array_equal(
                reference.max_pool2d(x, case.kernel, **options), by_definition(x, case, "max")[0]
            )
            for counted in (True, False):
                np.testing.assert_allclose(
                    reference.average_pool2d(x, case.kernel, **options, count_include_pad=counted),
                    by_definition(x, case, "padded mean" if counted else "mean")[0],
                    rtol=1e-12,
                )


@pytest.mark.parametrize("case", CASES)
def test_windows(implementation: str, case: Pooling) -> None:
    for channels in (3, 33):
        check(normal(2, channels, 7, 9), case)


def test_channels_maps_and_batches(implementation: str) -> None:
    for channels in CHANNELS:
        check(normal(2, channels, 5, 6), Pooling((3, 3), (2, 2), (1, 1, 1, 1)))
    for size in ((1, 1), (1, 50), (50, 1), (3, 31), (64, 64)):
        check(normal(1, 17, *size), Pooling((3, 3), (2, 2), (1, 1, 1, 1)))
    for images in (0, 1, 3):
        check(normal(images, 17, 4, 4), Pooling((2, 2)))
    check(normal(2, 0, 4, 4), Pooling((2, 2)))


@pytest.mark.parametrize("strides", [(1, 1), (2, 2), (1, 2), (3, 1)])
@pytest.mark.parametrize("kernel", [(2, 2), (3, 3), (1, 3), (3, 2), (5, 5), (4, 3)])
def test_rows_of_every_width(implementation: str, kernel: tuple[int, int], strides: tuple[int, int]) -> None:
    """Windows inside the image take other paths than those at its edges; rows are walked sixteen windows at a time."""
    for width in (1, 2, 3, 4, 5, 6, 7, 15, 16, 17, 18, 19, 31, 32, 33, 34, 35, 36, 37, 66, 67):
        for pads in ((0, 0, 0, 0), (1, 1, 1, 1), (0, 1, 1, 0)):
            case = Pooling(kernel, strides, pads)
            if case.fits((5, width)):
                check(normal(1, 17, 5, width), case)


poolings = st.builds(
    Pooling,
    kernel=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    strides=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    pads=st.tuples(*[st.integers(0, 3)] * 4),
    dilations=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    ceil_mode=st.booleans(),
)
shapes = st.tuples(st.integers(1, 2), st.integers(1, 35), st.integers(1, 12), st.integers(1, 12))


def check_everywhere(case: Pooling, shape: tuple[int, ...], seed: int) -> None:
    assume(case.fits(shape[2:]))
    for name in IMPLEMENTATIONS:
        with using(name):
            check(normal(*shape, seed=seed), case)


@settings(max_examples=80, deadline=None)
@given(poolings, shapes, st.integers(0, 100))
def test_any_geometry(case: Pooling, shape: tuple[int, ...], seed: int) -> None:
    check_everywhere(case, shape, seed)


@pytest.mark.slow
@settings(max_examples=10_000, deadline=None)
@given(poolings, shapes, st.integers(0, 100))
def test_any_geometry_at_length(case: Pooling, shape: tuple[int, ...], seed: int) -> None:
    check_everywhere(case, shape, seed)


@pytest.mark.parametrize("shape", [(2, 1, 1, 1), (1, 17, 1, 40), (3, 16, 7, 7), (2, 130, 5, 6), (1, 33, 64, 64)])
def test_global_average(implementation: str, shape: tuple[int, ...]) -> None:
    x = normal(*shape)
    y = global_average_pool2d(x)
    assert y.shape == (*shape[:2], 1, 1) and y.dtype == np.float32
    expected, scale = (a.astype(np.float64).mean(axis=(2, 3), keepdims=True) for a in (x, np.abs(x)))
    assert (np.abs(y - expected) <= BOUND * EPS * np.sqrt(shape[2] * shape[3]) * scale).all()


def test_global_average_of_nothing(implementation: str) -> None:
    assert global_average_pool2d(np.zeros((0, 3, 2, 2), np.float32)).shape == (0, 3, 1, 1)
    with pytest.raises(ValueError, match=r"x: expected at least one pixel, got float32 array of shape \(1, 3, 0, 2\)"):
        global_average_pool2d(np.zeros((1, 3, 0, 2), np.float32))


# -- the same bits -------------------------------------------------------------------------------------------------


def everything(x: np.ndarray) -> list[np.ndarray]:
    window: dict[str, Any] = {"strides": 2, "pads": 1}
    return [max_pool2d(x, 3, **window), average_pool2d(x, (3, 2), strides=2), global_average_pool2d(x)]


def test_threads_batch_and_repetition_do_not_change_a_bit(implementation: str) -> None:
    x = normal(5, 33, 41, 43)
    with using(implementation, threads=1):
        one = everything(x)
    for threads in (1, 2, 3, 8):
        with using(implementation, threads=threads):
            for again, first in zip(everything(x), one, strict=True):
                assert_same_bits(again, first)
    for i in range(5):
        for alone, first in zip(everything(x[i : i + 1]), one, strict=True):
            assert_same_bits(alone, first[i : i + 1])


def test_instruction_sets_agree_to_the_bit() -> None:
    native = [name for name in IMPLEMENTATIONS if name.startswith("native")]
    results = []
    for name in native:
        with using(name):
            results.append([y.tobytes() for y in everything(normal(2, 37, 9, 11))])
    assert all(r == results[0] for r in results)


# -- special values ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_special_value_in_any_lane_and_any_place_of_the_window(implementation: str, value: float) -> None:
    """Image i holds it in channel i, at every place of a 3 x 3 window in turn."""
    case = Pooling((3, 3), (3, 3))
    for place in range(9):
        x = normal(35, 35, 6, 6)
        for i in range(35):
            x[i, i, place // 3, place % 3] = value
        check_special(max_pool2d(x, 3, strides=3), by_definition(x, case, "max")[0], x, exact=True)
        check_special(average_pool2d(x, 3, strides=3), by_definition(x, case, "mean")[0], x, exact=False)


@pytest.mark.parametrize("strides", [1, 2])
@pytest.mark.parametrize("kernel", [2, 3, 5])
def test_a_nan_reaches_every_window_that_holds_it_and_no_other(implementation: str, kernel: int, strides: int) -> None:
    """Neighbouring windows share columns: channel i has its NaN at pixel i."""
    case = Pooling((kernel, kernel), (strides, strides), (1, 1, 1, 1))
    x = normal(1, 63, 7, 9)
    for i in range(63):
        x[0, i, i // 9, i % 9] = np.nan
    expected, _ = by_definition(x, case, "max")
    np.testing.assert_array_equal(max_pool2d(x, kernel, strides=strides, pads=1), expected.astype(np.float32))
    expected, _ = by_definition(x, case, "mean")
    y = average_pool2d(x, kernel, strides=strides, pads=1)
    np.testing.assert_array_equal(np.isnan(y), np.isnan(expected))


def check_special(y: np.ndarray, expected: np.ndarray, x: np.ndarray, *, exact: bool) -> None:
    if exact:
        np.testing.assert_array_equal(y, expected.astype(np.float32))
    else:
        np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-5)


def test_nan_wins_over_infinity_before_and_after_it(implementation: str) -> None:
    for pair in ((np.nan, np.inf), (np.inf, np.nan), (np.nan, -1.0), (-1.0, np.nan), (np.nan, np.nan)):
        x = np.array(pair, np.float32).reshape(1, 1, 1, 2)
        assert np.isnan(max_pool2d(x, (1, 2)).item()), pair


def test_padding_never_wins(implementation: str) -> None:
    x = np.full((1, 17, 2, 2), -np.inf, np.float32)
    assert np.isneginf(max_pool2d(x, 3, pads=1)).all()
    x[:] = -3e38
    assert (max_pool2d(x, 3, pads=1) == np.float32(-3e38)).all()


def test_denormals_are_kept(implementation: str) -> None:
    x = np.full((1, 17, 2, 2), 1e-40, np.float32)
    assert (max_pool2d(x, 2) == x[0, 0, 0, 0]).all()
    assert (average_pool2d(x, 2) == x[0, 0, 0, 0]).all()
    assert (global_average_pool2d(x) == x[0, 0, 0, 0]).all()


# -- arguments -----------------------------------------------------------------------------------------------------

X = normal(1, 3, 5, 6)
BAD: list[tuple[type[Exception], str, Any, dict[str, Any]]] = [
    (TypeError, "x: expected a NumPy array, got list", [1.0], {"kernel": 2}),
    (TypeError, "x: expected float32, got int64", X.astype(np.int64), {"kernel": 2}),
    (ValueError, "x: expected 4 axes", X[0], {"kernel": 2}),
    (ValueError, "x: expected a C-contiguous array", X[:, :, ::2], {"kernel": 2}),
    (ValueError, "kernel: expected an integer in 1..2147483647, got 0", X, {"kernel": 0}),
    (ValueError, "kernel: expected an integer in 1..2147483647", X, {"kernel": 2**33, "pads": 2**31 - 1}),
    (TypeError, "kernel: expected an integer or a pair", X, {"kernel": (1, 2, 3)}),
    (ValueError, "strides: expected an integer", X, {"kernel": 2, "strides": 0}),
    (ValueError, "strides: expected an integer", X, {"kernel": 2, "strides": 2**40}),
    (ValueError, "dilations: expected an integer", X, {"kernel": 2, "dilations": 0}),
    (ValueError, "pads: expected an integer", X, {"kernel": 2, "pads": -1}),
    (ValueError, r"pads: expected less than the reach of the kernel \(2, 2\)", X, {"kernel": 2, "pads": 2}),
    (ValueError, r"x: a kernel of \(6, 6\) .* does not fit \(5, 6\)", X, {"kernel": 6}),
]


@pytest.mark.parametrize(("error", "message", "x", "options"), BAD)
def test_bad_arguments_are_named(error: type[Exception], message: str, x: Any, options: dict[str, Any]) -> None:
    for function in (max_pool2d, average_pool2d):
        with pytest.raises(error, match=message):
            function(x, **options)


def test_global_average_names_bad_arguments() -> None:
    with pytest.raises(TypeError, match="x: expected float32, got float64"):
        global_average_pool2d(X.astype(np.float64))
    with pytest.raises(ValueError, match="x: expected 4 axes"):
        global_average_pool2d(X[0])
