"""Softmax, exponential and broadcast arithmetic on plain arrays."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kernels.board import Board
from kernels.floats import assert_same_bits, normal

from accel.kernels import program, runtime

if runtime.core is None:
    pytest.skip("the native kernels are not built", allow_module_level=True)

EPS = float(np.finfo(np.float32).eps)


# -- softmax -------------------------------------------------------------------------------------------------------


def softmax(x: np.ndarray, axis: int, threads: int = 2) -> np.ndarray:
    board, shape = Board(), x.shape
    outer, inner = int(np.prod(shape[:axis])), int(np.prod(shape[axis + 1 :]))
    source, target = board.slot(x.size, x), board.slot(x.size)
    board.program.softmax(outer, shape[axis], inner, program.place(source), program.place(target))
    board.run(threads)
    return board.arrays[target].reshape(shape).copy()


def exact(x: np.ndarray, axis: int) -> np.ndarray:
    """Of the differences as float32 rounds them, which is where the operator starts from too."""
    with np.errstate(over="ignore"):
        powers = np.exp((x - x.max(axis=axis, keepdims=True)).astype(np.float64))
    return np.asarray(powers / powers.sum(axis=axis, keepdims=True))


LENGTHS = [1, 2, 3, 10, 15, 16, 17, 31, 32, 33, 100, 1000]


@pytest.mark.parametrize("n", LENGTHS)
def test_softmax(isa: str, n: int) -> None:
    """Within the bound of the contract: 3 for either exponential, the division, and the sum of n."""
    for shape, axis in (((1, n), 1), ((37, n), 1), ((2, n, 19), 1), ((n, 3), 0), ((n,), 0)):
        x = normal(*shape) * 9
        np.testing.assert_allclose(softmax(x, axis), exact(x, axis), rtol=(7 + np.sqrt(n)) * EPS, atol=1e-37)


@pytest.mark.parametrize("n", [1, 2, 10, 17, 33])
def test_neighbours_and_threads_do_not_change_a_softmax(isa: str, n: int) -> None:
    x = normal(67, n)
    whole = softmax(x, 1)
    assert_same_bits(softmax(x, 1, threads=5), whole)
    for i in (0, 1, 16, 66):
        assert_same_bits(softmax(x[i : i + 1].copy(), 1), whole[i : i + 1])
    columns = np.ascontiguousarray(normal(3, n, 41))
    together = softmax(columns, 1)
    for i in (0, 15, 16, 34):
        assert_same_bits(softmax(np.ascontiguousarray(columns[:, :, i : i + 7]), 1), together[:, :, i : i + 7])


@pytest.mark.parametrize("n", [2, 16, 21])
def test_softmax_of_what_is_not_finite(isa: str, n: int) -> None:
    for place, axis in itertools.product((0, n // 2, n - 1), (0, 1)):
        x = normal(n, n)
        lane = np.moveaxis(x, axis, 0)
        lane[place, 0], lane[place, 1] = np.nan, np.inf
        y = np.moveaxis(softmax(x, axis), axis, 0)
        assert np.isnan(y[:, :2]).all() and np.isfinite(y[:, 2:]).all()
        lane[place, :2] = -np.inf  # a masked element takes no part
        y = np.moveaxis(softmax(x, axis), axis, 0)
        assert (y[place, :2] == 0).all()
        np.testing.assert_allclose(y.sum(axis=0), 1, rtol=n * EPS)
        x[:] = -np.inf
        assert np.isnan(softmax(x, axis)).all()


def test_softmax_of_large_numbers(isa: str) -> None:
    x = np.array([[-3e38, 3e38], [1e4, 1e4], [-200, 0], [88, -88]], np.float32)
    np.testing.assert_allclose(softmax(x, 1), exact(x, 1), rtol=8 * EPS, atol=1e-37)


# -- exponential ---------------------------------------------------------------------------------------------------


def exponential(x: np.ndarray) -> np.ndarray:
    board = Board()
    source, target = board.slot(x.size, x), board.slot(x.size)
    board.program.exponential(x.size, program.place(source), program.place(target))
    board.run()
    return board.arrays[target].copy()


def test_exponential_is_within_3_ulp(isa: str) -> None:
    x = np.concatenate([np.linspace(-87, 88.72, 40_001), np.linspace(-1e-3, 1e-3, 1001)]).astype(np.float32)
    y, wanted = exponential(x), np.exp(x.astype(np.float64))
    ulp = np.spacing(wanted.astype(np.float32)).astype(np.float64)
    assert (np.abs(y - wanted) / ulp).max() <= 3


def test_exponential_at_the_ends(isa: str) -> None:
    x = np.array([0, -0.0, np.inf, -np.inf, np.nan, 88.73, 1e30, -1e30, -104.5, -200], np.float32)
    np.testing.assert_array_equal(exponential(x), [1, 1, np.inf, 0, np.nan, np.inf, np.inf, 0, 0, 0])
    denormal = np.linspace(-103, -88, 97).astype(np.float32)
    np.testing.assert_allclose(exponential(denormal), np.exp(denormal.astype(np.float64)), rtol=4 * EPS, atol=2.9e-45)


# -- broadcasting --------------------------------------------------------------------------------------------------

KINDS = {"add": np.add, "subtract": np.subtract, "multiply": np.multiply, "divide": np.divide}


def combined(kind: str, a: np.ndarray, b: np.ndarray, threads: int = 2) -> np.ndarray:
    board, shape = Board(), np.broadcast_shapes(a.shape, b.shape)
    slots = [board.slot(a.size, a), board.slot(b.size, b), board.slot(int(np.prod(shape)))]
    at = [program.place(s) for s in slots]
    board.program.broadcast(program.arithmetic(kind), a.shape, at[0], b.shape, at[1], at[2])
    board.run(threads)
    return board.arrays[slots[2]].reshape(shape).copy()


@st.composite
def shapes(draw: st.DrawFn) -> tuple[tuple[int, ...], tuple[int, ...]]:
    whole = draw(st.lists(st.integers(1, 5), max_size=6))
    if whole and draw(st.booleans()):
        whole[-1] = draw(st.sampled_from([15, 16, 17, 33]))
    found = []
    for _ in range(2):
        kept = [n if draw(st.booleans()) else 1 for n in whole]
        found.append(tuple(kept[draw(st.integers(0, len(kept))) :]))
    return found[0], found[1]


@settings(max_examples=300, deadline=None)
@given(shapes(), st.sampled_from(sorted(KINDS)))
def test_broadcasting_is_that_of_numpy(both: tuple[tuple[int, ...], tuple[int, ...]], kind: str) -> None:
    a, b = normal(*both[0]), normal(*both[1], seed=1)
    a, b = np.asarray(a, np.float32), np.asarray(b, np.float32)
    assert_same_bits(combined(kind, a, b), np.asarray(KINDS[kind](a, b), np.float32))


SIZES = [((1, 7, 40, 40), (7, 1, 1)), ((20_003,), ()), ((), (3, 4099)), ((5, 3), (5, 1)), ((64, 1), (1, 65))]


@pytest.mark.parametrize(("a", "b"), SIZES)
def test_the_common_cases(isa: str, a: tuple[int, ...], b: tuple[int, ...]) -> None:
    x, y = np.asarray(normal(*a), np.float32), np.asarray(normal(*b, seed=1), np.float32)
    for kind, threads in itertools.product(KINDS, (1, 4)):
        assert_same_bits(combined(kind, x, y, threads), KINDS[kind](x, y))


def test_special_values(isa: str) -> None:
    values = np.array([0, -0.0, 1, -1, np.inf, -np.inf, np.nan, 3e38, 1e-45], np.float32)
    for kind, function in KINDS.items():
        with np.errstate(all="ignore"):
            expected = function(values[:, None], values)
        np.testing.assert_array_equal(combined(kind, values[:, None].copy(), values), expected)


BAD: list[tuple[str, Any, Any]] = [
    ("shapes do not fit", (2, 3), (2, 4)),
    ("sizes must be positive", (2, 0), (2, 1)),
    ("sizes must be positive", (-2,), (1,)),
    ("sizes must be positive", (2**40, 2**40), (1,)),
    ("too many axes", (1,) * 9, (1,)),
]


@pytest.mark.parametrize(("message", "a", "b"), BAD)
def test_shapes_that_do_not_fit_are_refused(message: str, a: tuple[int, ...], b: tuple[int, ...]) -> None:
    at = program.place(0)
    for one, other in ((a, b), (b, a)):
        with pytest.raises(ValueError, match=message):
            program.new_program().broadcast(program.arithmetic("add"), one, at, other, at, at)


def test_sizes_out_of_range_are_refused() -> None:
    at = program.place(0)
    for sizes in ((-1, 1, 1), (1, 0, 1), (1, 1, 0)):
        with pytest.raises(ValueError, match="softmax: sizes must be positive"):
            program.new_program().softmax(*sizes, at, at)
    with pytest.raises(ValueError, match="exponential: size must not be negative"):
        program.new_program().exponential(-1, at, at)
