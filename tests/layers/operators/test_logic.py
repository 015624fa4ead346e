"""Comparisons, logic, bits and casts."""

from __future__ import annotations

import numpy as np
import pytest
from layers.operators.call import refused, run

NAN = float("nan")


def test_comparisons_with_nan_are_false():
    x = np.float32([1, NAN, 2])
    for name in ("Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual"):
        y = run(name, x, np.float32([1, 1, 1]))
        assert y.dtype == np.bool_ and not y[1]


@pytest.mark.parametrize("name", ["And", "Or", "Xor"])
def test_logic_takes_bool_only(name):
    assert run(name, np.array([True, False]), np.array([True, True])).dtype == np.bool_
    with refused(f"{name}: input 0: expected bool, got int64"):
        run(name, np.array([1]), np.array([1]))


def test_bits_are_those_of_integers():
    with refused("BitwiseAnd: input 0: expected an integer type, got float32"):
        run("BitwiseAnd", np.float32([1]), np.float32([1]))
    assert run("BitwiseNot", np.array([0, 5], np.uint8)).tolist() == [255, 250]


@pytest.mark.parametrize("dtype", [np.int8, np.int32, np.int64, np.uint8, np.uint64])
def test_shifts_beyond_the_width_leave_the_sign(dtype):
    bits = 8 * np.dtype(dtype).itemsize
    x = np.array([1, 100], dtype)
    assert run("BitShift", x, np.full(2, bits, dtype), direction="LEFT").tolist() == [0, 0]
    assert run("BitShift", x, np.full(2, bits, dtype), direction="RIGHT").tolist() == [0, 0]
    if np.dtype(dtype).kind == "i":
        assert run("BitShift", -x, np.full(2, bits, dtype), direction="RIGHT").tolist() == [-1, -1]
        assert run("BitShift", -x, np.full(2, -1, dtype), direction="RIGHT").tolist() == [-1, -1]
        assert run("BitShift", np.array([-8], dtype), np.array([1], dtype), direction="RIGHT").tolist() == [-4]


def test_shift_direction_is_checked():
    with refused("BitShift: direction: expected one of LEFT, RIGHT, got 'UP'"):
        run("BitShift", np.array([1]), np.array([1]), direction="UP")


def test_where_broadcasts_and_needs_bool():
    y = run("Where", np.array([[True], [False]]), np.float32([1, 2]), np.float32(0))
    assert y.dtype == np.float32 and y.tolist() == [[1, 2], [0, 0]]
    with refused("Where: input 0: expected bool, got float32"):
        run("Where", np.float32([1]), np.float32([1]), np.float32([1]))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [1, 1, 0]),
        ({"detect_negative": 0}, [1, 0, 0]),
        ({"detect_positive": 0}, [0, 1, 0]),
        ({"detect_positive": 0, "detect_negative": 0}, [0, 0, 0]),
    ],
)
def test_is_inf(options, expected):
    assert run("IsInf", np.float32([np.inf, -np.inf, NAN]), **options).tolist() == list(map(bool, expected))


def test_casts():
    assert run("Cast", np.float32([0, -0.5, NAN]), to=9).tolist() == [False, True, True]
    assert run("Cast", np.float32([1.9, -1.9]), to=7).tolist() == [1, -1]
    assert run("Cast", np.array([300]), to=2).tolist() == [44]
    assert run("CastLike", np.array([1, 2]), np.float16([0])).dtype == np.float16
    with refused("Cast: to: expected the code of one of float32, uint8"):
        run("Cast", np.float32([1]), to=8)


def test_bit_cast_keeps_the_bits():
    assert run("BitCast", np.float32([1.0]), to=6).tolist() == [0x3F800000]
    with refused("BitCast: to: expected a type as wide as float32, got int64"):
        run("BitCast", np.float32([1.0]), to=7)
    assert run("BitCast", np.float32(1.0), to=6).shape == ()
