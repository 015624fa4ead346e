"""Matrix products with structured weights, by kernels of their own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from accel.engine.builder import PlanBuilder
from accel.engine.shapes import Spec
from accel.graph.network import Constant, Node
from accel.weights import Weight
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


def gemm_bias(c: Constant | None, out: int, beta: float) -> np.ndarray | None:
    """(out,) numbers to add, if any."""
    return None if c is None else np.broadcast_to(dense(c).reshape(-1), (out,)) * np.float32(beta)


def structured_linear(builder: PlanBuilder, node: Node, rows: int, how: tuple[Any, ...]) -> bool:
    """The product by the weight's own kernel, if it has one; `how`: whether rows of W are outputs, alpha, beta."""
    w, c = builder.known[node.inputs[1]], builder.known.get(node.input(2))
    assert not isinstance(w, Spec) and not isinstance(c, Spec)
    add = _products.get(type(w)) if isinstance(w, Weight) else None
    if add is None or not how[0] or not rows:
        return False
    return add(builder, node, w, rows, gemm_bias(c, w.shape[0], how[2]))
