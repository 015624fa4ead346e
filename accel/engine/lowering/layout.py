"""Operators that only rename what is there."""

from __future__ import annotations

from accel.engine.builder import PlanBuilder
from accel.engine.lowering.table import lowers
from accel.graph.network import Node


@lowers("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity")
def _alias(builder: PlanBuilder, node: Node) -> bool:
    if len(node.outputs) != 1:
        return False
    builder.alias(node.outputs[0], builder.plain(node.inputs[0]))
    return True
