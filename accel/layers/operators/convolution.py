"""Convolution in any number of spatial axes. Float32 in one or two runs on `accel.kernels.conv`."""

from __future__ import annotations

import itertools

import numpy as np

from accel.errors import ModelError
from accel.kernels.conv import conv2d
from accel.layers.operators.activations import fused
from accel.layers.operators.common import Array, Floats, Ints, choice, floating, refuse_bomb, same_dtype, scalar
from accel.layers.operators.dtypes import widened
from accel.layers.operators.geometry import (
    AUTO_PAD,
    Windows,
    explicit_pads,
    per_axis,
    spatial,
    spatial_rank,
    split_pads,
    windows,
)
from accel.layers.operators.linear import along_axis, minus_zero_point
from accel.layers.operators.quantize import saturated
from accel.layers.operators.registry import operator


def _check_weight(x: Array, w: Array, bias: Array | None, group: int, kernel_shape: Ints | None) -> None:
    """Raise unless w is (O, C/group, ...kernel) for x of shape (N, C, ...)."""
    if w.ndim != x.ndim:
        raise ModelError(f"W: expected {x.ndim} axes like X, got shape {w.shape}")
    if group < 1 or x.shape[1] != w.shape[1] * group or w.shape[0] % group:
        raise ModelError(
            f"group: expected to divide the {x.shape[1]} channels of X and W of shape {w.shape} to fit, got {group}"
        )
    if kernel_shape is not None and kernel_shape != w.shape[2:]:
        raise ModelError(f"kernel_shape: expected {w.shape[2:]} as in W, got {kernel_shape}")
    _check_bias(bias, w.shape[0])


def _check_bias(bias: Array | None, channels: int) -> None:
    if bias is not None and bias.shape != (channels,):
        raise ModelError(f"B: expected shape ({channels},), got {bias.shape}")


def _taps_product(x: Array, w: Array, bias: Array | None, where: Windows, group: int) -> Array:
    """The convolution as one matrix product per cell of the kernel, in the dtype of x."""
    n, channels = x.shape[:2]
    padded, w = widened(where.padded(x, 0)), widened(w)
    weights = w.reshape(group, w.shape[0] // group, channels // group, *where.kernel)
    y = np.zeros((n, group, w.shape[0] // group, int(np.prod(where.out))), w.dtype)
    for tap, cells in where.taps():
        columns = padded[spatial(cells)].reshape(n, group, channels // group, -1)
        y += np.matmul(weights[spatial(tap)], columns)
    y = y.reshape(n, w.shape[0], *where.out).astype(x.dtype, copy=False)
    return y if bias is None else np.asarray(y + bias.reshape(-1, *[1] * len(where.out)))


def _on_kernel(x: Array, w: Array, bias: Array | None, where: Windows, group: int) -> Array:
    """One or two spatial axes, float32; one axis is an image of height 1."""
    line = len(where.kernel) == 1
    if line:
        x, w = x[:, :, None], w[:, :, None]
    lead = (1, 0, 1) if line else ()
    ends = tuple(
        max((o - 1) * s + (k - 1) * d + 1 - size - b, 0)
        for o, s, k, d, size, b in zip(
            where.out, where.strides, where.kernel, where.dilations, where.size, where.begin, strict=True
        )
    )
    y = conv2d(
        np.ascontiguousarray(x),
        np.ascontiguousarray(w),
        None if bias is None else np.ascontiguousarray(bias),
        strides=(*lead[:1], *where.strides),
        pads=(*lead[1:2], *where.begin, *lead[1:2], *ends),
        dilations=(*lead[2:], *where.dilations),
        group=group,
    )
    y = np.asarray(y)
    return y[:, :, 0] if line else y


@operator("Conv")
def conv(
    x: Array,
    w: Array,
    bias: Array | None = None,
    residual: Array | None = None,
    *,
    auto_pad: str = "NOTSET",
    dilations: Ints | None = None,
    group: int = 1,
    kernel_shape: Ints | None = None,
    pads: Ints | None = None,
    strides: Ints | None = None,
    activation: str | None = None,
    activation_params: Floats = (),
    pad_value: int = 0,
) -> Array:
    """activation(convolution + residual), outside x `pad_value`; ONNX knows none of them, graph.fusing makes them."""
    floating(x, w, bias, residual)
    spatial_rank(x)
    if pad_value and pads is not None:
        begins, ends = pads[: x.ndim - 2], pads[x.ndim - 2 :]
        x, pads = np.pad(x, ((0, 0), (0, 0), *zip(begins, ends, strict=True)), constant_values=pad_value), None
    _check_weight(x, w, bias, group, kernel_shape)
    where = windows(x, w.shape[2:], strides=strides, pads=pads, dilations=dilations, auto_pad=auto_pad)
    refuse_bomb((x.shape[0], w.shape[0], *where.out), x.dtype)
    run = _on_kernel if x.dtype == np.float32 and x.ndim <= 4 else _taps_product
    y = run(x, w, bias, where, group)
    if residual is not None:
        if residual.shape != y.shape:
            raise ModelError(f"residual: expected shape {y.shape} like the output, got {residual.shape}")
        y = np.asarray(y + residual)
    return fused(y, activation, activation_params)


@operator("ConvTranspose")
def conv_transpose(
    x: Array,
    w: Array,
    bias: Array | None = None,
    *,
    auto_pad: str = "NOTSET",
    dilations: Ints | None = None,
    group: int = 1,
    kernel_shape: Ints | None = None,
    output_padding: Ints | None = None,
    output_shape: Ints | None = None,
    pads: Ints | None = None,
    strides: Ints | None = None,
) -> Array:
    """The adjoint of Conv: w is (C, O/group, ...kernel)."""
    floating(x, w, bias)
    rank = spatial_rank(x)
    choice("auto_pad", auto_pad, AUTO_PAD)
    if w.ndim != x.ndim or group < 1 or w.shape[0] != x.shape[1] or x.shape[1] % group:
        raise ModelError(f"W: expected shape (C, O/{group}, ...) for X of shape {x.shape}, got {w.shape}")
    if kernel_shape is not None and kernel_shape != w.shape[2:]:
        raise ModelError(f"kernel_shape: expected {w.shape[2:]} as in W, got {kernel_shape}")
    _check_bias(bias, w.shape[1] * group)
    stride = per_axis("strides", strides, rank, 1, 1)
    dilation = per_axis("dilations", dilations, rank, 1, 1)
    extra = per_axis("output_padding", output_padding, rank, 0, 0)
    full = tuple(
        (n - 1) * s + (k - 1) * d + 1 for n, s, k, d in zip(x.shape[2:], stride, w.shape[2:], dilation, strict=True)
    )
    begin, out = _transposed_extent(x, full, stride, extra, pads, output_shape, auto_pad)
    y = _scatter_product(x, w, full, stride, dilation, group)
    y = _crop(y, begin, out)
    return y if bias is None else np.asarray(y + bias.reshape(-1, *[1] * rank))


def _transposed_extent(
    x: Array, full: Ints, strides: Ints, extra: Ints, pads: Ints | None, output_shape: Ints | None, auto_pad: str
) -> tuple[Ints, Ints]:
    """Where the output begins in the full result, and its spatial shape."""
    rank = len(full)
    if output_shape is None and auto_pad.startswith("SAME"):
        output_shape = tuple(n * s for n, s in zip(x.shape[2:], strides, strict=True))
    if output_shape is not None:
        out = per_axis("output_shape", output_shape[-rank:], rank, 1, 1)
        totals = [max(f + e - o, 0) for f, e, o in zip(full, extra, out, strict=True)]
        return tuple(split_pads(total, auto_pad)[0] for total in totals), out
    begin, end = explicit_pads(pads if auto_pad == "NOTSET" else None, rank)
    out = tuple(f + e - b - a for f, e, b, a in zip(full, extra, begin, end, strict=True))
    if min(out) < 1:
        raise ModelError(f"pads: expected to leave an output, got shape {out}")
    return begin, out


def _scatter_product(x: Array, w: Array, full: Ints, strides: Ints, dilations: Ints, group: int) -> Array:
    """Each cell of the kernel adds its product to every stride-th cell of the result."""
    n, channels = x.shape[:2]
    out = w.shape[1] * group
    refuse_bomb((n, out, *full), x.dtype)
    kind = x.dtype
    x, w = widened(x), widened(w)
    y = np.zeros((n, out, *full), x.dtype)
    weights = w.reshape(group, channels // group, w.shape[1], *w.shape[2:]).swapaxes(1, 2)
    columns = x.reshape(n, group, channels // group, -1)
    for tap in itertools.product(*map(range, w.shape[2:])):
        starts = [t * d for t, d in zip(tap, dilations, strict=True)]
        cells = [slice(a, a + (size - 1) * s + 1, s) for a, size, s in zip(starts, x.shape[2:], strides, strict=True)]
        y[spatial(cells)] += np.matmul(weights[spatial(tap)], columns).reshape(n, out, *x.shape[2:])
    return y.astype(kind, copy=False)


def _crop(y: Array, begin: Ints, out: Ints) -> Array:
    """The part of y from `begin` with shape `out`; cells past its end are zero."""
    refuse_bomb((*y.shape[:2], *out), y.dtype)
    part: Array = y[spatial(slice(b, b + o) for b, o in zip(begin, out, strict=True))]
    if part.shape[2:] == out:
        return part
    result = np.zeros((*y.shape[:2], *out), y.dtype)
    result[spatial(map(slice, part.shape[2:]))] = part
    return result


def _integer_conv(x: Array, w: Array, group: int, kernel_shape: Ints | None, where: Windows) -> Array:
    """The exact convolution of int32 arrays that hold 9-bit values; see linear.integer_matmul for why float64."""
    _check_weight(x, w, None, group, kernel_shape)
    y = _taps_product(x.astype(np.float64), w.astype(np.float64), None, where, group)
    return y.astype(np.int64).astype(np.int32)


@operator("ConvInteger")
def conv_integer(
    x: Array,
    w: Array,
    x_zero_point: Array | None = None,
    w_zero_point: Array | None = None,
    *,
    auto_pad: str = "NOTSET",
    dilations: Ints | None = None,
    group: int = 1,
    kernel_shape: Ints | None = None,
    pads: Ints | None = None,
    strides: Ints | None = None,
) -> Array:
    spatial_rank(x)
    if x_zero_point is not None:
        scalar("x_zero_point", x_zero_point)
    where = windows(x, w.shape[2:], strides=strides, pads=pads, dilations=dilations, auto_pad=auto_pad)
    left = minus_zero_point(x, x_zero_point, 1, "x_zero_point")
    right = minus_zero_point(w, w_zero_point, 0, "w_zero_point")
    return _integer_conv(left, right, group, kernel_shape, where)


@operator("QLinearConv")
def qlinear_conv(
    x: Array,
    x_scale: Array,
    x_zero_point: Array,
    w: Array,
    w_scale: Array,
    w_zero_point: Array,
    y_scale: Array,
    y_zero_point: Array,
    bias: Array | None = None,
    *,
    auto_pad: str = "NOTSET",
    dilations: Ints | None = None,
    group: int = 1,
    kernel_shape: Ints | None = None,
    pads: Ints | None = None,
    strides: Ints | None = None,
) -> Array:
    """The exact integer sum, scaled once in float32 and rounded to even. Scales of w are one or per channel."""
    x_zero_point, y_zero_point = scalar("x_zero_point", x_zero_point), scalar("y_zero_point", y_zero_point)
    total = conv_integer(
        x,
        w,
        x_zero_point,
        w_zero_point,
        auto_pad=auto_pad,
        dilations=dilations,
        group=group,
        kernel_shape=kernel_shape,
        pads=pads,
        strides=strides,
    )
    if bias is not None:
        _check_bias(bias, w.shape[0])
        same_dtype(total, bias)
        total = total + bias.reshape(-1, *[1] * (x.ndim - 2))
    weight_scale = along_axis(w_scale, total, 1, "w_scale")
    factor = scalar("x_scale", x_scale) * weight_scale / scalar("y_scale", y_scale)
    return saturated(np.rint(total * factor), y_zero_point)
