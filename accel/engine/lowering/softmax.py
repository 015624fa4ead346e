"""Softmax along one axis of a plain array."""

from __future__ import annotations

import math

import numpy as np

from accel.engine.builder import PlanBuilder
from accel.engine.lowering.table import lowers
from accel.graph.network import Node


@lowers("Softmax")
def _softmax(builder: PlanBuilder, node: Node) -> bool:
    spec, axis = builder.spec(node.inputs[0]), node.attributes.get("axis", -1)
    if spec.dtype != np.float32 or 0 in spec.shape or not -len(spec.shape) <= axis < len(spec.shape):
        return False
    axis %= len(spec.shape)
    outer, n, inner = math.prod(spec.shape[:axis]), spec.shape[axis], math.prod(spec.shape[axis + 1 :])
    source, target = builder.plain(node.inputs[0]), builder.new_plain(node.outputs[0])
    builder.native_step(
        "softmax", str(node), [source], [target], lambda p, at: p.softmax(outer, n, inner, at(source), at(target))
    )
    return True
