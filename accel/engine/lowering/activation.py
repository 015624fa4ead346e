"""The activation that was fused into a node."""

from __future__ import annotations

from typing import Any

from accel.graph.network import Node
from accel.kernels import program as native


def activation_of(node: Node) -> Any:
    """The node's fused activation in native form."""
    return native.activation(node.attributes.get("activation"), tuple(node.attributes.get("activation_params", ())))
