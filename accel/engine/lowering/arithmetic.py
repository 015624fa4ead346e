"""Arithmetic on plain float32 arrays, with broadcasting."""

from __future__ import annotations

import math

import numpy as np

from accel.engine.builder import PlanBuilder
from accel.graph.network import Node
from accel.kernels import program as native

_KINDS = {"Add": "add", "Sub": "subtract", "Mul": "multiply", "Div": "divide"}


def lower_plain(builder: PlanBuilder, node: Node) -> bool:
    """Add, Sub, Mul, Div and Exp by native kernels; False where they do not take the node."""
    specs = [builder.spec(name) for name in (*node.inputs, node.outputs[0])]
    small = all(len(s.shape) <= native.MOST_AXES and 0 not in s.shape for s in specs)
    if not small or any(s.dtype != np.float32 for s in specs) or "activation" in node.attributes:
        return False
    if node.op == "Exp":
        return _exponential(builder, node)
    return node.op in _KINDS and _broadcast(builder, node)


def _exponential(builder: PlanBuilder, node: Node) -> bool:
    source, target = builder.plain(node.inputs[0]), builder.new_plain(node.outputs[0])
    size = math.prod(source.spec.shape)
    builder.native_step(
        "exponential", str(node), [source], [target], lambda p, at: p.exponential(size, at(source), at(target))
    )
    return True


def _broadcast(builder: PlanBuilder, node: Node) -> bool:
    a, b = (builder.plain(name) for name in node.inputs)
    target, kind = builder.new_plain(node.outputs[0]), native.arithmetic(_KINDS[node.op])
    builder.native_step(
        "broadcast", str(node), [a, b], [target],
        lambda p, at: p.broadcast(kind, a.spec.shape, at(a), b.spec.shape, at(b), at(target)),
    )  # fmt: skip
    return True
