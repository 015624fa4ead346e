"""Matrix products with hashed weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from accel.engine.builder import PlanBuilder
from accel.engine.lowering.activation import activation_of
from accel.engine.lowering.structured import multiplies
from accel.graph.network import Node
from accel.kernels.hashed import add_hashed, hashed_scratch
from accel.weights import Hashed


@multiplies(Hashed)
def _hashed(builder: PlanBuilder, node: Node, w: Hashed, rows: int, bias: np.ndarray | None) -> bool:
    out, depth = w.shape
    function = activation_of(node)
    source, target = builder.plain(node.inputs[0]), builder.new_plain(node.outputs[0])
    scratch = builder.scratch(hashed_scratch(rows, depth))

    def emit(program: Any, at: Callable[[Any], Any]) -> None:
        places = [at(source), at(target), at(scratch)]
        add_hashed(program, rows, depth, out, w.values, w.seed, bias, places, function)

    builder.native_step("linear hashed", str(node), [source], [target, scratch], emit)
    return True
