"""Products with circulant and block-circulant matrices, beside the Fourier transforms of others and the dense product.

Every back end keeps the spectrum of r between calls, as `CirculantPlan` does; its call is two transforms, or ours, and
the whole of what Python does for it is timed.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

import accel
from accel.graph import Network, Node, Value
from accel.kernels import circulant_matmul
from accel.kernels.circulant import CirculantPlan
from accel.kernels.program import aligned
from accel.weights import BlockCirculant

Product = Callable[[np.ndarray], np.ndarray]
CASES = [(d, batch) for d in (256, 1024, 4096) for batch in (64, 1)]
OTHERS = [(1000, 64), (1536, 64)]
BLOCKS = [(16, 16, 256, 64), (16, 16, 256, 1), (16, 16, 64, 64), (16, 16, 64, 1)]
CONVOLUTIONS = [(256, 14, 64), (256, 14, 128), (512, 7, 64), (512, 14, 128), (512, 28, 256)]  # channels, side, block
PEERS = ["pyfftw", "scipy", "mkl_fft", "torch", "numpy-dense", "torch-dense"]


def _arrays(shape: tuple[int, ...], batch: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    x = _room(batch, shape[1] * shape[2])
    rng.standard_normal(out=x, dtype=np.float32)
    return x, rng.standard_normal(shape, np.float32)


def _room(*shape: int) -> np.ndarray:
    """Memory that begins on a page, for every peer: where NumPy puts an array differs from run to run."""
    size = math.prod(shape)
    return aligned(size)[:size].reshape(shape)


def _exact(x: np.ndarray, r: np.ndarray) -> np.ndarray:
    w, blocks = np.fft.rfft(r.astype(np.float64)), np.fft.rfft(x.reshape(len(x), *r.shape[1:]).astype(np.float64))
    return np.fft.irfft(np.einsum("pqf,bqf->bpf", w, blocks, optimize=True), r.shape[2]).reshape(len(x), -1)


def _assert_right(y: np.ndarray, x: np.ndarray, r: np.ndarray, bound: float = 3e-7) -> None:
    exact = _exact(x, r)
    assert np.square(y - exact).mean() <= bound**2 * np.square(exact).mean()


def _describe(benchmark: BenchmarkFixture, name: str, shape: tuple[int, ...], batch: int) -> None:
    p, q, b = shape
    benchmark.group = f"{name}/batch={batch}"
    benchmark.extra_info |= {"operations": 2 * p * q * b * b * batch, "bytes": 4 * ((p + q) * b * batch + p * q * b)}


def _pyfftw(x: np.ndarray, r: np.ndarray) -> Product:
    fftw = pytest.importorskip("pyfftw")
    source, spectrum = (
        fftw.empty_aligned(x.shape, "float32"),
        fftw.empty_aligned((len(x), r.size // 2 + 1), "complex64"),
    )
    result = fftw.empty_aligned(x.shape, "float32")
    flags = ("FFTW_MEASURE", "FFTW_DESTROY_INPUT")
    there = fftw.FFTW(source, spectrum, axes=(-1,), flags=flags, threads=1)
    back = fftw.FFTW(spectrum, result, axes=(-1,), direction="FFTW_BACKWARD", flags=flags, threads=1)
    scaled = (np.fft.rfft(r.ravel().astype(np.float64)) / r.size).astype(np.complex64)

    def product(values: np.ndarray) -> np.ndarray:
        source[:] = values
        there.execute()
        np.multiply(spectrum, scaled, out=spectrum)
        back.execute()
        return result

    return product


def _scipy(x: np.ndarray, r: np.ndarray) -> Product:
    fft = pytest.importorskip("scipy.fft")
    spectrum = fft.rfft(r.ravel())
    return lambda values: fft.irfft(fft.rfft(values, workers=1) * spectrum, r.size, workers=1, overwrite_x=True)


def _mkl(x: np.ndarray, r: np.ndarray) -> Product:
    fft = pytest.importorskip("mkl_fft")
    spectrum = fft.rfft(r.ravel())
    return lambda values: fft.irfft(fft.rfft(values) * spectrum, r.size)


def _torch(x: np.ndarray, r: np.ndarray) -> Product:
    torch = pytest.importorskip("torch")
    spectrum = torch.fft.rfft(torch.from_numpy(r.ravel().copy()))

    def product(values: np.ndarray) -> np.ndarray:
        transformed = torch.fft.rfft(torch.from_numpy(values))
        return torch.fft.irfft(transformed.mul_(spectrum), r.size).numpy()

    return product


def _dense(x: np.ndarray, r: np.ndarray) -> Product:
    w = CirculantPlan(r)(np.eye(x.shape[1], dtype=np.float32))
    return lambda values: values @ w


def _torch_dense(x: np.ndarray, r: np.ndarray) -> Product:
    torch = pytest.importorskip("torch")
    w = torch.from_numpy(CirculantPlan(r)(np.eye(x.shape[1], dtype=np.float32)))
    return lambda values: torch.mm(torch.from_numpy(values), w).numpy()


MAKERS = {
    "pyfftw": _pyfftw,
    "scipy": _scipy,
    "mkl_fft": _mkl,
    "torch": _torch,
    "numpy-dense": _dense,
    "torch-dense": _torch_dense,
}


@pytest.fixture
def one_thread() -> Iterator[None]:
    """For peers that would take more."""
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(ImportError):
            import threadpoolctl

            stack.enter_context(threadpoolctl.threadpool_limits(1))
        with contextlib.suppress(ImportError):
            import torch

            torch.set_num_threads(1)
        yield


def _id(case: tuple[int, ...]) -> str:
    return "x".join(map(str, case[:-1])) + f"/batch={case[-1]}"


@pytest.mark.parametrize("case", CASES + OTHERS, ids=_id)
def bench_circulant(benchmark: BenchmarkFixture, implementation: str, case: tuple[int, int]) -> None:
    d, batch = case
    x, r = _arrays((1, 1, d), batch)
    plan, out = CirculantPlan(r), _room(*x.shape)
    _assert_right(plan(x, out), x, r)
    _describe(benchmark, f"circulant/{d}", r.shape, batch)
    benchmark(plan, x, out)


@pytest.mark.parametrize("case", CASES + OTHERS, ids=_id)
@pytest.mark.parametrize("peer", PEERS)
def bench_circulant_peers(benchmark: BenchmarkFixture, one_thread: None, case: tuple[int, int], peer: str) -> None:
    d, batch = case
    x, r = _arrays((1, 1, d), batch)
    product = MAKERS[peer](x, r)
    _assert_right(product(x), x, r, 3e-6)
    _describe(benchmark, f"circulant/{d}", r.shape, batch)
    benchmark(product, x)


@pytest.mark.parametrize("d", [256, 4096])
def bench_circulant_matmul(benchmark: BenchmarkFixture, implementation: str, d: int) -> None:
    """With the spectrum made anew at every call."""
    x, r = _arrays((1, 1, d), 64)
    out = _room(*x.shape)
    _assert_right(circulant_matmul(x, r.ravel(), out), x, r)
    _describe(benchmark, f"circulant_matmul/{d}", r.shape, 64)
    benchmark(circulant_matmul, x, r.ravel(), out)


@pytest.mark.parametrize("case", BLOCKS, ids=_id)
def bench_block_circulant(benchmark: BenchmarkFixture, implementation: str, case: tuple[int, int, int, int]) -> None:
    *shape, batch = case
    x, r = _arrays((shape[0], shape[1], shape[2]), batch)
    plan, out = CirculantPlan(r), _room(batch, shape[0] * shape[2])
    _assert_right(plan(x, out), x, r)
    _describe(benchmark, f"block_circulant/{_id(case)[: -len(f'/batch={batch}')]}", r.shape, batch)
    benchmark(plan, x, out)


@pytest.mark.parametrize("case", BLOCKS, ids=_id)
@pytest.mark.parametrize("peer", ["numpy-dense", "torch-dense"])
def bench_block_circulant_peers(
    benchmark: BenchmarkFixture, one_thread: None, case: tuple[int, int, int, int], peer: str
) -> None:
    *shape, batch = case
    x, r = _arrays((shape[0], shape[1], shape[2]), batch)
    product = MAKERS[peer](x, r)
    _assert_right(product(x), x, r, 3e-6)
    _describe(benchmark, f"block_circulant/{_id(case)[: -len(f'/batch={batch}')]}", r.shape, batch)
    benchmark(product, x)


@pytest.mark.parametrize("form", ["block-circulant", "dense"])
@pytest.mark.parametrize("case", CONVOLUTIONS, ids=lambda case: "x".join(map(str, case)))
def bench_convolution(benchmark: BenchmarkFixture, one_thread: None, case: tuple[int, int, int], form: str) -> None:
    """3 x 3 over one image in a session, whole runs: by transforms, and as the dense convolution of the same weight."""
    channels, side, block = case
    rng = np.random.default_rng(0)
    r = rng.standard_normal((channels // block, channels // block, block, 3, 3), np.float32)
    weight, x = BlockCirculant(r), rng.standard_normal((1, channels, side, side), np.float32)
    values = [Value(name, np.dtype(np.float32), x.shape) for name in ("x", "y")]
    nodes = [Node("Conv", ["x", "w"], ["y"], {"pads": (1, 1, 1, 1)})]
    networks = [Network("conv", values[:1], values[1:], nodes, {"w": w}) for w in (weight, weight.dense())]
    sessions = [accel.InferenceSession(network, threads=1) for network in networks]
    assert "conv circulant" in [step["kernel"] for step in sessions[0].explain({"x": x})]
    found, dense = (session.run(None, {"x": x})[0] for session in sessions)
    assert np.square(found - dense).mean() <= 3e-6**2 * np.square(dense).mean()
    benchmark.group = f"circulant convolution/{channels} channels, {side} x {side}, block {block}"
    benchmark.extra_info |= {"operations": 18 * channels**2 * side**2, "bytes": 4 * (2 * x.size + r.size)}
    benchmark(sessions[form == "dense"].run, None, {"x": x})
