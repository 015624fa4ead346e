"""The survey's baseline networks as ONNX with random weights: speed does not depend on the values.

Architectures as torchvision publishes them (AlexNet, VGG-16 "D", ResNet-50 v1.5, SqueezeNet 1.1, MobileNetV2), input
N x 3 x 224 x 224, 1,000 classes, batch normalisation as its own node. `python bench/networks/zoo.py FOLDER [NAME...]`;
NAME-90 is NAME with 90 % of its weights zero.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

CLASSES = 1000


class Builder:
    """Appends nodes to one chain: `self.x` is the value computed last, `self.channels` its channels."""

    def __init__(self, seed: int = 0) -> None:
        self.rng = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []
        self.x, self.channels = "input", 3

    def tensor(self, array: np.ndarray) -> str:
        name = f"tensor_{len(self.initializers)}"
        self.initializers.append(numpy_helper.from_array(np.asarray(array, np.float32), name))
        return name

    def node(self, op: str, *inputs: str, **attributes: Any) -> str:
        """Append a node over `inputs` (the last value by default) and make its output the last value."""
        name = f"{op.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs or (self.x,), [name], name, **attributes))
        self.x = name
        return name

    def conv(self, out: int, kernel: int, stride: int = 1, pad: int = 0, group: int = 1, bias: bool = True) -> None:
        fan_in = self.channels // group * kernel * kernel
        shape = (out, self.channels // group, kernel, kernel)
        weights = [self.tensor(self.rng.standard_normal(shape, np.float32) * np.sqrt(2 / fan_in))]
        if bias:
            weights.append(self.tensor(self.rng.normal(0, 0.05, out)))
        window = {"kernel_shape": [kernel] * 2, "strides": [stride] * 2, "pads": [pad] * 4}
        self.node("Conv", self.x, *weights, group=group, **window)
        self.channels = out

    def batch_norm(self) -> None:
        bounds = ((0.5, 1.5), (-0.1, 0.1), (-0.1, 0.1), (0.5, 1.5))  # scale, shift, mean, variance
        self.node("BatchNormalization", self.x, *(self.tensor(self.rng.uniform(*b, self.channels)) for b in bounds))

    def conv_bn(self, out: int, kernel: int, stride: int = 1, group: int = 1, activation: str = "Relu") -> None:
        self.conv(out, kernel, stride, kernel // 2, group, bias=False)
        self.batch_norm()
        self.activate(activation)

    def activate(self, activation: str) -> None:
        if activation == "Relu6":
            self.node("Clip", self.x, self.tensor(np.float32(0)), self.tensor(np.float32(6)))
        elif activation:
            self.node(activation)

    def max_pool(self, kernel: int, stride: int, pad: int = 0, ceil: bool = False) -> None:
        self.node("MaxPool", kernel_shape=[kernel] * 2, strides=[stride] * 2, pads=[pad] * 4, ceil_mode=int(ceil))

    def linear(self, inputs: int, outputs: int) -> None:
        weight = self.tensor(self.rng.standard_normal((outputs, inputs), np.float32) * np.sqrt(1 / inputs))
        self.node("Gemm", self.x, weight, self.tensor(np.zeros(outputs)), transB=1)

    def model(self, name: str) -> onnx.ModelProto:
        self.nodes[-1].output[0] = "logits"
        inputs = [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["N", 3, 224, 224])]
        outputs = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", CLASSES])]
        graph = helper.make_graph(self.nodes, name, inputs, outputs, self.initializers)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def classifier(b: Builder, features: int) -> None:
    """The two hidden layers of 4,096 that AlexNet and VGG end in."""
    b.node("Flatten")
    for inputs in (features, 4096):
        b.linear(inputs, 4096)
        b.node("Relu")
    b.linear(4096, CLASSES)


def alexnet(b: Builder) -> None:
    for out, kernel, stride, pad, pool in (
        (64, 11, 4, 2, True),
        (192, 5, 1, 2, True),
        (384, 3, 1, 1, False),
        (256, 3, 1, 1, False),
        (256, 3, 1, 1, True),
    ):
        b.conv(out, kernel, stride, pad)
        b.node("Relu")
        if pool:
            b.max_pool(3, 2)
    classifier(b, 256 * 6 * 6)


def vgg16(b: Builder) -> None:
    for out, repeats in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        for _ in range(repeats):
            b.conv(out, 3, 1, 1)
            b.node("Relu")
        b.max_pool(2, 2)
    classifier(b, 512 * 7 * 7)


def bottleneck(b: Builder, width: int, stride: int) -> None:
    x, channels = b.x, b.channels
    b.conv_bn(width, 1)
    b.conv_bn(width, 3, stride)  # v1.5: the stride is in the 3x3
    b.conv_bn(4 * width, 1, activation="")
    branch = b.x
    if stride != 1 or channels != 4 * width:
        b.x, b.channels = x, channels
        b.conv_bn(4 * width, 1, stride, activation="")
        x = b.x
    b.node("Add", branch, x)
    b.node("Relu")


def resnet50(b: Builder) -> None:
    b.conv_bn(64, 7, 2)
    b.max_pool(3, 2, 1)
    for stage, (width, blocks) in enumerate(((64, 3), (128, 4), (256, 6), (512, 3))):
        for block in range(blocks):
            bottleneck(b, width, 2 if stage > 0 and block == 0 else 1)
    b.node("GlobalAveragePool")
    b.node("Flatten")
    b.linear(2048, CLASSES)


def fire(b: Builder, squeeze: int, expand: int) -> None:
    b.conv(squeeze, 1)
    b.node("Relu")
    squeezed, parts = b.x, []
    for kernel in (1, 3):
        b.x, b.channels = squeezed, squeeze
        b.conv(expand, kernel, pad=kernel // 2)
        parts.append(b.node("Relu"))
    b.node("Concat", *parts, axis=1)
    b.channels = 2 * expand


def squeezenet11(b: Builder) -> None:
    b.conv(64, 3, 2)
    b.node("Relu")
    for group in (((16, 64), (16, 64)), ((32, 128), (32, 128)), ((48, 192), (48, 192), (64, 256), (64, 256))):
        b.max_pool(3, 2, ceil=True)
        for squeeze, expand in group:
            fire(b, squeeze, expand)
    b.conv(CLASSES, 1)
    b.node("Relu")
    b.node("GlobalAveragePool")
    b.node("Flatten")


def inverted_residual(b: Builder, out: int, stride: int, expand: int) -> None:
    x, channels = b.x, b.channels
    if expand != 1:
        b.conv_bn(channels * expand, 1, activation="Relu6")
    b.conv_bn(b.channels, 3, stride, group=b.channels, activation="Relu6")
    b.conv_bn(out, 1, activation="")
    if stride == 1 and channels == out:
        b.node("Add", x, b.x)


def mobilenet_v2(b: Builder) -> None:
    b.conv_bn(32, 3, 2, activation="Relu6")
    for expand, out, blocks, stride in (
        (1, 16, 1, 1),
        (6, 24, 2, 2),
        (6, 32, 3, 2),
        (6, 64, 4, 2),
        (6, 96, 3, 1),
        (6, 160, 3, 2),
        (6, 320, 1, 1),
    ):
        for block in range(blocks):
            inverted_residual(b, out, stride if block == 0 else 1, expand)
    b.conv_bn(1280, 1, activation="Relu6")
    b.node("GlobalAveragePool")
    b.node("Flatten")
    b.linear(1280, CLASSES)


def mobilenet_v1(b: Builder) -> None:
    b.conv_bn(32, 3, 2)
    blocks = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *((512, 1),) * 5, (1024, 2), (1024, 1))
    for out, stride in blocks:
        b.conv_bn(b.channels, 3, stride, group=b.channels)
        b.conv_bn(out, 1)
    b.node("GlobalAveragePool")
    b.node("Flatten")
    b.linear(1024, CLASSES)


NETWORKS: dict[str, Callable[[Builder], None]] = {
    "alexnet": alexnet,
    "vgg16": vgg16,
    "resnet50": resnet50,
    "squeezenet11": squeezenet11,
    "mobilenet_v2": mobilenet_v2,
}
OTHERS: dict[str, Callable[[Builder], None]] = {"mobilenet_v1": mobilenet_v1}
"""Beside the survey's."""


def pruned(model: onnx.ModelProto, zeros: float) -> onnx.ModelProto:
    """The model with the smallest `zeros` of each layer's weights zero, without regard to where they are.

    First layers and depthwise ones stay as they are: they have little to lose, and nobody prunes them.
    """
    weights = {node.input[1] for node in model.graph.node if node.op_type in ("Conv", "Gemm")}
    for tensor in model.graph.initializer:
        if tensor.name not in weights or (len(tensor.dims) == 4 and tensor.dims[1] in (1, 3)):
            continue
        w = numpy_helper.to_array(tensor).copy()
        w[np.abs(w) < np.quantile(np.abs(w), zeros)] = 0
        tensor.CopyFrom(numpy_helper.from_array(w, tensor.name))
    return model


def build(name: str, seed: int = 0) -> onnx.ModelProto:
    """The network `name` with random weights."""
    builder = Builder(seed)
    {**NETWORKS, **OTHERS}[name](builder)
    return builder.model(name)


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for chosen in sys.argv[2:] or NETWORKS:
        base, _, percent = chosen.partition("-")
        made = pruned(build(base), int(percent) / 100) if percent else build(base)
        onnx.save(made, folder / f"{chosen}.onnx")
