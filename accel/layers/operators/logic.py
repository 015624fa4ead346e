"""Comparisons, logical and bitwise operators, selection and casts."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from accel.errors import ModelError
from accel.layers.operators.common import Array, choice, floating, same_dtype
from accel.layers.operators.dtypes import element_type
from accel.layers.operators.registry import operator

_COMPARISONS: dict[str, np.ufunc] = {
    "Equal": np.equal,
    "Less": np.less,
    "LessOrEqual": np.less_equal,
    "Greater": np.greater,
    "GreaterOrEqual": np.greater_equal,
}
_LOGICAL: dict[str, np.ufunc] = {"And": np.logical_and, "Or": np.logical_or, "Xor": np.logical_xor}
_BITWISE: dict[str, np.ufunc] = {"BitwiseAnd": np.bitwise_and, "BitwiseOr": np.bitwise_or, "BitwiseXor": np.bitwise_xor}


def _binary(ufunc: np.ufunc, kinds: str) -> Callable[[Array, Array], Array]:
    def apply(a: Array, b: Array) -> Array:
        _of_kind(a, kinds)
        same_dtype(a, b)
        return np.asarray(ufunc(a, b))

    return apply


def _of_kind(x: Array, kinds: str) -> None:
    """Raise unless the dtype's kind is among `kinds`; none given means any."""
    if kinds and x.dtype.kind not in kinds:
        expected = "bool" if kinds == "b" else "an integer type"
        raise ModelError(f"input 0: expected {expected}, got {x.dtype}")


for _name, _ufunc in _COMPARISONS.items():
    operator(_name)(_binary(_ufunc, ""))
for _name, _ufunc in _LOGICAL.items():
    operator(_name)(_binary(_ufunc, "b"))
for _name, _ufunc in _BITWISE.items():
    operator(_name)(_binary(_ufunc, "iu"))


@operator("Not")
def logical_not(x: Array) -> Array:
    _of_kind(x, "b")
    return np.asarray(np.logical_not(x))


@operator("BitwiseNot")
def bitwise_not(x: Array) -> Array:
    _of_kind(x, "iu")
    return np.asarray(np.bitwise_not(x))


@operator("BitShift")
def bit_shift(x: Array, y: Array, *, direction: str) -> Array:
    """Shifts by less than 0 or by all bits and more leave the sign alone: 0, or -1 for a negative x to the right."""
    choice("direction", direction, ("LEFT", "RIGHT"))
    _of_kind(x, "iu")
    same_dtype(x, y)
    bits = 8 * x.dtype.itemsize
    outside = (y < 0) | (y >= bits)
    amount = np.where(outside, bits - 1, y).astype(x.dtype)
    if direction == "LEFT":
        return np.asarray(np.where(outside, x.dtype.type(0), np.left_shift(x, amount)))
    beyond = np.where(x < 0, x.dtype.type(0) - (x < 0).astype(x.dtype), x.dtype.type(0))
    return np.asarray(np.where(outside, beyond, np.right_shift(x, amount)))


@operator("Where")
def where(condition: Array, x: Array, y: Array) -> Array:
    _of_kind(condition, "b")
    same_dtype(x, y)
    return np.where(condition, x, y)


@operator("IsNaN")
def is_nan(x: Array) -> Array:
    floating(x)
    return np.asarray(np.isnan(x))


@operator("IsInf")
def is_inf(x: Array, *, detect_negative: int = 1, detect_positive: int = 1) -> Array:
    floating(x)
    infinite = np.isinf(x)
    if not detect_negative:
        infinite = infinite & (x > 0)
    if not detect_positive:
        infinite = infinite & (x < 0)
    return np.asarray(infinite)


@operator("Cast")
def cast(x: Array, *, to: int, saturate: int = 1, round_mode: str = "up") -> Array:
    """`saturate` and `round_mode` speak of float8 types only, which are not supported."""
    return x.astype(element_type(to, "to"), copy=False)


@operator("CastLike")
def cast_like(x: Array, like: Array, *, saturate: int = 1, round_mode: str = "up") -> Array:
    return x.astype(like.dtype, copy=False)


@operator("BitCast")
def bit_cast(x: Array, *, to: int) -> Array:
    dtype = element_type(to, "to")
    if dtype.itemsize != x.dtype.itemsize:
        raise ModelError(f"to: expected a type as wide as {x.dtype}, got {dtype}")
    return np.ascontiguousarray(x).view(dtype).reshape(x.shape)
