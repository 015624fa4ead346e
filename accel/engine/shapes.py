"""What is known of every value before anything runs: its shape and type, or the value itself.

Shapes follow from the input shapes; values that follow from shapes alone (Shape, Gather, Concat, ... of them) are
computed here once and never again at run time.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from accel.errors import AccelError, ModelError, naming
from accel.graph import shapes as rules
from accel.graph.facts import Fact
from accel.graph.network import Network, Node
from accel.kernels.conv import MOST
from accel.layers.operators import Operator, registry
from accel.layers.operators.common import refuse_bomb
from accel.weights.base import Weight, dense


class Spec(NamedTuple):
    """Shape and type of a value that only a run will know."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


Known = Spec | np.ndarray | Weight


class DynamicShapeError(AccelError):
    """The shape of a node's output depends on data: the network cannot be planned, only interpreted."""


def infer(network: Network, inputs: Mapping[str, Spec], before: Mapping[str, Spec] | None = None) -> dict[str, Known]:
    """Everything that is known of every value, for inputs of these shapes. `before`: of the network that this one was
    fused from, what was found of the values that a run makes: they keep their names.

    Raises DynamicShapeError where a shape depends on data, ModelError where shapes do not fit.
    """
    known: dict[str, Known] = {**network.constants, **inputs}
    earlier = before or {}
    for node in network.nodes:
        if earlier.keys() >= set(node.outputs):
            known.update((name, earlier[name]) for name in node.outputs)
            continue
        with naming(node):
            found = _infer_node(node, [known[name] if name else None for name in node.inputs])
        known.update(zip(node.outputs, found, strict=False))
    known.pop("", None)
    return known


def _infer_node(node: Node, inputs: list[Known | None]) -> tuple[Known, ...]:
    operator = registry()[node.op]
    if node.op in ("Shape", "Size") and isinstance(inputs[0], Spec):
        return _evaluate(operator, node, [np.broadcast_to(np.zeros((), np.bool_), inputs[0].shape)])
    if not any(isinstance(i, Spec) for i in inputs):
        return _evaluate(operator, node, [_stand_in(i) for i in inputs])
    hidden = [i for i in operator.shape_inputs if i < len(inputs) and isinstance(inputs[i], Spec)]
    if operator.dynamic or hidden:
        raise DynamicShapeError("the shape of its output depends on data")
    # Where no rule can tell, or the node is not valid, it runs on zeros: it knows its own shapes best, and says what
    # does not fit.
    with naming(operator.name):
        operator.contract.attributes(node.attributes)  # rules and lowerings rely on their types
    ruled = _by_rule(node, inputs)
    return ruled or tuple(as_spec(a) for a in _evaluate(operator, node, [_stand_in(i) for i in inputs]))


def _stand_in(value: Known | None) -> np.ndarray | None:
    """The value where it is known, else zeros in its place."""
    return np.zeros(value.shape, value.dtype) if isinstance(value, Spec) else None if value is None else dense(value)


def _by_rule(node: Node, inputs: list[Known | None]) -> tuple[Known, ...] | None:
    facts = rules.infer(node, [_fact(i) for i in inputs])
    if len(facts) < len(node.outputs):
        return None
    found = []
    for fact in facts[: len(node.outputs)]:
        if fact.dtype is None or fact.shape is None:
            return None
        sizes = tuple([int(d) for d in fact.shape if isinstance(d, int)])
        if len(sizes) < len(fact.shape) or min(sizes, default=0) < 0:
            return None
        spec = Spec(sizes, np.dtype(fact.dtype))
        refuse_bomb(spec.shape, spec.dtype)
        found.append(spec)
    return tuple(found)


def _fact(value: Known | None) -> Fact:
    if value is None:
        return Fact()
    small = isinstance(value, np.ndarray) and value.size <= rules.LONGEST_VALUE
    return Fact(value.dtype, tuple(value.shape), value if small and isinstance(value, np.ndarray) else None)


def _evaluate(operator: Operator, node: Node, inputs: list[np.ndarray | None]) -> tuple[np.ndarray, ...]:
    return operator(inputs, node.attributes, len(node.outputs))


def as_spec(value: Known) -> Spec:
    """Shape and type of anything known."""
    return value if isinstance(value, Spec) else Spec(tuple(value.shape), value.dtype)


class Window(NamedTuple):
    """The geometry of a 2-D convolution or pooling, pads resolved; 1-D ones have height 1."""

    kernel: tuple[int, int]
    strides: tuple[int, int]
    pads: tuple[int, int, int, int]
    dilations: tuple[int, int]


def window(attributes: Mapping[str, Any], kernel: tuple[int, ...], size: tuple[int, ...]) -> Window:
    """Geometry from ONNX attributes (auto_pad and the others) for an image of `size`, 1 or 2 axes."""
    axes = len(size)
    strides = tuple(attributes.get("strides") or (1,) * axes)
    dilations = tuple(attributes.get("dilations") or (1,) * axes)
    pads = tuple(attributes.get("pads") or (0,) * 2 * axes)
    auto = attributes.get("auto_pad", "NOTSET")
    if len(kernel) != axes or len(strides) != axes or len(dilations) != axes or len(pads) != 2 * axes:
        raise ModelError(f"expected {axes} axes in kernel_shape, strides and dilations and {2 * axes} pads")
    if min(kernel + strides + dilations) < 1:
        raise ModelError(f"kernel {kernel}, strides {strides} and dilations {dilations} must be positive")
    if auto == "VALID":
        pads = (0,) * 2 * axes
    elif auto in ("SAME_UPPER", "SAME_LOWER"):
        total = [
            max((-(-n // s) - 1) * s + (k - 1) * d + 1 - n, 0)
            for n, k, s, d in zip(size, kernel, strides, dilations, strict=True)
        ]
        less, more = [t // 2 for t in total], [t - t // 2 for t in total]
        pads = tuple(less + more if auto == "SAME_UPPER" else more + less)
    if max(kernel + strides + dilations + pads) > MOST:
        raise ModelError(
            f"kernel {kernel}, strides {strides}, dilations {dilations}, pads {pads}: expected at most {MOST}"
        )
    if axes == 1:
        kernel, strides, dilations = (1, *kernel), (1, *strides), (1, *dilations)
        pads = (0, pads[0], 0, pads[1])
    return Window(kernel, strides, pads, dilations)  # type: ignore[arg-type]
