"""What is known of every value before anything runs: its shape and type, or the value itself.

Shapes follow from the input shapes; values that follow from shapes alone (Shape, Gather, Concat, ... of them) are
computed here once and never again at run time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from accel.errors import AccelError, ModelError
from accel.graph.network import Network, Node
from accel.kernels.conv import output_size
from accel.layers.operators import Operator, registry
from accel.weights.base import Weight, dense


class Spec(NamedTuple):
    """Shape and type of a value that only a run will know."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def nbytes(self) -> int:
        return int(np.prod(self.shape, dtype=object)) * self.dtype.itemsize


Known = Spec | np.ndarray | Weight


class DynamicShapeError(AccelError):
    """The shape of a node's output depends on data: the network cannot be planned, only interpreted."""


def infer(network: Network, inputs: Mapping[str, Spec]) -> dict[str, Known]:
    """Everything that is known of every value, for inputs of these shapes.

    Raises DynamicShapeError where a shape depends on data, ModelError where shapes do not fit.
    """
    known: dict[str, Known] = {**network.constants, **inputs}
    for node in network.nodes:
        known.update(zip(node.outputs, _infer_node(node, [known[n] if n else None for n in node.inputs]), strict=False))
    known.pop("", None)
    return known


def _infer_node(node: Node, inputs: list[Known | None]) -> tuple[Known, ...]:
    operator = registry()[node.op]
    rule = _RULES.get(node.op)
    try:
        if node.op in ("Shape", "Size") and isinstance(inputs[0], Spec):
            return _evaluate(operator, node, [np.broadcast_to(np.zeros((), np.bool_), inputs[0].shape)])
        if not any(isinstance(i, Spec) for i in inputs):
            return _evaluate(operator, node, [None if i is None else dense(i) for i in inputs])
        hidden = [i for i in operator.shape_inputs if i < len(inputs) and isinstance(inputs[i], Spec)]
        if operator.dynamic or hidden:
            raise DynamicShapeError(f"{node}: the shape of its output depends on data")
        if rule is not None and len(node.outputs) == 1:
            return (rule(node, *[as_spec(i) for i in inputs if i is not None]),)
        # Any other operator: let it run on zeros. It knows its own shapes best.
        zeros = [np.zeros(i.shape, i.dtype) if isinstance(i, Spec) else None if i is None else dense(i) for i in inputs]
        return tuple(as_spec(a) for a in _evaluate(operator, node, zeros))
    except AccelError:
        raise
    except (ValueError, TypeError, IndexError, ZeroDivisionError) as why:
        came = ", ".join(str(as_spec(i).shape) for i in inputs if i is not None)
        raise ModelError(f"{node}: inputs of shape {came} do not fit: {why}") from why


def _evaluate(operator: Operator, node: Node, inputs: list[np.ndarray | None]) -> tuple[np.ndarray, ...]:
    with np.errstate(all="ignore"):
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
    output: tuple[int, int]


def window(attributes: Mapping[str, Any], kernel: tuple[int, ...], size: tuple[int, ...]) -> Window:
    """Geometry from ONNX attributes (auto_pad, ceil_mode, ...) for an image of `size`, 1 or 2 axes."""
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
    output = tuple(
        output_size(size[i], kernel[i], strides[i], dilations[i], pads[i], pads[axes + i], bool(attributes.get("ceil_mode")))
        for i in range(axes)
    )
    if axes == 1:
        kernel, strides, dilations, output = (1, *kernel), (1, *strides), (1, *dilations), (1, *output)
        pads = (0, pads[0], 0, pads[1])
    return Window(kernel, strides, pads, dilations, output)  # type: ignore[arg-type]


def _conv(node: Node, x: Spec, w: Spec, *_: Spec) -> Spec:
    axes = len(x.shape) - 2
    if axes not in (1, 2):
        raise DynamicShapeError(f"{node}: {axes}-D convolution is interpreted")
    group = node.attributes.get("group", 1)
    if len(w.shape) != axes + 2 or group < 1 or w.shape[0] % group or x.shape[1] != w.shape[1] * group:
        raise ModelError(f"{node}: weights {w.shape} with group {group} do not fit an input of shape {x.shape}")
    output = window(node.attributes, w.shape[2:], x.shape[2:]).output[2 - axes :]
    if min(output) <= 0:
        raise ModelError(f"{node}: a kernel of {w.shape[2:]} does not fit an input of shape {x.shape}")
    return Spec((x.shape[0], w.shape[0], *output), x.dtype)


def _pool(node: Node, x: Spec) -> Spec:
    axes = len(x.shape) - 2
    kernel = tuple(node.attributes["kernel_shape"])
    if axes not in (1, 2):
        raise DynamicShapeError(f"{node}: {axes}-D pooling is interpreted")
    output = window(node.attributes, kernel, x.shape[2:]).output[2 - axes :]
    if min(output) <= 0:
        raise ModelError(f"{node}: a kernel of {kernel} does not fit an input of shape {x.shape}")
    return Spec((*x.shape[:2], *output), x.dtype)


def _same(node: Node, x: Spec, *_: Spec) -> Spec:
    return x


def _broadcast(node: Node, a: Spec, b: Spec) -> Spec:
    return Spec(np.broadcast_shapes(a.shape, b.shape), a.dtype)


def _gemm(node: Node, a: Spec, b: Spec, *_: Spec) -> Spec:
    rows, inner = a.shape[::-1] if node.attributes.get("transA", 0) else a.shape
    columns, depth = b.shape if node.attributes.get("transB", 0) else b.shape[::-1]
    if inner != depth:
        raise ModelError(f"{node}: shapes {a.shape} and {b.shape} do not fit")
    return Spec((rows, columns), a.dtype)


def _matmul(node: Node, a: Spec, b: Spec) -> Spec:
    if min(len(a.shape), len(b.shape)) < 2:
        return as_spec(np.matmul(np.zeros(a.shape, a.dtype), np.zeros(b.shape, b.dtype)))
    if a.shape[-1] != b.shape[-2]:
        raise ModelError(f"{node}: shapes {a.shape} and {b.shape} do not fit")
    return Spec((*np.broadcast_shapes(a.shape[:-2], b.shape[:-2]), a.shape[-2], b.shape[-1]), a.dtype)


def _global_pool(node: Node, x: Spec) -> Spec:
    return Spec((*x.shape[:2], *(1 for _ in x.shape[2:])), x.dtype)


def _concat(node: Node, *parts: Spec) -> Spec:
    axis = node.attributes["axis"] % len(parts[0].shape)
    shape = list(parts[0].shape)
    shape[axis] = sum(p.shape[axis] for p in parts)
    if any(p.shape[:axis] != parts[0].shape[:axis] or p.shape[axis + 1 :] != parts[0].shape[axis + 1 :] for p in parts):
        raise ModelError(f"{node}: shapes {[p.shape for p in parts]} do not fit along axis {axis}")
    return Spec(tuple(shape), parts[0].dtype)


# Rules for what is too heavy to run on zeros; everything else needs none.
_RULES: dict[str, Callable[..., Spec]] = {
    "Conv": _conv, "MaxPool": _pool, "AveragePool": _pool, "GlobalAveragePool": _global_pool,
    "GlobalMaxPool": _global_pool, "Gemm": _gemm, "MatMul": _matmul, "Concat": _concat,
    **dict.fromkeys(("Add", "Sub", "Mul", "Div"), _broadcast),
    **dict.fromkeys(
        ("Relu", "LeakyRelu", "Clip", "Sigmoid", "HardSigmoid", "HardSwish", "Tanh", "Elu", "Exp", "Sqrt", "Softmax",
         "BatchNormalization", "LRN", "Identity"),
        _same,
    ),
}  # fmt: skip
