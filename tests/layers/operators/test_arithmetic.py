"""Elementwise arithmetic: types, integer rules, NaN, and erf against scipy."""

from __future__ import annotations

import numpy as np
import pytest
from layers.operators.call import floats, refused, run

from accel.layers.operators import arithmetic

NAN = float("nan")


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize(
    "name",
    sorted({*arithmetic._FLOAT_UNARY, *arithmetic._UNARY, "Erf"}),
)
def test_unary_keeps_the_type_and_nan(name, dtype):
    y = run(name, np.array([0.5, NAN], dtype))
    assert y.dtype == dtype and np.isnan(y[1])


@pytest.mark.parametrize("name", ["Sqrt", "Exp", "Reciprocal", "Erf", "Round"])
def test_a_function_of_floats_refuses_integers_rather_than_promote(name):
    with refused(f"{name}: input 0: expected a floating-point type, got int32"):
        run(name, np.ones(2, np.int32))


@pytest.mark.parametrize("name", ["Add", "Sub", "Mul", "Div", "Mod", "Max", "Min", "Sum"])
def test_types_are_never_mixed(name):
    with refused(f"{name}: input 1: expected float32 like input 0, got float64"):
        run(name, np.ones(2, np.float32), np.ones(2))


@pytest.mark.parametrize("name", ["Max", "Min"])
@pytest.mark.parametrize("place", range(3))
def test_nan_wins_in_any_place(name, place):
    values = [np.float32([1.0]), np.float32([2.0]), np.float32([3.0])]
    values[place] = np.float32([NAN])
    assert np.isnan(run(name, *values)).all()


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.int32, np.int64])
def test_integer_division_rounds_toward_zero(dtype):
    a, b = np.array([7, -7, 7, -7, 6, -6, 0], dtype), np.array([2, 2, -2, -2, 3, 3, -5], dtype)
    y = run("Div", a, b)
    assert y.dtype == dtype and y.tolist() == [3, -3, -3, 3, 2, -2, 0]


def test_unsigned_division_of_large_values():
    assert run("Div", np.array([2**64 - 1], np.uint64), np.array([2], np.uint64))[0] == 2**63 - 1


def test_mod_takes_the_sign_of_the_divisor_and_fmod_that_of_the_dividend():
    a, b = np.array([5, -5, 5, -5], np.int32), np.array([3, 3, -3, -3], np.int32)
    assert run("Mod", a, b).tolist() == [2, 1, -1, -2]
    assert run("Mod", a, b, fmod=1).tolist() == [2, -2, 2, -2]
    with refused("Mod: fmod: expected one of 0, 1, got 2"):
        run("Mod", a, b, fmod=2)


@pytest.mark.parametrize(("x", "y"), [(-0.0, 3.0), (np.inf, 2.0), (3.0, 0.0), (-5.0, np.inf), (5.0, np.inf)])
def test_mod_of_special_numbers(x, y):
    got = run("Mod", np.array([x]), np.array([y]))[0]
    expected = {(-0.0, 3.0): 0.0, (-5.0, np.inf): np.inf, (5.0, np.inf): 5.0}.get((x, y), NAN)
    assert np.array_equal(got, expected, equal_nan=True)


@pytest.mark.parametrize("exponent", [np.int32, np.int64, np.uint8, np.float32, np.float64])
@pytest.mark.parametrize("base", [np.int32, np.int64, np.float32, np.float64])
def test_power_has_the_type_of_its_base(base, exponent):
    y = run("Pow", np.array([1, 2, 3], base), np.array([3, 2, 1], exponent))
    assert y.dtype == base and y.tolist() == [1, 4, 3]


def test_integer_power_of_a_negative_exponent_truncates():
    assert run("Pow", np.array([1, 2, -1], np.int32), np.array([-1, -2, -3], np.int32)).tolist() == [1, 0, -1]


def test_clip_with_absent_bounds_crossed_bounds_and_nan():
    x = np.float32([-2, 0, 2, NAN])
    one, two = np.float32(1), np.float32(2)
    assert np.array_equal(run("Clip", x, None, one), np.float32([-2, 0, 1, NAN]), equal_nan=True)
    assert np.array_equal(run("Clip", x, two, one), np.float32([1, 1, 1, NAN]), equal_nan=True)
    with refused("Clip: min: expected one element, got shape (2,)"):
        run("Clip", x, np.float32([0, 1]))


def test_round_goes_to_even():
    assert run("Round", np.float32([0.5, 1.5, 2.5, -0.5, -1.5])).tolist() == [0, 2, 2, 0, -2]


@pytest.mark.parametrize(("dtype", "bound"), [(np.float64, 4), (np.float32, 1)])
def test_erf_against_scipy(dtype, bound):
    """Bound in units in the last place."""
    special = pytest.importorskip("scipy.special")
    x = np.concatenate([np.linspace(-7, 7, 20001), [0.0, -0.0, 1e-30, np.inf, -np.inf, 1.0, -1.0]]).astype(dtype)
    expected = special.erf(x.astype(np.float64)).astype(dtype)
    error = np.abs(run("Erf", x) - expected)
    assert (error <= bound * np.spacing(np.abs(expected))).all()


def test_mean_and_sum_of_one_input_are_the_input():
    x = floats(2, 3)
    assert np.array_equal(run("Mean", x), x) and np.array_equal(run("Sum", x), x)
