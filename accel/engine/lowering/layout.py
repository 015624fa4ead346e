"""Operators that only rename what is there."""

from __future__ import annotations

from accel.engine.builder import BITS, PlanBuilder
from accel.engine.lowering.table import lowers
from accel.graph.network import Node


@lowers("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity")
def _alias(builder: PlanBuilder, node: Node) -> bool:
    if len(node.outputs) != 1:
        return False
    held, shape = builder.forms.get(node.inputs[0], {}).get(BITS), builder.spec(node.outputs[0]).shape
    if held is not None and len(shape) == 2 and shape[0] == held.map.images:
        builder.share_bits(node.outputs[0], held)  # a product reads them as an image, see lowering.binary
        return True
    builder.alias(node.outputs[0], builder.plain(node.inputs[0]))
    return True
