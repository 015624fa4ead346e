"""Huffman coding of 16 MB: codes of 4, 6 and 8 bits and gaps, as the weights of compressed networks have them.

Every decoder returns new memory, as one that loads a network does: ours what earlier results have left ("kept"), or
what NumPy gives ("not-kept").

ACCEL_HUFF0 names a shared library of the peer, huff0 of FiniteStateEntropy; without it the peer is skipped.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable

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


def draw(name: str) -> np.ndarray:
    p = SOURCES[name]
    return np.random.default_rng(0).choice(p.size, N, p=p / p.sum()).astype(np.uint8)


@pytest.fixture(scope="module", params=SOURCES)
def symbols(request: pytest.FixtureRequest) -> tuple[str, np.ndarray]:
    return request.param, draw(request.param)


@pytest.fixture(scope="module", params=["ht", "h4"])
def source(request: pytest.FixtureRequest, symbols: tuple[str, np.ndarray]) -> tuple[str, np.ndarray, bytes, str]:
    return *symbols, huffman_encode(symbols[1], format=request.param), request.param


class Huff0:
    """Blocks of 32 KB by HUF_compress and the two-symbol decoder HUF_decompress4X2, inputs prepared beforehand."""

    BLOCK = 32_768

    def __init__(self, library: str, symbols: np.ndarray) -> None:
        self.core = ctypes.CDLL(library)
        self.core.HUF_compress.restype = ctypes.c_size_t
        self.core.HUF_decompress4X2.restype = ctypes.c_size_t
        self.symbols = symbols
        self.coded = np.empty(2 * N, np.uint8)
        self.blocks: list[tuple[ctypes.c_void_p, ctypes.c_size_t]] = []
        self.size = 0

    def encode(self) -> None:
        self.blocks, self.size = [], 0
        block = ctypes.c_size_t(self.BLOCK)
        for at in range(0, N, self.BLOCK):
            src, dst = (ctypes.c_void_p(x) for x in (self.symbols.ctypes.data + at, self.coded.ctypes.data + self.size))
            size = self.core.HUF_compress(dst, ctypes.c_size_t(2 * N - self.size), src, block)
            self.blocks.append((dst, ctypes.c_size_t(size)))
            self.size += size

    def decode(self) -> np.ndarray:
        out, block = np.empty(N, np.uint8), ctypes.c_size_t(self.BLOCK)
        begin = out.ctypes.data
        for at, coded in zip(range(begin, begin + N, self.BLOCK), self.blocks, strict=True):
            self.core.HUF_decompress4X2(ctypes.c_void_p(at), block, *coded)
        return out


@pytest.mark.parametrize("kernel", ["huffman_decode", "huffman_encode"])
def bench_huff0(benchmark: BenchmarkFixture, symbols: tuple[str, np.ndarray], kernel: str) -> None:
    library = os.environ.get("ACCEL_HUFF0")
    if not library:
        pytest.skip("ACCEL_HUFF0 names no library")
    peer = Huff0(library, symbols[1])
    peer.encode()
    np.testing.assert_array_equal(peer.decode(), symbols[1])
    _describe(benchmark, kernel, symbols[0], symbols[1], peer.size)
    run: Callable[[], object] = peer.decode if kernel == "huffman_decode" else peer.encode
    benchmark.pedantic(run, rounds=9, warmup_rounds=1)


def _describe(benchmark: BenchmarkFixture, kernel: str, name: str, symbols: np.ndarray, size: int) -> None:
    counts = np.bincount(symbols)
    shares = counts[counts > 0] / symbols.size
    benchmark.group = f"{kernel}/{name}"
    benchmark.extra_info |= {
        "bytes": symbols.size,
        "bits_per_symbol": 8 * size / symbols.size,
        "entropy": float(-(shares * np.log2(shares)).sum()),
    }


def bench_decode(
    benchmark: BenchmarkFixture, implementation: str, source: tuple[str, np.ndarray, bytes, str], memory: str
) -> None:
    name, symbols, stream, format = source
    if implementation == "numpy" or (implementation == "numba" and format == "ht"):
        pytest.skip("the NumPy implementation takes a second per megabyte")
    np.testing.assert_array_equal(huffman_decode(stream), symbols)
    _describe(benchmark, "huffman_decode", name, symbols, len(stream))
    benchmark.pedantic(huffman_decode, (stream,), rounds=9, warmup_rounds=1)


def bench_encode(benchmark: BenchmarkFixture, implementation: str, source: tuple[str, np.ndarray, bytes, str]) -> None:
    name, symbols, stream, format = source
    if implementation == "numpy" or (implementation == "numba" and format == "ht"):
        pytest.skip("the NumPy implementation takes a second per megabyte")
    assert huffman_encode(symbols, format=format) == stream
    _describe(benchmark, "huffman_encode", name, symbols, len(stream))
    benchmark.pedantic(huffman_encode, (symbols,), {"format": format}, rounds=9, warmup_rounds=1)


@pytest.mark.parametrize("n", [300, 10_000])
def bench_decode_small(benchmark: BenchmarkFixture, implementation: str, n: int) -> None:
    """What a small tensor pays: the header, the table, the call."""
    p = SOURCES["codes-4bit"]
    symbols = np.random.default_rng(0).choice(16, n, p=p / p.sum()).astype(np.uint8)
    stream = huffman_encode(symbols)
    out = np.empty(n, np.uint8)
    np.testing.assert_array_equal(huffman_decode(stream, out), symbols)
    _describe(benchmark, "huffman_decode", f"n={n}", symbols, len(stream))
    benchmark(huffman_decode, stream, out)
