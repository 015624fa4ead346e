"""How each operator becomes steps: native kernels where time is spent, NumPy for the rest.

A lowering returns False when the node is not of the form its kernel takes; the node then runs by its operator.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from accel.engine.builder import BLOCKED, PLAIN, Arrays, Packed, PlanBuilder, Tensor
from accel.engine.shapes import Known, Spec, Window, window
from accel.errors import AccelError, ModelError
from accel.graph.fusing import RESIDUAL
from accel.graph.network import Constant, Node
from accel.kernels import program as native
from accel.kernels.conv_native import Route, grouped_channels, pack, route
from accel.layers.operators import registry
from accel.weights.base import dense

Lowering = Callable[[PlanBuilder, Node], bool]
_lowerings: dict[str, Lowering] = {}


def lowers(*names: str) -> Callable[[Lowering], Lowering]:
    """Register the decorated function for these operators."""

    def register(function: Lowering) -> Lowering:
        _lowerings.update(dict.fromkeys(names, function))
        return function

    return register


def lower(builder: PlanBuilder, node: Node) -> None:
    """Add the steps of one node."""
    lowering = _lowerings.get(node.op)
    try:
        if lowering is None or not lowering(builder, node):
            _by_operator(builder, node)
    except AccelError:
        raise
    except ValueError as why:  # a kernel's own check of its geometry
        raise ModelError(f"{node}: {why}") from why
    for name in node.inputs:
        builder.uses[name] -= 1


def makes_blocks(builder: PlanBuilder, node: Node) -> bool:
    """Whether the lowering of `node` writes its output in channel blocks."""
    if node.op == "Conv":
        return _native_conv(builder.known, node) is not None
    if node.op in ("MaxPool", "AveragePool"):
        return len(node.outputs) == 1 and builder.is_float_image(node.inputs[0])
    return False


# -- convolution ---------------------------------------------------------------------------------------------------


def image_shape(spec: Spec) -> tuple[int, int, int, int]:
    """N x C x H x W of an image or of a 1-D signal, which has height 1."""
    return spec.shape if len(spec.shape) == 4 else (*spec.shape[:2], 1, spec.shape[2])  # type: ignore[return-value]


def _native_conv(known: Mapping[str, Known], node: Node) -> tuple[Constant, Window, Route] | None:
    x, w = known.get(node.inputs[0]), known.get(node.inputs[1])
    if not isinstance(x, Spec) or w is None or isinstance(w, Spec) or w.dtype != np.float32 or x.dtype != np.float32:
        return None
    if len(x.shape) != 4 or 0 in x.shape or 0 in w.shape or isinstance(known.get(node.input(2)), Spec):
        return None
    group = node.attributes.get("group", 1)
    if len(w.shape) != 4 or group < 1 or w.shape[0] % group or x.shape[1] != w.shape[1] * group:
        raise ModelError(f"{node}: weights of shape {w.shape} in {group} groups do not fit an input of shape {x.shape}")
    return w, window(node.attributes, w.shape[2:], x.shape[2:]), route(w.shape, group)


def conv_halo(builder: PlanBuilder, node: Node) -> int:
    """The zero halo that the convolution wants around its blocked input."""
    found = _native_conv(builder.known, node)
    if found is None or found[2] in (Route.GATHER, Route.GATHER_GROUPS):
        return 0
    return max(found[1].pads)


def activation_of(node: Node) -> Any:
    """The node's fused activation in native form."""
    return native.activation(node.attributes.get("activation"), tuple(node.attributes.get("activation_params", ())))


@lowers("Conv")
def _conv(builder: PlanBuilder, node: Node) -> bool:
    found = _native_conv(builder.known, node)
    if found is None:
        return False
    w, geometry, kind = found
    group = node.attributes.get("group", 1)
    gather = kind in (Route.GATHER, Route.GATHER_GROUPS)
    if gather:
        x = builder.padded(node.inputs[0], image_shape(builder.spec(node.inputs[0])), max(geometry.pads))
    else:
        x = builder.blocked(node.inputs[0], max(geometry.pads))
    bias = builder.constant(node.input(2))
    weights = builder.pack_once(node.inputs[1:3], (kind, group), lambda: pack(dense(w), bias, group, kind))
    residual, target = _residual_and_target(builder, node)
    result, added, activation = target, residual, activation_of(node)
    if kind is Route.GATHER_GROUPS:  # leaves gaps between the groups, where no residual is
        result, added, activation = _with_gaps(builder, node), None, native.activation(None)
    spec = native.conv_spec(
        x.map, result.map, geometry.kernel, strides=geometry.strides, before=geometry.pads[:2],
        dilations=geometry.dilations, groups=1 if kind is Route.DEPTHWISE else group,
        residual=None if added is None else added.map, activation=activation,
    )  # fmt: skip

    def emit(program: Any, at: Callable[[Tensor], Any]) -> None:
        step = program.depthwise if kind is Route.DEPTHWISE else program.conv
        step(spec, at(x), at(result), native.place(native.NOWHERE) if added is None else at(added), *weights)

    builder.native_step(f"conv {kind.value}", str(node), [x] if added is None else [x, added], [result], emit)
    if kind is Route.GATHER_GROUPS:
        _close_gaps(builder, node, result, residual, target)
    return True


def _with_gaps(builder: PlanBuilder, node: Node) -> Tensor:
    """Room for the output with every group in blocks of its own."""
    images, channels, *size = builder.spec(node.outputs[0]).shape
    layout = native.blocked_map((images, grouped_channels(channels, node.attributes["group"]), *size))
    result = builder.scratch(layout.floats)
    result.map = layout
    return result


def _close_gaps(builder: PlanBuilder, node: Node, gaps: Tensor, residual: Tensor | None, target: Tensor) -> None:
    """Bring the groups together, then add the residual and apply the activation."""
    group, function = node.attributes["group"], activation_of(node)
    closed = target
    if residual is not None:
        closed = builder.scratch(target.map.floats)
        closed.map = native.blocked_map(target.spec.shape, target.map.halo)
    builder.native_step(
        "close groups", str(node), [gaps], [closed],
        lambda p, at: p.close_groups(gaps.map, at(gaps), group, closed.map, at(closed)),
    )  # fmt: skip
    other = closed if residual is None else residual
    kind = "copy" if residual is None else "add"
    spec = native.elementwise_spec(kind, closed.map, other.map, target.map, activation=function)
    if residual is not None or node.attributes.get("activation"):
        builder.native_step(
            "elementwise", str(node), [closed, other], [target],
            lambda p, at: p.elementwise(spec, at(closed), at(other), at(target)),
        )  # fmt: skip


def _residual_and_target(builder: PlanBuilder, node: Node) -> tuple[Tensor | None, Tensor]:
    name = node.outputs[0]
    if not node.input(RESIDUAL):
        return None, builder.new_blocked(name)
    residual = builder.blocked(node.input(RESIDUAL))
    in_place = residual.map.halo == builder.halo.get(name, 0) and name not in builder.joined
    if in_place and builder.overwritable(node.input(RESIDUAL), residual):
        return residual, builder.take_over(name, residual)
    return residual, builder.new_blocked(name)


# -- pooling -------------------------------------------------------------------------------------------------------


@lowers("MaxPool", "AveragePool")
def _pool(builder: PlanBuilder, node: Node) -> bool:
    if not makes_blocks(builder, node):
        return False
    x = builder.blocked(node.inputs[0])
    geometry = window(node.attributes, tuple(node.attributes["kernel_shape"]), x.spec.shape[2:])
    target = builder.new_blocked(node.outputs[0])
    spec = native.pool_spec(
        x.map, target.map, geometry.kernel, average=node.op == "AveragePool", strides=geometry.strides,
        pads=geometry.pads, dilations=geometry.dilations,
        count_include_pad=bool(node.attributes.get("count_include_pad", 0)),
    )  # fmt: skip
    builder.native_step("pool", str(node), [x], [target], lambda p, at: p.pool(spec, at(x), at(target)))
    return True


@lowers("GlobalAveragePool")
def _global_average(builder: PlanBuilder, node: Node) -> bool:
    if not builder.is_float_image(node.inputs[0]):
        return False
    return _mean(builder, node)


@lowers("ReduceMean")
def _reduce_mean(builder: PlanBuilder, node: Node) -> bool:
    axes = builder.constant(node.input(1))
    if axes is None or not builder.is_float_image(node.inputs[0]) or sorted(a % 4 for a in axes.tolist()) != [2, 3]:
        return False
    return _mean(builder, node)


def _mean(builder: PlanBuilder, node: Node) -> bool:
    x = builder.blocked(node.inputs[0])
    target = builder.new_plain(node.outputs[0])
    builder.native_step(
        "global average", str(node), [x], [target], lambda p, at: p.global_average(x.map, at(x), at(target))
    )
    return True


# -- element by element --------------------------------------------------------------------------------------------

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


# -- matrix products -----------------------------------------------------------------------------------------------


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
    alpha, beta = np.float32(attributes.get("alpha", 1.0)), np.float32(attributes.get("beta", 1.0))
    matrix = dense(w) if attributes.get("transB", 0) else dense(w).T
    bias = None if c is None else np.broadcast_to(dense(c).reshape(-1), matrix.shape[:1]) * beta
    return matrix if alpha == 1 else matrix * alpha, bias


@lowers("Gemm")
def _gemm(builder: PlanBuilder, node: Node) -> bool:
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

    def make() -> Packed:
        w, bias = operands()
        return native.pack_linear(w), native.pack_bias(bias, out)

    weights = builder.pack_once(node.inputs[1:3], ("linear", *how), make)
    source, target = builder.plain(node.inputs[0]), builder.new_plain(node.outputs[0])
    scratch = builder.scratch(rows * (depth + native.BLOCK))
    function = activation_of(node)

    def emit(program: Any, at: Callable[[Tensor], Any]) -> None:
        program.linear(rows, depth, out, function, at(source), at(target), at(scratch), *weights)

    builder.native_step("linear", str(node), [source], [target, scratch], emit)
    return True


# -- shape only ----------------------------------------------------------------------------------------------------


@lowers("Concat")
def _concat(builder: PlanBuilder, node: Node) -> bool:
    name = node.outputs[0]
    if all(builder.joined.get(i, ("",))[0] == name for i in node.inputs):
        return True  # every part was written in place
    parts = [builder.plain(i) for i in node.inputs]
    target = builder.new_plain(name)
    axis = node.attributes["axis"]

    def bind(arrays: Arrays) -> Callable[[], object]:
        from_, to = [arrays(p) for p in parts], arrays(target)
        return partial(np.concatenate, from_, axis=axis, out=to)

    builder.python_step("concat", str(node), parts, [target], bind)
    return True


@lowers("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity")
def _alias(builder: PlanBuilder, node: Node) -> bool:
    if len(node.outputs) != 1:
        return False
    builder.alias(node.outputs[0], builder.plain(node.inputs[0]))
    return True


@lowers("Transpose")
def _transpose(builder: PlanBuilder, node: Node) -> bool:
    source = builder.plain(node.inputs[0])
    perm = node.attributes.get("perm") or range(len(source.spec.shape))[::-1]
    target = builder.new_plain(node.outputs[0])

    def bind(arrays: Arrays) -> Callable[[], object]:
        from_, to = arrays(source).transpose(perm), arrays(target)
        return partial(np.copyto, to, from_)

    builder.python_step("transpose", str(node), [source], [target], bind)
    return True


# -- by NumPy ------------------------------------------------------------------------------------------------------

_UFUNCS: dict[str, np.ufunc] = {
    "Add": np.add, "Sub": np.subtract, "Mul": np.multiply, "Div": np.divide, "Exp": np.exp, "Sqrt": np.sqrt,
    "Neg": np.negative, "Abs": np.absolute, "Tanh": np.tanh, "Floor": np.floor, "Ceil": np.ceil, "Log": np.log,
}  # fmt: skip


@lowers(*(_UFUNCS.keys() - _KINDS.keys()))
def _ufunc(builder: PlanBuilder, node: Node) -> bool:
    """Straight into the arena."""
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


def _by_operator(builder: PlanBuilder, node: Node) -> None:
    """Any operator, its results copied to their places."""
    operator = registry()[node.op]
    sources = [builder.plain(i) if i else None for i in node.inputs]
    targets = [builder.new_plain(o) if o else None for o in node.outputs]
    attributes, count = node.attributes, len(node.outputs)

    def bind(arrays: Arrays) -> Callable[[], object]:
        from_ = [None if s is None else arrays(s) for s in sources]
        to = [None if t is None else arrays(t) for t in targets]

        def call() -> None:
            for result, place in zip(operator(from_, attributes, count), to, strict=False):
                if place is not None:
                    np.copyto(place, result, casting="no")

        return call

    builder.python_step(
        "numpy", str(node), [s for s in sources if s is not None], [t for t in targets if t is not None], bind
    )


__all__ = ["PLAIN", "conv_halo", "lower", "makes_blocks"]
