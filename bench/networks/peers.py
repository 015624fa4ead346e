"""Other inference engines behind one call: feeds in, arrays out, at the settings each is fastest with in float32."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

Call = Callable[[np.ndarray], Sequence[np.ndarray]]


@dataclass(frozen=True)
class Model:
    """A network of one input, as the engines must be told of it; `folder` takes converted files."""

    path: Path
    folder: Path
    input: str
    outputs: list[str]
    shape: tuple[int, ...]

    def converted(self, suffix: str) -> Path:
        return self.folder / f"{self.path.stem}_{'x'.join(map(str, self.shape))}{suffix}"


class Absent(Exception):
    """Why an engine cannot run a model here."""


def accel(model: Model, threads: int) -> Call:
    import accel as engine

    session = engine.InferenceSession(model.path, threads=threads)
    return lambda x: session.run(None, {model.input: x})


def onnxruntime(model: Model, threads: int) -> Call:
    import onnxruntime as engine

    options = engine.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # it would disturb the others
    options.log_severity_level = 3
    session = engine.InferenceSession(str(model.path), options, providers=["CPUExecutionProvider"])
    return lambda x: session.run(None, {model.input: x})


def openvino(model: Model, threads: int) -> Call:
    import openvino as engine

    core = engine.Core()
    network = core.read_model(model.path)
    network.reshape(list(model.shape))
    hints = {
        "INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1, "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "f32",
    }  # fmt: skip
    compiled = core.compile_model(network, "CPU", hints)
    request, outputs = compiled.create_infer_request(), [compiled.output(i) for i in range(len(model.outputs))]

    def call(x: np.ndarray) -> list[np.ndarray]:
        results = request.infer({0: x})
        return [results[o] for o in outputs]

    return call


def mnn(model: Model, threads: int) -> Call:
    import MNN
    import MNN.expr as expr

    target = model.converted(".mnn")
    _convert("mnnconvert", "-f", "ONNX", "--modelFile", str(model.path), "--MNNModel", str(target), "--bizCode", "x")
    manager = MNN.nn.create_runtime_manager(({"backend": 0, "precision": 1, "numThread": threads},))
    network = MNN.nn.load_module_from_file(str(target), [model.input], model.outputs, runtime_manager=manager)

    def call(x: np.ndarray) -> list[np.ndarray]:
        results = network.forward([expr.convert(expr.const(x, x.shape, expr.NCHW), expr.NC4HW4)])
        results = results if isinstance(results, (list, tuple)) else [results]
        return [np.array(expr.convert(y, expr.NCHW).read()) for y in results]

    return call


def ncnn(model: Model, threads: int) -> Call:
    import ncnn as engine

    source = model.converted(".onnx")
    shutil.copyfile(model.path, source)  # pnnx writes beside its input
    _convert("pnnx", str(source), f"inputshape=[{','.join(map(str, model.shape))}]", "fp16=0")
    network = engine.Net()
    network.opt.num_threads, network.opt.use_vulkan_compute = threads, False
    for half in ("use_fp16_packed", "use_fp16_storage", "use_fp16_arithmetic", "use_bf16_storage"):
        setattr(network.opt, half, False)
    base = str(source.with_suffix(""))
    if network.load_param(f"{base}.ncnn.param") or network.load_model(f"{base}.ncnn.bin"):
        raise Absent("pnnx made no network of it")

    def call(x: np.ndarray) -> list[np.ndarray]:
        extractor = network.create_extractor()
        extractor.input("in0", engine.Mat(x[0]))
        return [np.array(extractor.extract(f"out{i}")[1])[None] for i in range(len(model.outputs))]

    return call


PEERS: dict[str, Callable[[Model, int], Call]] = {f.__name__: f for f in (onnxruntime, openvino, mnn, ncnn)}


def _convert(*command: str) -> None:
    if shutil.which(command[0]) is None:
        raise Absent(f"the command {command[0]} is not there")
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    if done.returncode:
        raise Absent(f"{command[0]} failed: {(done.stdout + done.stderr).strip()[-200:]}")
