"""What a convolution of bits is held against: float32 and int8 convolutions of the same shape, and plain C loops."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from accel.kernels import program, runtime
from accel.kernels.conv_native import method_named


class Layer(NamedTuple):
    channels: int
    out: int
    size: int
    kernel: int

    @property
    def macs(self) -> int:
        return self.size**2 * self.channels * self.out * self.kernel**2

    @property
    def pads(self) -> int:
        return self.kernel // 2


LAYERS = {
    "3x3/64/56": Layer(64, 64, 56, 3),
    "3x3/128/28": Layer(128, 128, 28, 3),
    "3x3/256/14": Layer(256, 256, 14, 3),
    "3x3/512/7": Layer(512, 512, 7, 3),
    "1x1/64-256/56": Layer(64, 256, 56, 1),
    "1x1/256/14": Layer(256, 256, 14, 1),
    "1x1/512/7": Layer(512, 512, 7, 1),
}
Call = Callable[[], np.ndarray]


def signs(layer: Layer) -> tuple[np.ndarray, np.ndarray]:
    """x (1, C, H, W) and w (O, C, k, k) of +-1, float32."""
    rng = np.random.default_rng(0)
    shapes = (1, layer.channels, layer.size, layer.size), (layer.out, layer.channels, layer.kernel, layer.kernel)
    x, w = (rng.choice(np.array([-1, 1], np.float32), shape) for shape in shapes)
    return x, w


def model(layer: Layer, w: np.ndarray, int8: bool) -> bytes:
    """An ONNX Conv of w; with `int8` between uint8 arrays, so that an engine computes it in integers.

    uint8: x is 0 and 2 for -1 and +1; y is 128 + count / step, rounded.
    """
    onnx = pytest.importorskip("onnx")
    helper, of = onnx.helper, onnx.numpy_helper.from_array
    shape = [1, layer.channels, layer.size, layer.size]
    conv = {"kernel_shape": [layer.kernel] * 2, "pads": [layer.pads] * 4}
    if int8:
        nodes = [
            helper.make_node("DequantizeLinear", ["x", "one", "x_zero"], ["xf"]),
            helper.make_node("DequantizeLinear", ["w", "ones", "w_zero"], ["wf"], axis=0),
            helper.make_node("Conv", ["xf", "wf"], ["yf"], **conv),
            helper.make_node("QuantizeLinear", ["yf", "step", "y_zero"], ["y"]),
        ]
        constants = [
            of(np.float32(1), "one"), of(np.uint8(1), "x_zero"), of(w.astype(np.int8), "w"),
            of(np.ones(layer.out, np.float32), "ones"), of(np.zeros(layer.out, np.int8), "w_zero"),
            of(np.float32(step(layer)), "step"), of(np.uint8(128), "y_zero"),
        ]  # fmt: skip
    else:
        nodes, constants = [helper.make_node("Conv", ["x", "w"], ["y"], **conv)], [of(w, "w")]
    kind = onnx.TensorProto.UINT8 if int8 else onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        nodes, "conv", [helper.make_tensor_value_info("x", kind, shape)],
        [helper.make_tensor_value_info("y", kind, None)], constants,
    )  # fmt: skip
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(made.SerializeToString())


def step(layer: Layer) -> float:
    """Of the int8 result: about four standard deviations of the counts are inside."""
    return 4 * float(np.sqrt(layer.channels * layer.kernel**2)) / 127


def as_uint8(x: np.ndarray) -> np.ndarray:
    return (x + 1).astype(np.uint8)


def onnxruntime_call(layer: Layer, int8: bool) -> Call:
    peer = pytest.importorskip("onnxruntime")
    x, w = signs(layer)
    options = peer.SessionOptions()
    options.intra_op_num_threads = 1
    session = peer.InferenceSession(model(layer, w, int8), options, providers=["CPUExecutionProvider"])
    feed = {"x": as_uint8(x) if int8 else x}
    return lambda: np.asarray(session.run(None, feed)[0])


def openvino_call(layer: Layer, int8: bool) -> Call:
    openvino = pytest.importorskip("openvino")
    x, w = signs(layer)
    core = openvino.Core()
    settings = {"INFERENCE_NUM_THREADS": 1, "PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
    request = core.compile_model(core.read_model(model(layer, w, int8)), "CPU", settings).create_infer_request()
    request.set_input_tensor(openvino.Tensor(as_uint8(x) if int8 else x, shared_memory=False))

    def call() -> np.ndarray:
        request.infer()
        return np.asarray(request.get_output_tensor().data)

    return call


def accel_call(layer: Layer, algorithm: str) -> Call:
    """Our own float32 convolution by a named algorithm: its prepared step alone, blocks in, blocks out."""
    x, w = signs(layer)
    method = method_named(algorithm, w.shape, (1, 1), (1, 1), 1)
    shape = (1, layer.out, layer.size, layer.size)
    source, target = method.source_map(x.shape, (layer.pads,) * 4), program.blocked_map(shape)
    spec = program.conv_spec(
        source, target, (layer.kernel,) * 2, strides=(1, 1), before=(layer.pads,) * 2, dilations=(1, 1)
    )
    kernel, steps, at = method.prepare(spec, 1), program.new_program(), [program.place(i) for i in range(5)]
    steps.import_plain(source, at[0], at[1])
    packed = method.pack(w, None, (1, 1), 1)
    steps.conv(kernel, at[1], at[2], program.place(program.NOWHERE), at[4], *packed)
    steps.export_plain(target, at[2], at[3])
    rooms = [program.aligned(floats) for floats in (source.floats, target.floats, kernel.scratch_floats)]
    y, slots = np.empty(shape, np.float32), np.zeros(5, np.uintp)
    bindings = list(enumerate([x, *rooms[:2], y, rooms[2]]))
    program.run(steps, slots, bindings)

    def call() -> np.ndarray:
        program.run(steps, slots, bindings, first=1, last=2)
        return y  # of the first run

    return call


C_LOOPS = """
void conv(const float* x, const float* w, float* y, int channels, int out, int size, int kernel) {
  int pad = kernel / 2;
  for (int o = 0; o < out; ++o)
    for (int i = 0; i < size; ++i)
      for (int j = 0; j < size; ++j) {
        float sum = 0;
        for (int c = 0; c < channels; ++c)
          for (int p = 0; p < kernel; ++p)
            for (int q = 0; q < kernel; ++q) {
              int row = i + p - pad, column = j + q - pad;
              if (row >= 0 && row < size && column >= 0 && column < size)
                sum += w[((o * channels + c) * kernel + p) * kernel + q] * x[(c * size + row) * size + column];
            }
        y[(o * size + i) * size + j] = sum;
      }
}
"""


def c_call(layer: Layer, folder: Path) -> Call:
    """A loop nest as one writes it down, by the system's compiler at -O3."""
    compiler = shutil.which(os.environ.get("CC", "cc"))
    if compiler is None:
        pytest.skip("no C compiler")
    (folder / "conv.c").write_text(C_LOOPS)
    library = folder / "conv.so"
    subprocess.run([compiler, "-O3", "-shared", "-fPIC", folder / "conv.c", "-o", library], check=True)
    function = ctypes.CDLL(str(library)).conv
    x, w = signs(layer)
    y = np.empty((1, layer.out, layer.size, layer.size), np.float32)
    pointers = [ctypes.c_void_p(a.ctypes.data) for a in (x, w, y)]

    def call() -> np.ndarray:
        function(*pointers, *(ctypes.c_int(n) for n in (layer.channels, layer.out, layer.size, layer.kernel)))
        assert x is not None and w is not None  # which the pointers do not keep alive
        return y

    return call


def peers(folder: Path) -> dict[str, Callable[[Layer], Call]]:
    """By name; the names of int8 peers end with int8."""
    ours = {f"accel-{isa}": _direct_of(isa) for isa in runtime.isa_info()["supported"]}
    return {
        "onnxruntime": lambda layer: onnxruntime_call(layer, False),
        "openvino": lambda layer: openvino_call(layer, False),
        **ours,
        "onnxruntime-int8": lambda layer: onnxruntime_call(layer, True),
        "openvino-int8": lambda layer: openvino_call(layer, True),
        "c-loops": lambda layer: c_call(layer, folder),
    }


PEERS = [
    *("onnxruntime", "openvino", "onnxruntime-int8", "openvino-int8", "c-loops"),
    *(f"accel-{isa}" for isa in runtime.isa_info()["supported"]),
]


def _direct_of(isa: str) -> Callable[[Layer], Call]:
    import accel

    def make(layer: Layer) -> Any:
        with accel.using(isa=isa, threads=1):
            return accel_call(layer, "direct")

    return make


def check(name: str, layer: Layer, y: np.ndarray, counts: np.ndarray) -> None:
    """Exact integers; of int8 the nearest step, and one beside it, as engines differ in what they round."""
    if name.endswith("int8"):
        wanted = np.clip(np.rint(counts / step(layer)) + 128, 0, 255)
        assert np.abs(y.astype(np.int64) - wanted).max() <= 1
    else:
        np.testing.assert_array_equal(y, counts)
