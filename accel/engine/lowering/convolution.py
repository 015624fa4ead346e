"""Convolution."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from accel.engine.builder import PlanBuilder, Tensor
from accel.engine.lowering.activation import activation_of
from accel.engine.lowering.table import lowers
from accel.engine.shapes import Known, Spec, Window, window
from accel.errors import ModelError
from accel.graph.fusing import RESIDUAL
from accel.graph.network import Constant, Node
from accel.kernels import program as native
from accel.kernels.conv_native import Route, grouped_channels, pack, route
from accel.weights.base import dense


def _native_conv(known: Mapping[str, Known], node: Node) -> tuple[Constant, Window, Route] | None:
    x, w = known.get(node.inputs[0]), known.get(node.inputs[1])
    if not isinstance(x, Spec) or w is None or isinstance(w, Spec) or w.dtype != np.float32 or x.dtype != np.float32:
        return None
    if len(x.shape) != 4 or 0 in x.shape or 0 in w.shape or isinstance(known.get(node.input(2)), Spec):
        return None
    group = node.attributes.get("group", 1)
    if len(w.shape) != 4 or group < 1 or w.shape[0] % group or x.shape[1] != w.shape[1] * group:
        raise ModelError(f"weights of shape {w.shape} in {group} groups do not fit an input of shape {x.shape}")
    return w, window(node.attributes, w.shape[2:], x.shape[2:]), route(w.shape, group)


def conv_halo(builder: PlanBuilder, node: Node) -> int:
    """The zero halo that the convolution wants around its blocked input."""
    found = _native_conv(builder.known, node)
    if found is None or found[2] in (Route.GATHER, Route.GATHER_GROUPS):
        return 0
    return max(found[1].pads)


@lowers("Conv")
def _conv(builder: PlanBuilder, node: Node) -> bool:
    found = _native_conv(builder.known, node)
    if found is None:
        return False
    w, geometry, kind = found
    group = node.attributes.get("group", 1)
    gather = kind in (Route.GATHER, Route.GATHER_GROUPS)
    if gather:
        x = builder.padded(node.inputs[0], max(geometry.pads))
    else:
        x = builder.blocked(node.inputs[0], max(geometry.pads))
    bias = builder.constant(node.input(2))
    weights = builder.pack_once(
        node.inputs[1:3], (kind, group), lambda: pack(dense(w), bias, group, kind),
        lambda places: pack(places, None, group, kind)[0],
    )  # fmt: skip
    residual, target = _residual_and_target(builder, node)
    result, added, activation = target, residual, activation_of(node)
    if kind is Route.GATHER_GROUPS:  # leaves gaps between the groups, where no residual is
        result, added, activation = _with_gaps(builder, node), None, native.activation(None)
    spec = native.conv_spec(
        x.map, result.map, geometry.kernel, strides=geometry.strides, before=geometry.pads[:2],
        dilations=geometry.dilations, groups=1 if kind is Route.DEPTHWISE else group,
        residual=None if added is None else added.map, activation=activation,
    )  # fmt: skip

    def emit(program: Any, at: Callable[[Tensor], Any]) -> None:
        step = program.depthwise if kind is Route.DEPTHWISE else program.conv
        step(spec, at(x), at(result), native.place(native.NOWHERE) if added is None else at(added), *weights)

    builder.native_step(f"conv {kind.value}", str(node), [x] if added is None else [x, added], [result], emit)
    if kind is Route.GATHER_GROUPS:
        _close_gaps(builder, node, result, residual, target)
    return True


def _with_gaps(builder: PlanBuilder, node: Node) -> Tensor:
    """Room for the output with every group in blocks of its own."""
    images, channels, *size = builder.spec(node.outputs[0]).shape
    layout = native.blocked_map((images, grouped_channels(channels, node.attributes["group"]), *size))
    result = builder.scratch(layout.floats)
    result.map = layout
    return result


def _close_gaps(builder: PlanBuilder, node: Node, gaps: Tensor, residual: Tensor | None, target: Tensor) -> None:
    """Bring the groups together, then add the residual and apply the activation."""
    group, function = node.attributes["group"], activation_of(node)
    closed = target
    if residual is not None:
        closed = builder.scratch(target.map.floats)
        closed.map = native.blocked_map(target.spec.shape, target.map.halo)
    builder.native_step(
        "close groups", str(node), [gaps], [closed],
        lambda p, at: p.close_groups(gaps.map, at(gaps), group, closed.map, at(closed)),
    )  # fmt: skip
    other = closed if residual is None else residual
    kind = "copy" if residual is None else "add"
    spec = native.elementwise_spec(kind, closed.map, other.map, target.map, activation=function)
    if residual is not None or node.attributes.get("activation"):
        builder.native_step(
            "elementwise", str(node), [closed, other], [target],
            lambda p, at: p.elementwise(spec, at(closed), at(other), at(target)),
        )  # fmt: skip


def _residual_and_target(builder: PlanBuilder, node: Node) -> tuple[Tensor | None, Tensor]:
    name = node.outputs[0]
    if not node.input(RESIDUAL):
        return None, builder.new_blocked(name)
    residual = builder.blocked(node.input(RESIDUAL))
    in_place = residual.map.halo == builder.halo.get(name, 0) and name not in builder.joined
    if in_place and builder.overwritable(node.input(RESIDUAL), residual):
        return residual, builder.take_over(name, residual)
    return residual, builder.new_blocked(name)


def makes_blocks(builder: PlanBuilder, node: Node) -> bool:
    """Whether `node` is a convolution that a native kernel runs."""
    return node.op == "Conv" and _native_conv(builder.known, node) is not None
