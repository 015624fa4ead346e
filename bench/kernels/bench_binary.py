"""Products of bits beside float32 and int8 convolutions of the same shape, and plain C loops; one thread.

A multiply-add of bits is one operation pair, as one of floats is. `of the limit` is the share of 341 a cycle, which is
what XOR, VPOPCNTQ and addition permit on Zen 4: 512 bits each 1.5 cycles. The cycle is that of the FMA peak measured
beside: 32 float operations (16 for baseline).
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

import accel
from accel.kernels import runtime
from accel.kernels.binary import (
    BinaryConv,
    Scaled,
    SignWeights,
    Thresholds,
    binary_scale_map,
    pack_bits,
    pack_pixels,
    sign_linear,
)
from accel.reference import binary as reference

sys.path[:0] = [str(Path(__file__).parent)]
from binary_peers import LAYERS, PEERS, Layer, check, peers, signs  # noqa: E402

Work = Callable[..., None]
LIMIT = 1024 / 3  # multiply-adds of bits per cycle
FLOATS = {"baseline": 16, "avx2": 32, "avx512": 32}  # float operations per cycle of the FMA peak, on Zen 4


def counts(layer: Layer) -> np.ndarray:
    """(1, O, H, W) int64, by the definition on float32 signs: exact."""
    x, w = signs(layer)
    with accel.using(backend="numpy"):
        y = BinaryConv(packed(w), layer.channels, pads=layer.pads)(pack_pixels(x))
    return y.transpose(0, 3, 1, 2).astype(np.int64)


def packed(w: np.ndarray) -> np.ndarray:
    return pack_bits(np.ascontiguousarray(w.transpose(0, 2, 3, 1)))


def describe(benchmark: BenchmarkFixture, work: Work, group: str, macs: int, nbytes: int) -> None:
    benchmark.group = f"binary/{group}"
    work(2 * macs, nbytes)


def note_limit(benchmark: BenchmarkFixture, macs: int) -> None:
    """The share of LIMIT of the median, once it is known."""
    noted, stats = benchmark.extra_info, benchmark.stats
    if runtime.core is None or stats is None or "peak operations per second" not in noted:
        return
    cycles = noted["peak operations per second"] / FLOATS.get(str(runtime.isa()), 32)
    noted["of the limit"] = macs / stats.stats.median / cycles / LIMIT


@pytest.mark.parametrize("output", ["bits", "floats"])
@pytest.mark.parametrize("name", LAYERS)
def bench_binary_conv(benchmark: BenchmarkFixture, work: Work, implementation: str, name: str, output: str) -> None:
    """A prepared object called from Python: packed bits in, thresholds or scale and bias included."""
    layer = LAYERS[name]
    if not implementation.startswith("native") and (output == "floats" or implementation == "numpy"):
        pytest.skip("one of them is enough")
    x, w = signs(layer)
    rng, expected = np.random.default_rng(1), counts(layer)
    at, below = rng.integers(-9, 10, layer.out).astype(np.int32), rng.random(layer.out) < 0.5
    scale, bias = np.ones(layer.out, np.float32), rng.standard_normal(layer.out, np.float32)
    epilogue = Thresholds(at, below) if output == "bits" else Scaled(scale, bias, pixel_major=True)
    conv, bits = BinaryConv(packed(w), layer.channels, pads=layer.pads, epilogue=epilogue), pack_pixels(x)
    y = conv(bits)
    if output == "bits":
        signs_of = reference.threshold(expected, at, below).transpose(0, 2, 3, 1)
        np.testing.assert_array_equal(y, pack_bits(np.ascontiguousarray(signs_of)))
    else:
        np.testing.assert_allclose(y.transpose(0, 3, 1, 2), expected + bias[:, None, None], rtol=1e-6)
    describe(benchmark, work, f"conv/{name}", layer.macs, bits.nbytes + w.size // 8 + y.nbytes)
    benchmark(conv, bits, out=y)
    note_limit(benchmark, layer.macs)


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("peer", PEERS)
def bench_binary_conv_peers(benchmark: BenchmarkFixture, work: Work, tmp_path: Path, name: str, peer: str) -> None:
    """float32 (ours: direct, the step alone), int8, and C loops, on the same +-1."""
    layer = LAYERS[name]
    call = peers(tmp_path)[peer](layer)
    check(peer, layer, call(), counts(layer))
    describe(benchmark, work, f"conv/{name}", layer.macs, 0)
    if peer == "c-loops":
        benchmark.pedantic(call, rounds=3)
    else:
        benchmark(call)


@pytest.mark.parametrize("batch", [1, 64])
def bench_binary_matmul(benchmark: BenchmarkFixture, work: Work, implementation: str, batch: int) -> None:
    """4096 x 4096, prepared: a 1 x 1 convolution over `batch` pixels. At batch 1 it reads 2 MB of weights."""
    if implementation == "numpy":
        pytest.skip("a definition, not a competitor")
    n, rng = 4096, np.random.default_rng(0)
    a, b = (pack_bits(rng.standard_normal((m, n), np.float32)) for m in (batch, n))
    conv, x = BinaryConv(b[:, None, None], n), a.reshape(1, batch, 1, -1)
    y = conv(x)
    np.testing.assert_array_equal(y[0, :, 0, ::97], reference.matmul(a, b[::97], n))
    benchmark.group = f"binary/matmul/4096/batch {batch}"
    work(2 * batch * n * n, b.nbytes, streams=batch == 1)
    benchmark(conv, x, out=y)
    note_limit(benchmark, batch * n * n)


@pytest.mark.parametrize("batch", [1, 32])
def bench_sign_linear(benchmark: BenchmarkFixture, work: Work, implementation: str, batch: int) -> None:
    """BinaryConnect: float activations times 4096 x 4096 weights of one bit."""
    if implementation == "numba":
        pytest.skip("bit by bit: a definition, not a competitor")
    n, rng = 4096, np.random.default_rng(0)
    w, x = rng.standard_normal((n, n), np.float32), rng.standard_normal((batch, n), np.float32)
    weights = SignWeights(pack_bits(w), n)
    y = sign_linear(x, weights)
    np.testing.assert_allclose(y[:, ::97], reference.sign_linear(x, reference.sign(w[::97])), atol=2e-3)
    describe(benchmark, work, f"sign linear/4096/batch {batch}", batch * n * n, weights.nbytes)
    benchmark(lambda: sign_linear(x, weights, out=y))


@pytest.mark.parametrize("batch", [1, 32])
def bench_sign_linear_dense(benchmark: BenchmarkFixture, work: Work, batch: int) -> None:
    """The same weights as float32, by NumPy's BLAS."""
    limits = pytest.importorskip("threadpoolctl").threadpool_limits
    n, rng = 4096, np.random.default_rng(0)
    w, x = rng.standard_normal((n, n), np.float32), rng.standard_normal((batch, n), np.float32)
    y = np.empty((batch, n), np.float32)
    describe(benchmark, work, f"sign linear/4096/batch {batch}", batch * n * n, w.nbytes)
    with limits(1):
        benchmark(lambda: np.matmul(x, w.T, out=y))


def bench_pack_pixels(benchmark: BenchmarkFixture, work: Work, implementation: str) -> None:
    x = np.random.default_rng(0).standard_normal((1, 64, 56, 56), np.float32)
    out = pack_pixels(x)
    np.testing.assert_array_equal(out, reference.pack_bits(np.ascontiguousarray(x.transpose(0, 2, 3, 1))))
    describe(benchmark, work, "pack pixels/64/56", x.size, x.nbytes)
    benchmark(lambda: pack_pixels(x, out=out))


def bench_scale_map(benchmark: BenchmarkFixture, work: Work, implementation: str) -> None:
    """XNOR-Net's K."""
    x = np.random.default_rng(0).standard_normal((1, 64, 56, 56), np.float32)
    expected = reference.scale_map(x, (3, 3), pads=(1, 1, 1, 1))
    np.testing.assert_allclose(binary_scale_map(x, 3, pads=1), expected, rtol=1e-5)
    describe(benchmark, work, "scale map/64/56", x.size, x.nbytes)
    benchmark(lambda: binary_scale_map(x, 3, pads=1))
