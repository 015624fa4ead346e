"""Networks of binary layers as ONNX with random weights, and the float one they are held against.

`bireal18`: Bi-Real net of 18 layers (Liu et al., ECCV 2018), sign before and a shortcut of floats around every binary
3 x 3 convolution; `xnor18`: XNOR-Net's ResNet-18 (Rastegari et al., ECCV 2016) in its order of batch norm, sign and
convolution, two in a block; `resnet18`: torchvision's. First and last layers, and the 1 x 1 convolutions of shortcuts
that change their size, are real. Signs are Where(x >= 0, 1, -1), weights +-alpha of each filter; input N x 3 x 224 x
224. `python bench/networks/binary_zoo.py FOLDER [NAME...]`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
from zoo import CLASSES, Builder


class BinaryBuilder(Builder):
    """With signs, and convolutions by +-alpha."""

    def sign(self) -> None:
        condition = self.node("GreaterOrEqual", self.x, self.tensor(np.float32(0)))
        self.node("Where", condition, self.tensor(np.float32(1)), self.tensor(np.float32(-1)))

    def binary_conv(self, out: int, stride: int) -> None:
        signs = self.rng.choice(np.array([-1, 1], np.float32), (out, self.channels, 3, 3))
        alpha = self.rng.uniform(0.5, 1.5, (out, 1, 1, 1)).astype(np.float32) / np.sqrt(9 * self.channels)
        window = {"kernel_shape": [3, 3], "strides": [stride] * 2, "pads": [1] * 4}
        self.node("Conv", self.x, self.tensor(signs * alpha), **window)
        self.channels = out

    def add_shortcut(self, x: str, channels: int, out: int, stride: int) -> None:
        """Add x to what there is, or its means of 2 x 2 pixels by a real 1 x 1 convolution."""
        branch = self.x
        if stride != 1:
            self.x, self.channels = x, channels
            self.node("AveragePool", kernel_shape=[2, 2], strides=[2, 2])
            self.conv_bn(out, 1, activation="")
            x = self.x
        self.node("Add", branch, x)
        self.channels = out


def stem(b: Builder) -> None:
    b.conv_bn(64, 7, 2)
    b.max_pool(3, 2, 1)


def head(b: Builder) -> None:
    b.node("GlobalAveragePool")
    b.node("Flatten")
    b.linear(512, CLASSES)


def layers() -> list[tuple[int, int]]:
    """Filters and stride of the 16 convolutions of 3 x 3."""
    return [(width, 2 if width > 64 and i == 0 else 1) for width in (64, 128, 256, 512) for i in range(4)]


def bireal18(b: BinaryBuilder) -> None:
    stem(b)
    for out, stride in layers():
        x, channels = b.x, b.channels
        b.sign()
        b.binary_conv(out, stride)
        b.batch_norm()
        b.add_shortcut(x, channels, out, stride)
    head(b)


def xnor18(b: BinaryBuilder) -> None:
    stem(b)
    for i, (out, stride) in enumerate(layers()):
        if i % 2 == 0:
            x, channels, whole = b.x, b.channels, stride
        b.batch_norm()
        b.sign()
        b.binary_conv(out, stride)
        if i % 2:
            b.add_shortcut(x, channels, out, whole)
    head(b)


def resnet18(b: Builder) -> None:
    stem(b)
    for i, (out, stride) in enumerate(layers()):
        if i % 2 == 0:
            x, channels, whole = b.x, b.channels, stride
            b.conv_bn(out, 3, stride)
            continue
        b.conv_bn(out, 3, activation="")
        branch = b.x
        if whole != 1:
            b.x, b.channels = x, channels
            b.conv_bn(out, 1, whole, activation="")
            x = b.x
        b.node("Add", branch, x)
        b.node("Relu")
        b.channels = out
    head(b)


NETWORKS: dict[str, Callable[[BinaryBuilder], None]] = {f.__name__: f for f in (bireal18, xnor18, resnet18)}


def build(name: str) -> onnx.ModelProto:
    """The named network."""
    builder = BinaryBuilder()
    NETWORKS[name](builder)
    return builder.model(name)


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    for name in sys.argv[2:] or NETWORKS:
        onnx.save(build(name), folder / f"{name}.onnx")
