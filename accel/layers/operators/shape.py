"""Operators that move or repeat elements by position alone."""

from __future__ import annotations

import math

import numpy as np

from accel.errors import ModelError
from accel.layers.operators.common import (
    Array,
    Ints,
    choice,
    integers,
    normal_axes,
    normal_axis,
    positive,
    refuse_bomb,
    same_dtype,
    scalar,
)
from accel.layers.operators.registry import operator


@operator("Identity")
def identity(x: Array) -> Array:
    return x


@operator("Shape")
def shape(x: Array, *, start: int = 0, end: int | None = None) -> Array:
    return np.array(x.shape[start:end], np.int64)


@operator("Size")
def size(x: Array) -> Array:
    return np.array(x.size, np.int64)


@operator("Reshape", shape_inputs=(1,))
def reshape(x: Array, shape: Array, *, allowzero: int = 0) -> Array:
    """-1 stands for what is left, and 0 for the size of x at that place unless `allowzero`."""
    target = list(integers("shape", shape))
    positive("shape", target, -1)
    if not allowzero:
        for axis, value in enumerate(target):
            if value == 0:
                if axis >= x.ndim:
                    raise ModelError(f"shape: expected 0 only in the first {x.ndim} places, got {target}")
                target[axis] = x.shape[axis]
    if target.count(-1) > 1:
        raise ModelError(f"shape: expected at most one -1, got {target}")
    known = math.prod(value for value in target if value != -1)
    if -1 in target:
        if known == 0 or x.size % known:
            raise ModelError(f"shape: expected a shape that {x.size} elements fill, got {target}")
        target[target.index(-1)] = x.size // known
    elif known != x.size:
        raise ModelError(f"shape: expected {x.size} elements, got {target}")
    return x.reshape(target)


@operator("Flatten")
def flatten(x: Array, *, axis: int = 1) -> Array:
    if not -x.ndim <= axis <= x.ndim:
        raise ModelError(f"axis: expected in {-x.ndim}..{x.ndim}, got {axis}")
    at = axis + x.ndim if axis < 0 else axis
    return x.reshape(math.prod(x.shape[:at]), math.prod(x.shape[at:]))


@operator("Transpose")
def transpose(x: Array, *, perm: Ints | None = None) -> Array:
    if perm is not None and sorted(perm) != list(range(x.ndim)):
        raise ModelError(f"perm: expected a permutation of the {x.ndim} axes, got {perm}")
    return np.transpose(x, perm)


@operator("Concat")
def concat(*inputs: Array, axis: int) -> Array:
    same_dtype(*inputs)
    at = normal_axis(axis, inputs[0].ndim)
    rest = [(*x.shape[:at], *x.shape[at + 1 :]) for x in inputs]
    for x, other in zip(inputs, rest, strict=True):
        if other != rest[0] or x.ndim != inputs[0].ndim:
            raise ModelError(f"inputs: expected shapes like {inputs[0].shape} but for axis {at}, got {x.shape}")
    return np.concatenate(inputs, axis=at)


@operator("Split", shape_inputs=(1,), wants_outputs=True)
def split(
    x: Array, split: Array | None = None, *, axis: int = 0, num_outputs: int | None = None, outputs: int = 1
) -> tuple[Array, ...]:
    """Parts of the sizes given, or equal ones of which the last may be smaller."""
    axis = normal_axis(axis, x.ndim)
    length = x.shape[axis]
    if split is not None:
        sizes = positive("split", integers("split", split), 0)
        if sum(sizes) != length or len(sizes) != outputs:
            raise ModelError(f"split: expected {outputs} sizes with sum {length}, got {list(sizes)}")
    else:
        if num_outputs not in (None, outputs):
            raise ModelError(f"num_outputs: expected {outputs} like the outputs of the node, got {num_outputs}")
        positive("outputs", (outputs,))
        part = -(-length // outputs)
        sizes = [max(min(part, length - i * part), 0) for i in range(outputs)]
    edges = np.cumsum(sizes)[:-1].tolist()
    return tuple(np.split(x, edges, axis=axis))


@operator("Slice", shape_inputs=(1, 2, 3, 4))
def slice_(x: Array, starts: Array, ends: Array, axes: Array | None = None, steps: Array | None = None) -> Array:
    begin, stop = integers("starts", starts), integers("ends", ends)
    over = tuple(range(len(begin))) if axes is None else integers("axes", axes)
    stride = (1,) * len(begin) if steps is None else integers("steps", steps)
    if not len(begin) == len(stop) == len(over) == len(stride):
        raise ModelError(
            f"starts, ends, axes, steps: expected one length, got {len(begin)}, {len(stop)}, {len(over)}, {len(stride)}"
        )
    if 0 in stride:
        raise ModelError(f"steps: expected values other than 0, got {list(stride)}")
    index = [slice(None)] * x.ndim
    # The clamping that ONNX asks for is that of Python's slices, huge values included, but for one case: backwards,
    # a start before the first element means that element.
    for axis, a, b, s in zip(normal_axes(over, x.ndim), begin, stop, stride, strict=True):
        index[axis] = slice(max(a, -x.shape[axis]) if s < 0 else a, b, s)
    return x[tuple(index)]


@operator("Squeeze", shape_inputs=(1,))
def squeeze(x: Array, axes: Array | None = None) -> Array:
    if axes is None:
        return np.squeeze(x)
    over = normal_axes(integers("axes", axes), x.ndim)
    if any(x.shape[axis] != 1 for axis in over):
        raise ModelError(f"axes: expected axes of size 1 of shape {x.shape}, got {list(over)}")
    return np.squeeze(x, over)


@operator("Unsqueeze", shape_inputs=(1,))
def unsqueeze(x: Array, axes: Array) -> Array:
    places = integers("axes", axes)
    return np.expand_dims(x, normal_axes(places, x.ndim + len(places)))


@operator("Expand", shape_inputs=(1,))
def expand(x: Array, shape: Array) -> Array:
    """x broadcast with `shape`: an axis of the result may also keep the size of x."""
    wanted = positive("shape", integers("shape", shape), 0)
    refuse_bomb(wanted, x.dtype)
    pairs = zip(reversed(x.shape), reversed(wanted), strict=False)
    if any(a != b and 1 not in (a, b) for a, b in pairs):
        raise ModelError(f"shape: expected one that broadcasts with {x.shape}, got {list(wanted)}")
    target = np.broadcast_shapes(x.shape, tuple(wanted))
    refuse_bomb(target, x.dtype)
    return np.array(np.broadcast_to(x, target))


@operator("Tile", shape_inputs=(1,))
def tile(x: Array, repeats: Array) -> Array:
    times = positive("repeats", integers("repeats", repeats), 0)
    if len(times) != x.ndim:
        raise ModelError(f"repeats: expected {x.ndim} values, got {list(times)}")
    refuse_bomb((n * t for n, t in zip(x.shape, times, strict=True)), x.dtype)
    return np.tile(x, times)


@operator("Pad", shape_inputs=(1, 3))
def pad(
    x: Array, pads: Array, value: Array | None = None, axes: Array | None = None, *, mode: str = "constant"
) -> Array:
    """Negative pads crop, before any padding is made."""
    choice("mode", mode, ("constant", "reflect", "edge", "wrap"))
    same_dtype(x, value)
    over = normal_axes(tuple(range(x.ndim)) if axes is None else integers("axes", axes), x.ndim)
    amounts = integers("pads", pads)
    if len(amounts) != 2 * len(over):
        raise ModelError(f"pads: expected {2 * len(over)} values, got {list(amounts)}")
    before, after = [0] * x.ndim, [0] * x.ndim
    for position, axis in enumerate(over):
        before[axis], after[axis] = amounts[position], amounts[position + len(over)]
    sizes = [n + b + a for n, b, a in zip(x.shape, before, after, strict=True)]
    if any(n < max(0, -b) + max(0, -a) for n, b, a in zip(x.shape, before, after, strict=True)):
        raise ModelError(f"pads: expected to leave a size >= 0 of shape {x.shape}, got {list(amounts)}")
    refuse_bomb(sizes, x.dtype)
    x = x[tuple(slice(max(0, -b), n - max(0, -a)) for n, b, a in zip(x.shape, before, after, strict=True))]
    width = [(max(0, b), max(0, a)) for b, a in zip(before, after, strict=True)]
    if mode == "constant":
        fill = np.zeros((), x.dtype) if value is None else scalar("constant_value", value)
        y = np.full(sizes, fill, x.dtype)
        y[tuple(slice(b, b + n) for (b, _), n in zip(width, x.shape, strict=True))] = x
        return y
    if any(n == 0 and b + a for n, (b, a) in zip(x.shape, width, strict=True)):
        raise ModelError(f"pads: expected no padding of an empty axis with mode {mode}, got shape {x.shape}")
    for axis, (b, a) in enumerate(width):
        if b or a:
            x = np.take(x, _outside_index(x.shape[axis], b, a, mode), axis)
    return x


def _outside_index(length: int, before: int, after: int, mode: str) -> Array:
    """For each place of the padded axis the place it repeats."""
    places = np.arange(-before, length + after)
    if mode == "edge":
        return np.clip(places, 0, length - 1)
    if mode == "wrap":
        return np.mod(places, length)
    period = max(2 * (length - 1), 1)
    folded = np.mod(places, period)
    return np.minimum(folded, period - folded) if length > 1 else np.zeros_like(places)


def _block_check(x: Array, blocksize: int) -> None:
    if x.ndim != 4:
        raise ModelError(f"input: expected 4 axes, got shape {x.shape}")
    positive("blocksize", (blocksize,))


@operator("DepthToSpace")
def depth_to_space(x: Array, *, blocksize: int, mode: str = "DCR") -> Array:
    choice("mode", mode, ("DCR", "CRD"))
    _block_check(x, blocksize)
    n, c, h, w = x.shape
    b = blocksize
    if c % (b * b):
        raise ModelError(f"input: expected channels that blocksize**2 = {b * b} divides, got shape {x.shape}")
    depth = c // (b * b)
    if mode == "DCR":
        y = x.reshape(n, b, b, depth, h, w).transpose(0, 3, 4, 1, 5, 2)
    else:
        y = x.reshape(n, depth, b, b, h, w).transpose(0, 1, 4, 2, 5, 3)
    return y.reshape(n, depth, h * b, w * b)


@operator("SpaceToDepth")
def space_to_depth(x: Array, *, blocksize: int, mode: str = "DCR") -> Array:
    choice("mode", mode, ("DCR", "CRD"))
    _block_check(x, blocksize)
    n, c, h, w = x.shape
    b = blocksize
    if h % b or w % b:
        raise ModelError(f"input: expected a height and width that blocksize {b} divides, got shape {x.shape}")
    y = x.reshape(n, c, h // b, b, w // b, b)
    y = y.transpose((0, 3, 5, 1, 2, 4) if mode == "DCR" else (0, 1, 3, 5, 2, 4))
    return y.reshape(n, c * b * b, h // b, w // b)


@operator("Trilu")
def trilu(x: Array, k: Array | None = None, *, upper: int = 1) -> Array:
    if x.ndim < 2:
        raise ModelError(f"input: expected at least 2 axes, got shape {x.shape}")
    # A diagonal beyond the matrix means the same however far; NumPy's own argument must fit an index.
    reach = sum(x.shape[-2:])
    diagonal = 0 if k is None else max(-reach, min(reach, int(scalar("k", k))))
    return np.triu(x, diagonal) if upper else np.tril(x, diagonal)


@operator("ReverseSequence")
def reverse_sequence(x: Array, lengths: Array, *, batch_axis: int = 1, time_axis: int = 0) -> Array:
    """The first `lengths[b]` steps of each sequence in reverse order."""
    if x.ndim < 2 or {batch_axis, time_axis} != {0, 1}:
        raise ModelError(f"batch_axis, time_axis: expected 0 and 1, got {batch_axis} and {time_axis} for {x.ndim} axes")
    counts = integers("sequence_lens", lengths)
    steps = x.shape[time_axis]
    if len(counts) != x.shape[batch_axis] or any(not 0 <= n <= steps for n in counts):
        raise ModelError(f"sequence_lens: expected {x.shape[batch_axis]} values in 0..{steps}, got {list(counts)}")
    time, ends = np.arange(steps), np.array(counts, np.int64)[:, None]
    index = np.where(time < ends, ends - 1 - time, time)
    if time_axis == 0:
        index = index.T
    return np.take_along_axis(x, index.reshape(*index.shape, *[1] * (x.ndim - 2)), time_axis)


@operator("CenterCropPad", shape_inputs=(1,))
def center_crop_pad(x: Array, shape: Array, *, axes: Ints | None = None) -> Array:
    """Cut or padded with zeros on both sides, the odd cell at the end."""
    wanted = positive("shape", integers("shape", shape), 0)
    over = normal_axes(tuple(range(x.ndim)) if axes is None else axes, x.ndim)
    if len(wanted) != len(over):
        raise ModelError(f"shape: expected {len(over)} values, got {list(wanted)}")
    pads = [0] * (2 * x.ndim)
    for axis, target in zip(over, wanted, strict=True):
        extra = target - x.shape[axis]
        half = extra // 2 if extra > 0 else -(-extra // 2)
        pads[axis], pads[axis + x.ndim] = half, extra - half
    return pad(x, np.array(pads, np.int64))
