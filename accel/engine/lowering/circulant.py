"""Matrix products with circulant and block-circulant weights."""

from __future__ import annotations

import numpy as np

from accel.engine.builder import PlanBuilder
from accel.engine.lowering.activation import activation_of
from accel.engine.lowering.structured import multiplies
from accel.graph.network import Node
from accel.weights import BlockCirculant, Circulant
from accel.weights._circulant_product import CirculantProduct
from accel.weights.circulant import CirculantBlocks


@multiplies(Circulant)
@multiplies(BlockCirculant)
def _circulant(builder: PlanBuilder, node: Node, w: CirculantBlocks, rows: int, bias: np.ndarray | None) -> bool:
    product = w.product(bias)
    if not isinstance(product, CirculantProduct) or not product.gains(rows):
        return False
    how = ("circulant", node.attributes.get("beta", 1.0))
    added = np.zeros(w.shape[0], np.float32) if bias is None else bias
    prepared, added = builder.pack_once(node.inputs[1:3], how, lambda: (product.plan.native(), added))
    function = activation_of(node)
    source, target = builder.plain(node.inputs[0]), builder.new_plain(node.outputs[0])
    threads = builder.threads
    scratch = builder.scratch(prepared.scratch_floats(rows, threads))
    builder.native_step(
        "linear circulant", str(node), [source], [target, scratch],
        lambda p, at: p.circulant(prepared, rows, function, at(source), at(target), at(scratch), added, threads),
    )  # fmt: skip
    return True
