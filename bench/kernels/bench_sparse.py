"""Products of sparse weights with many columns at once, beside CSR and dense products of others: one thread.

A matrix of 4096 x 4096 times a batch of 32, and convolutions at the sizes of ResNet's third stage beside our own dense
kernel too. All of ours are prepared steps; the peers get their operands in the layout they like. Groups of `threads`
are ours on one thread and on two: do not pin the process. Few vectors: bench_spmv.py; whole ranges of zeros:
break_even.py; many shapes: sparse_shapes.py.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

import accel
from accel.kernels import program
from accel.kernels.sparse import SparseArrays, SparseWeights
from accel.reference import conv as reference
from accel.weights import Csr

sys.path[:0] = [str(Path(__file__).parent)]
from sparsity import (  # noqa: E402
    DENSE_PEERS,
    KINDS,
    PEERS,
    Step,
    check,
    conv_layer,
    dense_conv_step,
    of_kind,
    random_weights,
    sparse_conv_step,
    sparse_linear_step,
    sparse_pair_step,
)  # fmt: skip

SIZE, BATCH = 4096, 32
Work = Callable[..., None]


def vectors() -> np.ndarray:
    return np.random.default_rng(1).standard_normal((BATCH, SIZE), np.float32)


def group(
    benchmark: BenchmarkFixture, work: Work, name: str, macs: int, floats: int, threads: int | None = None
) -> None:
    benchmark.group = f"sparse/{name}" if threads is None else f"sparse/threads/{name}"
    work(2 * macs, 4 * floats)
    benchmark.extra_info["peak operations per second"] *= threads or 1


def linear(benchmark: BenchmarkFixture, work: Work, zeros: int, kind: str, threads: int | None = None) -> None:
    arrays, w = of_kind(random_weights((SIZE, SIZE), zeros), kind)
    x = vectors()
    step = sparse_linear_step(arrays, x)
    step.run()
    check(step.y, x @ w.T)
    name = f"linear/4096/{zeros}%/batch={BATCH}"
    group(benchmark, work, name, arrays.values.size * BATCH, step.nbytes // 4, threads)
    benchmark(step.run)


@pytest.mark.parametrize("zeros", [90, 95])
def bench_sparse_linear(benchmark: BenchmarkFixture, work: Work, implementation: str, zeros: int) -> None:
    native_only(implementation)
    linear(benchmark, work, zeros, "f32")


@pytest.mark.parametrize("kind", KINDS[1:])
@pytest.mark.parametrize("zeros", [90, 95])
def bench_sparse_linear_kinds(benchmark: BenchmarkFixture, work: Work, zeros: int, kind: str) -> None:
    native_only()
    with accel.using(threads=1):
        linear(benchmark, work, zeros, kind)


@pytest.mark.parametrize("zeros", [90, 95])
@pytest.mark.parametrize("backend", ["numba"])
def bench_sparse_linear_stored(benchmark: BenchmarkFixture, work: Work, zeros: int, backend: str) -> None:
    """As it runs where no extension was built: from what the weight holds."""
    pytest.importorskip(backend)
    w, x = random_weights((SIZE, SIZE), zeros), vectors()
    with accel.using(backend=backend, threads=1):
        layer = accel.Linear(Csr.from_dense(w))
        check(layer(x), x @ w.T)
        values = layer.weight.parameters
        group(benchmark, work, f"linear/4096/{zeros}%/batch={BATCH}", values * BATCH, values + 2 * x.size)
        benchmark(lambda: layer(x))


@pytest.mark.parametrize("threads", [1, 2])
def bench_sparse_linear_threads(benchmark: BenchmarkFixture, work: Work, threads: int) -> None:
    native_only()
    with accel.using(threads=threads):
        linear(benchmark, work, 90, "f32", threads=threads)


@pytest.mark.parametrize("zeros", [90, 95])
@pytest.mark.parametrize("peer", PEERS)
def bench_sparse_linear_peers(benchmark: BenchmarkFixture, work: Work, zeros: int, peer: str) -> None:
    w, x = random_weights((SIZE, SIZE), zeros), np.ascontiguousarray(vectors().T)
    peer_product(benchmark, work, f"linear/4096/{zeros}%/batch={BATCH}", peer, w, x)


CONVOLUTIONS = {"1x1/512/14": (512, 512, 14, 1), "3x3/256/14": (256, 256, 14, 3)}
CONV_CASES = [("1x1/512/14", 90), ("1x1/512/14", 95), ("3x3/256/14", 90), ("3x3/256/14", 95)]


def image(channels: int, size: int) -> np.ndarray:
    return np.random.default_rng(1).standard_normal((1, channels, size, size), np.float32)


def convolution(
    benchmark: BenchmarkFixture, work: Work, name: str, zeros: int, *, dense: bool = False, threads: int | None = None
) -> None:
    """Ours; the dense kernel is the one that the engine measures as the fastest."""
    channels, out, size, kernel = CONVOLUTIONS[name]
    layer, x = conv_layer(channels, out, size, kernel), image(channels, size)
    w = random_weights(layer.w_shape, zeros)
    step: Step
    if dense:
        step, choice = dense_conv_step(layer, w, x)
        benchmark.extra_info["method"] = str(choice.method)
    else:
        step = sparse_conv_step(layer, SparseArrays.of(w), x)
        step.run()
    check(step.y, reference.conv2d(x, w, None, pads=(kernel // 2,) * 4))
    macs = (w.size if dense else int(np.count_nonzero(w))) * size**2
    group(benchmark, work, f"{name}/{zeros}%", macs, step.nbytes // 4 + x.size + step.y.size, threads)
    benchmark(step.run)


@pytest.mark.parametrize(("name", "zeros"), CONV_CASES)
def bench_sparse_conv(benchmark: BenchmarkFixture, work: Work, implementation: str, name: str, zeros: int) -> None:
    native_only(implementation)
    convolution(benchmark, work, name, zeros)


@pytest.mark.parametrize(("name", "zeros"), CONV_CASES)
@pytest.mark.parametrize("peer", ["ours-dense"])
def bench_sparse_conv_dense(benchmark: BenchmarkFixture, work: Work, name: str, zeros: int, peer: str) -> None:
    native_only()
    with accel.using(threads=1):
        convolution(benchmark, work, name, zeros, dense=True)


@pytest.mark.parametrize(("name", "zeros"), CONV_CASES)
@pytest.mark.parametrize("backend", ["numba"])
def bench_sparse_conv_stored(benchmark: BenchmarkFixture, work: Work, name: str, zeros: int, backend: str) -> None:
    pytest.importorskip(backend)
    channels, out, size, kernel = CONVOLUTIONS[name]
    w, x = random_weights((out, channels, kernel, kernel), zeros), image(channels, size)
    with accel.using(backend=backend, threads=1):
        layer = accel.Conv2d(Csr.from_dense(w), pads=kernel // 2)
        check(layer(x), reference.conv2d(x, w, None, pads=(kernel // 2,) * 4))
        values = int(np.count_nonzero(w))
        group(benchmark, work, f"{name}/{zeros}%", values * size**2, values + x.size + out * size**2)
        benchmark(lambda: layer(x))


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("name", CONVOLUTIONS)
def bench_sparse_conv_threads(benchmark: BenchmarkFixture, work: Work, name: str, threads: int) -> None:
    native_only()
    with accel.using(threads=threads):
        convolution(benchmark, work, name, 90, threads=threads)


@pytest.mark.parametrize("zeros", [90, 95])
@pytest.mark.parametrize("peer", [name for name in PEERS if name != "numpy-dense"])
def bench_sparse_conv_peers(benchmark: BenchmarkFixture, work: Work, zeros: int, peer: str) -> None:
    """A 1 x 1 convolution is a product with the channels' planes."""
    x = image(512, 14).reshape(512, -1)
    peer_product(benchmark, work, f"1x1/512/14/{zeros}%", peer, random_weights((512, 512), zeros), x)


def peer_product(benchmark: BenchmarkFixture, work: Work, name: str, peer: str, w: np.ndarray, x: np.ndarray) -> None:
    limits = pytest.importorskip("threadpoolctl").threadpool_limits
    pytest.importorskip(peer.partition("-")[0])
    with accel.using(threads=1), limits(1):
        call = PEERS[peer](w, x)
        check(call(), w @ x)
        values = w.size if peer in DENSE_PEERS else int(np.count_nonzero(w))
        group(benchmark, work, name, values * x.shape[1], values + 2 * x.size)
        benchmark(call)


BANDS = {"3-64-64/224": ((3, 64, 64), 224), "64-128-128/112": ((64, 128, 128), 112), "256-256-256/56": ((256,) * 3, 56)}


@pytest.mark.parametrize("how", ["apart", "bands"])
@pytest.mark.parametrize("name", BANDS)
def bench_sparse_bands(benchmark: BenchmarkFixture, name: str, how: str) -> None:
    """Two layers with a large map between, one after the other and band by band."""
    native_only()
    channels, size = BANDS[name]
    benchmark.group = f"sparse/bands/{name}/90%"
    x = image(channels[0], size)
    with accel.using(threads=1):
        step, other = (sparse_pair_step(channels, 90, x, bands) for bands in (how == "bands", how != "bands"))
        step.run(), other.run()
        np.testing.assert_array_equal(step.y, other.y)
        benchmark(step.run)


def bench_sparse_pack(benchmark: BenchmarkFixture) -> None:
    """From a dense array on one thread: zeros are found, and what is left is packed."""
    native_only()
    w = random_weights((SIZE, SIZE), 90)
    benchmark.group = "sparse/pack/4096/90%"
    with accel.using(threads=1):
        benchmark.pedantic(lambda: SparseWeights(SparseArrays.of(w), SIZE), rounds=7, warmup_rounds=1)


def native_only(implementation: str = "native") -> None:
    if not program.native() or not implementation.startswith("native"):
        pytest.skip("native kernels only")
