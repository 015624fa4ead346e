"""Loading a network: the Deep Compression SqueezeNet from its `.accel` file, beside the dense ONNX file in onnxruntime;
and codes of a large layer alone.

The first needs the data folder that ACCEL_DATA names (models/squeezenet10_dc.{net,onnx}); skips without it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

import accel
from accel.formats import container, deep_compression
from accel.formats.opened import OpenFile
from accel.weights import Codebook

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


@pytest.fixture(scope="module", params=["dense", "65 % zeros", "90 % zeros"])
def codes(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path, Codebook]:
    """4096 x 4096 codes of 4 bits of a bell, in a file."""
    rng = np.random.default_rng(0)
    found = np.clip(np.rint(rng.standard_normal((4096, 4096)) * 1.5 + 8), 1, 15).astype(np.uint8)
    zeros = 0 if request.param == "dense" else int(request.param[:2]) / 100
    found[rng.random(found.shape) < zeros] = 0
    weight = Codebook(found, np.concatenate([np.zeros(1), np.linspace(-1, 1, 15)]).astype(np.float32))
    path = tmp_path_factory.mktemp("codes") / "codes.accel"
    container.write(path, {"graph": {}}, {"w": weight})
    return request.param, path, weight


def read_whole(path: Path) -> Any:
    return container.read(path)[1]["w"]


def read_digest(path: Path) -> Any:
    return container.read(path, digest=True)[1]["w"]


def read_one(path: Path) -> Any:
    with OpenFile(path) as opened:
        return opened["w"]


@pytest.mark.parametrize(
    ("call", "threads"),
    [(read_whole, 1), (read_whole, 2), (read_digest, 1), (read_one, 1), (read_one, 2)],
    ids=["read", "read, 2 threads", "read with the digest", "opened", "opened, 2 threads"],
)
def bench_codes(benchmark: BenchmarkFixture, codes: tuple[str, Path, Codebook], call: Any, threads: int) -> None:
    """`read` as `accel.load` does, `opened` that tensor alone: with the checksums of header and tensor."""
    name, path, weight = codes
    with accel.using(threads=threads):
        np.testing.assert_array_equal(call(path).codes, weight.codes)
        benchmark.group = f"codes/{name}"
        benchmark.extra_info |= {"bytes": weight.codes.nbytes, "stored bytes": path.stat().st_size}
        benchmark.pedantic(call, (path,), rounds=9, warmup_rounds=1)
