"""Normalizations. Where the standard says so (`stash_type`), statistics are computed in float32."""

from __future__ import annotations

import numpy as np

from accel.errors import ModelError
from accel.layers.operators.common import (
    Array,
    Ints,
    floating,
    mean_over,
    normal_axes,
    normal_axis,
    positive,
    variance_over,
)
from accel.layers.operators.dtypes import element_type, widened
from accel.layers.operators.registry import operator


def _channels(name: str, value: Array, x: Array) -> Array:
    """A vector with one value per channel, ready to broadcast against x of shape (N, C, ...)."""
    if x.ndim < 2 or value.shape != (x.shape[1],):
        raise ModelError(f"{name}: expected one value per channel of X of shape {x.shape}, got shape {value.shape}")
    return value.reshape(-1, *[1] * (x.ndim - 2))


@operator("BatchNormalization")
def batch_normalization(
    x: Array,
    scale: Array,
    bias: Array,
    mean: Array,
    var: Array,
    *,
    epsilon: float = 1e-5,
    momentum: float = 0.9,
    training_mode: int = 0,
) -> Array | tuple[Array, ...]:
    """Y; in training with the statistics of x, also the running mean and variance."""
    floating(x)
    if x.ndim == 1:
        # a batch of one channel without spatial axes, which the standard allows
        y = batch_normalization(
            x[:, None], scale, bias, mean, var, epsilon=epsilon, momentum=momentum, training_mode=training_mode
        )
        return (y[0][:, 0], *y[1:]) if isinstance(y, tuple) else y[:, 0]
    gain, shift = _channels("scale", scale, x), _channels("B", bias, x)
    center, spread = _channels("input_mean", mean, x), _channels("input_var", var, x)
    if not training_mode:
        return _standardize(x, center, spread, epsilon, gain, shift)
    axes = (0, *range(2, x.ndim))
    wide = widened(x)
    now_mean = mean_over(wide, axes)
    now_var = variance_over(wide, now_mean, axes)
    y = _standardize(wide, now_mean, now_var, epsilon, gain, shift).astype(x.dtype, copy=False)
    keep, take = np.float32(momentum), np.float32(1 - momentum)
    running = ((mean, now_mean), (var, now_var))
    return (y, *((old * keep + new.reshape(-1) * take).astype(old.dtype, copy=False) for old, new in running))


def _standardize(x: Array, mean: Array, var: Array, epsilon: float, gain: Array, shift: Array) -> Array:
    factor = gain / np.sqrt(var + var.dtype.type(epsilon))
    return np.asarray((x - mean) * factor + shift).astype(x.dtype, copy=False)


@operator("InstanceNormalization")
def instance_normalization(x: Array, scale: Array, bias: Array, *, epsilon: float = 1e-5) -> Array:
    floating(x, scale, bias)
    gain, shift = _channels("scale", scale, x), _channels("B", bias, x)
    axes = tuple(range(2, x.ndim))
    wide = widened(x)
    mean = mean_over(wide, axes)
    y = _standardize(wide, mean, variance_over(wide, mean, axes), epsilon, gain, shift)
    return y.astype(x.dtype, copy=False)


@operator("LayerNormalization")
def layer_normalization(
    x: Array, scale: Array, bias: Array | None = None, *, axis: int = -1, epsilon: float = 1e-5, stash_type: int = 1
) -> tuple[Array, Array, Array]:
    """Y, and the mean and inverse standard deviation in the stash type."""
    floating(x)
    axes = tuple(range(normal_axis(axis, x.ndim), x.ndim))
    wide = x.astype(element_type(stash_type, "stash_type"), copy=False)
    mean = mean_over(wide, axes)
    variance = variance_over(wide, mean, axes)
    inverse = np.reciprocal(np.sqrt(variance + wide.dtype.type(epsilon)))
    y = _scaled(((wide - mean) * inverse).astype(x.dtype, copy=False), scale, "Scale", x)
    if bias is not None:
        y = (y + _within("B", bias, x)).astype(x.dtype, copy=False)
    return y, mean, np.asarray(inverse)


def _within(name: str, value: Array, x: Array) -> Array:
    """`value` when it broadcasts to the shape of x and not beyond."""
    try:
        np.broadcast_to(value, x.shape)
    except ValueError:
        raise ModelError(f"{name}: expected a shape that broadcasts to {x.shape}, got {value.shape}") from None
    return value


def _scaled(y: Array, scale: Array, name: str, x: Array) -> Array:
    return (y * _within(name, scale, x)).astype(x.dtype, copy=False)


@operator("RMSNormalization")
def rms_normalization(x: Array, scale: Array, *, axis: int = -1, epsilon: float = 1e-5, stash_type: int = 1) -> Array:
    floating(x)
    axes = tuple(range(normal_axis(axis, x.ndim), x.ndim))
    wide = x.astype(element_type(stash_type, "stash_type"), copy=False)
    mean_square = mean_over(np.square(wide), axes)
    y = wide / np.sqrt(mean_square + wide.dtype.type(epsilon))
    # The output has the type of the scale, which may differ from that of x.
    return np.asarray(y.astype(x.dtype, copy=False) * _within("scale", scale, x)).astype(scale.dtype, copy=False)


@operator("GroupNormalization")
def group_normalization(
    x: Array, scale: Array, bias: Array, *, num_groups: int, epsilon: float = 1e-5, stash_type: int = 1
) -> Array:
    floating(x, scale, bias)
    gain, shift = _channels("scale", scale, x), _channels("bias", bias, x)
    if num_groups < 1 or x.shape[1] % num_groups:
        raise ModelError(f"num_groups: expected to divide the {x.shape[1]} channels, got {num_groups}")
    wide = x.astype(element_type(stash_type, "stash_type"), copy=False).reshape(x.shape[0], num_groups, -1)
    mean = mean_over(wide, (2,))
    y = (wide - mean) / np.sqrt(variance_over(wide, mean, (2,)) + wide.dtype.type(epsilon))
    return np.asarray(y.reshape(x.shape).astype(x.dtype, copy=False) * gain + shift).astype(x.dtype, copy=False)


@operator("LRN")
def lrn(x: Array, *, size: int, alpha: float = 1e-4, beta: float = 0.75, bias: float = 1.0) -> Array:
    """Local response normalization over `size` neighbouring channels (Krizhevsky et al., 2012)."""
    floating(x)
    positive("size", (size,))
    if x.ndim < 2:
        raise ModelError(f"X: expected at least 2 axes, got shape {x.shape}")
    square, channels = np.square(x), x.shape[1]
    total = np.zeros_like(x)
    for offset in range(max(-((size - 1) // 2), 1 - channels), min(size // 2 + 1, channels)):
        target = slice(max(-offset, 0), channels - max(offset, 0))
        total[:, target] += square[:, max(offset, 0) : channels + min(offset, 0)]
    kind = x.dtype.type
    return np.asarray(x / (kind(bias) + kind(alpha / size) * total) ** kind(beta))


@operator("LpNormalization")
def lp_normalization(x: Array, *, axis: int = -1, p: int = 2) -> Array:
    """x over its norm along the axis; zero where the norm is zero."""
    floating(x)
    axis = normal_axis(axis, x.ndim)
    if p not in (1, 2):
        raise ModelError(f"p: expected 1 or 2, got {p}")
    norm = np.abs(x).sum(axis=axis, keepdims=True) if p == 1 else np.sqrt(np.square(x).sum(axis=axis, keepdims=True))
    return np.asarray(x / np.where(norm == 0, norm.dtype.type(1), norm))


_MEAN_VARIANCE_EPSILON = 1e-9  # in the function body of the ONNX standard


@operator("MeanVarianceNormalization")
def mean_variance_normalization(x: Array, *, axes: Ints = (0, 2, 3)) -> Array:
    floating(x)
    over = normal_axes(axes, x.ndim)
    wide = widened(x)
    mean = mean_over(wide, over)
    deviation = np.sqrt(variance_over(wide, mean, over)) + wide.dtype.type(_MEAN_VARIANCE_EPSILON)
    return np.asarray((wide - mean) / deviation).astype(x.dtype, copy=False)
