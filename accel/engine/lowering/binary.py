"""Layers whose weights and activations are +1 and -1: products of bits, and what makes and pools bits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from accel.engine.builder import BITS, BLOCKED, BitImage, PlanBuilder, Tensor
from accel.engine.lowering.table import lowers
from accel.engine.packed import PackedBinary
from accel.engine.shapes import Window, window
from accel.graph.fusing import RESIDUAL
from accel.graph.network import Node
from accel.graph.signs import Product, binary, product
from accel.kernels import program as native
from accel.kernels._binary_native import bit_pool
from accel.kernels.binary import BinaryConv, Scaled, Thresholds
from accel.kernels.program import NATIVE_ACTIVATIONS
from accel.weights import Binary


def multiplies_bits(builder: PlanBuilder, node: Node) -> bool:
    """Whether `node` is a product of signs by binary weights."""
    return _product(builder, node) is not None


def _product(builder: PlanBuilder, node: Node) -> Product | None:
    name = node.outputs[0]
    if name not in builder.products:
        builder.products[name] = _find_product(builder, node) if node.inputs[0] in builder.signs else None
    found: Product | None = builder.products[name]
    return found


def _find_product(builder: PlanBuilder, node: Node) -> Product | None:
    spec, residual = builder.spec(node.inputs[0]), node.input(RESIDUAL)
    bare = Node(node.op, node.inputs[:RESIDUAL], node.outputs, node.attributes)  # a residual is added by the epilogue
    found = product(bare, builder.network.constants.get)
    fits = len(spec.shape) == (4 if node.op == "Conv" else 2) and 0 not in spec.shape
    if found is None or not fits or node.attributes.get("activation") not in (None, "Sign", *NATIVE_ACTIVATIONS):
        return None
    if residual and builder.spec(residual) != builder.spec(node.outputs[0]):
        return None
    return found


def lower_product(builder: PlanBuilder, node: Node) -> bool:
    """The product, its result as bits where the node ends in Sign, else as floats."""
    found = _product(builder, node)
    assert found is not None
    x = bits(builder, node.inputs[0])
    geometry, group = _geometry(builder, node, found.weight, x.map)
    conv = _made(builder, node, found, x.map, geometry, group)
    if conv.gives_bits:
        y = builder.new_bits(node.outputs[0], BitImage(*builder.spec(node.outputs[0]).shape))
        _multiply(builder, node, conv, x, y, None)
    elif node.op == "Conv" and (group == 1 or conv.filters // group % native.BLOCK == 0):
        _multiply(builder, node, conv, x, *_blocked_result(builder, node))
    elif node.op == "Conv":
        _multiply_pixels(builder, node, conv, x)
    else:
        _multiply(builder, node, conv, x, builder.new_plain(node.outputs[0]), None)
    return True


def _multiply(
    builder: PlanBuilder, node: Node, conv: BinaryConv, x: Tensor, y: Tensor, residual: Tensor | None
) -> None:
    image: BitImage = x.map
    maps = (y.map if not conv.gives_bits else None, None if residual is None else residual.map)
    sign = builder.signed.get(node.outputs[0]) if maps[0] is not None else None
    thresholds = (None, None) if sign is None else _thresholds(builder, sign, conv.filters)
    prepared = conv.prepare(image.images, image.height, image.width, *maps, thresholds)
    scratch, nowhere = builder.scratch(prepared.scratch_floats), native.place(native.NOWHERE)
    words = None
    if sign is not None:
        words = builder.new_bits(sign.outputs[0], BitImage(*builder.spec(sign.outputs[0]).shape))

    def emit(program: Any, at: Callable[[Tensor], Any]) -> None:
        added, signs = (nowhere if t is None else at(t) for t in (residual, words))
        program.binary_conv(prepared, at(x), at(y), added, nowhere, at(scratch), signs)

    made = "bits" if conv.gives_bits else "floats" if words is None else "floats and bits"
    reads = [x] if residual is None else [x, residual]
    writes = [y, scratch] if words is None else [y, scratch, words]
    builder.native_step(f"binary {conv.kernel[0]}x{conv.kernel[1]} to {made}", str(node), reads, writes, emit)


def _thresholds(builder: PlanBuilder, node: Node, channels: int) -> tuple[np.ndarray, np.ndarray]:
    """Of a Sign with `zero`: where each channel's sign changes, and whether it is +1 below that."""
    found = [vector for name in node.inputs[1:] if (vector := builder.constant(name)) is not None]
    if len(found) == 2:
        return found[0], found[1]
    return np.zeros(channels, np.float32), np.zeros(channels, np.bool_)


def sign_readers(nodes: Sequence[Node]) -> dict[str, Node]:
    """A Sign with `zero` for each value that one reads: what makes the value may make its bits as well."""
    return {node.inputs[0]: node for node in nodes if node.op == "Sign" and node.attributes.get("zero")}


def _blocked_result(builder: PlanBuilder, node: Node) -> tuple[Tensor, Tensor | None]:
    """Room for a result in channel blocks, in that of the residual where that goes."""
    name, residual_name = node.outputs[0], node.input(RESIDUAL)
    residual = builder.blocked(residual_name) if residual_name else None
    if residual is not None and builder.overwritable(residual_name, residual):
        return builder.take_over(name, residual), residual
    return builder.without_halo(name), residual


def _multiply_pixels(builder: PlanBuilder, node: Node, conv: BinaryConv, x: Tensor) -> None:
    """Filters of a group that fill no blocks: pixel by pixel, then into planes."""
    residual_name, (images, channels, height, width) = node.input(RESIDUAL), builder.spec(node.outputs[0]).shape
    area = height * width
    sizes = images, area, channels
    planes, pixels = (
        native.side(0, steps, images * area * channels)
        for steps in ((channels * area, 1, area), (area * channels, channels, 1))
    )

    def turn(source: Tensor, from_: Any, target: Tensor, to: Any) -> Tensor:
        def emit(program: Any, at: Callable[[Tensor], Any]) -> None:
            program.copy_strided(4, sizes, from_, at(source), to, at(target))

        builder.native_step("transpose", str(node), [source], [target], emit)
        return target

    residual = None
    if residual_name:
        added = builder.scratch(images * area * channels)
        residual = turn(builder.plain(residual_name), planes, added, pixels)
    y = builder.scratch(images * area * channels)
    _multiply(builder, node, conv, x, y, residual)
    turn(y, pixels, builder.new_plain(node.outputs[0]), planes)


def _geometry(builder: PlanBuilder, node: Node, weight: Binary, image: BitImage) -> tuple[Window, int]:
    """The product as a convolution: a matrix product covers the whole image whose bits it reads."""
    if node.op == "Conv":
        return window(node.attributes, weight.shape[2:], builder.spec(node.inputs[0]).shape[2:]), node.attributes.get(
            "group", 1
        )
    return Window((image.height, image.width), (1, 1), (0, 0, 0, 0), (1, 1)), 1


def _made(
    builder: PlanBuilder, node: Node, found: Product, image: BitImage, geometry: Window, group: int
) -> BinaryConv:
    """The product's kernel, its weights packed once for all plans."""

    def make() -> BinaryConv:
        weight, channels = found.weight, image.channels // group
        if node.op != "Conv" and image.height * image.width > 1:  # flattened channel by channel: it covers the image
            signs = weight.signs().reshape(weight.shape[0], channels, image.height, image.width)
            weight = Binary.from_signs(np.ascontiguousarray(signs))
        words = weight.bits.reshape(weight.shape[0], *geometry.kernel, -1)
        return BinaryConv(
            words, channels, strides=geometry.strides, pads=geometry.pads, dilations=geometry.dilations, group=group,
            pad_value=node.attributes.get("pad_value", 0), epilogue=_epilogue(found, node),
        )  # fmt: skip

    how = ("binary", geometry, group, node.attributes.get("pad_value", 0), *_function(node))
    (made,) = builder.pack_once(node.inputs[1:3], how, lambda: (make(),))
    _let_go(builder, node)
    return made


def _function(node: Node) -> tuple[Any, tuple[float, ...]]:
    return node.attributes.get("activation"), tuple(node.attributes.get("activation_params", ()))


def _epilogue(found: Product, node: Node) -> Scaled | Thresholds:
    filters = found.weight.shape[0]
    activation, parameters = _function(node)
    if activation == "Sign":  # n + bias > 0 for a bias of k + 1/2
        at = np.broadcast_to(0.5 - found.affine.shift, (filters,))
        return Thresholds(at.astype(np.int32))
    scale, bias = (np.broadcast_to(v, (filters,)).astype(np.float32) for v in (found.affine.scale, found.affine.shift))
    return Scaled(scale, bias, activation, parameters, pixel_major=node.op != "Conv")


def _let_go(builder: PlanBuilder, node: Node) -> None:
    """The weight's constant, where it is an array, is held as bits."""
    rows = node.op == "Conv" or bool(node.attributes.get("transB", 0))

    def packed(w: np.ndarray) -> Any:
        weight = binary(w, True) if rows else None
        return w if weight is None else PackedBinary.of(weight)

    builder.let_go(node.inputs[1], packed)


def bits(builder: PlanBuilder, name: str) -> Tensor:
    """Signs as bits; adds the step that packs them."""
    held = builder.forms.get(name, {}).get(BITS)
    return held if held is not None else _pack(builder, name, name, name)


def _pack(builder: PlanBuilder, node: str, source_name: str, name: str, sign: Node | None = None) -> Tensor:
    """`name` is the signs of `source_name`, 0 counting as +1, or those that the Sign `sign` gives."""
    forms, shape = builder.forms.get(source_name, {}), builder.spec(source_name).shape
    blocked = forms.get(BLOCKED) if len(shape) == 4 else None
    source = builder.plain(source_name) if blocked is None else blocked
    target = builder.new_bits(name, BitImage(*shape))
    zeros = np.zeros(shape[1], np.float32), np.zeros(shape[1], np.bool_)
    at, below = zeros if sign is None else _thresholds(builder, sign, shape[1])

    def emit(program: Any, place: Callable[[Tensor], Any]) -> None:
        if len(shape) == 2:
            program.pack_rows(*shape, place(source), place(target))
        elif blocked is None:
            program.pack_planes(shape, at, below, place(source), place(target))
        else:
            program.pack_map(source.map, at, below, place(source), place(target))

    builder.native_step("pack bits", node, [source], [target], emit)
    return target


@lowers("Sign")
def _sign(builder: PlanBuilder, node: Node) -> bool:
    spec = builder.spec(node.inputs[0])
    if (
        node.outputs[0] not in builder.signs
        or spec.dtype != np.float32
        or len(spec.shape) not in (2, 4)
        or 0 in spec.shape
    ):
        return False
    if BITS not in builder.forms.get(node.outputs[0], {}):  # else its input came with its bits
        _pack(builder, str(node), node.inputs[0], node.outputs[0], node)
    return True


def pools_bits(builder: PlanBuilder, node: Node) -> bool:
    """Whether `node` is a max-pooling of bits."""
    get = node.attributes.get
    return (
        node.op == "MaxPool"
        and len(node.outputs) == 1
        and BITS in builder.forms.get(node.inputs[0], {})
        and len(builder.spec(node.inputs[0]).shape) == 4
        and set(get("dilations") or (1,)) == {1}
        and not get("ceil_mode", 0)
    )


def lower_bit_pool(builder: PlanBuilder, node: Node) -> bool:
    """The OR of each window's bits."""
    x, shape = bits(builder, node.inputs[0]), builder.spec(node.outputs[0]).shape
    geometry = window(node.attributes, tuple(node.attributes["kernel_shape"]), builder.spec(node.inputs[0]).shape[2:])
    y, words = builder.new_bits(node.outputs[0], BitImage(*shape)), x.spec.shape
    pool = bit_pool(words, y.spec.shape[1:3], geometry.kernel, geometry.strides, geometry.pads[:2], False)
    builder.native_step("pool bits", str(node), [x], [y], lambda p, at: p.pool_bits(pool, at(x), at(y)))
    return True
