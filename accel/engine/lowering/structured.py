"""Matrix products with structured weights, by kernels of their own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from accel.engine.builder import PlanBuilder
from accel.engine.lowering.activation import activation_of
from accel.engine.shapes import Spec
from accel.graph.network import Constant, Node
from accel.kernels import runtime
from accel.kernels._linear_cost import linear_cycles
from accel.kernels.fastfood import MOST
from accel.kernels.hashed import add_hashed, hashed_scratch
from accel.weights import Fastfood, Hashed, Weight
from accel.weights.base import dense

W = TypeVar("W", bound=Weight)
Add = Callable[[PlanBuilder, Node, Any, int, np.ndarray | None], bool]
_products: dict[type[Weight], Add] = {}


def multiplies(kind: type[W]) -> Callable[[Add], Add]:
    """Register the decorated function: it adds y = f(x W^T + bias) for W of this kind and a number of rows of x, or
    returns False where the dense product is predicted to be faster."""

    def register(function: Add) -> Add:
        _products[kind] = function
        return function

    return register


def gemm_bias(c: Constant, out: int, beta: float) -> np.ndarray:
    """(out,) numbers to add."""
    return np.broadcast_to(dense(c).reshape(-1), (out,)) * np.float32(beta)


def structured_linear(builder: PlanBuilder, node: Node, rows: int, how: tuple[Any, ...]) -> bool:
    """The product by the weight's own kernel, if it has one; `how`: whether rows of W are outputs, alpha, beta."""
    w, c = builder.known[node.inputs[1]], builder.known.get(node.input(2))
    assert not isinstance(w, Spec) and not isinstance(c, Spec)
    add = _products.get(type(w)) if isinstance(w, Weight) else None
    if add is None or not how[0] or not rows:
        return False
    return add(builder, node, w, rows, None if c is None else gemm_bias(c, w.shape[0], how[2]))


def fastfood_cycles(rows: int, blocks: int, n: int) -> float:
    """What the product should cost: four rows at a time, 28 cycles a vector of them on 16 lanes, as measured."""
    lanes = {"avx512": 16, "avx2": 8}.get(runtime.isa() or "", 4)
    return -(-rows // 4) * blocks * max(4 * n / lanes, 4) * (28 if lanes == 16 else 16)


@multiplies(Fastfood)
def _fastfood(builder: PlanBuilder, node: Node, w: Fastfood, rows: int, bias: np.ndarray | None) -> bool:
    out, depth = w.shape
    blocks, n = w.s.shape
    if n > MOST or fastfood_cycles(rows, blocks, n) >= linear_cycles(rows, out, depth, 0)[0]:
        return False
    function, threads = activation_of(node), builder.threads
    how = ("fastfood", node.attributes.get("beta", 1.0))
    prepared, _ = builder.pack_once(node.inputs[1:3], how, lambda: (w.product(bias).prepared(), w.s))
    source, target = builder.plain(node.inputs[0]), builder.new_plain(node.outputs[0])
    scratch = builder.scratch(prepared.scratch_floats(threads))

    def emit(program: Any, at: Callable[[Any], Any]) -> None:
        program.fastfood(prepared, rows, at(source), at(target), at(scratch), threads)
        if "activation" in node.attributes:
            program.activation(function, rows * out, at(target), at(target))

    builder.native_step("linear fastfood", str(node), [source], [target, scratch], emit)
    return True


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
