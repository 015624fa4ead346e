"""The engines that networks are timed in: each takes a model, and gives a call from input to output.

Every engine runs float32 on the threads it is told, at the settings that its makers advise for latency, and without
threads that spin after a call has returned: they would take their time from the others. An engine that is not
installed, or cannot read the model, raises; the caller leaves it out. MNN and ncnn read files of their own, which their
converters write beside the ONNX file once.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("KMP_BLOCKTIME", "0")

Call = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Model:
    """An ONNX file with one image as input and one output, as the zoo writes them."""

    path: Path
    batch: int
    input: str = "input"
    output: str = "logits"

    @property
    def shape(self) -> tuple[int, int, int, int]:
        return (self.batch, 3, 224, 224)


def accel(model: Model, threads: int) -> Call:
    import accel as engine

    session = engine.InferenceSession(model.path, threads=threads)

    def call(x: np.ndarray) -> np.ndarray:
        return session.run(None, {model.input: x})[0]

    return call


def onnxruntime(model: Model, threads: int) -> Call:
    import onnxruntime as engine

    options = engine.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    session = engine.InferenceSession(str(model.path), options, providers=["CPUExecutionProvider"])

    def call(x: np.ndarray) -> np.ndarray:
        y: np.ndarray = session.run(None, {model.input: x})[0]
        return y

    return call


def openvino(model: Model, threads: int) -> Call:
    import openvino as engine

    core = engine.Core()
    network = core.read_model(model.path)
    network.reshape(list(model.shape))
    settings = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "f32",
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
    }
    compiled = core.compile_model(network, "CPU", settings)
    request, output = compiled.create_infer_request(), compiled.output(0)

    def call(x: np.ndarray) -> np.ndarray:
        y: np.ndarray = request.infer({0: x})[output]
        return y

    return call


def mnn(model: Model, threads: int) -> Call:
    import MNN
    from MNN import expr

    file = model.path.with_suffix(".mnn")
    if not file.is_file():
        _convert("mnnconvert", "-f", "ONNX", "--modelFile", model.path, "--MNNModel", file, "--bizCode", "bench")
    settings = {"backend": 0, "precision": 1, "numThread": threads}  # the processor, float32
    manager = MNN.nn.create_runtime_manager((settings,))
    network = MNN.nn.load_module_from_file(str(file), [model.input], [model.output], runtime_manager=manager)

    def call(x: np.ndarray) -> np.ndarray:
        blocked = expr.convert(expr.const(x, x.shape, expr.NCHW), expr.NC4HW4)
        (y,) = network.forward([blocked])
        return np.array(expr.convert(y, expr.NCHW).read())

    return call


def ncnn(model: Model, threads: int) -> Call:
    import ncnn as engine

    base = model.path.with_suffix("")
    files = [f"{base}.ncnn.param", f"{base}.ncnn.bin"]
    if not all(map(os.path.isfile, files)):
        _convert("pnnx", model.path, f"inputshape=[{','.join(map(str, (1, *model.shape[1:])))}]", "fp16=0")
        for left in ("*.pnnx.*", "*.pnnxsim.onnx", "*_pnnx.py", "*_ncnn.py"):
            for file in base.parent.glob(left.replace("*", base.name, 1)):
                file.unlink()  # as large as the model
    network = engine.Net()
    network.opt.num_threads, network.opt.use_vulkan_compute = threads, False
    for half in ("use_fp16_packed", "use_fp16_storage", "use_fp16_arithmetic", "use_bf16_storage"):
        setattr(network.opt, half, False)
    if network.load_param(files[0]) or network.load_model(files[1]):
        raise RuntimeError("cannot load what pnnx wrote")

    def one(image: np.ndarray) -> np.ndarray:
        extractor = network.create_extractor()
        extractor.input("in0", engine.Mat(image))
        return np.array(extractor.extract("out0")[1])

    return lambda x: np.stack([one(image) for image in x])  # it knows no batch


ENGINES: dict[str, Callable[[Model, int], Call]] = {f.__name__: f for f in (accel, onnxruntime, openvino, mnn, ncnn)}


def _convert(command: str, *arguments: str | Path) -> None:
    if shutil.which(command) is None:
        raise RuntimeError(f"its converter {command} is not installed")
    done = subprocess.run([command, *map(str, arguments)], capture_output=True, text=True, timeout=600, check=False)
    if done.returncode:
        raise RuntimeError(f"{command} failed: {(done.stdout + done.stderr).strip()[-200:]}")
