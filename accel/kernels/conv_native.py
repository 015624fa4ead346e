"""How a convolution is laid out for the native kernels, and one run through them."""

from __future__ import annotations

from enum import Enum
from typing import Any

import numpy as np

from accel.kernels import program as native
from accel.kernels import runtime

Pair = tuple[int, int]


class Route(Enum):
    """Which kernel a convolution takes, by its channels and groups."""

    BLOCKED = "blocked"  # channel blocks in, channel blocks out
    GATHER = "gather"  # few or unaligned input channels: planes in, channel blocks out
    GATHER_GROUPS = "gather groups"  # the same, each group's output in blocks of its own; then closed up
    DEPTHWISE = "depthwise"


def route(w_shape: tuple[int, ...], group: int) -> Route:
    """The kernel for weights of shape (O, C/group, kh, kw)."""
    out, per_group = w_shape[:2]
    if group == 1:
        # Below half a block, reading planes costs less than filling blocks with zeros.
        return Route.BLOCKED if per_group >= native.BLOCK // 2 else Route.GATHER
    if per_group == 1 and out == group:
        return Route.DEPTHWISE
    if out // group % native.BLOCK:
        return Route.GATHER_GROUPS
    return Route.GATHER if per_group % native.BLOCK else Route.BLOCKED


def pack(w: np.ndarray, bias: np.ndarray | None, group: int, kind: Route) -> tuple[np.ndarray, np.ndarray]:
    """Weights and bias as the kernel of `kind` reads them."""
    if kind is Route.DEPTHWISE:
        return native.pack_depthwise(w), native.pack_bias(bias, w.shape[0])
    if kind is Route.GATHER_GROUPS:
        column = np.zeros((w.shape[0], 1), np.float32) if bias is None else bias[:, np.newaxis]
        bias, w = native.pad_groups(column, group)[:, 0], native.pad_groups(w, group)
    return native.pack_conv(w, gather=kind is not Route.BLOCKED), native.pack_bias(bias, w.shape[0])


def grouped_channels(out: int, group: int) -> int:
    """Channels of the map in which every group starts a block."""
    return group * -(-(out // group) // native.BLOCK) * native.BLOCK


def pack_for(w: np.ndarray, bias: np.ndarray | None, group: int) -> tuple[np.ndarray, np.ndarray]:
    """Weights and bias as the kernel reads them that their shape leads to."""
    return pack(w, bias, group, route(w.shape, group))


def conv2d_native(
    x: np.ndarray,
    w_shape: tuple[int, ...],
    packed: tuple[np.ndarray, np.ndarray],
    shape: tuple[int, int, int, int],
    strides: Pair,
    pads: tuple[int, int, int, int],
    dilations: Pair,
    group: int,
) -> np.ndarray:
    """Arguments as checked by accel.kernels.conv.conv2d; `shape` is that of the result."""
    kind = route(w_shape, group)
    y = np.empty(shape, np.float32)
    planes = kind in (Route.GATHER, Route.GATHER_GROUPS)
    source = (native.plain_map if planes else native.blocked_map)(x.shape, max(pads))
    target = native.blocked_map(shape)
    grouped = native.blocked_map((shape[0], grouped_channels(shape[1], group), *shape[2:]))
    result = grouped if kind is Route.GATHER_GROUPS else target
    program = native.new_program()
    places = [native.place(i) for i in range(5)]
    program.import_plain(source, places[0], places[1])
    spec = native.conv_spec(
        source, result, (w_shape[2], w_shape[3]), strides=strides, before=pads[:2], dilations=dilations,
        groups=1 if kind is Route.DEPTHWISE else group,
    )  # fmt: skip
    step: Any = program.depthwise if kind is Route.DEPTHWISE else program.conv
    step(spec, places[1], places[2], native.place(native.NOWHERE), *packed)
    if kind is Route.GATHER_GROUPS:
        program.close_groups(grouped, places[2], group, target, places[4])
    program.export_plain(target, places[4 if kind is Route.GATHER_GROUPS else 2], places[3])
    scratch = [np.empty(m.floats, np.float32) for m in (source, result, target)]
    bindings = [(0, x), (1, scratch[0]), (2, scratch[1]), (3, y), (4, scratch[2])]
    native.run(program, np.zeros(5, np.uintp), bindings, threads=runtime.threads(), keep_denormals=True)
    return y
