"""Matrix products with weights known before the run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from accel.engine.builder import PlanBuilder, Tensor
from accel.engine.lowering.activation import activation_of
from accel.engine.lowering.binary import lower_product, multiplies_bits
from accel.engine.lowering.structured import gemm_bias, structured_linear
from accel.engine.lowering.table import lowers
from accel.engine.packed import PackedCsr
from accel.engine.shapes import Known, Spec
from accel.engine.tuning import LinearChoice
from accel.graph.network import Constant, Node
from accel.kernels import program as native
from accel.kernels._linear_cost import linear_cycles
from accel.kernels.conv_native import Packed
from accel.kernels.sparse import FEW, LINEAR, SparseWeights
from accel.kernels.spmv import pack_spmv
from accel.weights.base import dense
from accel.weights.zeros import few_values, sparse_arrays


def _native_gemm(known: Mapping[str, Known], node: Node) -> bool:
    """Whether the node is x W^T + bias with weights and bias known before the run."""
    x, w, c = known.get(node.inputs[0]), known.get(node.inputs[1]), known.get(node.input(2))
    if not isinstance(x, Spec) or w is None or isinstance(w, Spec) or isinstance(c, Spec):
        return False
    if node.attributes.get("transA", 0) or x.dtype != np.float32 or w.dtype != np.float32 or 0 in (*x.shape, *w.shape):
        return False
    out = w.shape[0 if node.attributes.get("transB", 0) else 1]
    return c is None or (c.size in (1, out) and (not c.ndim or c.shape[-1] == c.size))


def _gemm_operands(
    w: Constant, c: Constant | None, attributes: Mapping[str, Any]
) -> tuple[np.ndarray, np.ndarray | None]:
    """(out, in) weights and bias, alpha and beta multiplied in."""
    alpha, beta = np.float32(attributes.get("alpha", 1.0)), attributes.get("beta", 1.0)
    matrix = dense(w) if attributes.get("transB", 0) else dense(w).T
    return matrix if alpha == 1 else matrix * alpha, gemm_bias(c, matrix.shape[0], beta)


def _pack_linear(w: np.ndarray, rows: bool) -> np.ndarray:
    """Weights packed, of which rows are outputs, or columns."""
    return native.pack_linear(w if rows else w.T)


@lowers("Gemm")
def _gemm(builder: PlanBuilder, node: Node) -> bool:
    if multiplies_bits(builder, node):
        return lower_product(builder, node)
    if not _native_gemm(builder.known, node):
        return False
    get = node.attributes.get
    how = (bool(get("transB", 0)), get("alpha", 1.0), get("beta", 1.0))
    w, c = builder.known[node.inputs[1]], builder.known.get(node.input(2))
    assert not isinstance(w, Spec) and not isinstance(c, Spec)
    shape = w.shape if how[0] else w.shape[::-1]
    return _linear(builder, node, (shape[0], shape[1]), how, lambda: _gemm_operands(w, c, node.attributes))


@lowers("MatMul")
def _matmul(builder: PlanBuilder, node: Node) -> bool:
    if multiplies_bits(builder, node):
        return lower_product(builder, node)
    x, w = (builder.known.get(name) for name in node.inputs)
    if not isinstance(x, Spec) or w is None or isinstance(w, Spec) or w.ndim != 2 or len(x.shape) < 2:
        return False
    if w.dtype != np.float32 or x.dtype != np.float32 or 0 in (*x.shape, *w.shape):
        return False
    return _linear(builder, node, (w.shape[1], w.shape[0]), (False, 1.0, 1.0), lambda: (dense(w).T, None))


def _linear(
    builder: PlanBuilder,
    node: Node,
    shape: tuple[int, int],
    how: tuple[Any, ...],
    operands: Callable[[], tuple[np.ndarray, np.ndarray | None]],
) -> bool:
    out, depth = shape
    rows = int(np.prod(builder.spec(node.inputs[0]).shape[:-1]))
    if how[1] == 1 and (structured_linear(builder, node, rows, how) or _sparse_linear(builder, node, rows, shape, how)):
        return True

    def make() -> Packed:
        w, bias = operands()
        return native.pack_linear(w), native.pack_bias(bias, out)

    plain = how[1] == 1  # alpha is multiplied in otherwise
    pack = partial(_pack_linear, rows=how[0]) if plain else None
    weights = builder.pack_once(node.inputs[1:3], ("linear", *how), make, pack)
    source, target = builder.plain(node.inputs[0]), builder.new_plain(node.outputs[0])
    scratch = builder.scratch((rows + 1) * (depth + native.BLOCK))
    function = activation_of(node)

    def emit(program: Any, at: Callable[[Tensor], Any]) -> None:
        program.linear(rows, depth, out, function, at(source), at(target), at(scratch), *weights)

    builder.native_step("linear", str(node), [source], [target, scratch], emit)
    return True


def _sparse_linear(
    builder: PlanBuilder,
    node: Node,
    rows: int,
    shape: tuple[int, int],
    how: tuple[Any, ...],
) -> bool:
    """The product without the weight's zeros, where that is predicted to be faster."""
    out, depth = shape
    w, c = builder.known[node.inputs[1]], builder.known.get(node.input(2))
    assert not isinstance(w, Spec) and not isinstance(c, Spec)
    values = few_values(w)
    if values is None or not rows:
        return False
    choice = LinearChoice(values / w.size, *linear_cycles(rows, out, depth, values))
    if choice.sparse >= choice.dense:
        return False
    few, bias = rows <= FEW, gemm_bias(c, out, how[2])

    def make() -> Packed:
        stored = sparse_arrays(w)
        assert stored is not None
        arrays = stored if how[0] else stored.transposed(out)
        packed = pack_spmv(arrays, depth) if few else SparseWeights(arrays, depth, width=LINEAR)
        return packed, native.pack_bias(bias, out)

    weights, packed_bias = builder.pack_once(node.inputs[1:3], ("sparse linear", few, *how), make)
    builder.let_go(node.inputs[1], PackedCsr.of)
    add = _few_rows if few else _many_rows
    add(builder, node, rows, weights, packed_bias, choice)
    return True


def _few_rows(
    builder: PlanBuilder, node: Node, rows: int, weights: Any, packed_bias: np.ndarray, choice: LinearChoice
) -> None:
    source, target, function = builder.plain(node.inputs[0]), builder.new_plain(node.outputs[0]), activation_of(node)
    builder.native_step(
        "linear sparse", str(node), [source], [target],
        lambda p, at: p.spmv(weights, rows, function, at(source), at(target), packed_bias), choice,
    )  # fmt: skip


def _many_rows(
    builder: PlanBuilder, node: Node, rows: int, weights: Any, packed_bias: np.ndarray, choice: LinearChoice
) -> None:
    source, target, function = builder.plain(node.inputs[0]), builder.new_plain(node.outputs[0]), activation_of(node)
    prepared = weights.prepare_linear(rows, function, builder.threads)
    scratch = builder.scratch(prepared.scratch_floats)
    builder.native_step(
        "linear sparse", str(node), [source], [target, scratch],
        lambda p, at: p.sparse_linear(prepared, at(source), at(target), at(scratch), packed_bias), choice,
    )  # fmt: skip
