"""Which function lowers which operator.

A lowering adds the steps of one node and returns True, or returns False when the node is not of the form its kernel
takes; the node then runs by its operator.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from accel.engine.builder import Arrays, PlanBuilder
from accel.graph.network import Node
from accel.layers.operators import registry

Lowering = Callable[[PlanBuilder, Node], bool]
_lowerings: dict[str, Lowering] = {}


def lowers(*names: str) -> Callable[[Lowering], Lowering]:
    """Register the decorated function for these operators."""

    def register(function: Lowering) -> Lowering:
        _lowerings.update(dict.fromkeys(names, function))
        return function

    return register


def lower(builder: PlanBuilder, node: Node) -> None:
    """Add the steps of one node."""
    lowering = _lowerings.get(node.op)
    if lowering is None or not lowering(builder, node):
        by_operator(builder, node)
    for name in node.inputs:
        builder.uses[name] -= 1


def by_operator(builder: PlanBuilder, node: Node) -> None:
    """Any operator, its results copied to their places."""
    operator = registry()[node.op]
    sources = [builder.plain(i) if i else None for i in node.inputs]
    targets = [builder.new_plain(o) if o else None for o in node.outputs]
    attributes, count = node.attributes, len(node.outputs)

    def bind(arrays: Arrays) -> Callable[[], object]:
        from_ = [None if s is None else arrays(s) for s in sources]
        to = [None if t is None else arrays(t) for t in targets]

        results = operator.bound(from_, attributes, count)

        def call() -> None:
            for result, place in zip(results(), to, strict=False):
                if place is not None:
                    np.copyto(place, result, casting="no")

        return call

    builder.python_step(
        "numpy", str(node), [s for s in sources if s is not None], [t for t in targets if t is not None], bind
    )
