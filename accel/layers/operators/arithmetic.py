"""Elementwise arithmetic, rounding and trigonometry."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np

from accel.errors import ModelError
from accel.layers.operators.common import Array, choice, floating, same_dtype, scalar
from accel.layers.operators.registry import operator

_FLOAT_UNARY: dict[str, np.ufunc] = {
    "Sqrt": np.sqrt,
    "Exp": np.exp,
    "Log": np.log,
    "Ceil": np.ceil,
    "Floor": np.floor,
    "Round": np.rint,
    "Sin": np.sin,
    "Cos": np.cos,
    "Tan": np.tan,
    "Asin": np.arcsin,
    "Acos": np.arccos,
    "Atan": np.arctan,
    "Sinh": np.sinh,
    "Cosh": np.cosh,
    "Asinh": np.arcsinh,
    "Acosh": np.arccosh,
    "Atanh": np.arctanh,
    "Reciprocal": np.reciprocal,
}
_UNARY: dict[str, np.ufunc] = {"Neg": np.negative, "Abs": np.abs}


def _float_unary(ufunc: np.ufunc) -> Callable[[Array], Array]:
    def apply(x: Array) -> Array:
        floating(x)
        return np.asarray(ufunc(x))

    return apply


def _unary(ufunc: np.ufunc) -> Callable[[Array], Array]:
    def apply(x: Array) -> Array:
        return np.asarray(ufunc(x))

    return apply


@operator("Sign")
def sign(x: Array, at: Array | None = None, below: Array | None = None, *, zero: int = 0) -> Array:
    """`zero` 1: +1 for 0 and -1 for NaN; with it, per channel, +1 where x >= at, or x <= at where `below`.

    ONNX knows none of these: graph.binary makes them of Where and batch norm.
    """
    if not zero:
        if at is not None or below is not None:
            raise ModelError("inputs: expected 1 without the attribute zero")
        return np.asarray(np.sign(x))
    if at is None or below is None:
        return np.asarray(np.where(x >= 0, x.dtype.type(1), x.dtype.type(-1)))
    shape = (-1, *(1,) * (x.ndim - 2))
    level = at.reshape(shape)
    positive = np.where(below.reshape(shape), x <= level, x >= level)
    return np.asarray(np.where(positive, x.dtype.type(1), x.dtype.type(-1)))


def _divide(a: Array, b: Array) -> Array:
    """a / b; for integers the quotient is rounded toward zero."""
    if a.dtype.kind not in "iu":
        return np.asarray(np.divide(a, b))
    quotient, remainder = np.divmod(a, b)
    return np.asarray(quotient + ((remainder != 0) & ((a < 0) != (b < 0)) & (b != 0)).astype(a.dtype))


def _binary(function: Callable[[Array, Array], Array]) -> Callable[[Array, Array], Array]:
    def apply(a: Array, b: Array) -> Array:
        same_dtype(a, b)
        return np.asarray(function(a, b))

    return apply


def _variadic(ufunc: np.ufunc) -> Callable[..., Array]:
    def apply(*inputs: Array) -> Array:
        same_dtype(*inputs)
        return functools.reduce(ufunc, inputs)

    return apply


_BINARY: dict[str, Callable[[Array, Array], Array]] = {
    "Add": np.add,
    "Sub": np.subtract,
    "Mul": np.multiply,
    "Div": _divide,
}
_VARIADIC: dict[str, np.ufunc] = {"Max": np.maximum, "Min": np.minimum, "Sum": np.add}

for _name, _ufunc in _FLOAT_UNARY.items():
    operator(_name)(_float_unary(_ufunc))
for _name, _ufunc in _UNARY.items():
    operator(_name)(_unary(_ufunc))
for _name, _function in _BINARY.items():
    operator(_name)(_binary(_function))
for _name, _ufunc in _VARIADIC.items():
    operator(_name)(_variadic(_ufunc))


@operator("Mean")
def mean(*inputs: Array) -> Array:
    floating(*inputs)
    return np.asarray(functools.reduce(np.add, inputs) / inputs[0].dtype.type(len(inputs)))


@operator("Mod")
def mod(a: Array, b: Array, *, fmod: int = 0) -> Array:
    choice("fmod", fmod, (0, 1))
    same_dtype(a, b)
    return np.asarray((np.fmod if fmod else np.mod)(a, b))


@operator("Pow")
def power(x: Array, y: Array) -> Array:
    """The result has the type of x, whatever that of y."""
    if x.dtype.kind in "iu" and y.dtype.kind in "iu" and y.size and y.min() < 0:
        y = y.astype(np.float64)  # NumPy refuses negative integer exponents, ONNX truncates
    return np.asarray(np.power(x, y)).astype(x.dtype, copy=False)


@operator("Clip")
def clip(x: Array, low: Array | None = None, high: Array | None = None) -> Array:
    """NaN stays; where low > high the result is high."""
    same_dtype(x, low, high)
    if low is not None:
        x = np.maximum(x, scalar("min", low))
    if high is not None:
        x = np.minimum(x, scalar("max", high))
    return x


# Rational approximations of the Cephes library (ndtr.c, S. L. Moshier), relative error 4e-16 in float64.
_ERF_NUMERATOR = (
    9.60497373987051638749e0,
    9.00260197203842689217e1,
    2.23200534594684319226e3,
    7.00332514112805075473e3,
    5.55923013010394962768e4,
)
_ERF_DENOMINATOR = (
    1.0,
    3.35617141647503099647e1,
    5.21357949780152679795e2,
    4.59432382970980127987e3,
    2.26290000613890934246e4,
    4.92673942608635921086e4,
)
_ERFC_NUMERATOR = (
    2.46196981473530512524e-10,
    5.64189564831068821977e-1,
    7.46321056442269912687e0,
    4.86371970985681366614e1,
    1.96520832956077098242e2,
    5.26445194995477358631e2,
    9.34528527171957607540e2,
    1.02755188689515710272e3,
    5.57535335369399327526e2,
)
_ERFC_DENOMINATOR = (
    1.0,
    1.32281951154744992508e1,
    8.67072140885989742329e1,
    3.54937778887819891062e2,
    9.75708501743205489753e2,
    1.82390916687909736289e3,
    2.24633760818710981792e3,
    1.65666309194161350182e3,
    5.57535340817727675546e2,
)
_ERF_IS_ONE = 6.0  # erfc(6) = 2e-17, below half an ulp of 1


@operator("Erf")
def erf(x: Array) -> Array:
    floating(x)
    wide = x.astype(np.float64)
    size = np.minimum(np.abs(wide), _ERF_IS_ONE)
    square = wide * wide
    inner = wide * np.polyval(_ERF_NUMERATOR, square) / np.polyval(_ERF_DENOMINATOR, square)
    tail = np.exp(-size * size) * np.polyval(_ERFC_NUMERATOR, size) / np.polyval(_ERFC_DENOMINATOR, size)
    return np.asarray(np.where(size <= 1.0, inner, np.copysign(1.0 - tail, wide))).astype(x.dtype)
