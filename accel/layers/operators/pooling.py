"""Pooling in any number of spatial axes, one pass per cell of the window."""

from __future__ import annotations

import math

import numpy as np

from accel.errors import ModelError
from accel.layers.operators.common import Array, Ints, choice, floating, integers, mean_over, positive, refuse_bomb
from accel.layers.operators.dtypes import lowest, widened
from accel.layers.operators.geometry import Windows, explicit_pads, per_axis, spatial, spatial_rank, windows
from accel.layers.operators.registry import operator


@operator("MaxPool", wants_outputs=True)
def max_pool(
    x: Array,
    *,
    kernel_shape: Ints,
    auto_pad: str = "NOTSET",
    ceil_mode: int = 0,
    dilations: Ints | None = None,
    pads: Ints | None = None,
    storage_order: int = 0,
    strides: Ints | None = None,
    outputs: int = 1,
) -> tuple[Array, ...]:
    """The largest value of each window, NaN if it holds one, and on request its flat index in x."""
    choice("storage_order", storage_order, (0, 1))
    where = windows(
        x, kernel_shape, strides=strides, pads=pads, dilations=dilations, auto_pad=auto_pad, ceil_mode=ceil_mode
    )
    padded = where.padded(x, lowest(x.dtype))
    if outputs > 1:
        return _max_with_indices(x, padded, where, storage_order)
    y = np.full((*x.shape[:2], *where.out), lowest(x.dtype), x.dtype)
    for _, cells in where.taps():
        np.maximum(y, padded[spatial(cells)], out=y)
    return (y,)


def _max_with_indices(x: Array, padded: Array, where: Windows, storage_order: int) -> tuple[Array, Array]:
    """The first largest cell of each window wins, the first NaN before all."""
    flat = np.arange(math.prod(where.size)).reshape(where.size, order="F" if storage_order else "C")
    places = where.padded(flat[None, None], -1)
    y = np.full((*x.shape[:2], *where.out), lowest(x.dtype), x.dtype)
    index = np.full(y.shape, -1, np.int64)
    for _, cells in where.taps():
        value, place = padded[spatial(cells)], places[spatial(cells)]
        wins = (place >= 0) & ((index < 0) | (value > y) | ((value != value) & (y == y)))
        np.copyto(y, value, where=wins)
        np.copyto(index, np.broadcast_to(place, y.shape), where=wins)
    image = np.arange(x.shape[0] * x.shape[1]).reshape(*x.shape[:2], *[1] * len(where.size))
    return y, index + image * math.prod(where.size)


@operator("AveragePool")
def average_pool(
    x: Array,
    *,
    kernel_shape: Ints,
    auto_pad: str = "NOTSET",
    ceil_mode: int = 0,
    count_include_pad: int = 0,
    dilations: Ints | None = None,
    pads: Ints | None = None,
    strides: Ints | None = None,
) -> Array:
    """The mean over the cells inside x, or also over its pads."""
    floating(x)
    where = windows(
        x, kernel_shape, strides=strides, pads=pads, dilations=dilations, auto_pad=auto_pad, ceil_mode=ceil_mode
    )
    total = _sum(x, where)
    return np.asarray(total / where.counts(bool(count_include_pad)).astype(total.dtype)).astype(x.dtype, copy=False)


def _sum(x: Array, where: Windows) -> Array:
    """The sums over the windows, those of float16 in float32."""
    padded = where.padded(widened(x), 0)
    y = np.zeros((*x.shape[:2], *where.out), padded.dtype)
    for _, cells in where.taps():
        y += padded[spatial(cells)]
    return y


def _power(x: Array, p: int) -> Array:
    return np.asarray(np.abs(x) ** x.dtype.type(p))


def _root(x: Array, p: int) -> Array:
    return np.asarray(np.sqrt(x) if p == 2 else x ** x.dtype.type(1 / p))


@operator("LpPool")
def lp_pool(
    x: Array,
    *,
    kernel_shape: Ints,
    auto_pad: str = "NOTSET",
    ceil_mode: int = 0,
    dilations: Ints | None = None,
    p: int = 2,
    pads: Ints | None = None,
    strides: Ints | None = None,
) -> Array:
    floating(x)
    positive("p", (p,))
    where = windows(
        x, kernel_shape, strides=strides, pads=pads, dilations=dilations, auto_pad=auto_pad, ceil_mode=ceil_mode
    )
    return _root(_sum(_power(widened(x), p), where), p).astype(x.dtype, copy=False)


def _spatial_axes(x: Array) -> Ints:
    floating(x)
    if spatial_rank(x) and 0 in x.shape[2:]:
        raise ModelError(f"X: expected no empty spatial axis, got shape {x.shape}")
    return tuple(range(2, x.ndim))


@operator("GlobalAveragePool")
def global_average_pool(x: Array) -> Array:
    return mean_over(widened(x), _spatial_axes(x)).astype(x.dtype, copy=False)


@operator("GlobalMaxPool")
def global_max_pool(x: Array) -> Array:
    return np.asarray(x.max(axis=_spatial_axes(x), keepdims=True))


@operator("GlobalLpPool")
def global_lp_pool(x: Array, *, p: int = 2) -> Array:
    axes = _spatial_axes(x)
    positive("p", (p,))
    return _root(_power(widened(x), p).sum(axis=axes, keepdims=True), p).astype(x.dtype, copy=False)


@operator("MaxUnpool", shape_inputs=(2,))
def max_unpool(
    x: Array,
    index: Array,
    output_shape: Array | None = None,
    *,
    kernel_shape: Ints,
    pads: Ints | None = None,
    strides: Ints | None = None,
) -> Array:
    """Each value back at the flat index that MaxPool gave, zero elsewhere."""
    rank = spatial_rank(x)
    begin, end = explicit_pads(pads, rank)
    stride = per_axis("strides", strides, rank, 1, 1)
    kernel = per_axis("kernel_shape", kernel_shape, rank, 1, 1)
    size = [(n - 1) * s - b - e + k for n, s, b, e, k in zip(x.shape[2:], stride, begin, end, kernel, strict=True)]
    natural = (*x.shape[:2], *size)
    shape = natural if output_shape is None else integers("output_shape", output_shape)
    positive("output_shape", shape)
    if len(shape) != x.ndim or shape[:2] != x.shape[:2] or index.shape != x.shape:
        raise ModelError(f"I, output_shape: expected to fit X of shape {x.shape}, got {index.shape} and {shape}")
    refuse_bomb(shape, x.dtype)
    if index.size and (index.min() < 0 or index.max() >= math.prod(natural)):
        raise ModelError(f"I: expected in 0..{math.prod(natural) - 1}, got {index.min()}..{index.max()}")
    # The indices belong to the natural output; a larger one asked for holds it in its corner.
    y = np.zeros(natural, x.dtype)
    y.reshape(-1)[index.reshape(-1)] = x.reshape(-1)
    result = np.zeros(shape, x.dtype)
    corner = tuple(slice(min(a, b)) for a, b in zip(natural, shape, strict=True))
    result[corner] = y[corner]
    return result
