"""Type and shape rules of the layers: convolution, pooling, matrix products, see graph/shapes.py."""

from __future__ import annotations

import numpy as np

from accel.graph.facts import Fact, Rules, Unknown, agree, broadcast, one_type
from accel.graph.network import Dim, Node

RULES = Rules()
_INT64 = np.dtype(np.int64)


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
    if auto not in ("NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER") or min(pads, default=0) < 0:
        raise ValueError("auto_pad is unknown or a pad negative")
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


@RULES("Conv")
def _conv(node: Node, x: list[Fact]) -> list[Fact]:
    one_type(x)
    image, weight = x[0].dims(), x[1].dims()
    kernel = list(weight[2:])
    if not all(isinstance(k, int) for k in kernel):
        raise Unknown
    group = node.attributes.get("group", 1)
    if tuple(node.attributes.get("kernel_shape") or kernel) != tuple(kernel):
        raise ValueError("kernel_shape is not that of the weight")
    agree(image[1], weight[1] * group if isinstance(weight[1], int) else None)
    if node.input(2) and x[2].shape is not None:
        (length,) = x[2].shape
        agree(length, weight[0])
    return [Fact(x[0].dtype, (image[0], weight[0], *_windows(node, image[2:], kernel)))]  # type: ignore[arg-type]


@RULES("ConvTranspose")
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


@RULES("MaxPool", "AveragePool", "LpPool")
def _pool(node: Node, x: list[Fact]) -> list[Fact]:
    image = x[0].dims()
    shape = (*image[:2], *_windows(node, image[2:], list(node.attributes["kernel_shape"])))
    return [Fact(x[0].dtype, shape), Fact(_INT64, shape)]


@RULES("GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool")
def _global_pool(node: Node, x: list[Fact]) -> list[Fact]:
    image = x[0].dims()
    return [Fact(x[0].dtype, (*image[:2], *(1,) * (len(image) - 2)))]


@RULES("Gemm")
def _gemm(node: Node, x: list[Fact]) -> list[Fact]:
    one_type(x)
    a, b = x[0].dims(), x[1].dims()
    if len(a) != 2 or len(b) != 2:
        raise ValueError("Gemm takes matrices")
    rows, depth = a[::-1] if node.attributes.get("transA") else a
    inner, columns = b[::-1] if node.attributes.get("transB") else b
    agree(depth, inner)
    if len(x) > 2 and x[2].shape is not None:  # C broadcasts to the product, never the other way
        bias = (1,) * (2 - len(x[2].shape)) + x[2].shape
        for dim, size in zip(bias, (rows, columns), strict=True):
            agree(size, None if dim == 1 else dim)
    return [Fact(x[0].dtype, (rows, columns))]


@RULES("MatMul")
def _matmul(node: Node, x: list[Fact]) -> list[Fact]:
    one_type(x)
    a, b = x[0].dims(), x[1].dims()
    left, right = (a if len(a) > 1 else (1, *a)), (b if len(b) > 1 else (*b, 1))
    agree(left[-1], right[-2])
    stack = broadcast(left[:-2], right[:-2]) or ()
    return [Fact(x[0].dtype, (*stack, *left[-2:-1][: len(a) - 1], *right[-1:][: len(b) - 1]))]
