"""Type and shape rules of the operators that convolutional networks are made of, see graph/shapes.py."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from accel.graph.dtypes import DTYPES
from accel.graph.facts import Fact, Shape, Unknown, broadcast
from accel.graph.network import Dim, Node

Rule = Callable[[Node, list[Fact]], list[Fact]]
RULES: dict[str, Rule] = {}
"""Rule per operator: facts of inputs (absent: Fact()) to facts of outputs."""

_INT64, _BOOL = np.dtype(np.int64), np.dtype(np.bool_)


def _rule(*ops: str) -> Callable[[Rule], Rule]:
    def register(rule: Rule) -> Rule:
        RULES.update(dict.fromkeys(ops, rule))
        return rule

    return register


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


@_rule(
    *"Abs Acos Acosh Asin Asinh Atan Atanh BatchNormalization Ceil Celu Cos Cosh CumSum Elu Erf Exp Floor Gelu"
    " HardSigmoid HardSwish Hardmax Identity InstanceNormalization LRN LayerNormalization LeakyRelu Log LogSoftmax"
    " LpNormalization MeanVarianceNormalization Mish Neg Not PRelu Reciprocal Relu Round Selu Shrink Sigmoid Sign Sin"
    " Sinh Softmax Softplus Softsign Sqrt Swish Tan Tanh ThresholdedRelu GroupNormalization ScatterElements ScatterND"
    " Trilu".split()
)
def _same(node: Node, x: list[Fact]) -> list[Fact]:
    return [Fact(x[0].dtype, x[0].shape)]


@_rule("Clip")
def _clip(node: Node, x: list[Fact]) -> list[Fact]:
    if any(name and _product(fact.dims()) != 1 for name, fact in zip(node.inputs[1:], x[1:], strict=True)):
        raise ValueError("bounds are scalars")
    return [Fact(x[0].dtype, x[0].shape)]


@_rule("Dropout")
def _dropout(node: Node, x: list[Fact]) -> list[Fact]:
    return [Fact(x[0].dtype, x[0].shape), Fact(_BOOL, x[0].shape)]


@_rule("Add", "Sub", "Mul", "Div", "Pow", "Mod", "Sum", "Max", "Min", "Mean", "BitwiseAnd", "BitwiseOr", "BitwiseXor")
def _elementwise(node: Node, x: list[Fact]) -> list[Fact]:
    return [Fact(x[0].dtype, broadcast(*(fact.shape for fact in x)))]


@_rule("Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "And", "Or", "Xor")
def _comparison(node: Node, x: list[Fact]) -> list[Fact]:
    return [Fact(_BOOL, broadcast(*(fact.shape for fact in x)))]


@_rule("IsNaN", "IsInf")
def _predicate(node: Node, x: list[Fact]) -> list[Fact]:
    return [Fact(_BOOL, x[0].shape)]


@_rule("Where")
def _where(node: Node, x: list[Fact]) -> list[Fact]:
    return [Fact(x[1].dtype, broadcast(*(fact.shape for fact in x)))]


@_rule("Cast")
def _cast(node: Node, x: list[Fact]) -> list[Fact]:
    return [Fact(DTYPES.get(node.attributes["to"]), x[0].shape)]


@_rule("QuantizeLinear")
def _quantize(node: Node, x: list[Fact]) -> list[Fact]:
    if "output_dtype" in node.attributes and node.attributes["output_dtype"]:
        dtype = DTYPES.get(node.attributes["output_dtype"])
    else:
        dtype = x[2].dtype if len(x) > 2 and node.input(2) else np.dtype(np.uint8)
    return [Fact(dtype, x[0].shape)]


@_rule("DequantizeLinear")
def _dequantize(node: Node, x: list[Fact]) -> list[Fact]:
    return [Fact(DTYPES.get(node.attributes.get("output_dtype", 0), x[1].dtype), x[0].shape)]


def _window(dim: Dim, kernel: int, stride: int, dilation: int, pad: int, ceil: bool) -> Dim:
    """Positions of a window along one axis."""
    extent = (kernel - 1) * dilation + 1
    if stride < 1 or kernel < 1 or dilation < 1:
        raise ValueError("strides, kernel and dilations are >= 1")
    if not isinstance(dim, int):
        return dim if stride == 1 and pad == extent - 1 else None
    count = dim + pad - extent
    if count < 0:
        raise ValueError("the window is larger than the image")
    return (-(-count // stride) if ceil else count // stride) + 1


def _windows(node: Node, image: tuple[Dim, ...], kernel: list[int]) -> tuple[Dim, ...]:
    get = node.attributes.get
    rank = len(kernel)
    strides, dilations = get("strides") or (1,) * rank, get("dilations") or (1,) * rank
    pads = get("pads") or (0,) * (2 * rank)
    auto = get("auto_pad", "NOTSET")
    if auto in ("SAME_UPPER", "SAME_LOWER"):
        return tuple(
            -(-dim // step) if isinstance(dim, int) else (dim if step == 1 else None)
            for dim, step in zip(image, strides, strict=True)
        )
    if auto == "VALID":
        pads = (0,) * (2 * rank)
    ceil = bool(get("ceil_mode", 0))
    sizes = zip(image, kernel, strides, dilations, pads[:rank], pads[rank:], strict=True)
    if not ceil:
        return tuple(_window(dim, k, s, d, p + q, False) for dim, k, s, d, p, q in sizes)
    return tuple(_ceil_window(dim, k, s, d, p, q) for dim, k, s, d, p, q in sizes)


def _ceil_window(dim: Dim, kernel: int, stride: int, dilation: int, begin: int, end: int) -> Dim:
    """With ceil_mode a last window that would start in the padding after the image is left out."""
    count = _window(dim, kernel, stride, dilation, begin + end, True)
    if not isinstance(count, int) or not isinstance(dim, int):
        return count
    return count - 1 if (count - 1) * stride >= dim + begin else count


@_rule("Conv")
def _conv(node: Node, x: list[Fact]) -> list[Fact]:
    image, weight = x[0].dims(), x[1].dims()
    kernel = list(weight[2:])
    if not all(isinstance(k, int) for k in kernel):
        raise Unknown
    return [Fact(x[0].dtype, (image[0], weight[0], *_windows(node, image[2:], kernel)))]  # type: ignore[arg-type]


@_rule("ConvTranspose")
def _conv_transpose(node: Node, x: list[Fact]) -> list[Fact]:
    image, weight, get = x[0].dims(), x[1].dims(), node.attributes.get
    rank = len(image) - 2
    channels = weight[1] * get("group", 1) if isinstance(weight[1], int) else None
    if get("auto_pad", "NOTSET") != "NOTSET" or get("output_shape"):
        return [Fact(x[0].dtype, (image[0], channels, *(None,) * rank))]
    ones, pads = (1,) * rank, get("pads") or (0,) * (2 * rank)
    steps = zip(
        image[2:], weight[2:], get("strides") or ones, get("dilations") or ones, pads[:rank], pads[rank:],
        get("output_padding") or (0,) * rank, strict=True,
    )  # fmt: skip
    sizes = tuple(
        s * (dim - 1) + extra + (k - 1) * d + 1 - p - q if isinstance(dim, int) and isinstance(k, int) else None
        for dim, k, s, d, p, q, extra in steps
    )
    return [Fact(x[0].dtype, (image[0], channels, *sizes))]


@_rule("MaxPool", "AveragePool", "LpPool")
def _pool(node: Node, x: list[Fact]) -> list[Fact]:
    image = x[0].dims()
    shape = (*image[:2], *_windows(node, image[2:], list(node.attributes["kernel_shape"])))
    return [Fact(x[0].dtype, shape), Fact(_INT64, shape)]


@_rule("GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool")
def _global_pool(node: Node, x: list[Fact]) -> list[Fact]:
    image = x[0].dims()
    return [Fact(x[0].dtype, (*image[:2], *(1,) * (len(image) - 2)))]


@_rule("Gemm")
def _gemm(node: Node, x: list[Fact]) -> list[Fact]:
    a, b = x[0].dims(), x[1].dims()
    if len(a) != 2 or len(b) != 2:
        raise ValueError("Gemm takes matrices")
    rows = a[1 if node.attributes.get("transA") else 0]
    return [Fact(x[0].dtype, (rows, b[0 if node.attributes.get("transB") else 1]))]


@_rule("MatMul")
def _matmul(node: Node, x: list[Fact]) -> list[Fact]:
    a, b = x[0].dims(), x[1].dims()
    left, right = (a if len(a) > 1 else (1, *a)), (b if len(b) > 1 else (*b, 1))
    stack = broadcast(left[:-2], right[:-2]) or ()
    return [Fact(x[0].dtype, (*stack, *left[-2:-1][: len(a) - 1], *right[-1:][: len(b) - 1]))]


@_rule("Flatten")
def _flatten(node: Node, x: list[Fact]) -> list[Fact]:
    shape = x[0].dims()
    axis = node.attributes.get("axis", 1)
    axis += len(shape) if axis < 0 else 0
    return [Fact(x[0].dtype, (_product(shape[:axis]), _product(shape[axis:])))]


@_rule("Reshape")
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
    return [Fact(x[0].dtype, tuple(target))]


def _missing(whole: list[Dim], parts: list[Dim]) -> Dim:
    """The size that `parts` lack to hold as many elements as `whole`; symbols that both have cancel out."""
    for dim in [d for d in parts if isinstance(d, str)]:
        if dim not in whole:
            return None
        whole.remove(dim)
        parts.remove(dim)
    total, rest = _product(tuple(whole)), _product(tuple(parts))
    if rest == 1:
        return total
    return total // rest if isinstance(total, int) and isinstance(rest, int) and rest else None


@_rule("Transpose")
def _transpose(node: Node, x: list[Fact]) -> list[Fact]:
    shape = x[0].dims()
    order = node.attributes.get("perm") or range(len(shape))[::-1]
    if sorted(order) != list(range(len(shape))):
        raise ValueError("perm is not a permutation")
    return [Fact(x[0].dtype, tuple(shape[axis] for axis in order))]


@_rule("Concat")
def _concat(node: Node, x: list[Fact]) -> list[Fact]:
    shapes = [fact.dims() for fact in x]
    axis = _axis(node.attributes["axis"], len(shapes[0]))
    along = [shape[axis] for shape in shapes]
    size = sum(d for d in along if isinstance(d, int)) if all(isinstance(d, int) for d in along) else None
    others = [next((d for d in dims if d is not None), None) for dims in zip(*shapes, strict=True)]
    return [Fact(x[0].dtype, (*others[:axis], size, *others[axis + 1 :]))]


@_rule("Squeeze")
def _squeeze(node: Node, x: list[Fact]) -> list[Fact]:
    shape = x[0].dims()
    if node.input(1):
        axes = {_axis(axis, len(shape)) for axis in x[1].numbers()}
    elif all(isinstance(dim, int) for dim in shape):
        axes = {at for at, dim in enumerate(shape) if dim == 1}
    else:
        raise Unknown
    return [Fact(x[0].dtype, tuple(dim for at, dim in enumerate(shape) if at not in axes))]


@_rule("Unsqueeze")
def _unsqueeze(node: Node, x: list[Fact]) -> list[Fact]:
    shape, axes = x[0].dims(), x[1].numbers()
    rank = len(shape) + len(axes)
    at = {_axis(axis, rank) for axis in axes}
    rest = iter(shape)
    return [Fact(x[0].dtype, tuple(1 if axis in at else next(rest) for axis in range(rank)))]


@_rule("Slice")
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


@_rule("Gather")
def _gather(node: Node, x: list[Fact]) -> list[Fact]:
    shape = x[0].dims()
    axis = _axis(node.attributes.get("axis", 0), len(shape))
    return [Fact(x[0].dtype, (*shape[:axis], *x[1].dims(), *shape[axis + 1 :]))]


@_rule("Split")
def _split(node: Node, x: list[Fact]) -> list[Fact]:
    shape, count = x[0].dims(), len(node.outputs)
    axis = _axis(node.attributes.get("axis", 0), len(shape))
    dim = shape[axis]
    if node.input(1):
        sizes: list[Dim] = [*x[1].numbers()]
    elif isinstance(dim, int):
        part = -(-dim // count)
        sizes = [*[part] * (count - 1), dim - part * (count - 1)]
    else:
        sizes = [None] * count
    return [Fact(x[0].dtype, (*shape[:axis], size, *shape[axis + 1 :])) for size in sizes]


@_rule("Shape")
def _shape(node: Node, x: list[Fact]) -> list[Fact]:
    rank = len(x[0].dims())
    start, end, _ = slice(node.attributes.get("start", 0), node.attributes.get("end")).indices(rank)
    dims = x[0].dims()[start:end]
    known = all(isinstance(dim, int) and 0 <= dim < 2**63 for dim in dims)
    return [Fact(_INT64, (len(dims),), np.array(dims, np.int64) if known else None)]


@_rule("Size")
def _size(node: Node, x: list[Fact]) -> list[Fact]:
    total = _product(x[0].dims())
    return [Fact(_INT64, (), np.array(total, np.int64) if isinstance(total, int) and total < 2**63 else None)]


@_rule("ConstantOfShape")
def _constant_of_shape(node: Node, x: list[Fact]) -> list[Fact]:
    value = node.attributes.get("value")
    return [Fact(np.dtype(np.float32) if value is None else value.dtype, _sizes(x[0].numbers()))]


@_rule("Expand")
def _expand(node: Node, x: list[Fact]) -> list[Fact]:
    return [Fact(x[0].dtype, broadcast(x[0].shape, _sizes(x[1].numbers())))]


@_rule("Tile")
def _tile(node: Node, x: list[Fact]) -> list[Fact]:
    pairs = zip(x[0].dims(), _sizes(x[1].numbers()), strict=True)
    return [Fact(x[0].dtype, tuple(d * n if isinstance(d, int) else (d if n == 1 else None) for d, n in pairs))]


@_rule("Range")
def _range(node: Node, x: list[Fact]) -> list[Fact]:
    (start,), (limit,), (delta,) = (fact.numbers() for fact in x)
    return [Fact(x[0].dtype, (max(math.ceil((limit - start) / delta), 0),))]


@_rule("Pad")
def _pad(node: Node, x: list[Fact]) -> list[Fact]:
    shape = list(x[0].dims())
    axes = [_axis(a, len(shape)) for a in x[3].numbers()] if node.input(3) else list(range(len(shape)))
    pads = x[1].numbers()
    for axis, begin, end in zip(axes, pads[: len(axes)], pads[len(axes) :], strict=True):
        dim = shape[axis]
        shape[axis] = dim + begin + end if isinstance(dim, int) else (dim if begin == end == 0 else None)
    return [Fact(x[0].dtype, _sizes(shape))]


@_rule("Resize")
def _resize(node: Node, x: list[Fact]) -> list[Fact]:
    shape = x[0].dims()
    if "axes" in node.attributes or node.attributes.get("keep_aspect_ratio_policy", "stretch") != "stretch":
        return [Fact(x[0].dtype, (None,) * len(shape))]
    if node.input(3):
        return [Fact(x[0].dtype, _sizes(x[3].numbers()))]
    pairs = zip(shape, x[2].numbers(), strict=True)
    sizes = (math.floor(d * s) if isinstance(d, int) else (d if s == 1 else None) for d, s in pairs)
    return [Fact(x[0].dtype, tuple(sizes))]


@_rule("DepthToSpace", "SpaceToDepth")
def _blocks(node: Node, x: list[Fact]) -> list[Fact]:
    batch, channels, height, width = x[0].dims()
    block = node.attributes["blocksize"]
    if not isinstance(channels, int) or not isinstance(height, int) or not isinstance(width, int):
        return [Fact(x[0].dtype, (batch, None, None, None))]
    if node.op == "DepthToSpace":
        return [Fact(x[0].dtype, (batch, channels // block**2, height * block, width * block))]
    return [Fact(x[0].dtype, (batch, channels * block**2, height // block, width // block))]


@_rule(
    *"ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum"
    " ReduceSumSquare".split()
)
def _reduce(node: Node, x: list[Fact]) -> list[Fact]:
    axes = x[1].numbers() if node.input(1) else []
    if not axes and node.attributes.get("noop_with_empty_axes"):
        return [Fact(x[0].dtype, x[0].shape)]
    return [Fact(x[0].dtype, _reduced(x[0].dims(), axes, node.attributes.get("keepdims", 1)))]


@_rule("ArgMax", "ArgMin")
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
