"""Quantization: QuantizeLinear, DequantizeLinear, DynamicQuantizeLinear, QLinearMatMul."""

from __future__ import annotations

import numpy as np

from accel.errors import ModelError
from accel.layers.operators.common import Array, floating, normal_axis, same_dtype, scalar
from accel.layers.operators.dtypes import element_type
from accel.layers.operators.linear import along_axis, integer_matmul, minus_zero_point
from accel.layers.operators.registry import operator


def saturated(rounded: Array, zero_point: Array) -> Array:
    """rounded + zero_point, clipped to the zero point's type and cast to it. NaN becomes the zero point."""
    if zero_point.dtype.kind not in "iu":
        raise ModelError(f"zero point: expected an integer type, got {zero_point.dtype}")
    info = np.iinfo(zero_point.dtype)
    # float64 holds every sum exactly; clipping first keeps the cast inside the type, which C leaves undefined.
    shifted = np.nan_to_num(rounded.astype(np.float64), posinf=np.inf, neginf=-np.inf) + zero_point.astype(np.float64)
    return np.asarray(np.clip(shifted, info.min, info.max)).astype(zero_point.dtype)


def _spread(values: Array, x: Array, axis: int, block_size: int, name: str) -> Array:
    """Scales or zero points ready to broadcast against x: one, one per slice of the axis, or one per block."""
    if values.size == 1 and values.ndim <= 1:
        return values.reshape(())
    axis = normal_axis(axis, x.ndim)
    if block_size == 0:
        if values.ndim != 1:
            raise ModelError(f"{name}: expected a scalar or a vector without block_size, got shape {values.shape}")
        shape = [1] * x.ndim
        shape[axis] = x.shape[axis]
        if values.size != x.shape[axis]:
            raise ModelError(f"{name}: expected {x.shape[axis]} values along axis {axis}, got {values.size}")
        return values.reshape(shape)
    if block_size < 0:
        raise ModelError(f"block_size: expected >= 0, got {block_size}")
    blocks = [n if i != axis else -(-n // block_size) for i, n in enumerate(x.shape)]
    if list(values.shape) != blocks:
        raise ModelError(f"{name}: expected shape {tuple(blocks)} for blocks of {block_size}, got {values.shape}")
    block_of = np.arange(x.shape[axis]) // block_size
    return np.asarray(np.take(values, block_of, axis))


@operator("QuantizeLinear")
def quantize_linear(
    x: Array,
    scale: Array,
    zero_point: Array | None = None,
    *,
    axis: int = 1,
    block_size: int = 0,
    output_dtype: int = 0,
    precision: int = 0,
    saturate: int = 1,
) -> Array:
    """x / scale rounded to even, plus the zero point, saturated; the quotient has the type of the scale."""
    dtype = element_type(output_dtype, "output_dtype") if output_dtype else np.dtype(np.uint8)
    if zero_point is None:
        zero_point = np.zeros(scale.shape, dtype)
    elif output_dtype and dtype != zero_point.dtype:
        raise ModelError(f"output_dtype: expected {zero_point.dtype} like y_zero_point, got {dtype}")
    work = element_type(precision, "precision") if precision else scale.dtype
    step = _spread(scale, x, axis, block_size, "y_scale").astype(work)
    rounded = np.rint(x.astype(work) / step)
    return saturated(rounded, _spread(zero_point, x, axis, block_size, "y_zero_point"))


@operator("DequantizeLinear")
def dequantize_linear(
    x: Array,
    scale: Array,
    zero_point: Array | None = None,
    *,
    axis: int = 1,
    block_size: int = 0,
    output_dtype: int = 0,
) -> Array:
    """(x - zero_point) * scale in the type of the output."""
    dtype = element_type(output_dtype, "output_dtype") if output_dtype else scale.dtype
    step = _spread(scale, x, axis, block_size, "x_scale").astype(dtype)
    if x.dtype.kind not in "iu":
        raise ModelError(f"x: expected an integer type, got {x.dtype}")
    wide = x.astype(np.int64)  # the difference of two int32 needs 33 bits
    if zero_point is not None:
        same_dtype(x, None, zero_point)
        wide = wide - _spread(zero_point, x, axis, block_size, "x_zero_point").astype(np.int64)
    return np.asarray(wide.astype(dtype) * step)


@operator("DynamicQuantizeLinear")
def dynamic_quantize_linear(x: Array) -> tuple[Array, Array, Array]:
    """uint8 over the range of x, which is widened to hold 0."""
    floating(x)
    zero = np.float32(0)
    low, high = x.min(initial=zero), x.max(initial=zero)
    scale = np.asarray((high - low) / np.float32(255))
    if scale == 0:
        scale = np.ones_like(scale)  # all zero: any scale is right, this one divides
    zero_point = np.asarray(np.clip(np.rint(-low / scale), 0, 255)).astype(np.uint8)
    return saturated(np.rint(x / scale), zero_point), scale, zero_point


@operator("QLinearMatMul")
def qlinear_matmul(
    a: Array,
    a_scale: Array,
    a_zero_point: Array,
    b: Array,
    b_scale: Array,
    b_zero_point: Array,
    y_scale: Array,
    y_zero_point: Array,
) -> Array:
    """Scales of A are one or per row, those of B one or per column."""
    left = minus_zero_point(a, a_zero_point, -2, "a_zero_point")
    right = minus_zero_point(b, b_zero_point, -1, "b_zero_point")
    total = integer_matmul(left, right)
    row, column = along_axis(a_scale, total, -2, "a_scale"), along_axis(b_scale, total, -1, "b_scale")
    factor = row.astype(np.float32) * column.astype(np.float32) / scalar("y_scale", y_scale).astype(np.float32)
    return saturated(np.rint(total * factor), scalar("y_zero_point", y_zero_point))
