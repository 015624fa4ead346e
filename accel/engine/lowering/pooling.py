"""Pooling and means over an image."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from accel.engine.builder import PlanBuilder
from accel.engine.lowering.binary import lower_bit_pool, pools_bits
from accel.engine.lowering.table import lowers
from accel.engine.shapes import window
from accel.graph.network import Node
from accel.kernels import program as native
from accel.kernels import runtime


def makes_blocks(builder: PlanBuilder, node: Node) -> bool:
    """Whether `node` is a pooling that a native kernel runs."""
    pools = node.op in ("MaxPool", "AveragePool") and len(node.outputs) == 1
    return pools and builder.is_float_image(node.inputs[0]) and not keeps_planes(builder, node)


def keeps_planes(builder: PlanBuilder, node: Node) -> bool:
    """Whether `node` is a max-pooling that runs where its input lies, in planes."""
    if node.op != "MaxPool" or len(node.outputs) != 1 or node.inputs[0] not in builder.planes:
        return False
    fits: bool = runtime.core.plane_maximum_fits(_spec(builder, node, native.plain_map, native.plain_map))
    return fits


def _spec(builder: PlanBuilder, node: Node, source: Callable[..., Any], target: Callable[..., Any]) -> Any:
    """The pooling from a map `source(shape)` into a map `target(shape)`."""
    shape, result = builder.spec(node.inputs[0]).shape, builder.spec(node.outputs[0]).shape
    geometry = window(node.attributes, tuple(node.attributes["kernel_shape"]), shape[2:])
    return native.pool_spec(
        source(shape), target(result), geometry.kernel, average=node.op == "AveragePool", strides=geometry.strides,
        pads=geometry.pads, dilations=geometry.dilations,
        count_include_pad=bool(node.attributes.get("count_include_pad", 0)),
    )  # fmt: skip


def halves(node: Node) -> bool:
    """Whether `node` takes the largest of each 2 x 2 pixels and nothing else."""
    get = node.attributes.get
    return (
        node.op == "MaxPool"
        and len(node.outputs) == 1
        and tuple(get("kernel_shape", ())) == tuple(get("strides") or ()) == (2, 2)
        and not any(get("pads") or ())
        and not get("ceil_mode", 0)
        and get("auto_pad", "NOTSET") in ("NOTSET", "VALID")
        and set(get("dilations") or (1,)) == {1}
    )


@lowers("MaxPool", "AveragePool")
def _pool(builder: PlanBuilder, node: Node) -> bool:
    if pools_bits(builder, node):
        return lower_bit_pool(builder, node)
    if node.inputs[0] in builder.pooled:
        return True  # made by the convolution
    if keeps_planes(builder, node):
        return _pool_planes(builder, node)
    if not makes_blocks(builder, node):
        return False
    x = builder.blocked(node.inputs[0])
    target = builder.new_blocked(node.outputs[0])
    spec = _spec(builder, node, lambda _: x.map, lambda _: target.map)
    builder.native_step("pool", str(node), [x], [target], lambda p, at: p.pool(spec, at(x), at(target)))
    return True


def _pool_planes(builder: PlanBuilder, node: Node) -> bool:
    x, target = builder.plain(node.inputs[0]), builder.new_plain(node.outputs[0])
    spec = _spec(builder, node, native.plain_map, native.plain_map)
    prepared = runtime.core.prepare_plane_maximum(runtime.isa_index(), spec, builder.threads)
    scratch = builder.scratch(prepared.scratch_floats)
    builder.native_step(
        "pool planes", str(node), [x], [target, scratch],
        lambda p, at: p.plane_maximum(prepared, at(x), at(target), at(scratch)),
    )  # fmt: skip
    return True


@lowers("GlobalAveragePool")
def _global_average(builder: PlanBuilder, node: Node) -> bool:
    if not builder.is_float_image(node.inputs[0]):
        return False
    return _mean(builder, node)


@lowers("ReduceMean")
def _reduce_mean(builder: PlanBuilder, node: Node) -> bool:
    axes = builder.constant(node.input(1))
    if axes is None or axes.shape != (2,) or axes.dtype != np.int64 or not builder.is_float_image(node.inputs[0]):
        return False
    if sorted(a % 4 for a in axes.tolist()) != [2, 3] or min(axes) < -4 or max(axes) > 3:
        return False
    return _mean(builder, node)


def _mean(builder: PlanBuilder, node: Node) -> bool:
    x = builder.blocked(node.inputs[0])
    target = builder.new_plain(node.outputs[0])
    builder.native_step(
        "global average", str(node), [x], [target], lambda p, at: p.global_average(x.map, at(x), at(target))
    )
    return True
