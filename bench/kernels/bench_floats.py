"""Weights coded without loss: trained ones from the data folder that ACCEL_DATA names (a mixture of bells without it),
repeated to 8 million numbers, beside ZipNN, which codes bytes in groups by Huffman codes.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

import accel
from accel.kernels import float_decode, float_encode

N = 1 << 23
FOLDER = Path(os.environ.get("ACCEL_DATA") or Path(__file__).parents[3] / "shared" / "data") / "models"
TRAINED = (
    "resnet20_cifar10_bn.onnx",
    "ultraface_rfb320.onnx",
    "yunet_n_dynamic.onnx",
    "mlperftiny_resnet8_cifar10.onnx",
    "mlperftiny_kws_dscnn.onnx",
)
TYPES = ("float32", "bfloat16", "float16")


@pytest.fixture(scope="module")
def trained() -> np.ndarray:
    """float32 (N,)."""
    paths = [path for path in (FOLDER / name for name in TRAINED) if path.is_file()]
    arrays = [array.ravel() for path in paths for array in _floats(path)]
    if not arrays:
        rng = np.random.default_rng(0)
        arrays = [(rng.standard_normal(65_536) * width).astype(np.float32) for width in np.geomspace(0.005, 0.2, 20)]
    return np.resize(np.concatenate(arrays), N)


def _floats(path: Path) -> list[np.ndarray]:
    constants = accel.load(path).constants.values()
    return [value for value in constants if isinstance(value, np.ndarray) and value.dtype == np.float32]


@pytest.fixture(scope="module", params=TYPES)
def weights(request: pytest.FixtureRequest, trained: np.ndarray) -> tuple[str, np.ndarray]:
    if request.param == "bfloat16":
        return request.param, (trained.view(np.uint32) >> 16).astype(np.uint16)
    return request.param, trained.astype(request.param)


def _describe(benchmark: BenchmarkFixture, kernel: str, name: str, values: np.ndarray, size: int) -> None:
    benchmark.group = f"{kernel}/{name}"
    benchmark.extra_info |= {"bytes": values.nbytes, "stored bytes": size}


def _zipnn(name: str) -> Any:
    zipnn = pytest.importorskip("zipnn")
    return zipnn.ZipNN(input_format="byte", bytearray_dtype=name, threads=1)


def bench_decode_zipnn(benchmark: BenchmarkFixture, weights: tuple[str, np.ndarray]) -> None:
    name, values = weights
    peer = _zipnn(name)
    stream = peer.compress(bytearray(values.tobytes()))
    assert bytes(peer.decompress(stream)) == values.tobytes()
    _describe(benchmark, "float_decode", name, values, len(stream))
    benchmark.pedantic(peer.decompress, (stream,), rounds=9, warmup_rounds=1)


def bench_encode_zipnn(benchmark: BenchmarkFixture, weights: tuple[str, np.ndarray]) -> None:
    name, values = weights
    peer = _zipnn(name)
    data = values.tobytes()
    _describe(benchmark, "float_encode", name, values, len(peer.compress(bytearray(data))))
    # It overwrites what it is given.
    benchmark.pedantic(peer.compress, setup=lambda: ((bytearray(data),), {}), rounds=9, warmup_rounds=1)


@pytest.mark.parametrize("memory", ["given", "kept", "not-kept"], indirect=True)
def bench_decode(
    benchmark: BenchmarkFixture, implementation: str, weights: tuple[str, np.ndarray], memory: str
) -> None:
    """Into memory that is there, and into memory of its own, as ZipNN does, which earlier results have left or not."""
    name, values = weights
    _skip_slow(implementation)
    stream = float_encode(values)
    out = np.empty_like(values) if memory == "given" else None
    assert float_decode(stream, out).tobytes() == values.tobytes()
    _describe(benchmark, "float_decode", name, values, len(stream))
    benchmark.pedantic(float_decode, (stream, out), rounds=9, warmup_rounds=1)


def bench_encode(benchmark: BenchmarkFixture, implementation: str, weights: tuple[str, np.ndarray]) -> None:
    name, values = weights
    _skip_slow(implementation)
    stream = float_encode(values)
    assert float_decode(stream).tobytes() == values.tobytes()
    _describe(benchmark, "float_encode", name, values, len(stream))
    benchmark.pedantic(float_encode, (values,), rounds=9, warmup_rounds=1)


def _skip_slow(implementation: str) -> None:
    if not implementation.startswith("native"):
        pytest.skip("the NumPy implementation takes a second per megabyte")
