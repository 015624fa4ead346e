"""Matrix products with Fastfood weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from accel.engine.builder import PlanBuilder
from accel.engine.lowering.activation import activation_of
from accel.engine.lowering.structured import multiplies
from accel.graph.network import Node
from accel.kernels._fastfood_cost import fastfood_cycles
from accel.kernels._linear_cost import linear_cycles
from accel.kernels.fastfood import MOST
from accel.weights import Fastfood


@multiplies(Fastfood)
def _fastfood(builder: PlanBuilder, node: Node, w: Fastfood, rows: int, bias: np.ndarray | None) -> bool:
    out, depth = w.shape
    blocks, n = w.s.shape
    if n > MOST or fastfood_cycles(rows, blocks, n) >= linear_cycles(rows, out, depth, 0)[0]:
        return False
    function, threads = activation_of(node), builder.threads
    how = ("fastfood", node.attributes.get("beta", 1.0))
    (prepared,) = builder.pack_once(node.inputs[1:3], how, lambda: (w.product(bias).prepared(),))
    source, target = builder.plain(node.inputs[0]), builder.new_plain(node.outputs[0])
    scratch = builder.scratch(prepared.scratch_floats(threads))

    def emit(program: Any, at: Callable[[Any], Any]) -> None:
        program.fastfood(prepared, rows, at(source), at(target), at(scratch), threads)
        if "activation" in node.attributes:
            program.activation(function, rows * out, at(target), at(target))

    builder.native_step("linear fastfood", str(node), [source], [target, scratch], emit)
    return True
