"""Matrix products with a fixed right operand beside NumPy's BLAS, onnxruntime and torch, one thread.

Matrices are held against the multiply-adds of the core, vectors against the rate at which it reads their weights.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

import accel

Work = Callable[..., None]
CASES = {
    "gemm/1024x1024x1024": (1024, 1024, 1024),
    "gemm/64x4096x1000": (64, 4096, 1000),
    "gemv/4096x4096": (1, 4096, 4096),
    "gemv/2048x1000": (1, 2048, 1000),
}
"""Rows, depth, outputs."""


def arrays(name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rows, depth, out = CASES[name]
    rng = np.random.default_rng(0)
    w = rng.standard_normal((out, depth), np.float32) / np.float32(np.sqrt(depth))
    return rng.standard_normal((rows, depth), np.float32), w, rng.standard_normal(out, np.float32)


def measure(benchmark: BenchmarkFixture, work: Work, name: str, call: Callable[[], np.ndarray]) -> None:
    x, w, bias = arrays(name)
    rows, depth, out = CASES[name]
    some = np.unique([0, rows // 2, rows - 1])
    wanted = x[some].astype(np.float64) @ w.T.astype(np.float64) + bias
    assert np.abs(call()[some] - wanted).max() <= 1e-5 * np.abs(wanted).max()
    benchmark.group = f"linear/{name}"
    work(2 * rows * depth * out, 4 * (rows * depth + depth * out + rows * out), streams=rows == 1)
    benchmark(call)


@pytest.mark.parametrize("name", CASES)
def bench_linear(benchmark: BenchmarkFixture, work: Work, implementation: str, name: str) -> None:
    if implementation == "numba":
        pytest.skip("goes through NumPy's BLAS, as numpy does")
    limits = pytest.importorskip("threadpoolctl").threadpool_limits
    x, w, bias = arrays(name)
    layer = accel.Linear(w, bias)
    with limits(1):
        measure(benchmark, work, name, lambda: layer(x))


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("peer", ["onnxruntime", "torch"])
def bench_linear_peers(benchmark: BenchmarkFixture, work: Work, name: str, peer: str) -> None:
    measure(benchmark, work, name, {"onnxruntime": onnxruntime_linear, "torch": torch_linear}[peer](*arrays(name)))


def onnxruntime_linear(x: np.ndarray, w: np.ndarray, bias: np.ndarray) -> Callable[[], np.ndarray]:
    onnx, peer = pytest.importorskip("onnx"), pytest.importorskip("onnxruntime")
    helper, numpy_helper = onnx.helper, onnx.numpy_helper
    graph = helper.make_graph(
        [helper.make_node("Gemm", ["x", "w", "b"], ["y"], transB=1)], "linear",
        [helper.make_tensor_value_info("x", 1, x.shape)], [helper.make_tensor_value_info("y", 1, None)],
        [numpy_helper.from_array(w, "w"), numpy_helper.from_array(bias, "b")],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    options = peer.SessionOptions()
    options.intra_op_num_threads = 1
    session = peer.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, {"x": x})[0]


def torch_linear(x: np.ndarray, w: np.ndarray, bias: np.ndarray) -> Callable[[], np.ndarray]:
    torch = pytest.importorskip("torch")
    torch.set_num_threads(1)
    tensors = [torch.from_numpy(a) for a in (x, w, bias)]

    def call() -> np.ndarray:
        with torch.inference_mode():
            y: np.ndarray = torch.nn.functional.linear(*tensors).numpy()
            return y

    return call
