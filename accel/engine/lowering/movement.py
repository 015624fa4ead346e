"""Operators that only move elements: native copies, straight on channel blocks where the values are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from accel.engine.builder import BLOCKED, PLAIN, PlanBuilder, Tensor
from accel.engine.lowering.table import lowers
from accel.engine.memory import Storage
from accel.engine.shapes import Spec
from accel.graph.network import Node
from accel.kernels import program as native
from accel.layers.operators import registry


def only_in_blocks(builder: PlanBuilder, name: str) -> bool:
    """Whether the value is held in channel blocks and would have to be copied to be plain."""
    forms = builder.forms.get(name, {})
    return BLOCKED in forms and PLAIN not in forms


@dataclass(frozen=True, slots=True)
class _View:
    """Elements of an array: the place of the first, sizes, and steps in elements."""

    first: int
    sizes: tuple[int, ...]
    steps: tuple[int, ...]


def _views(builder: PlanBuilder, node: Node) -> list[_View] | None:
    """What each output is of the first input, asked of the operator itself; None where it is not a view of it.

    The operator gets an array that is never read: its memory is not even made by the system.
    """
    spec = builder.spec(node.inputs[0])
    rest = [builder.constant(name) if name else None for name in node.inputs[1:]]
    if any(name and value is None for name, value in zip(node.inputs[1:], rest, strict=True)):
        return None
    x = np.empty(spec.shape, spec.dtype)
    results = registry()[node.op]([x, *rest], node.attributes, len(node.outputs))
    found = []
    for y, name in zip(results, node.outputs, strict=False):
        fits = not name or builder.spec(name) == (y.shape, y.dtype)
        if not fits or not y.size or y.ndim > native.MOST_AXES or not np.may_share_memory(x, y):
            return None
        offset = y.__array_interface__["data"][0] - x.__array_interface__["data"][0]
        steps = tuple(s // x.itemsize for s in y.strides)
        found.append(_View(offset // x.itemsize, y.shape, steps))
    return found


def _copy(builder: PlanBuilder, node: Node, source: Tensor, view: _View, target: Tensor, place: _View) -> None:
    """Elements of the source to elements of the target."""
    width = source.spec.dtype.itemsize
    from_ = native.side(view.first, view.steps, int(np.prod(source.spec.shape)))
    to = native.side(place.first, place.steps, int(np.prod(target.spec.shape)))
    builder.native_step(
        node.op.lower(), str(node), [source], [target],
        lambda p, at: p.copy_strided(width, view.sizes, from_, at(source), to, at(target)),
    )  # fmt: skip


def _whole(shape: tuple[int, ...]) -> _View:
    return _View(0, shape, _contiguous(shape))


def _contiguous(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(int(np.prod(shape[i + 1 :])) for i in range(len(shape)))


@lowers("Slice", "Split")
def _cut(builder: PlanBuilder, node: Node) -> bool:
    views = _views(builder, node)
    if views is None:
        return False
    source_shape = builder.spec(node.inputs[0]).shape
    windows = [_window(view, source_shape) for view in views]
    in_blocks = only_in_blocks(builder, node.inputs[0]) and None not in windows
    for view, window, name in zip(views, windows, node.outputs, strict=True):
        if not name:
            continue
        if in_blocks and window is not None:
            _copy_window(builder, node, builder.blocked(node.inputs[0]), name, window)
        else:
            source = builder.plain(node.inputs[0])
            target = builder.new_plain(name)
            _copy(builder, node, source, view, target, _whole(view.sizes))
    return True


@dataclass(frozen=True, slots=True)
class _Window:
    """y(n, c, h, w) = x(n, c - channel, first + (h, w) * step), or `value` where there is no such element."""

    channel: int
    first: tuple[int, int]
    step: tuple[int, int] = (1, 1)
    value: float = 0.0


def _window(view: _View, shape: tuple[int, ...]) -> _Window | None:
    """The view of an image as a window of its channel blocks; None where it picks images or steps over channels."""
    if len(shape) != 4 or len(view.sizes) != 4:
        return None
    image, channel, *first = (int(i) for i in np.unravel_index(view.first, shape))
    units = _contiguous(shape)
    steps = [step // unit if size > 1 else 1 for size, step, unit in zip(view.sizes, view.steps, units, strict=True)]
    if image or view.sizes[0] != shape[0] or steps[:2] != [1, 1]:
        return None
    return _Window(-channel, (first[0], first[1]), (steps[2], steps[3]))


def _copy_window(builder: PlanBuilder, node: Node, source: Tensor, name: str, window: _Window) -> None:
    target = builder.new_blocked(name)
    builder.native_step(
        node.op.lower(), str(node), [source], [target],
        lambda p, at: p.copy_window(
            source.map, at(source), target.map, at(target), window.channel, window.first, window.step, window.value
        ),
    )  # fmt: skip


@lowers("Transpose")
def _transpose(builder: PlanBuilder, node: Node) -> bool:
    views = _views(builder, node)
    if views is None:
        return False
    name = node.inputs[0]
    if only_in_blocks(builder, name) and node.attributes.get("perm") == (0, 2, 3, 1):
        source, target = builder.blocked(name), builder.new_plain(node.outputs[0])
        builder.native_step(
            "channels last", str(node), [source], [target],
            lambda p, at: p.channels_last(source.map, at(source), at(target)),
        )  # fmt: skip
        return True
    source, target = builder.plain(name), builder.new_plain(node.outputs[0])
    _copy(builder, node, source, views[0], target, _whole(views[0].sizes))
    return True


@lowers("Concat")
def _concat(builder: PlanBuilder, node: Node) -> bool:
    name = node.outputs[0]
    if all(builder.joined.get(i, ("",))[0] == name for i in node.inputs):
        return True  # every part was written in place
    shape = builder.spec(name).shape
    if len(shape) > native.MOST_AXES or len({builder.spec(i).dtype for i in node.inputs}) > 1:
        return False
    parts = [builder.plain(i) for i in node.inputs]
    target = builder.new_plain(name)
    steps, first = _contiguous(shape), 0
    axis = node.attributes["axis"] % len(shape)
    for part in parts:
        if 0 not in part.spec.shape:
            _copy(builder, node, part, _whole(part.spec.shape), target, _View(first, part.spec.shape, steps))
        first += part.spec.shape[axis] * steps[axis]
    return True


@lowers("Pad")
def _pad(builder: PlanBuilder, node: Node) -> bool:
    before, value = _padding(builder, node), _pad_value(builder, node)
    source_spec, spec = builder.spec(node.inputs[0]), builder.spec(node.outputs[0])
    if before is None or value is None or 0 in source_spec.shape or 0 in spec.shape:
        return False
    if only_in_blocks(builder, node.inputs[0]) and before[0] == 0 and spec.shape[0] == source_spec.shape[0]:
        window = _Window(before[1], (-before[2], -before[3]), value=float(value))
        _copy_window(builder, node, builder.blocked(node.inputs[0]), node.outputs[0], window)
        return True
    source, target = builder.plain(node.inputs[0]), builder.new_plain(node.outputs[0])
    # The part of either side that the other has too; pads below zero leave some of the source out.
    ahead = [max(0, -b) for b in before]
    at = [max(0, b) for b in before]
    sizes = [min(n - a, m - b) for n, a, m, b in zip(source_spec.shape, ahead, spec.shape, at, strict=True)]
    from_steps, to_steps = _contiguous(source_spec.shape), _contiguous(spec.shape)
    if min(sizes) > 0:
        view = _View(int(np.dot(ahead, from_steps)), tuple(sizes), from_steps)
        _copy(builder, node, source, view, target, _View(int(np.dot(at, to_steps)), tuple(sizes), to_steps))
    constant = Tensor(Spec((), spec.dtype), Storage(value.nbytes, external=True), constant=value)
    for first, size in _around(spec.shape, at, sizes):
        place = _View(int(np.dot(first, to_steps)), size, to_steps)
        _copy(builder, node, constant, _View(0, size, (0,) * len(size)), target, place)
    return True


def _around(shape: tuple[int, ...], at: list[int], sizes: list[int]) -> Iterator[tuple[list[int], tuple[int, ...]]]:
    """Boxes (first, sizes) that fill `shape` but for the box `sizes` at `at`: two along each axis, without overlap."""
    first, size = [0] * len(shape), list(shape)
    for axis, (begin, length) in enumerate(zip(at, sizes, strict=True)):
        length = max(length, 0)
        for start, stop in ((0, begin), (begin + length, shape[axis])):
            if stop > start:
                yield (
                    [*first[:axis], start, *first[axis + 1 :]],
                    (*size[:axis], stop - start, *size[axis + 1 :]),
                )
        first[axis], size[axis] = begin, length
        if length == 0:
            return  # the two boxes were all


def _padding(builder: PlanBuilder, node: Node) -> list[int] | None:
    """What is put before each axis (below zero: taken away); None where the step is not a constant padding."""
    shape = builder.spec(node.inputs[0]).shape
    pads, axes = builder.constant(node.inputs[1]), builder.constant(node.input(3))
    if pads is None or node.attributes.get("mode", "constant") != "constant" or not 0 < len(shape) <= native.MOST_AXES:
        return None
    over = list(range(len(shape))) if axes is None else [a % len(shape) for a in axes.tolist()]
    if pads.shape != (2 * len(over),) or len(set(over)) < len(over):
        return None  # the operator says what is wrong
    before = [0] * len(shape)
    for axis, ahead, behind in zip(over, pads[: len(over)].tolist(), pads[len(over) :].tolist(), strict=True):
        before[axis] = ahead
        if shape[axis] < max(0, -ahead) + max(0, -behind):
            return None
    return before


def _pad_value(builder: PlanBuilder, node: Node) -> np.ndarray | None:
    """What the padding holds; None where only a run knows, or it does not fit."""
    dtype = builder.spec(node.inputs[0]).dtype
    if not node.input(2):
        return np.zeros((), dtype)
    value = builder.constant(node.input(2))
    return None if value is None or value.size != 1 or value.dtype != dtype else value.reshape(())
