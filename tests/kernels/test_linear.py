"""linear: every implementation against float64, within 4 eps sqrt(in) (|bias| + sum |w| |x|) per output."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kernels.floats import EPS, IMPLEMENTATIONS, assert_same_bits, normal, using

import accel
from accel.kernels import linear, runtime

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")  # NumPy's, for values that are meant
BOUND = 4.0
NATIVE = [name for name in IMPLEMENTATIONS if name.startswith("native")]


def check(rows: tuple[int, ...], depth: int, out: int, *, bias: bool = True, seed: int = 0) -> None:
    x, w = normal(*rows, depth, seed=seed), normal(out, depth, seed=seed + 1)
    b = normal(out, seed=seed + 2) if bias else None
    y = linear(x, w, b)
    assert y.shape == (*rows, out) and y.dtype == np.float32 and y.flags.c_contiguous
    expected, scale = x.astype(np.float64) @ w.T.astype(np.float64), np.abs(x).astype(np.float64) @ np.abs(w.T)
    if b is not None:
        expected, scale = expected + b, scale + np.abs(b)
    assert (np.abs(y - expected) <= BOUND * EPS * np.sqrt(depth) * scale).all(), (rows, depth, out)


def test_rows_around_every_tile(implementation: str) -> None:
    """Up to 4 rows the weights stream through once, above that rows go in tiles of 14, 6 or 3."""
    for rows in range(1, 31):
        check((rows,), 37, 50, seed=rows)


def test_widths_around_every_panel(implementation: str, awkward_sizes: list[int]) -> None:
    """1, 2 and 4 panels of 16 outputs at once, whole and not."""
    for out in (*awkward_sizes, 128, 130, 1000):
        for rows in (1, 3, 5, 17):
            check((rows,), 19, out, seed=out)


def test_depths(implementation: str, awkward_sizes: list[int]) -> None:
    for depth in (*awkward_sizes, 512, 4096):
        for rows in (1, 2, 6, 15):
            check((rows,), depth, 20, bias=False, seed=depth)


def test_leading_axes(implementation: str) -> None:
    for rows in ((), (3,), (2, 3), (1, 1, 1), (2, 3, 4, 5)):
        check(rows, 21, 18)


def test_nothing(implementation: str) -> None:
    w, b = normal(18, 21), normal(18)
    assert linear(np.zeros((0, 21), np.float32), w, b).shape == (0, 18)
    assert linear(np.zeros((2, 0, 21), np.float32), w, b).shape == (2, 0, 18)
    assert linear(np.zeros((2, 21), np.float32), w[:0]).shape == (2, 0)
    empty = linear(np.zeros((2, 0), np.float32), np.zeros((18, 0), np.float32), b)
    assert_same_bits(empty, np.stack([b, b]))


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 40), st.integers(1, 300), st.integers(1, 200), st.booleans(), st.integers(0, 100))
def test_any_size(rows: int, depth: int, out: int, bias: bool, seed: int) -> None:
    for name in IMPLEMENTATIONS:
        with using(name):
            check((rows,), depth, out, bias=bias, seed=seed)


@pytest.mark.slow
@settings(max_examples=10_000, deadline=None)
@given(st.integers(1, 80), st.integers(1, 600), st.integers(1, 400), st.booleans(), st.integers(0, 100))
def test_any_size_at_length(rows: int, depth: int, out: int, bias: bool, seed: int) -> None:
    for name in IMPLEMENTATIONS:
        with using(name):
            check((rows,), depth, out, bias=bias, seed=seed)


# -- the same bits: of the native kernels; the other back ends go through BLAS ---------------------------------------


@pytest.mark.parametrize("name", NATIVE)
def test_threads_batch_and_repetition_do_not_change_a_bit(name: str) -> None:
    x, w, bias = normal(41, 333), normal(517, 333), normal(517)
    with using(name, threads=1):
        one = linear(x, w, bias)
    for threads in (2, 3, 8):
        with using(name, threads=threads):
            for _ in range(3):
                assert_same_bits(linear(x, w, bias), one)
    with using(name, threads=2):
        for count in (*range(1, 18), 40):
            assert_same_bits(linear(x[:count], w, bias), one[:count])
        for i in range(41):
            assert_same_bits(linear(x[i], w, bias), one[i])


@pytest.mark.parametrize("name", NATIVE)
def test_rows_shared_out_do_not_change_a_bit(name: str) -> None:
    """More rows than outputs, so threads share out rows, and so deep that each packs several blocks of them."""
    x, w, bias = normal(200, 2100), normal(50, 2100, seed=1), normal(50, seed=2)
    with using(name, threads=1):
        check((200,), 2100, 50)
        one = linear(x, w, bias)
        for i in range(0, 200, 13):
            assert_same_bits(linear(x[i], w, bias), one[i])
    for threads in (2, 3):
        with using(name, threads=threads):
            assert_same_bits(linear(x, w, bias), one)


def test_instruction_sets_with_fused_operations_agree_and_the_baseline_rounds_otherwise() -> None:
    supported = runtime.isa_info()["supported"]
    if len(supported) < 2:
        pytest.skip("one instruction set only")
    for rows in (1, 4, 5, 29):
        results = {}
        for isa in supported:
            with accel.using(backend="native", isa=isa):
                results[isa] = linear(normal(rows, 100), normal(65, 100, seed=1)).tobytes()
        assert len({results[isa] for isa in supported if isa != "baseline"}) == 1
        assert results["baseline"] != results[supported[-1]]


# -- special values ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_special_value_stays_in_its_row(implementation: str, value: float) -> None:
    """At every depth in turn, so in every lane of a packed block."""
    for rows in (1, 3, 37):
        x, w = normal(rows, 35), np.abs(normal(20, 35, seed=1)) + 0.1
        clean = linear(x, w)
        for i in range(35):
            bad = x.copy()
            bad[i % rows, i] = value
            y = linear(bad, w)
            np.testing.assert_array_equal(y[i % rows], np.full(20, value, np.float32))
            assert_same_bits(np.delete(y, i % rows, 0), np.delete(clean, i % rows, 0))


def test_special_weights_stay_in_their_column(implementation: str) -> None:
    for rows in (1, 20):
        x, w = normal(rows, 8), normal(50, 8, seed=1)
        clean = linear(x, w)
        for o in range(50):
            bad = w.copy()
            bad[o, o % 8] = np.nan
            y = linear(x, bad)
            assert np.isnan(y[:, o]).all()
            assert_same_bits(np.delete(y, o, 1), np.delete(clean, o, 1))


def test_denormals_are_kept(implementation: str) -> None:
    for rows in (1, 20):
        y = linear(np.full((rows, 1), 1e-40, np.float32), np.ones((17, 1), np.float32))
        assert (y == np.float32(1e-40)).all()


# -- arguments -----------------------------------------------------------------------------------------------------

X, W, B = normal(2, 5), normal(3, 5), normal(3)
BAD: list[tuple[type[Exception], str, tuple[Any, ...]]] = [
    (TypeError, "x: expected a NumPy array, got list", ([1.0], W)),
    (
        TypeError,
        r"x: expected float32, got float64 array .*; convert it with x.astype\(np.float32\)",
        (X.astype("d"), W),
    ),
    (ValueError, r"x: expected shape \(..., 5\) for w of shape \(3, 5\), got \(2, 4\)", (X[:, :4].copy(), W)),
    (ValueError, r"x: expected shape \(..., 5\)", (np.ones((), np.float32), W)),
    (ValueError, "x: expected a C-contiguous array", (normal(5, 2).T, W)),
    (ValueError, "x: expected a C-contiguous array", (X[:, ::-1], W)),
    (ValueError, "w: expected 2 axes", (X, B)),
    (TypeError, "w: expected float32, got int8", (X, W.astype(np.int8))),
    (ValueError, "w: expected a C-contiguous array", (X, normal(5, 3).T)),
    (ValueError, r"bias: expected shape \(3,\), got \(2,\)", (X, W, B[:2].copy())),
    (TypeError, "bias: expected float32", (X, W, B.astype(np.float16))),
    (ValueError, "bias: expected 1 axes", (X, W, B[None].copy())),
]


@pytest.mark.parametrize(("error", "message", "arrays"), BAD)
def test_bad_arguments_are_named(error: type[Exception], message: str, arrays: tuple[Any, ...]) -> None:
    with pytest.raises(error, match=message):
        linear(*arrays)


def test_arguments_may_be_read_only_and_unaligned(implementation: str) -> None:
    expected = linear(X, W, B)
    raw = np.zeros(X.nbytes + 1, np.uint8)
    x = raw[1:].view(np.float32).reshape(X.shape)
    x[...] = X
    x.flags.writeable = False
    np.testing.assert_allclose(linear(x, W, B), expected, rtol=1e-6)
