"""Huffman coding of 16 MB: codes of 4, 6 and 8 bits and gaps, as the weights of compressed networks have them."""

from __future__ import annotations

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from accel.kernels.huffman import huffman_decode, huffman_encode

N = 1 << 24


def bell(symbols: int, sigma: float) -> np.ndarray:
    return np.exp(-((np.arange(symbols) - (symbols - 1) / 2) ** 2) / (2 * sigma**2))


SOURCES = {
    "codes-4bit": bell(16, 1.6),
    "codes-6bit": bell(64, 6),
    "codes-8bit": bell(256, 25),
    "gaps-90%": 0.9 ** np.arange(256),
}


@pytest.fixture(scope="module", params=SOURCES)
def source(request: pytest.FixtureRequest) -> tuple[str, np.ndarray, bytes]:
    p = SOURCES[request.param]
    symbols = np.random.default_rng(0).choice(p.size, N, p=p / p.sum()).astype(np.uint8)
    return request.param, symbols, huffman_encode(symbols)


def _describe(benchmark: BenchmarkFixture, kernel: str, name: str, symbols: np.ndarray, stream: bytes) -> None:
    counts = np.bincount(symbols)
    shares = counts[counts > 0] / symbols.size
    benchmark.group = f"{kernel}/{name}"
    benchmark.extra_info |= {
        "bytes": symbols.size,
        "bits_per_symbol": 8 * len(stream) / symbols.size,
        "entropy": float(-(shares * np.log2(shares)).sum()),
    }


def bench_decode(benchmark: BenchmarkFixture, implementation: str, source: tuple[str, np.ndarray, bytes]) -> None:
    name, symbols, stream = source
    if implementation == "numpy":
        pytest.skip("the NumPy implementation takes a second per megabyte")
    out = np.empty(N, np.uint8)
    np.testing.assert_array_equal(huffman_decode(stream, out), symbols)
    _describe(benchmark, "huffman_decode", name, symbols, stream)
    benchmark.pedantic(huffman_decode, (stream, out), rounds=9, warmup_rounds=1)


def bench_encode(benchmark: BenchmarkFixture, implementation: str, source: tuple[str, np.ndarray, bytes]) -> None:
    name, symbols, stream = source
    if implementation == "numpy":
        pytest.skip("the NumPy implementation takes a second per megabyte")
    assert huffman_encode(symbols) == stream
    _describe(benchmark, "huffman_encode", name, symbols, stream)
    benchmark.pedantic(huffman_encode, (symbols,), rounds=9, warmup_rounds=1)


@pytest.mark.parametrize("n", [300, 10_000])
def bench_decode_small(benchmark: BenchmarkFixture, implementation: str, n: int) -> None:
    """What a small tensor pays: the header, the table, the call."""
    p = SOURCES["codes-4bit"]
    symbols = np.random.default_rng(0).choice(16, n, p=p / p.sum()).astype(np.uint8)
    stream = huffman_encode(symbols)
    out = np.empty(n, np.uint8)
    np.testing.assert_array_equal(huffman_decode(stream, out), symbols)
    _describe(benchmark, "huffman_decode", f"n={n}", symbols, stream)
    benchmark(huffman_decode, stream, out)
