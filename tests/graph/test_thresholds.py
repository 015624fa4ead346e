"""Thresholds are those of exact arithmetic, tie by tie."""

from __future__ import annotations

from fractions import Fraction
from math import isqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accel.graph.thresholds import Affine, Chain, Norm, Sign, Thresholds, find, find_real

ABOVE, FROM = Sign(strict=True), Sign(strict=False)
ONNX = Sign(strict=True, zero=True)


def vector(*numbers: float) -> np.ndarray:
    return np.array(numbers, np.float32).astype(np.float64)


def affine(scale: float, shift: float, divisor: float = 1.0) -> Affine:
    return Affine(vector(scale), vector(divisor), vector(shift))


def norm(gamma: float, beta: float, mean: float, variance: float, epsilon: float = 1e-5) -> Norm:
    return Norm(vector(gamma), vector(beta), vector(mean), vector(variance), float(np.float32(epsilon)))


def chain(*steps: Affine | Norm, channels: int = 1) -> Chain:
    made = Chain(channels)
    assert all(made.then(step) for step in steps)
    return made


def bits(found: Thresholds | None, terms: int) -> list[bool]:
    """The bit of each n of channel 0."""
    assert found is not None
    turn = -1 if found.flipped[0] else 1
    return [turn * n >= found.at[0] for n in range(-terms, terms + 1)]


def exact_sign(steps: tuple[Affine | Norm, ...], n: int) -> int:
    """Once more, by square roots to 100 digits where there are any."""
    digits = 10**100
    value = Fraction(n)
    for step in steps:
        parts = [Fraction(float(part[0])) for part in step[: 4 if isinstance(step, Norm) else 3]]
        if isinstance(step, Norm):
            total = parts[3] + Fraction(step.epsilon)
            root = Fraction(isqrt(total.numerator * total.denominator * digits**2), total.denominator * digits)
            value = parts[0] * (value - parts[2]) / root + parts[1]
        else:
            value = value * parts[0] / parts[1] + parts[2]
    return (value > 0) - (value < 0)


numbers = st.floats(-8, 8, width=32).filter(lambda x: x == 0 or abs(x) > 1e-3) | st.integers(-6, 6).map(float)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 20), numbers, numbers, numbers, numbers, st.floats(0, 4, width=32), st.booleans(), st.booleans())
def test_bits_are_those_of_exact_arithmetic(
    terms: int, shift: float, gamma: float, beta: float, mean: float, variance: float, strict: bool, inverted: bool
) -> None:
    steps = (affine(0.75, shift), norm(gamma, beta, mean, variance))
    got = bits(find(chain(*steps), terms, Sign(strict, inverted)), terms)
    for n, bit in zip(range(-terms, terms + 1), got, strict=True):
        sign = exact_sign(steps, n)
        assert bit == ((sign > 0 if strict else sign >= 0) != inverted)


def test_a_tie_that_float32_gets_wrong() -> None:
    # 3 * 0.1f - 0.3f is 2**-26 + ... in exact arithmetic, 0 or less in float32.
    scale, shift = np.float32(0.1), np.float32(-0.3)
    assert Fraction(float(scale)) * 3 + Fraction(float(shift)) < 0
    assert np.float32(3) * scale + shift <= 0
    assert bits(find(chain(affine(scale, shift)), 4, FROM), 4) == [n >= 4 for n in range(-4, 5)]
    just = np.float32(-float(Fraction(float(scale)) * 3))  # rounded: above or below
    exact = Fraction(float(scale)) * 3 + Fraction(float(just)) >= 0
    assert bits(find(chain(affine(scale, just)), 4, FROM), 4)[7] == exact


def test_ties_under_a_square_root() -> None:
    # (n - 1) / sqrt(4) * 3 - 6 is 0 at n = 5.
    steps = norm(3, -6, 1, 4, 0.0)
    assert bits(find(chain(steps), 8, FROM), 8) == [n >= 5 for n in range(-8, 9)]
    assert bits(find(chain(steps), 8, ABOVE), 8) == [n > 5 for n in range(-8, 9)]


def test_a_zero_that_sign_would_give_is_refused() -> None:
    steps = norm(3, -6, 1, 4, 0.0)  # 0 at n = 5
    assert find(chain(steps), 8, ONNX) is None
    assert find(chain(steps), 8, ONNX, step=2) is not None  # of 8 terms n is even
    assert find(chain(steps), 7, ONNX, step=2) is None
    assert find(chain(steps), 4, ONNX) is not None  # 5 is out of reach
    falls = norm(-3, -6, 1, 4, 0.0)  # 0 at n = -3
    assert find(chain(falls), 8, ONNX) is None and find(chain(falls), 2, ONNX) is not None
    assert find(chain(norm(0, 0, 1, 4)), 8, ONNX) is None
    assert find(chain(norm(0, 1, 1, 4)), 8, ONNX) is not None


@pytest.mark.parametrize("beta", [-1.0, 0.0, 1.0])
@pytest.mark.parametrize("rule", [ABOVE, FROM, Sign(False, True)])
def test_a_scale_of_zero_makes_the_bit_constant(beta: float, rule: Sign) -> None:
    bit = (beta > 0 if rule.strict else beta >= 0) != rule.inverted
    assert bits(find(chain(norm(0, beta, 3, 1)), 6, rule), 6) == [bit] * 13


@pytest.mark.parametrize("steps", [norm(np.nan, 1, 0, 1), norm(1, np.nan, 0, 1), norm(1, 5, 0, -1), affine(1, np.nan)])
def test_nan_is_no_number_of_any_sign(steps: Affine | Norm) -> None:
    assert bits(find(chain(steps), 6, FROM), 6) == [False] * 13
    assert bits(find(chain(steps), 6, Sign(False, inverted=True)), 6) == [True] * 13
    assert find(chain(steps), 6, ONNX) is None


def test_thresholds_outside_the_range_are_constant() -> None:
    for shift in (-1e30, -7, 7, 1e30):
        found = find(chain(affine(1, shift)), 6, ABOVE)
        assert bits(found, 6) == [shift > 0] * 13
        assert found is not None and -6 <= found.at[0] <= 7


def test_every_channel_has_its_own() -> None:
    many = Chain(4)
    gamma = np.array([1.0, -1.0, 0.0, 2.0])
    assert many.then(Norm(gamma, np.zeros(4), np.array([2.0, 2.0, 2.0, -3.0]), np.ones(4), 0.0))
    found = find(many, 9, FROM)
    assert found is not None
    assert found.at.tolist() == [2, -2, -9, -3] and found.flipped.tolist() == [False, True, False, False]


def test_what_exact_arithmetic_does_not_follow() -> None:
    assert not Chain(1).then(affine(np.inf, 0)) and not Chain(1).then(affine(1, 0, 0.0))
    assert not Chain(1).then(norm(1, 0, 0, 0, 0.0))
    assert not chain(norm(1, 0, 0, 1)).then(norm(1, 0, 0, 1))
    assert find(chain(affine(1, 0.5)), 1 << 22, ABOVE) is None


@settings(max_examples=40, deadline=None)
@given(numbers, numbers, numbers, st.floats(0, 4, width=32), st.floats(-9, 9, width=32))
def test_thresholds_of_real_values_are_the_last_float_of_either_side(
    gamma: float, beta: float, mean: float, variance: float, x: float
) -> None:
    steps = (norm(gamma, beta, mean, variance),)
    found = find_real(chain(*steps))
    at, below = found.at[0], bool(found.below[0])
    assert found.at.dtype == np.float32
    outside = np.nextafter(at, np.float32(np.inf if below else -np.inf))
    for value in {float(at), float(outside), float(np.float32(x))}:
        if np.isfinite(value):
            bit = value <= at if below else value >= at
            assert bit == (exact_sign_of(steps, value) >= 0)


def exact_sign_of(steps: tuple[Affine | Norm, ...], x: float) -> int:
    shifted = (Affine(np.ones(1), np.ones(1), np.array([x])), *steps)
    return exact_sign(shifted, 0)


def test_real_thresholds_of_constant_and_undefined_channels() -> None:
    for beta, at in ((1.0, -np.inf), (0.0, -np.inf), (-1.0, np.nan)):
        np.testing.assert_array_equal(find_real(chain(norm(0, beta, 3, 1))).at, np.float32([at]))
    assert np.isnan(find_real(chain(norm(np.nan, 1, 0, 1))).at).all()
    assert find_real(chain(affine(2, -1))).at.tolist() == [0.5]
    assert find_real(chain(affine(-2, -1))) == (np.float32([-0.5]), np.array([True]))
