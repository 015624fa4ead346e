"""Convolutions with weights that are block-circulant over channels, as products of windows by transforms (CirCNN)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from accel.engine.builder import PlanBuilder, Tensor
from accel.engine.lowering.activation import activation_of
from accel.engine.shapes import Spec, Window, window
from accel.graph.fusing import RESIDUAL
from accel.graph.network import Node
from accel.kernels import program as native
from accel.kernels._circulant_cost import circulant_cycles
from accel.kernels._conv_cost import promising
from accel.kernels.conv import output_sizes
from accel.weights import BlockCirculant

_MOST_FLOATS = 1 << 18  # of windows laid out at once: 1 MB, for the second cache
_COPY = 0.5  # cycles to lay out a float of a window

Side = tuple[int, tuple[int, ...]]  # place of the first element, and steps


class _Band(NamedTuple):
    """Rows of the output whose windows are laid out at once."""

    image: int
    first: int
    rows: int


def circulant_window(builder: PlanBuilder, node: Node) -> Window | None:
    """The geometry of a convolution that transforms should make faster than the dense one; None of any other."""
    x, w = builder.known.get(node.inputs[0]), builder.known.get(node.inputs[1])
    if not isinstance(w, BlockCirculant) or w.ndim != 4 or node.attributes.get("group", 1) != 1 or node.input(RESIDUAL):
        return None
    if not builder.is_float_image(node.inputs[0]) or isinstance(builder.known.get(node.input(2)), Spec):
        return None
    assert isinstance(x, Spec)
    if x.shape[1] != w.shape[1]:
        return None  # refused where the dense convolution is planned
    geometry = window(node.attributes, w.shape[2:], x.shape[2:])
    strides, dilations = geometry.strides, geometry.dilations
    size = output_sizes((x.shape[2], x.shape[3]), geometry.kernel, strides, geometry.pads, dilations)
    if min(size) < 1:
        return None
    pixels, (p, q, b) = size[0] * size[1], w.matrix().shape
    dense = promising(w.shape, size, strides, dilations, 1, 1.0)[0][1]
    return geometry if circulant_cycles(pixels, p, q, b) + pixels * q * b * _COPY < dense else None


def lower_circulant(builder: PlanBuilder, node: Node, geometry: Window) -> bool:
    """The channels of a window lie tap after tap: one product with the matrix of all taps, a band of pixels a time."""
    w, bias = builder.known[node.inputs[1]], builder.constant(node.input(2))
    assert isinstance(w, BlockCirculant)
    added = np.zeros(w.shape[0], np.float32) if bias is None else bias
    how = ("circulant windows",)
    prepared, added = builder.pack_once(node.inputs[1:3], how, lambda: (w.plan().native(), added))
    channels, threads, function = w.r.shape[1] * w.block, builder.threads, activation_of(node)
    depth = channels * w.shape[2] * w.shape[3]
    images, out, height, width = builder.spec(node.outputs[0]).shape
    rows = min(max(_MOST_FLOATS // (width * depth), 1), height)
    source, size = _channels_last(builder, node, channels, geometry, (height, width))
    target = _target(builder, node)
    floats = (rows * width * depth, rows * width * out, prepared.scratch_floats(rows * width, threads))
    windows, result, scratch = (builder.scratch(count) for count in floats)

    def emit(program: Any, at: Callable[[Tensor], Any]) -> None:
        for band in _bands(images, height, rows):
            pixels = band.rows * width
            sizes, view = _windows(band, size, channels, width, geometry)
            _copy(program, sizes, view, (source, at(source)), _whole(sizes), (windows, at(windows)))
            program.circulant(prepared, pixels, function, at(windows), at(result), at(scratch), added, threads)
            sizes, rows_of, place = _result(band, (out, height, width), target.map is not None)
            _copy(program, sizes, rows_of, (result, at(result)), place, (target, at(target)))

    builder.native_step("conv circulant", str(node), [source], [target, windows, result, scratch], emit)
    return True


def _bands(images: int, height: int, rows: int) -> Iterator[_Band]:
    for image in range(images):
        for first in range(0, height, rows):
            yield _Band(image, first, min(rows, height - first))


def _channels_last(
    builder: PlanBuilder, node: Node, channels: int, geometry: Window, output: tuple[int, int]
) -> tuple[Tensor, tuple[int, int]]:
    """The padded image with the channels of a pixel together, filled up to whole blocks; and its height and width."""
    x = builder.blocked(node.inputs[0])
    top, left = geometry.pads[:2]
    height, width = (
        (count - 1) * stride + dilation * (taps - 1) + 1
        for count, stride, dilation, taps in zip(
            output, geometry.strides, geometry.dilations, geometry.kernel, strict=True
        )
    )
    layout = native.blocked_map((x.spec.shape[0], channels, height, width))
    padded, last = builder.scratch(layout.floats), builder.scratch(x.spec.shape[0] * height * width * channels)

    def emit(program: Any, at: Callable[[Tensor], Any]) -> None:
        program.copy_window(x.map, at(x), layout, at(padded), 0, (-top, -left), (1, 1), 0.0)
        program.channels_last(layout, at(padded), at(last))

    builder.native_step("channels last", str(node), [x], [padded, last], emit)
    return last, (height, width)


def _target(builder: PlanBuilder, node: Node) -> Tensor:
    """In channel blocks where they are full, else plain."""
    name = node.outputs[0]
    whole = builder.spec(name).shape[1] % native.BLOCK == 0 and name not in builder.outputs
    return builder.without_halo(name) if whole else builder.new_plain(name)


def _windows(
    band: _Band, size: tuple[int, int], channels: int, width: int, geometry: Window
) -> tuple[tuple[int, ...], Side]:
    """Sizes of the band's windows, and where their numbers lie in the padded image."""
    row = size[1] * channels
    (down, right), (apart_down, apart_right) = geometry.strides, geometry.dilations
    first = (band.image * size[0] + band.first * down) * row
    steps = (down * row, right * channels, apart_down * row, apart_right * channels, 1)
    return (band.rows, width, *geometry.kernel, channels), (first, steps)


def _result(band: _Band, shape: tuple[int, int, int], blocks: bool) -> tuple[tuple[int, ...], Side, Side]:
    """Sizes of the band's results, where they lie in rows of all outputs, and where in the image."""
    out, height, width = shape
    pixels, plane = band.rows * width, height * width
    if not blocks:
        return (out, pixels), (0, (1, out)), (band.image * out * plane + band.first * width, (plane, 1))
    lanes = native.BLOCK
    first = band.image * out * plane + band.first * width * lanes
    return (out // lanes, pixels, lanes), (0, (lanes, out, 1)), (first, (plane * lanes, lanes, 1))


def _whole(sizes: tuple[int, ...]) -> Side:
    return 0, tuple(int(np.prod(sizes[i + 1 :])) for i in range(len(sizes)))


def _copy(
    program: Any, sizes: tuple[int, ...], from_: Side, source: tuple[Tensor, Any], to: Side, target: tuple[Tensor, Any]
) -> None:
    sides = [
        native.side(first, steps, tensor.storage.nbytes // 4)
        for (first, steps), (tensor, _) in ((from_, source), (to, target))
    ]
    program.copy_strided(4, sizes, sides[0], source[1], sides[1], target[1])
