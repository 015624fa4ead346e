"""Sums, products, activations: in channel blocks where the values are, else on plain arrays in the arena."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from accel.engine.builder import BLOCKED, Arrays, PlanBuilder
from accel.engine.lowering.activation import activation_of
from accel.engine.lowering.arithmetic import lower_plain
from accel.engine.lowering.table import lowers
from accel.graph.network import Node
from accel.kernels import program as native

_KINDS = {"Add": "add", "Sub": "subtract", "Mul": "multiply"}


def _in_blocks(builder: PlanBuilder, name: str) -> bool:
    return BLOCKED in builder.forms.get(name, {})


@lowers("Add", "Sub", "Mul")
def _combine(builder: PlanBuilder, node: Node) -> bool:
    a, b = node.inputs
    if node.op != "Sub" and not _in_blocks(builder, a):
        a, b = b, a
    if not _in_blocks(builder, a) or not builder.is_float_image(b) or builder.spec(a) != builder.spec(node.outputs[0]):
        return _ufunc(builder, node)
    per_channel = builder.spec(b).shape == (*builder.spec(a).shape[:2], 1, 1) and builder.spec(a).shape[2:] != (1, 1)
    if not per_channel and builder.spec(b) != builder.spec(a):
        return _ufunc(builder, node)
    left = builder.blocked(a)
    right = builder.plain(b) if per_channel else builder.blocked(b)
    target = builder.new_blocked(node.outputs[0])
    spec = native.elementwise_spec(
        _KINDS[node.op], left.map, None if per_channel else right.map, target.map,
        b_per_channel=per_channel, activation=activation_of(node),
    )  # fmt: skip
    builder.native_step(
        "elementwise", str(node), [left, right], [target],
        lambda p, at: p.elementwise(spec, at(left), at(right), at(target)),
    )  # fmt: skip
    return True


def _activation_parameters(builder: PlanBuilder, node: Node) -> tuple[float, ...] | None:
    """As accel.kernels.program.activation takes them; None where they are not known before the run."""
    if node.op == "Clip":
        bounds = [-np.inf, np.inf]
        for i, name in enumerate(node.inputs[1:3]):
            if name:
                value = builder.constant(name)
                if value is None or value.size != 1 or np.isnan(value).any():
                    return None  # a bound that is NaN makes every element NaN, which the kernel's clamp does not
                bounds[i] = float(value.reshape(()))
        return tuple(bounds)
    if node.op == "LeakyRelu":
        return (float(node.attributes.get("alpha", 0.01)),)
    if node.op == "HardSigmoid":
        return (float(node.attributes.get("alpha", 0.2)), float(node.attributes.get("beta", 0.5)))
    return ()


@lowers(*(native.NATIVE_ACTIVATIONS - {"Swish"}))
def _activation(builder: PlanBuilder, node: Node) -> bool:
    name, spec = node.inputs[0], builder.spec(node.inputs[0])
    parameters = _activation_parameters(builder, node)
    if parameters is None or spec.dtype != np.float32:
        return False
    function = native.activation(node.op, parameters)
    if _in_blocks(builder, name):
        x, y = builder.blocked(name), builder.new_blocked(node.outputs[0])
        step = native.elementwise_spec("copy", x.map, None, y.map, activation=function)
        nowhere = native.place(native.NOWHERE)
        builder.native_step("activation", str(node), [x], [y], lambda p, at: p.elementwise(step, at(x), nowhere, at(y)))
        return True
    x, y = builder.plain(name), builder.new_plain(node.outputs[0])
    size = int(np.prod(spec.shape))
    builder.native_step("activation", str(node), [x], [y], lambda p, at: p.activation(function, size, at(x), at(y)))
    return True


_UFUNCS: dict[str, np.ufunc] = {
    "Add": np.add, "Sub": np.subtract, "Mul": np.multiply, "Div": np.divide, "Exp": np.exp, "Sqrt": np.sqrt,
    "Neg": np.negative, "Abs": np.absolute, "Tanh": np.tanh, "Floor": np.floor, "Ceil": np.ceil, "Log": np.log,
}  # fmt: skip


@lowers(*(_UFUNCS.keys() - _KINDS.keys()))
def _ufunc(builder: PlanBuilder, node: Node) -> bool:
    """Straight into the arena."""
    if lower_plain(builder, node):
        return True
    if builder.spec(node.outputs[0]).dtype.kind != "f" or "activation" in node.attributes:
        return False
    function = _UFUNCS[node.op]
    sources = [builder.plain(i) for i in node.inputs]
    target = builder.new_plain(node.outputs[0])

    def bind(arrays: Arrays) -> Callable[[], object]:
        from_, to = [arrays(s) for s in sources], arrays(target)
        return partial(function, *from_, out=to)

    builder.python_step("numpy", str(node), sources, [target], bind)
    return True
