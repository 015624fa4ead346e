"""Matrix products straight from codes of values or of sub-vectors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from accel.engine.builder import PlanBuilder
from accel.engine.lowering.activation import activation_of
from accel.engine.lowering.structured import multiplies
from accel.graph.network import Node
from accel.kernels import program as native
from accel.kernels import runtime
from accel.kernels._codebook_cost import codebook_cycles, quantized_cycles, worth_packing
from accel.kernels._linear_cost import linear_cycles
from accel.kernels.codebook import pack_codebook
from accel.kernels.product_quantized import pack_product
from accel.weights import Codebook, ProductQuantized
from accel.weights.zeros import few_values


@multiplies(Codebook)
def _codebook(builder: PlanBuilder, node: Node, w: Codebook, rows: int, bias: np.ndarray | None) -> bool:
    out, depth = w.shape
    if few_values(w) is not None:  # faster without its zeros
        return False
    if not worth_packing(out, depth, rows, w.codebook.shape[-1]):
        return False
    books = w.codebook.reshape(-1, w.codebook.shape[-1])
    (packed,) = builder.pack_once(node.inputs[1:2], ("codebook",), lambda: (pack_codebook(w.codes, books),))
    if codebook_cycles(packed, rows) >= linear_cycles(rows, out, depth, 0)[0]:
        return False
    function, added, threads = activation_of(node), native.pack_bias(bias, out), builder.threads
    source, target = builder.plain(node.inputs[0]), builder.new_plain(node.outputs[0])
    scratch = builder.scratch(packed.scratch_floats(rows, threads))

    def emit(program: Any, at: Callable[[Any], Any]) -> None:
        program.codebook(packed, rows, function, at(source), at(target), at(scratch), added, threads)

    dots = " bfloat16" if packed.dots(runtime.isa_index()) else ""
    builder.native_step(f"linear codes{dots}", str(node), [source], [target, scratch], emit)
    return True


@multiplies(ProductQuantized)
def _quantized(builder: PlanBuilder, node: Node, w: ProductQuantized, rows: int, bias: np.ndarray | None) -> bool:
    out, depth = w.shape
    cycles = quantized_cycles(rows, *w.codes.shape, *w.centroids.shape[1:])
    if cycles >= linear_cycles(rows, out, depth, 0)[0]:
        return False
    how = ("product quantized",)
    (packed,) = builder.pack_once(node.inputs[1:2], how, lambda: (pack_product(w.codes, w.centroids, depth),))
    function, added = activation_of(node), native.pack_bias(bias, out)
    source, target = builder.plain(node.inputs[0]), builder.new_plain(node.outputs[0])
    scratch = builder.scratch(packed.scratch_floats)
    builder.native_step(
        "linear product quantized", str(node), [source], [target, scratch],
        lambda p, at: p.product(packed, rows, function, at(source), at(target), at(scratch), added),
    )  # fmt: skip
    return True
