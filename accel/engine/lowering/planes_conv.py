"""Convolutions over planes: without zeros, or depthwise where their input lies."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from accel.engine.builder import PlanBuilder, Tensor
from accel.engine.lowering.activation import activation_of
from accel.engine.lowering.conv_layout import Planned
from accel.engine.memory import Storage
from accel.graph.fusing import RESIDUAL
from accel.graph.network import Node
from accel.kernels import program as native
from accel.kernels.conv_native import SPARSE, Packed
from accel.kernels.sparse import NO_WEIGHTS, band_rows, prepare_bands

_BANDS = " in bands"


def lower_planes(builder: PlanBuilder, node: Node, plan: Planned) -> bool:
    """Adds the step of a convolution that reads and writes planes."""
    if node.outputs[0] in builder.banded:
        _leave_to_next(builder, node, plan)
        return True
    first = builder.banded.get(node.inputs[0])
    x, residual = builder.plain((first or node).inputs[0]), node.input(RESIDUAL)
    added = builder.plain(residual) if residual else None
    pool = _pool(builder, node)
    target = builder.new_plain(builder.pooled.get(node.outputs[0], node.outputs[0]))
    prepared, (weights, bias) = _prepared(builder, node, plan) if first is None else _in_bands(builder, first, node)
    scratch = builder.scratch(prepared.scratch_floats)

    def emit(program: Any, at: Callable[[Tensor], Any]) -> None:
        residual_place = native.place(native.NOWHERE) if added is None else at(added)
        program.conv(prepared, at(x), at(target), residual_place, at(scratch), weights, bias)

    reads = [x] if added is None else [x, added]
    kernel = f"conv {plan.method}{' pool' if pool > 1 else ''}{_BANDS if first else ''}"
    builder.native_step(kernel, str(node), reads, [target, scratch], emit, plan.choice)
    return True


def _leave_to_next(builder: PlanBuilder, node: Node, plan: Planned) -> None:
    """A step that does nothing: that of the next convolution makes the rows that it needs."""
    nowhere = Tensor(builder.spec(node.outputs[0]), Storage(0, external=True))
    builder.native_step(f"conv {plan.method}{_BANDS}", str(node), [], [nowhere], lambda program, at: None, plan.choice)


def _pool(builder: PlanBuilder, node: Node) -> int:
    return 2 if node.outputs[0] in builder.pooled else 1


def _spec(builder: PlanBuilder, node: Node, plan: Planned) -> Any:
    """The convolution, between planes."""
    geometry, name = plan.geometry, node.outputs[0]
    source, target = builder.spec(node.inputs[0]), builder.spec(builder.pooled.get(name, name))
    layout = native.plain_map(target.shape)
    return native.conv_spec(
        native.plain_map(source.shape), layout, geometry.kernel, strides=geometry.strides, before=geometry.pads[:2],
        dilations=geometry.dilations, groups=plan.group, pool=_pool(builder, node),
        residual=layout if node.input(RESIDUAL) else None, activation=activation_of(node),
    )  # fmt: skip


def _prepared(builder: PlanBuilder, node: Node, plan: Planned) -> tuple[Any, Packed]:
    spec, (weights, bias) = _spec(builder, node, plan), plan.choice.packed
    if plan.method != SPARSE:
        return plan.method.prepare(spec, builder.threads), (weights, bias)
    return weights.prepare(spec, builder.threads), (NO_WEIGHTS, bias)


def fit_bands(builder: PlanBuilder, nodes: tuple[Node, Node], plans: Sequence[Planned]) -> bool:
    """Whether two convolutions, the second of the first one's results, are both sparse and better run in bands."""
    if any(plan.method != SPARSE or not plan.choice.packed[0].strips for plan in plans) or nodes[0].input(RESIDUAL):
        return False
    return band_rows(_spec(builder, nodes[1], plans[1]), builder.threads) > 0


def _in_bands(builder: PlanBuilder, first: Node, second: Node) -> tuple[Any, Packed]:
    plans = [builder.convolutions[node.outputs[0]] for node in (first, second)]
    specs = [_spec(builder, node, plan) for node, plan in zip((first, second), plans, strict=True)]
    weights, biases = zip(*(plan.choice.packed for plan in plans), strict=True)
    rows = band_rows(specs[1], builder.threads)
    return prepare_bands(weights, specs, rows, builder.threads), (NO_WEIGHTS, np.concatenate(biases))
