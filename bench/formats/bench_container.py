"""Loading a network: the Deep Compression SqueezeNet from its `.accel` file, beside the dense ONNX file in onnxruntime.

Needs the data folder that ACCEL_DATA names (models/squeezenet10_dc.{net,onnx}); skips without it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

import accel
from accel.formats import deep_compression

FOLDER = Path(os.environ.get("ACCEL_DATA") or Path(__file__).parents[3] / "shared" / "data") / "models"


def load_accel(path: Path) -> Any:
    return accel.load(path)


def session_accel(path: Path) -> Any:
    session = accel.InferenceSession(path, threads=1)
    session.run(None, {"data": np.zeros((1, 3, 227, 227), np.float32)})
    return session


def session_onnxruntime(path: Path) -> Any:
    runtime = pytest.importorskip("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1
    session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    session.run(None, {"data": np.zeros((1, 3, 227, 227), np.float32)})
    return session


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    onnx = FOLDER / "squeezenet10_dc.onnx"
    if not onnx.is_file():
        pytest.skip("the data folder is not there: set ACCEL_DATA")
    network = accel.load(onnx)
    path = tmp_path_factory.mktemp("bench") / "squeezenet.accel"
    deep_compression.read(FOLDER / "squeezenet10_dc.net", network).save(path)
    return {"accel": path, "onnx": onnx}


@pytest.mark.parametrize(
    ("what", "call", "file"),
    [
        ("load", load_accel, "accel"),
        ("load", load_accel, "onnx"),
        ("load to first result", session_accel, "accel"),
        ("load to first result", session_accel, "onnx"),
        ("load to first result", session_onnxruntime, "onnx"),
    ],
    ids=[
        "accel of .accel",
        "accel of .onnx",
        "accel of .accel, run",
        "accel of .onnx, run",
        "onnxruntime of .onnx, run",
    ],
)
def bench_load(benchmark: BenchmarkFixture, files: dict[str, Path], what: str, call: Any, file: str) -> None:
    benchmark.group = f"squeezenet10/{what}"
    benchmark.extra_info |= {"file bytes": files[file].stat().st_size}
    benchmark.pedantic(call, (files[file],), rounds=15, warmup_rounds=2)
