"""Operators that only move or rename what is there."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from accel.engine.builder import Arrays, PlanBuilder
from accel.engine.lowering.table import lowers
from accel.graph.network import Node


@lowers("Concat")
def _concat(builder: PlanBuilder, node: Node) -> bool:
    name = node.outputs[0]
    if all(builder.joined.get(i, ("",))[0] == name for i in node.inputs):
        return True  # every part was written in place
    parts = [builder.plain(i) for i in node.inputs]
    target = builder.new_plain(name)
    axis = node.attributes["axis"]

    def bind(arrays: Arrays) -> Callable[[], object]:
        from_, to = [arrays(p) for p in parts], arrays(target)
        return partial(np.concatenate, from_, axis=axis, out=to)

    builder.python_step("concat", str(node), parts, [target], bind)
    return True


@lowers("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity")
def _alias(builder: PlanBuilder, node: Node) -> bool:
    if len(node.outputs) != 1:
        return False
    builder.alias(node.outputs[0], builder.plain(node.inputs[0]))
    return True


@lowers("Transpose")
def _transpose(builder: PlanBuilder, node: Node) -> bool:
    source = builder.plain(node.inputs[0])
    perm = node.attributes.get("perm") or range(len(source.spec.shape))[::-1]
    target = builder.new_plain(node.outputs[0])

    def bind(arrays: Arrays) -> Callable[[], object]:
        from_, to = arrays(source).transpose(perm), arrays(target)
        return partial(np.copyto, to, from_)

    builder.python_step("transpose", str(node), [source], [target], bind)
    return True
