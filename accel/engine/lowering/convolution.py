"""Convolution."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from accel.engine.builder import PlanBuilder, Tensor
from accel.engine.lowering.activation import activation_of
from accel.engine.lowering.binary import lower_product, multiplies_bits
from accel.engine.lowering.circulant_conv import circulant_window, lower_circulant
from accel.engine.lowering.conv_layout import Planned, moved_behind, native_conv, read_by_sparse
from accel.engine.lowering.planes_conv import fit_bands, lower_planes
from accel.engine.lowering.table import lowers
from accel.engine.packed import PackedCsr
from accel.engine.shapes import Window
from accel.engine.tuning import Candidate, Choice, Layer, SparseOption, break_even, choose
from accel.graph.fusing import RESIDUAL
from accel.graph.network import Constant, Node
from accel.kernels import program as native
from accel.kernels._linear_cost import linear_cycles
from accel.kernels.conv_native import (
    PLANE_DEPTHWISE,
    SPARSE,
    SPARSE_VECTOR,
    Method,
    Packed,
    Route,
    even_tiles,
    grouped_channels,
    route,
)
from accel.kernels.sparse import NO_STRIPS, WIDE, SparseArrays, SparseWeights, strip_window, strips_pool
from accel.kernels.spmv import pack_spmv
from accel.weights.base import dense
from accel.weights.zeros import few_values, sparse_arrays


def planned(builder: PlanBuilder, node: Node) -> Planned | None:
    """How `node` is computed, decided once; None where no kernel for floats takes it."""
    name = node.outputs[0]
    if name not in builder.convolutions:
        other = multiplies_bits(builder, node) or circulant_window(builder, node) is not None
        found = None if other else native_conv(builder.known, node)
        builder.convolutions[name] = None if found is None else _decide(builder, node, *found)
    result: Planned | None = builder.convolutions[name]
    return result


def _decide(builder: PlanBuilder, node: Node, w: Constant, layer: Layer) -> Planned:
    bias = builder.constant(node.input(2))

    def pack(method: Method, array: np.ndarray) -> Packed:
        def places(numbers: np.ndarray) -> np.ndarray:
            packed: np.ndarray = method.pack(numbers, None, layer.strides, layer.group)[0]
            return packed

        return builder.pack_once(
            node.inputs[1:3], (method, layer.strides, layer.group),
            lambda: method.pack(array, bias, layer.strides, layer.group), None if method.transforms else places,
        )  # fmt: skip

    geometry = Window(layer.w_shape[2:], layer.strides, layer.pads, layer.dilations)  # type: ignore[arg-type]
    same_width = -(-layer.size[1] // layer.strides[1]) == layer.output[1]
    depthwise = route(layer.w_shape, layer.group) is Route.DEPTHWISE
    if depthwise and same_width and node.inputs[0] in builder.planes:
        return Planned(geometry, layer.group, layer.output, _over_planes(builder, node, w, bias))
    pixel = _one_pixel(node, layer)
    if pixel and (product := _product(builder, node, w, bias, layer)) is not None:
        return Planned(geometry, layer.group, layer.output, product)
    before = set(builder.packed)
    first = any(value.name == node.inputs[0] for value in builder.network.inputs)  # others are mostly in blocks
    option = None if pixel else _without_zeros(builder, node, w, bias, layer, first)
    choice = choose(layer, w, pack, tune=builder.tune, folds=first, sparse=option)
    if choice.method == SPARSE and few_values(w) is not None:
        builder.let_go(node.inputs[1], PackedCsr.of)
    for key in set(builder.packed) - before:
        if builder.packed[key] is not choice.packed:  # packed to see its error or its time
            del builder.packed[key]
    return Planned(geometry, layer.group, layer.output, choice)


def _over_planes(builder: PlanBuilder, node: Node, w: Constant, bias: np.ndarray | None) -> Choice:
    """A depthwise convolution where its input lies: bringing it into blocks would take as long as the work itself."""

    def pack() -> Packed:
        return np.ascontiguousarray(dense(w)).reshape(-1), native.pack_bias(bias, w.shape[0])

    packed = builder.pack_once(node.inputs[1:3], (PLANE_DEPTHWISE,), pack)
    return Choice(PLANE_DEPTHWISE, packed, (), "its input lies in planes", None)


def _one_pixel(node: Node, layer: Layer) -> bool:
    """Whether it is a 1 x 1 convolution of maps of one pixel, as the gates of squeeze-and-excitation are: the product
    of a matrix and a vector."""
    sizes = layer.size == layer.output == layer.w_shape[2:] == (1, 1) and layer.pads[:2] == (0, 0)
    return sizes and layer.group == 1 and not node.input(RESIDUAL)


def _product(builder: PlanBuilder, node: Node, w: Constant, bias: np.ndarray | None, layer: Layer) -> Choice | None:
    """That product without the zeros of w where it is predicted to be faster: for one image, and any number run so."""
    values = few_values(w)
    if values is None:
        return None
    out, depth = layer.w_shape[:2]
    dense_cycles, cycles = linear_cycles(1, out, depth, values)
    if cycles >= dense_cycles:
        return None

    def make() -> Packed:
        arrays = sparse_arrays(w)
        assert arrays is not None
        return pack_spmv(arrays, depth), native.pack_bias(bias, out)

    packed = builder.pack_once(node.inputs[1:3], (SPARSE_VECTOR,), make)
    builder.let_go(node.inputs[1], PackedCsr.of)
    direct = Method(route(layer.w_shape, 1), "direct")
    candidates = Candidate(direct, dense_cycles, None), Candidate(SPARSE_VECTOR, cycles, None)
    reason = f"predicted, {break_even(values / w.size, dense_cycles, cycles)}"
    return Choice(SPARSE_VECTOR, packed, candidates, reason, None)


def _without_zeros(
    builder: PlanBuilder, node: Node, w: Constant, bias: np.ndarray | None, layer: Layer, first: bool
) -> SparseOption | None:
    """The layer's weights without their zeros, where there are enough of them. `first`: of the network; with few
    channels it may keep them all and be sparse for its readers' sake."""
    values = None if layer.w_shape[1] == 1 else few_values(w)
    columns, width = math.prod(layer.w_shape[1:]), min(layer.output[0] * layer.output[1], WIDE)
    kernel = layer.w_shape[2], layer.w_shape[3]
    strips = strip_window(kernel, layer.strides, layer.dilations, layer.output)
    whole = values is None and first and strips != NO_STRIPS and layer.channels <= 4
    if values is None and not (whole and read_by_sparse(builder, node)):
        return None

    def make() -> Packed:
        arrays = SparseArrays.whole(dense(w)) if whole else sparse_arrays(w)
        assert arrays is not None
        weights = SparseWeights(arrays, columns, layer.group, width, strips)
        return weights, native.pack_bias(bias, layer.w_shape[0])

    pack = partial(builder.pack_once, node.inputs[1:3], ("sparse", layer.group, width, strips, builder.tune), make)
    if values is None:
        return SparseOption(w.size, pack, -layer.w_shape[0] * layer.output[0] * layer.output[1])
    size = 0 if first else layer.channels * layer.size[0] * layer.size[1]
    moved = -size if node.inputs[0] in builder.planes else size
    return SparseOption(values, pack, moved + moved_behind(builder, node))


def conv_halo(builder: PlanBuilder, node: Node) -> int:
    """The zero halo that the convolution wants around its blocked input."""
    plan = planned(builder, node)
    blocks = plan is not None and plan.method.route in (Route.BLOCKED, Route.DEPTHWISE)
    return max(plan.geometry.pads) if plan is not None and blocks else 0


@lowers("Conv")
def _conv(builder: PlanBuilder, node: Node) -> bool:
    if multiplies_bits(builder, node):
        return lower_product(builder, node)
    if geometry := circulant_window(builder, node):
        return lower_circulant(builder, node, geometry)
    plan = planned(builder, node)
    if plan is None:
        return False
    method = plan.method
    if method == SPARSE_VECTOR:
        return _vector_conv(builder, node, plan)
    if method.route is Route.PLANES:
        return lower_planes(builder, node, plan)
    x, seen = _source(builder, node, plan)
    residual, target = _residual_and_target(builder, node)
    pool = 2 if node.outputs[0] in builder.pooled else 1
    result, added, activation = target, residual, activation_of(node)
    gaps = method.route is Route.GATHER_GROUPS  # between the groups, where no residual is
    if gaps:
        result, added, activation = _with_gaps(builder, node), None, native.activation(None)
    spec = native.conv_spec(
        x.map, result.map, seen.kernel, strides=seen.strides, before=seen.pads[:2],
        dilations=seen.dilations, groups=1 if method.route is Route.DEPTHWISE else plan.group,
        fold=(plan.geometry.strides[0], plan.geometry.kernel[0]) if method.route is Route.FOLDED else (1, 0),
        pool=pool,
        residual=None if added is None else added.map, activation=activation,
    )  # fmt: skip
    prepared = method.prepare(spec, builder.threads)
    scratch = builder.scratch(prepared.scratch_floats)

    def emit(program: Any, at: Callable[[Tensor], Any]) -> None:
        residual_place = native.place(native.NOWHERE) if added is None else at(added)
        program.conv(prepared, at(x), at(result), residual_place, at(scratch), *plan.choice.packed)

    reads = [x] if added is None else [x, added]
    builder.native_step(
        f"conv {method}{' pool' if pool > 1 else ''}", str(node), reads, [result, scratch], emit, plan.choice
    )
    if gaps:
        _close_gaps(builder, node, result, residual, target)
    return True


def _vector_conv(builder: PlanBuilder, node: Node, plan: Planned) -> bool:
    x, target, function = builder.plain(node.inputs[0]), builder.new_plain(node.outputs[0]), activation_of(node)
    images, (weights, bias) = x.spec.shape[0], plan.choice.packed
    builder.native_step(
        f"conv {plan.method}", str(node), [x], [target],
        lambda p, at: p.spmv(weights, images, function, at(x), at(target), bias), plan.choice,
    )  # fmt: skip
    return True


def _source(builder: PlanBuilder, node: Node, plan: Planned) -> tuple[Tensor, Window]:
    """The input as the method reads it, and the geometry of the convolution over that."""
    name, geometry = node.inputs[0], plan.geometry
    if plan.method.route is Route.FOLDED:
        size = builder.spec(node.outputs[0]).shape[2:]
        x, kernel = builder.folded(name, geometry.kernel[0], geometry.strides[0], geometry.pads, (size[0], size[1]))
        return x, Window(kernel, (1, 1), (0, 0, 0, 0), (1, 1))
    return (builder.padded if plan.method.reads_planes else builder.blocked)(name, max(geometry.pads)), geometry


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
    name = builder.pooled.get(node.outputs[0], node.outputs[0])
    if not node.input(RESIDUAL):
        return None, builder.new_blocked(name)
    residual = builder.blocked(node.input(RESIDUAL))
    in_place = residual.map.halo == builder.halo.get(name, 0) and name not in builder.joined
    if in_place and builder.overwritable(node.input(RESIDUAL), residual):
        return residual, builder.take_over(name, residual)
    return residual, builder.new_blocked(name)


def pools_at_once(builder: PlanBuilder, node: Node) -> bool:
    """Whether `node` is a convolution that can give the largest of each 2 x 2 results instead of all.

    Winograd's adds the bias to the largest sum, which is the largest result as long as the bias is finite; its tiles
    must hold whole pairs, which those of nearly equal length do not. A sparse one takes the largest result, in strips.
    """
    plan = planned(builder, node) if node.op == "Conv" else None
    if plan is not None and plan.method == SPARSE:
        clamps = node.attributes.get("activation") in (None, "Relu", "Clip")
        halves = plan.choice.packed[0].strips and strips_pool(plan.output)
        return halves and clamps and not node.input(RESIDUAL)
    return (
        plan is not None
        and plan.method.tile > 0
        and plan.method.tile % 2 == 0
        and not any(even_tiles(side, plan.method.tile) for side in plan.output)
        and not node.input(RESIDUAL)
        and node.attributes.get("activation") in (None, "Relu", "Clip")
        and bool(np.isfinite(plan.choice.packed[1]).all())
    )


def makes_bands(builder: PlanBuilder, first: Node, second: Node) -> bool:
    """Whether `second` is a convolution that wants the one right before it to be made some rows at a time."""
    name = first.outputs[0]
    if first.op != "Conv" or second.op != "Conv" or second.inputs[0] != name or not builder.sole_use(name):
        return False
    if name in builder.pooled or first.inputs[0] in builder.banded:
        return False
    plans = [plan for node in (first, second) if (plan := planned(builder, node)) is not None]
    return len(plans) == 2 and fit_bands(builder, (first, second), plans)


def makes_blocks(builder: PlanBuilder, node: Node) -> bool:
    """Whether `node` is a convolution whose native kernel writes channel blocks."""
    plan = planned(builder, node) if node.op == "Conv" else None
    return plan is not None and plan.method.route is not Route.PLANES


def makes_planes(builder: PlanBuilder, node: Node) -> bool:
    """Whether `node` is a convolution whose native kernel writes planes."""
    plan = planned(builder, node) if node.op == "Conv" else None
    return plan is not None and plan.method.route is Route.PLANES
