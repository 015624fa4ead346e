"""The engines that networks are timed in: each takes a model, and gives a call from its input to all its outputs.

Every engine runs float32 on the threads it is told, at the settings that its makers advise for latency, and without
threads that spin after a call has returned: they would take their time from the others. An engine that is not
installed, or cannot read the model, raises; the caller leaves it out. MNN and ncnn read files of their own, which their
converters write into the model's folder once.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("KMP_BLOCKTIME", "0")

Call = Callable[[np.ndarray], Sequence[np.ndarray]]


@dataclass(frozen=True)
class Model:
    """An ONNX file of one input, as the engines must be told of it.

    `folder` takes what converters make of it: for images of one size, with the file's name.
    """

    path: Path
    folder: Path
    input: str
    outputs: tuple[str, ...]
    shape: tuple[int, ...]


def accel(model: Model, threads: int) -> Call:
    import accel as engine

    session = engine.InferenceSession(model.path, threads=threads)
    return lambda x: session.run(None, {model.input: x})


def onnxruntime(model: Model, threads: int) -> Call:
    import onnxruntime as engine

    options = engine.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    session = engine.InferenceSession(str(model.path), options, providers=["CPUExecutionProvider"])
    return lambda x: session.run(None, {model.input: x})


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
    request, outputs = compiled.create_infer_request(), [compiled.output(i) for i in range(len(model.outputs))]

    def call(x: np.ndarray) -> list[np.ndarray]:
        results = request.infer({0: x})
        return [results[o] for o in outputs]

    return call


def mnn(model: Model, threads: int) -> Call:
    import MNN
    from MNN import expr

    file = model.folder / f"{model.path.stem}.mnn"
    if not file.is_file():
        _convert("mnnconvert", "-f", "ONNX", "--modelFile", model.path, "--MNNModel", file, "--bizCode", "bench")
    settings = {"backend": 0, "precision": 1, "numThread": threads}  # the processor, float32
    manager = MNN.nn.create_runtime_manager((settings,))
    network = MNN.nn.load_module_from_file(str(file), [model.input], list(model.outputs), runtime_manager=manager)

    def call(x: np.ndarray) -> list[np.ndarray]:
        results = network.forward([expr.convert(expr.const(x, x.shape, expr.NCHW), expr.NC4HW4)])
        results = results if isinstance(results, (list, tuple)) else [results]
        return [np.array(expr.convert(y, expr.NCHW).read()) for y in results]

    return call


def ncnn(model: Model, threads: int) -> Call:
    import ncnn as engine

    network = engine.Net()
    network.opt.num_threads, network.opt.use_vulkan_compute = threads, False
    for half in ("use_fp16_packed", "use_fp16_storage", "use_fp16_arithmetic", "use_bf16_storage"):
        setattr(network.opt, half, False)
    parameters, weights = _pnnx(model)
    if network.load_param(str(parameters)) or network.load_model(str(weights)):
        raise RuntimeError("cannot load what pnnx wrote")

    def one(image: np.ndarray) -> list[np.ndarray]:
        extractor = network.create_extractor()
        extractor.input("in0", engine.Mat(image))
        return [np.array(extractor.extract(f"out{i}")[1]) for i in range(len(model.outputs))]

    def call(x: np.ndarray) -> list[np.ndarray]:
        images = [one(image) for image in x]  # it knows no batch
        return [np.stack(rows) for rows in zip(*images, strict=True)]

    return call


def difference(got: Sequence[np.ndarray], wanted: Sequence[np.ndarray]) -> float:
    """The largest of all outputs, relative to their largest value; infinite where sizes differ."""
    if [y.size for y in got] != [e.size for e in wanted]:
        return np.inf
    pairs = [(y.ravel().astype(np.float64), e.ravel().astype(np.float64)) for y, e in zip(got, wanted, strict=True)]
    return max(float(np.abs(y - e).max()) for y, e in pairs) / max(float(np.abs(e).max()) for _, e in pairs)


ENGINES: dict[str, Callable[[Model, int], Call]] = {f.__name__: f for f in (accel, onnxruntime, openvino, mnn, ncnn)}


def _pnnx(model: Model) -> tuple[Path, Path]:
    """The files that ncnn reads. pnnx writes them beside its input."""
    name = model.path.stem
    files = (model.folder / f"{name}.ncnn.param", model.folder / f"{name}.ncnn.bin")
    if all(file.is_file() for file in files):
        return files
    source = model.folder / f"{name}.onnx"
    if copied := not source.exists():
        shutil.copyfile(model.path, source)
    _convert("pnnx", source, f"inputshape=[{','.join(map(str, (1, *model.shape[1:])))}]", "fp16=0")
    for left in (f"{name}.pnnx.*", f"{name}.pnnxsim.onnx", f"{name}_pnnx.py", f"{name}_ncnn.py"):
        for file in model.folder.glob(left):
            file.unlink()  # as large as the model
    if copied:
        source.unlink()
    return files


def _convert(command: str, *arguments: str | Path) -> None:
    if shutil.which(command) is None:
        raise RuntimeError(f"its converter {command} is not installed")
    done = subprocess.run([command, *map(str, arguments)], capture_output=True, text=True, timeout=600, check=False)
    if done.returncode:
        raise RuntimeError(f"{command} failed: {(done.stdout + done.stderr).strip()[-200:]}")
