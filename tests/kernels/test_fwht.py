"""Walsh-Hadamard transform: every implementation against the matrix, exact on integers, in place and out of place."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from kernels.floats import IMPLEMENTATIONS, assert_same_bits, normal, using

from accel.kernels import fwht
from accel.reference import structured as reference

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")  # NumPy's, for infinities that are meant
DTYPES = [np.float32, np.float64, np.int32]
# Every number of bits there is a plan for, and shapes on both sides of the axis that are no multiples of a vector.
ROWS = [(3, 1 << k) for k in range(13)] + [(1 << 14,), (2, 1 << 13), (17, 8), (5, 1), (0, 4), (3, 5, 64)]
AXES = [
    ((16, 3), 0),
    ((2, 8, 5), 1),
    ((4, 32, 17), 1),
    ((256, 40), 0),
    ((2, 1, 7), 1),
    ((8, 2, 2), -2),
    ((1024, 33), 0),
]


def numbers(shape: tuple[int, ...], dtype: type, seed: int = 0) -> np.ndarray:
    if dtype is np.int32:
        return np.random.default_rng(seed).integers(-1000, 1000, shape, dtype)
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def error(y: np.ndarray, x: np.ndarray, axis: int, norm: str | None = None) -> float:
    """In units of eps (log2(n) + 2) sum |x|, which is what is promised."""
    expected, n = reference.fwht(x, axis, norm), x.shape[axis]
    scale = np.abs(x).astype(np.float64).sum(axis, keepdims=True) * (1 if norm is None else 1 / math.sqrt(n))
    eps = float(np.finfo(x.dtype).eps)
    return float((np.abs(y - expected) / (eps * (math.log2(n) + 2) * scale)).max(initial=0))


@pytest.mark.parametrize("dtype", DTYPES)
def test_rows_and_axes_are_those_of_the_matrix(implementation: str, dtype: type) -> None:
    for shape, axis in [*((shape, -1) for shape in ROWS), *AXES]:
        x = numbers(shape, dtype)
        before = x.copy()
        y = fwht(x, axis)
        assert y.dtype == dtype and y.shape == shape and y.flags.c_contiguous
        assert_same_bits(x, before)
        if dtype is np.int32:
            assert (y == reference.fwht(x, axis)).all(), (shape, axis)
        else:
            assert error(y, x, axis) <= 1, (shape, axis)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_orthonormal_is_its_own_inverse(implementation: str, dtype: type) -> None:
    for shape, axis in [((3, 1 << k), 1) for k in range(13)] + [((64, 5), 0), ((1 << 13,), 0)]:
        x = numbers(shape, dtype)
        y = fwht(x, axis, "ortho")
        assert error(y, x, axis, "ortho") <= 1
        np.testing.assert_allclose(fwht(y, axis, norm="ortho"), x, atol=float(np.finfo(dtype).eps) * 100)


@pytest.mark.parametrize("bits", [16, 17, 18, 19, 20])
def test_long_transforms_are_exact_on_integers(implementation: str, bits: int) -> None:
    x = np.zeros(1 << bits, np.float32)
    places = [0, 1, 77, (1 << bits) - 1, 1 << bits - 1]
    x[places] = [3, -2, 5, 7, 1]
    y = fwht(x, out=x)
    assert y is x
    i = np.arange(1 << bits)
    expected = np.zeros(i.size, np.int64)
    for j, value in zip(places, [3, -2, 5, 7, 1], strict=True):
        parity = np.array([int(k).bit_count() & 1 for k in range(256)], np.int8)
        both = i & j
        odd = parity[both & 255] ^ parity[both >> 8 & 255] ^ parity[both >> 16]
        expected += value * (1 - 2 * odd.astype(np.int64))
    assert (y == expected).all()


def test_float32_is_exact_on_integers_below_two_to_the_24(implementation: str) -> None:
    x = np.random.default_rng(1).integers(-2047, 2048, (4, 1 << 13)).astype(np.float32)
    assert (fwht(x) == reference.fwht(x)).all()


def test_int32_wraps_around(implementation: str) -> None:
    x = np.full((2, 16), 2**30, np.int32)
    assert (fwht(x) == np.array([0] * 16)).all()  # 16 * 2**30 = 2**34


@pytest.mark.parametrize("dtype", DTYPES)
def test_in_place_out_of_place_and_a_row_alone_have_the_same_bits(implementation: str, dtype: type) -> None:
    for shape in [(7, 4), (9, 16), (5, 256), (6, 1024), (3, 1 << 13)]:
        x = numbers(shape, dtype)
        y, out = fwht(x), np.empty_like(x)
        assert fwht(x, out=out) is out
        assert_same_bits(out, y)
        assert_same_bits(fwht(x[1]), y[1])
        norm = None if dtype is np.int32 else "ortho"
        scaled, copy = fwht(x, norm=norm), x.copy()
        assert fwht(copy, norm=norm, out=copy) is copy
        assert_same_bits(copy, scaled)


def test_columns_that_are_worked_on_in_tiles(isa: str) -> None:
    for n, inner in [(256, 700), (1024, 200), (1 << 13, 70), (1 << 12, 256)]:
        x = np.random.default_rng(0).integers(-3, 4, (n, inner)).astype(np.float32)
        assert (fwht(x, axis=0) == fwht(np.ascontiguousarray(x.T)).T).all()


@pytest.mark.parametrize("name", [name for name in IMPLEMENTATIONS if name.startswith("native")])
def test_threads_do_not_change_bits(name: str) -> None:
    for shape, axis in [((64, 1024), 1), ((1 << 18,), 0), ((2, 512, 600), 1), ((3, 1 << 15), 1), ((1 << 16,), 0)]:
        x = normal(*shape)
        with using(name, threads=1):
            one = fwht(x, axis)
        with using(name, threads=2):
            assert_same_bits(fwht(x, axis), one)


def test_nan_stays_in_its_row_and_fills_it(implementation: str) -> None:
    for n in (2, 8, 64, 1024):
        x = normal(5, n)
        clean = fwht(x)
        x[2, n // 2] = np.nan
        y = fwht(x)
        assert np.isnan(y[2]).all()
        assert_same_bits(np.delete(y, 2, 0), np.delete(clean, 2, 0))
        columns = fwht(np.ascontiguousarray(x.T), 0)
        assert np.isnan(columns[:, 2]).all() and not np.isnan(np.delete(columns, 2, 1)).any()


def test_denormals_are_kept(implementation: str) -> None:
    x = np.zeros((1, 64), np.float32)
    x[0, 3] = 1e-42
    assert (np.abs(fwht(x)) == np.float32(1e-42)).all()


def test_nothing_outside_is_touched(implementation: str) -> None:
    for n in (1, 2, 8, 32, 128, 512, 4096):
        memory = np.full(3 * n + 34, 7, np.float32)
        out = memory[17 : 17 + 3 * n].reshape(3, n)
        fwht(normal(3, n), out=out)
        assert (memory[:17] == 7).all() and (memory[17 + 3 * n :] == 7).all()


def test_bad_input_is_named(implementation: str) -> None:
    x = normal(4, 8)
    for n, power in [(0, 1), (3, 4), (12, 16), (1000, 1024), (97, 128)]:
        with pytest.raises(ValueError, match=f"x: expected a power of two along axis -1, got {n}; .* to {power}"):
            fwht(np.zeros((2, n), np.float32))
    with pytest.raises(TypeError, match="x: expected an array of float32, float64, int32, got float16"):
        fwht(x.astype(np.float16))
    with pytest.raises(TypeError, match="x: expected an array"):
        fwht([1.0, 2.0])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="x: expected a C-contiguous array"):
        fwht(x.T)
    with pytest.raises(ValueError, match="x: expected at least one axis"):
        fwht(np.zeros((), np.float32))
    with pytest.raises(ValueError, match=r"axis: expected an integer in -2\.\.1, got 2"):
        fwht(x, 2)
    with pytest.raises(TypeError, match="axis: expected an integer"):
        fwht(x, 1.0)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="norm: expected None or 'ortho', got 'backward'"):
        fwht(x, norm="backward")
    with pytest.raises(TypeError, match="norm: expected None for int32"):
        fwht(x.astype(np.int32), norm="ortho")


def test_bad_output_is_named(implementation: str) -> None:
    x = normal(4, 8)
    with pytest.raises(TypeError, match="out: expected float32, got float64"):
        fwht(x, out=np.empty((4, 8)))
    with pytest.raises(ValueError, match=r"out: expected shape \(4, 8\)"):
        fwht(x, out=np.empty((8, 4), np.float32))
    frozen = np.empty((4, 8), np.float32)
    frozen.flags.writeable = False
    with pytest.raises(ValueError, match="out: expected a writable array"):
        fwht(x, out=frozen)
    memory = np.zeros(40, np.float32)
    with pytest.raises(ValueError, match="out: expected x itself or memory of its own"):
        fwht(memory[:32].reshape(4, 8), out=memory[8:].reshape(4, 8))


def test_empty_arrays_and_one_number(implementation: str) -> None:
    assert fwht(np.empty((0, 4), np.float32)).shape == (0, 4)
    assert fwht(np.empty((4, 0), np.float32), 0).shape == (4, 0)
    assert fwht(np.array([5.0], np.float32), norm="ortho") == [5.0]


@pytest.mark.parametrize("n", [2, 64, 512])
def test_scipy_agrees(n: int) -> None:
    linalg = pytest.importorskip("scipy.linalg")
    unit = np.eye(n, dtype=np.float32)
    assert (reference.hadamard(n) == linalg.hadamard(n)).all() and (reference.fwht(unit) == linalg.hadamard(n)).all()
    assert (fwht(unit) == linalg.hadamard(n)).all()


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"axis": 1 << 70}, "axis: expected an integer in -1..0"),
        ({"norm": np.ones(2)}, "norm: expected None or 'ortho'"),
    ],
)
def test_what_no_c_integer_or_string_holds_is_named(implementation: str, arguments: dict[str, Any], error: str) -> None:
    with pytest.raises(ValueError, match=error):
        fwht(np.ones(4, np.float32), **arguments)
