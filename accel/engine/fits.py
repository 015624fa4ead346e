"""Whether a node's inputs fit its operator: what must hold before memory is laid out by shapes that rules inferred.

The rules of graph.shapes say what shape a valid node makes. A native kernel or an array under another shape trusts them
with memory, so a node of a hostile model must be proven valid first. One that fails is run by its operator on zeros,
which names what does not fit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

from accel.graph.network import Node


class Typed(Protocol):
    """Anything of a shape and a type: an array, a Weight, or what engine.shapes knows of a value."""

    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def dtype(self) -> np.dtype[Any]: ...


Check = Callable[[Node, Sequence[Typed], Typed], bool]


def _conv(node: Node, x: Sequence[Typed], y: Typed) -> bool:
    image, weight = x[0].shape, x[1].shape
    group = node.attributes.get("group", 1)
    kernel = tuple(node.attributes.get("kernel_shape") or weight[2:])
    return (
        len(image) == len(weight) > 2
        and kernel == weight[2:]
        and group > 0
        and weight[0] % group == 0
        and image[1] == weight[1] * group
        and (not node.input(2) or x[2].shape == weight[:1])
    )


def _pool(node: Node, x: Sequence[Typed], y: Typed) -> bool:
    return len(x[0].shape) == len(node.attributes["kernel_shape"]) + 2


def _gemm(node: Node, x: Sequence[Typed], y: Typed) -> bool:
    a, b = x[0].shape, x[1].shape
    return (
        len(a) == len(b) == 2 and a[not node.attributes.get("transA", 0)] == b[bool(node.attributes.get("transB", 0))]
    )


def _matmul(node: Node, x: Sequence[Typed], y: Typed) -> bool:
    a, b = x[0].shape, x[1].shape
    return min(len(a), len(b)) > 0 and a[-1] == b[max(len(b) - 2, 0)]


def _concat(node: Node, x: Sequence[Typed], y: Typed) -> bool:
    rank, axis = len(y.shape), node.attributes["axis"] % len(y.shape)
    return all(len(s.shape) == rank and (*s.shape[:axis], y.shape[axis], *s.shape[axis + 1 :]) == y.shape for s in x)


def _global_pool(node: Node, x: Sequence[Typed], y: Typed) -> bool:
    return len(x[0].shape) > 2


def _flatten(node: Node, x: Sequence[Typed], y: Typed) -> bool:
    rank = len(x[0].shape)
    return -rank <= node.attributes.get("axis", 1) <= rank and _same_elements(node, x, y)


def _same_elements(node: Node, x: Sequence[Typed], y: Typed) -> bool:
    return min(y.shape, default=0) >= 0 and math.prod(x[0].shape) == math.prod(y.shape)


_CHECKS: dict[str, Check] = {
    "Conv": _conv, "MaxPool": _pool, "AveragePool": _pool, "Gemm": _gemm, "MatMul": _matmul, "Concat": _concat,
    "GlobalAveragePool": _global_pool, "Flatten": _flatten,
    **dict.fromkeys(("Reshape", "Squeeze", "Unsqueeze", "Identity", "Dropout"), _same_elements),
}  # fmt: skip
_OF_ONE_TYPE = ("Conv", "Gemm", "MatMul", "Concat", "Add", "Sub", "Mul", "Div")


def fits(node: Node, inputs: Sequence[Typed | None], output: Typed) -> bool:
    """Whether the operator accepts inputs of these shapes and types and its first output has the shape of `output`.

    True for every operator that no native kernel runs and no array is reshaped for: their results are copied to their
    places, which checks. An input that is absent is None.
    """
    given = [value for value in inputs if value is not None]
    if node.op in _OF_ONE_TYPE and any(value.dtype != output.dtype for value in given):
        return False
    check = _CHECKS.get(node.op)
    return check is None or check(node, given, output)
