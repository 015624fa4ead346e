"""Convolutions of ResNet, VGG and MobileNet at batch 1 beside onnxruntime and torch, one thread.

accel.Conv2d packs its weights at the first call, as the peers do when they load; each call then takes a plain array and
returns one, so accel's times hold the change of layout that the engine spares inside a network. The share of the peak
counts the operations of the definition: Winograd's algorithm, which has fewer, may exceed it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

import accel
from accel.kernels import program, runtime
from accel.kernels.conv_native import Method, Route, methods
from accel.reference import conv as reference


class Layer(NamedTuple):
    channels: int
    out: int
    size: int
    kernel: int
    stride: int = 1
    group: int = 1

    @property
    def pad(self) -> int:
        return self.kernel // 2

    @property
    def macs(self) -> int:
        side = (self.size + 2 * self.pad - self.kernel) // self.stride + 1
        return side * side * self.out * self.channels // self.group * self.kernel**2

    def methods(self) -> list[Method]:
        weights = (self.out, self.channels // self.group, self.kernel, self.kernel)
        found = methods(weights, (self.stride,) * 2, (1, 1), self.group)
        return [method for method in found if method.route is not Route.FOLDED]  # its step reads no map of the input


LAYERS = {
    "resnet/conv1": Layer(3, 64, 224, 7, 2),
    "resnet/3x3/56": Layer(64, 64, 56, 3),
    "resnet/3x3/14": Layer(256, 256, 14, 3),
    "resnet/3x3/7": Layer(512, 512, 7, 3),
    "alexnet/5x5/27": Layer(64, 192, 27, 5),
    "large/5x5/14": Layer(64, 64, 14, 5),
    "large/5x5/28": Layer(64, 64, 28, 5),
    "large/5x5/56": Layer(64, 64, 56, 5),
    "large/7x7/14": Layer(64, 64, 14, 7),
    "large/7x7/28": Layer(64, 64, 28, 7),
    "large/7x7/56": Layer(64, 64, 56, 7),
    "large/7x7/28/256": Layer(256, 256, 28, 7),
    "large/11x11/56": Layer(64, 64, 56, 11),
    "resnet/1x1/56": Layer(64, 256, 56, 1),
    "resnet/1x1/14": Layer(1024, 256, 14, 1),
    "resnet/1x1/s2": Layer(256, 512, 56, 1, 2),
    "vgg/3x3/112": Layer(128, 128, 112, 3),
    "mobilenet/expand": Layer(24, 144, 56, 1),
    "mobilenet/depthwise": Layer(144, 144, 56, 3, group=144),
    "mobilenet/depthwise/s2": Layer(96, 96, 112, 3, 2, 96),
    "mobilenet/project": Layer(576, 96, 14, 1),
}
Work = Callable[..., None]
Arrays = tuple[np.ndarray, np.ndarray, np.ndarray]
TOLERANCE = 1e-4
"""Relative to the largest output: peers add in other orders, or by Winograd's transform."""


def arrays(layer: Layer) -> Arrays:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((1, layer.channels, layer.size, layer.size), np.float32)
    w = rng.standard_normal((layer.out, layer.channels // layer.group, layer.kernel, layer.kernel), np.float32)
    return x, w / np.float32(np.sqrt(w[0].size)), rng.standard_normal(layer.out, np.float32)


def check(layer: Layer, given: Arrays, y: np.ndarray) -> None:
    """The first, middle and last row of the image against float64."""
    x, w, bias = given
    top, reach = layer.pad, layer.kernel
    padded = np.pad(x, ((0, 0), (0, 0), (top, top), (top, top)))
    for row in (0, y.shape[2] // 2, y.shape[2] - 1):
        band = padded[:, :, row * layer.stride : row * layer.stride + reach]
        wanted = reference.conv2d(band, w, bias, strides=(1, layer.stride), group=layer.group)
        assert np.abs(y[:, :, row] - wanted[:, :, 0]).max() <= TOLERANCE * np.abs(wanted).max()


def describe(benchmark: BenchmarkFixture, work: Work, kind: str, name: str) -> None:
    layer = LAYERS[name]
    floats = layer.channels * layer.size**2 + layer.macs // (layer.channels // layer.group * layer.kernel**2)
    benchmark.group = f"{kind}/{name}"
    work(2 * layer.macs, 4 * (floats + layer.out * layer.channels // layer.group * layer.kernel**2))


@pytest.mark.parametrize("name", LAYERS)
def bench_conv2d(benchmark: BenchmarkFixture, work: Work, implementation: str, name: str) -> None:
    if implementation == "numpy" or (implementation == "numba" and LAYERS[name].macs > 3e8):
        pytest.skip("seconds a call: a definition, not a competitor")
    layer, given = LAYERS[name], arrays(LAYERS[name])
    conv = accel.Conv2d(given[1], given[2], strides=layer.stride, pads=layer.pad, group=layer.group)
    check(layer, given, conv(given[0]))
    describe(benchmark, work, "conv2d", name)
    benchmark(conv, given[0])


def algorithms() -> list[tuple[str, str]]:
    """Every layer with every method that computes it in one step."""
    one_step = ((n, m) for n, layer in LAYERS.items() for m in layer.methods() if m.route is not Route.GATHER_GROUPS)
    return [(n, m.algorithm) for n, m in one_step]


@pytest.mark.parametrize(("name", "algorithm"), algorithms())
def bench_conv_kernel(benchmark: BenchmarkFixture, work: Work, implementation: str, name: str, algorithm: str) -> None:
    """The prepared step alone, blocks in and blocks out, as the engine runs it."""
    if not implementation.startswith("native"):
        pytest.skip("no prepared steps without native kernels")
    layer, given = LAYERS[name], arrays(LAYERS[name])
    method = next(m for m in layer.methods() if m.algorithm == algorithm)
    run, result = prepared(layer, given, method)
    check(layer, given, result())
    describe(benchmark, work, "conv kernel", name)
    benchmark(run)


def prepared(layer: Layer, given: Arrays, method: Method) -> tuple[Callable[[], None], Callable[[], np.ndarray]]:
    """What runs the convolution, and what runs everything and returns the plain result."""
    x, w, bias = given
    assert method.route is not Route.GATHER_GROUPS
    side = (layer.size + 2 * layer.pad - layer.kernel) // layer.stride + 1
    shape = (1, layer.out, side, side)
    source, target = method.source_map(x.shape, (layer.pad,) * 4), program.blocked_map(shape)
    spec = program.conv_spec(
        source, target, (layer.kernel,) * 2, strides=(layer.stride,) * 2, before=(layer.pad,) * 2, dilations=(1, 1),
        groups=1 if method.route is Route.DEPTHWISE else layer.group,
    )  # fmt: skip
    kernel, steps = method.prepare(spec, runtime.threads()), program.new_program()
    at = [program.place(i) for i in range(5)]
    y = np.empty(shape, np.float32)
    steps.import_plain(source, at[0], at[1])
    steps.conv(
        kernel,
        at[1],
        at[2],
        program.place(program.NOWHERE),
        at[4],
        *method.pack(w, bias, (layer.stride,) * 2, layer.group),
    )
    steps.export_plain(target, at[2], at[3])
    rooms = [program.aligned(floats) for floats in (source.floats, target.floats, kernel.scratch_floats)]
    bindings = list(enumerate([x, *rooms[:2], y, rooms[2]]))
    slots = np.zeros(5, np.uintp)

    def everything() -> np.ndarray:
        program.run(steps, slots, bindings)
        return y

    return lambda: program.run(steps, slots, bindings, first=1, last=2), everything


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("peer", ["onnxruntime", "torch"])
def bench_conv_peers(benchmark: BenchmarkFixture, work: Work, name: str, peer: str) -> None:
    layer, given = LAYERS[name], arrays(LAYERS[name])
    call = {"onnxruntime": onnxruntime_conv, "torch": torch_conv}[peer](layer, given)
    check(layer, given, call())
    describe(benchmark, work, "conv2d", name)
    benchmark(call)


def onnxruntime_conv(layer: Layer, given: Arrays) -> Callable[[], np.ndarray]:
    onnx, peer = pytest.importorskip("onnx"), pytest.importorskip("onnxruntime")
    x, w, bias = given
    helper, numpy_helper = onnx.helper, onnx.numpy_helper
    node = helper.make_node(
        "Conv", ["x", "w", "b"], ["y"], strides=[layer.stride] * 2, pads=[layer.pad] * 4, group=layer.group
    )
    graph = helper.make_graph(
        [node], "conv", [helper.make_tensor_value_info("x", 1, x.shape)],
        [helper.make_tensor_value_info("y", 1, None)],
        [numpy_helper.from_array(w, "w"), numpy_helper.from_array(bias, "b")],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    options = peer.SessionOptions()
    options.intra_op_num_threads = 1
    session = peer.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, {"x": x})[0]


def torch_conv(layer: Layer, given: Arrays) -> Callable[[], np.ndarray]:
    torch = pytest.importorskip("torch")
    torch.set_num_threads(1)
    x, w, bias = (torch.from_numpy(a) for a in given)

    def call() -> np.ndarray:
        with torch.inference_mode():
            y: np.ndarray = torch.conv2d(x, w, bias, layer.stride, layer.pad, 1, layer.group).numpy()
            return y

    return call
