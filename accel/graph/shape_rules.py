"""Type and shape rules of elementwise operators and of those that move data, see graph/shapes.py."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from accel.graph.facts import Fact, Rules, Shape, Unknown, agree, broadcast, one_type
from accel.graph.network import Dim, Node
from accel.layers.operators.dtypes import DTYPES

RULES = Rules()
REDUCTIONS = ("L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "Sum", "SumSquare")
"""Every operator Reduce..."""

_INT64, _BOOL = np.dtype(np.int64), np.dtype(np.bool_)


def _axis(axis: int, rank: int) -> int:
    if not -rank <= axis < rank:
        raise IndexError(f"axis {axis} of {rank} axes")
    return axis % rank


def _product(dims: tuple[Dim, ...]) -> Dim:
    if 0 in dims:
        return 0
    longer = [dim for dim in dims if dim != 1]
    if all(isinstance(dim, int) for dim in longer):
        return math.prod(dim for dim in longer if isinstance(dim, int))
    return longer[0] if len(longer) == 1 else None


_SAME_SHAPE = """
    Abs Acos Acosh Asin Asinh Atan Atanh BatchNormalization Ceil Celu Cos Cosh CumSum Elu Erf Exp Floor Gelu
    HardSigmoid HardSwish Hardmax Identity InstanceNormalization LRN LayerNormalization LeakyRelu Log LogSoftmax
    LpNormalization MeanVarianceNormalization Mish Neg Not PRelu Reciprocal Relu Round Selu Shrink Sigmoid Sign Sin
    Sinh Softmax Softplus Softsign Sqrt Swish Tan Tanh ThresholdedRelu GroupNormalization ScatterElements ScatterND
    Trilu
""".split()  # noqa: SIM905  a literal list would take a line per name


@RULES(*_SAME_SHAPE)
def _same(node: Node, x: list[Fact]) -> list[Fact]:
    return [Fact(x[0].dtype, x[0].shape)]


@RULES("Clip")
def _clip(node: Node, x: list[Fact]) -> list[Fact]:
    if any(name and _product(fact.dims()) != 1 for name, fact in zip(node.inputs[1:], x[1:], strict=True)):
        raise ValueError("bounds are scalars")
    one_type(x)
    return [Fact(x[0].dtype, x[0].shape)]


@RULES("Dropout")
def _dropout(node: Node, x: list[Fact]) -> list[Fact]:
    return [Fact(x[0].dtype, x[0].shape), Fact(_BOOL, x[0].shape)]


@RULES("Add", "Sub", "Mul", "Div", "Pow", "Mod", "Sum", "Max", "Min", "Mean", "BitwiseAnd", "BitwiseOr", "BitwiseXor")
def _elementwise(node: Node, x: list[Fact]) -> list[Fact]:
    if node.op != "Pow":
        one_type(x)
    return [Fact(x[0].dtype, broadcast(*(fact.shape for fact in x)))]


@RULES("Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "And", "Or", "Xor")
def _comparison(node: Node, x: list[Fact]) -> list[Fact]:
    return [Fact(_BOOL, broadcast(*(fact.shape for fact in x)))]


@RULES("IsNaN", "IsInf")
def _predicate(node: Node, x: list[Fact]) -> list[Fact]:
    return [Fact(_BOOL, x[0].shape)]


@RULES("Where")
def _where(node: Node, x: list[Fact]) -> list[Fact]:
    return [Fact(x[1].dtype, broadcast(*(fact.shape for fact in x)))]


@RULES("Cast")
def _cast(node: Node, x: list[Fact]) -> list[Fact]:
    return [Fact(DTYPES.get(node.attributes["to"]), x[0].shape)]


@RULES("QuantizeLinear")
def _quantize(node: Node, x: list[Fact]) -> list[Fact]:
    if node.attributes.get("output_dtype"):
        dtype = DTYPES.get(node.attributes["output_dtype"])
    else:
        dtype = x[2].dtype if len(x) > 2 and node.input(2) else np.dtype(np.uint8)
    return [Fact(dtype, x[0].shape)]


@RULES("DequantizeLinear")
def _dequantize(node: Node, x: list[Fact]) -> list[Fact]:
    return [Fact(DTYPES.get(node.attributes.get("output_dtype", 0), x[1].dtype), x[0].shape)]


@RULES("Flatten")
def _flatten(node: Node, x: list[Fact]) -> list[Fact]:
    shape = x[0].dims()
    axis = node.attributes.get("axis", 1)
    if not -len(shape) <= axis <= len(shape):
        raise IndexError(f"axis {axis} of {len(shape)} axes")
    axis += len(shape) if axis < 0 else 0
    return [Fact(x[0].dtype, (_product(shape[:axis]), _product(shape[axis:])))]


@RULES("Reshape")
def _reshape(node: Node, x: list[Fact]) -> list[Fact]:
    if x[1].value is None:
        length = x[1].dims()[0]
        return [Fact(x[0].dtype, (None,) * length if isinstance(length, int) and length < 33 else None)]
    target: list[Dim] = [int(size) for size in x[1].numbers()]
    if x[0].shape is None:
        bare = node.attributes.get("allowzero") and -1 not in target
        return [Fact(x[0].dtype, tuple(target if bare else (None if d in (0, -1) else d for d in target)))]
    if not node.attributes.get("allowzero"):
        target = [x[0].shape[at] if size == 0 else size for at, size in enumerate(target)]
    if -1 in target:
        at = target.index(-1)
        target[at] = _missing(list(x[0].shape), target[:at] + target[at + 1 :])
    agree(_product(x[0].shape), _product(tuple(target)))
    return [Fact(x[0].dtype, _sizes(target))]


def _missing(whole: list[Dim], parts: list[Dim]) -> Dim:
    """The size that `parts` lack to hold as many elements as `whole`; symbols that both have cancel out."""
    for symbol in [dim for dim in parts if isinstance(dim, str)]:
        if symbol not in whole:
            return None
        whole.remove(symbol)
        parts.remove(symbol)
    symbols = [dim for dim in whole if not isinstance(dim, int)]
    total, rest = (math.prod(dim for dim in dims if isinstance(dim, int)) for dims in (whole, parts))
    if None in parts or rest == 0 or total % rest:
        return None
    if not symbols:
        return total // rest
    return symbols[0] if len(symbols) == 1 and total == rest else None


@RULES("Transpose")
def _transpose(node: Node, x: list[Fact]) -> list[Fact]:
    shape = x[0].dims()
    order = node.attributes.get("perm") or range(len(shape))[::-1]
    if sorted(order) != list(range(len(shape))):
        raise ValueError("perm is not a permutation")
    return [Fact(x[0].dtype, tuple(shape[axis] for axis in order))]


@RULES("Concat")
def _concat(node: Node, x: list[Fact]) -> list[Fact]:
    one_type(x)
    shapes = [fact.dims() for fact in x]
    axis = _axis(node.attributes["axis"], len(shapes[0]))
    along = [shape[axis] for shape in shapes]
    size = sum(d for d in along if isinstance(d, int)) if all(isinstance(d, int) for d in along) else None
    columns = list(zip(*shapes, strict=True))
    for dims in columns[:axis] + columns[axis + 1 :]:
        agree(*dims)
    others = [next((d for d in dims if d is not None), None) for dims in columns]
    return [Fact(x[0].dtype, (*others[:axis], size, *others[axis + 1 :]))]


@RULES("Squeeze")
def _squeeze(node: Node, x: list[Fact]) -> list[Fact]:
    shape = x[0].dims()
    if node.input(1):
        axes = {_axis(axis, len(shape)) for axis in x[1].numbers()}
    elif all(isinstance(dim, int) for dim in shape):
        axes = {at for at, dim in enumerate(shape) if dim == 1}
    else:
        raise Unknown
    agree(1, *(shape[axis] for axis in axes))
    return [Fact(x[0].dtype, tuple(dim for at, dim in enumerate(shape) if at not in axes))]


@RULES("Unsqueeze")
def _unsqueeze(node: Node, x: list[Fact]) -> list[Fact]:
    shape, axes = x[0].dims(), x[1].numbers()
    rank = len(shape) + len(axes)
    at = {_axis(axis, rank) for axis in axes}
    if len(at) < len(axes):
        raise ValueError("an axis is named twice")
    rest = iter(shape)
    return [Fact(x[0].dtype, tuple(1 if axis in at else next(rest) for axis in range(rank)))]


@RULES("Slice")
def _slice(node: Node, x: list[Fact]) -> list[Fact]:
    shape = list(x[0].dims())
    starts, ends = x[1].numbers(), x[2].numbers()
    axes = x[3].numbers() if node.input(3) else range(len(starts))
    steps = x[4].numbers() if node.input(4) else [1] * len(starts)
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        at = _axis(axis, len(shape))
        dim = shape[at]
        shape[at] = len(range(*slice(start, end, step).indices(dim))) if isinstance(dim, int) else None
    return [Fact(x[0].dtype, tuple(shape))]


@RULES("Gather")
def _gather(node: Node, x: list[Fact]) -> list[Fact]:
    shape = x[0].dims()
    axis = _axis(node.attributes.get("axis", 0), len(shape))
    return [Fact(x[0].dtype, (*shape[:axis], *x[1].dims(), *shape[axis + 1 :]))]


@RULES("Split")
def _split(node: Node, x: list[Fact]) -> list[Fact]:
    shape, count = x[0].dims(), len(node.outputs)
    axis = _axis(node.attributes.get("axis", 0), len(shape))
    dim = shape[axis]
    if node.input(1):
        sizes: list[Dim] = [*x[1].numbers()]
        agree(dim, sum(x[1].numbers()))
    elif isinstance(dim, int):
        part = -(-dim // count)
        sizes = [*[part] * (count - 1), dim - part * (count - 1)]
    else:
        sizes = [None] * count
    return [Fact(x[0].dtype, (*shape[:axis], size, *shape[axis + 1 :])) for size in sizes]


@RULES("Shape")
def _shape(node: Node, x: list[Fact]) -> list[Fact]:
    rank = len(x[0].dims())
    start, end, _ = slice(node.attributes.get("start", 0), node.attributes.get("end")).indices(rank)
    dims = x[0].dims()[start:end]
    known = all(isinstance(dim, int) and 0 <= dim < 2**63 for dim in dims)
    return [Fact(_INT64, (len(dims),), np.array(dims, np.int64) if known else None)]


@RULES("Size")
def _size(node: Node, x: list[Fact]) -> list[Fact]:
    total = _product(x[0].dims())
    return [Fact(_INT64, (), np.array(total, np.int64) if isinstance(total, int) and total < 2**63 else None)]


@RULES("ConstantOfShape")
def _constant_of_shape(node: Node, x: list[Fact]) -> list[Fact]:
    value = node.attributes.get("value")
    return [Fact(np.dtype(np.float32) if value is None else value.dtype, _sizes(x[0].numbers()))]


@RULES("Expand")
def _expand(node: Node, x: list[Fact]) -> list[Fact]:
    return [Fact(x[0].dtype, broadcast(x[0].shape, _sizes(x[1].numbers())))]


@RULES("Tile")
def _tile(node: Node, x: list[Fact]) -> list[Fact]:
    pairs = zip(x[0].dims(), x[1].numbers(), strict=True)
    return [Fact(x[0].dtype, _sizes(d * n if isinstance(d, int) else (d if n == 1 else None) for d, n in pairs))]


@RULES("Range")
def _range(node: Node, x: list[Fact]) -> list[Fact]:
    (start,), (limit,), (delta,) = (fact.numbers() for fact in x)
    return [Fact(x[0].dtype, (max(math.ceil((limit - start) / delta), 0),))]


@RULES("Pad")
def _pad(node: Node, x: list[Fact]) -> list[Fact]:
    shape = list(x[0].dims())
    axes = [_axis(a, len(shape)) for a in x[3].numbers()] if node.input(3) else list(range(len(shape)))
    pads = x[1].numbers()
    for axis, begin, end in zip(axes, pads[: len(axes)], pads[len(axes) :], strict=True):
        dim = shape[axis]
        shape[axis] = dim + begin + end if isinstance(dim, int) else (dim if begin == end == 0 else None)
    return [Fact(x[0].dtype, _sizes(shape))]


@RULES("Resize")
def _resize(node: Node, x: list[Fact]) -> list[Fact]:
    shape = x[0].dims()
    if "axes" in node.attributes or node.attributes.get("keep_aspect_ratio_policy", "stretch") != "stretch":
        return [Fact(x[0].dtype, (None,) * len(shape))]
    if node.input(3):
        return [Fact(x[0].dtype, _sizes(x[3].numbers()))]
    scales = x[2].numbers()
    if min(scales) <= 0:
        raise ValueError("a scale is not positive")
    pairs = zip(shape, scales, strict=True)
    sizes = (math.floor(d * s) if isinstance(d, int) else (d if s == 1 else None) for d, s in pairs)
    return [Fact(x[0].dtype, tuple(sizes))]


@RULES("DepthToSpace", "SpaceToDepth")
def _blocks(node: Node, x: list[Fact]) -> list[Fact]:
    batch, channels, height, width = x[0].dims()
    block = node.attributes["blocksize"]
    if not isinstance(channels, int) or not isinstance(height, int) or not isinstance(width, int):
        return [Fact(x[0].dtype, (batch, None, None, None))]
    if node.op == "DepthToSpace":
        return [Fact(x[0].dtype, (batch, channels // block**2, height * block, width * block))]
    return [Fact(x[0].dtype, (batch, channels * block**2, height // block, width // block))]


@RULES(*(f"Reduce{kind}" for kind in REDUCTIONS))
def _reduce(node: Node, x: list[Fact]) -> list[Fact]:
    axes = x[1].numbers() if node.input(1) else []
    if not axes and node.attributes.get("noop_with_empty_axes"):
        return [Fact(x[0].dtype, x[0].shape)]
    return [Fact(x[0].dtype, _reduced(x[0].dims(), axes, node.attributes.get("keepdims", 1)))]


@RULES("ArgMax", "ArgMin")
def _arg(node: Node, x: list[Fact]) -> list[Fact]:
    return [Fact(_INT64, _reduced(x[0].dims(), [node.attributes.get("axis", 0)], node.attributes.get("keepdims", 1)))]


def _reduced(shape: tuple[Dim, ...], axes: list[Any], keep: int) -> Shape:
    at = {_axis(axis, len(shape)) for axis in axes} if axes else set(range(len(shape)))
    kept = ((1 if axis in at else dim) for axis, dim in enumerate(shape) if keep or axis not in at)
    return tuple(kept)


def _sizes(numbers: Any) -> tuple[Dim, ...]:
    sizes = tuple(numbers)
    if any(isinstance(size, int) and size < 0 for size in sizes):
        raise ValueError("a size is negative")
    return sizes
