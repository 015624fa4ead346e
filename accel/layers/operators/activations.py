"""Activations. All keep the dtype, and NaN stays NaN."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from accel.errors import ModelError
from accel.layers.operators.arithmetic import clip, erf
from accel.layers.operators.common import Array, Floats, choice, floating, normal_axis, same_dtype
from accel.layers.operators.dtypes import widened
from accel.layers.operators.registry import operator


def _number(x: Array, value: float) -> Any:
    """A constant of x's dtype, so that no result is promoted."""
    return x.dtype.type(value)


@operator("Relu")
def relu(x: Array) -> Array:
    """max(x, 0) that keeps NaN and -0.0."""
    return np.where(x < 0, _number(x, 0), x)


@operator("LeakyRelu")
def leaky_relu(x: Array, *, alpha: float = 0.01) -> Array:
    floating(x)
    return np.where(x < 0, x * _number(x, alpha), x)


@operator("PRelu")
def prelu(x: Array, slope: Array) -> Array:
    """The slope broadcasts to x."""
    same_dtype(x, slope)
    return np.where(x < 0, x * np.broadcast_to(slope, x.shape), x)


@operator("ThresholdedRelu")
def thresholded_relu(x: Array, *, alpha: float = 1.0) -> Array:
    floating(x)
    return np.where(x <= _number(x, alpha), _number(x, 0), x)


def _expm1_below_zero(x: Array) -> Array:
    """exp(min(x, 0)) - 1, which cannot overflow where the other branch is taken."""
    return np.asarray(np.expm1(np.minimum(x, _number(x, 0))))


@operator("Elu")
def elu(x: Array, *, alpha: float = 1.0) -> Array:
    floating(x)
    return np.where(x < 0, _number(x, alpha) * _expm1_below_zero(x), x)


# Klambauer et al., "Self-Normalizing Neural Networks", 2017, as float32 in the ONNX standard.
_SELU_ALPHA = 1.67326319217681884765625
_SELU_GAMMA = 1.05070102214813232421875


@operator("Selu")
def selu(x: Array, *, alpha: float = _SELU_ALPHA, gamma: float = _SELU_GAMMA) -> Array:
    floating(x)
    return np.asarray(_number(x, gamma) * elu(x, alpha=alpha))


@operator("Celu")
def celu(x: Array, *, alpha: float = 1.0) -> Array:
    floating(x)
    if alpha == 0:
        raise ModelError("alpha: expected a number other than 0, got 0")
    scale = _number(x, alpha)
    # max(x, 0) + min(alpha * expm1(x / alpha), 0) of the standard, kept in this form for negative alpha
    low = np.minimum(scale * np.expm1(x / scale), _number(x, 0))
    return np.asarray(np.maximum(x, _number(x, 0)) + low)


@operator("Sigmoid")
def sigmoid(x: Array) -> Array:
    floating(x)
    small = np.exp(-np.abs(x))
    one = _number(x, 1)
    return np.asarray(np.where(x < 0, small, one) / (one + small))


@operator("HardSigmoid")
def hard_sigmoid(x: Array, *, alpha: float = 0.2, beta: float = 0.5) -> Array:
    floating(x)
    line = x * _number(x, alpha) + _number(x, beta)
    return np.asarray(np.maximum(np.minimum(line, _number(x, 1)), _number(x, 0)))


@operator("HardSwish")
def hard_swish(x: Array) -> Array:
    return np.asarray(x * hard_sigmoid(x, alpha=1 / 6, beta=0.5))


@operator("Tanh")
def tanh(x: Array) -> Array:
    floating(x)
    return np.asarray(np.tanh(x))


@operator("Softplus")
def softplus(x: Array) -> Array:
    floating(x)
    return np.asarray(np.maximum(x, _number(x, 0)) + np.log1p(np.exp(-np.abs(x))))


@operator("Softsign")
def softsign(x: Array) -> Array:
    floating(x)
    return np.asarray(x / (_number(x, 1) + np.abs(x)))


@operator("Gelu")
def gelu(x: Array, *, approximate: str = "none") -> Array:
    choice("approximate", approximate, ("none", "tanh"))
    floating(x)
    half, one = _number(x, 0.5), _number(x, 1)
    if approximate == "none":
        return np.asarray(half * x * (one + erf(x * _number(x, math.sqrt(0.5)))))
    inner = _number(x, math.sqrt(2 / math.pi)) * (x + _number(x, 0.044715) * x * x * x)
    return np.asarray(half * x * (one + np.tanh(inner)))


@operator("Mish")
def mish(x: Array) -> Array:
    return np.asarray(x * np.tanh(softplus(x)))


@operator("Swish")
def swish(x: Array, *, alpha: float = 1.0) -> Array:
    return np.asarray(x * sigmoid(x * _number(x, alpha)))


@operator("SwiGLU")
def swiglu(a: Array, b: Array, *, alpha: float = 1.0) -> Array:
    same_dtype(a, b)
    if a.shape != b.shape:
        raise ModelError(f"B: expected shape {a.shape} like A, got {b.shape}")
    return np.asarray(swish(a, alpha=alpha) * b)


@operator("Shrink")
def shrink(x: Array, *, bias: float = 0.0, lambd: float = 0.5) -> Array:
    """x + bias below -lambd, x - bias above lambd, 0 between."""
    if x.dtype.kind in "iu":
        wide = x.astype(np.float64)
        return shrink(wide, bias=bias, lambd=lambd).astype(x.dtype)
    shift, limit = _number(x, bias), _number(x, lambd)
    moved = np.where(x < -limit, x + shift, np.where(x > limit, x - shift, _number(x, 0)))
    return np.where(np.isnan(x), x, moved)


@operator("Softmax")
def softmax(x: Array, *, axis: int = -1) -> Array:
    floating(x)
    axis = normal_axis(axis, x.ndim)
    if x.size == 0:
        return x
    wide = widened(x)
    powers = np.exp(wide - wide.max(axis=axis, keepdims=True))
    return np.asarray(powers / powers.sum(axis=axis, keepdims=True)).astype(x.dtype, copy=False)


@operator("LogSoftmax")
def log_softmax(x: Array, *, axis: int = -1) -> Array:
    floating(x)
    axis = normal_axis(axis, x.ndim)
    if x.size == 0:
        return x
    wide = widened(x)
    shifted = wide - wide.max(axis=axis, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=axis, keepdims=True))).astype(x.dtype, copy=False)


@operator("Hardmax")
def hardmax(x: Array, *, axis: int = -1) -> Array:
    """1 at the first largest value along the axis, 0 elsewhere."""
    floating(x)
    axis = normal_axis(axis, x.ndim)
    y = np.zeros_like(x)
    if x.size:
        np.put_along_axis(y, x.argmax(axis=axis, keepdims=True), 1, axis)
    return y


def fused(x: Array, activation: str | None, params: Floats) -> Array:
    """The activation that graph.fusing made an attribute of a Conv or Gemm, its parameters in ONNX's order."""
    if activation is None:
        return x
    functions: dict[str, Callable[..., Array]] = {
        "Relu": relu,
        "Sigmoid": sigmoid,
        "Tanh": tanh,
        "Sign": np.sign,
        "HardSwish": hard_swish,
        "Swish": swish,
        "LeakyRelu": lambda y, alpha: leaky_relu(y, alpha=alpha),
        "Elu": lambda y, alpha: elu(y, alpha=alpha),
        "HardSigmoid": lambda y, alpha, beta: hard_sigmoid(y, alpha=alpha, beta=beta),
        "Clip": lambda y, low, high: clip(y, np.array(low, y.dtype), np.array(high, y.dtype)),
    }
    choice("activation", activation, tuple(functions))
    return functions[activation](x, *params)
