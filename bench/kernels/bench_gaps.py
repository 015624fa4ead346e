"""Gap coding of a layer of four million places, a tenth of them taken."""

from __future__ import annotations

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from accel.kernels.gaps import deltas_decode, deltas_encode, gaps_decode, gaps_encode
from accel.reference import gaps as reference

SIZE = 1 << 22


@pytest.fixture(scope="module")
def positions() -> np.ndarray:
    return np.flatnonzero(np.random.default_rng(0).random(SIZE) < 0.1).astype(np.uint32)


@pytest.mark.parametrize("bits", [4, 8])
def bench_gaps_encode(benchmark: BenchmarkFixture, implementation: str, positions: np.ndarray, bits: int) -> None:
    gaps, _ = gaps_encode(positions[:1000], bits)
    assert gaps.tolist() == reference.encode(positions[:1000].tolist(), bits)[0]
    benchmark.group = f"gaps_encode/bits={bits}"
    benchmark.extra_info |= {"positions": positions.size}
    benchmark.pedantic(gaps_encode, (positions, bits), rounds=7, warmup_rounds=1)


@pytest.mark.parametrize("bits", [4, 8])
def bench_gaps_decode(benchmark: BenchmarkFixture, implementation: str, positions: np.ndarray, bits: int) -> None:
    gaps, filler = gaps_encode(positions, bits)
    np.testing.assert_array_equal(gaps_decode(gaps, SIZE, bits=bits)[~filler], positions)
    benchmark.group = f"gaps_decode/bits={bits}"
    benchmark.extra_info |= {"entries": gaps.size}
    benchmark.pedantic(gaps_decode, (gaps, SIZE), {"bits": bits}, rounds=7, warmup_rounds=1)


@pytest.fixture(scope="module")
def rows(positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same places as columns of 2048 rows: indices, indptr."""
    columns = SIZE // 2048
    indptr = np.searchsorted(positions, np.arange(2049, dtype=np.uint32) * np.uint32(columns)).astype(np.int32)
    return (positions % columns).astype(np.int32), indptr


def bench_deltas_encode(benchmark: BenchmarkFixture, implementation: str, rows: tuple[np.ndarray, np.ndarray]) -> None:
    first = rows[0][: rows[1][1]].tolist()
    assert deltas_encode(*rows)[: len(reference.row_deltas(first))].tolist() == reference.row_deltas(first)
    benchmark.group = "deltas_encode"
    benchmark.extra_info |= {"positions": rows[0].size}
    benchmark.pedantic(deltas_encode, rows, rounds=7, warmup_rounds=1)


def bench_deltas_decode(benchmark: BenchmarkFixture, implementation: str, rows: tuple[np.ndarray, np.ndarray]) -> None:
    indices, indptr = rows
    deltas = deltas_encode(indices, indptr)
    np.testing.assert_array_equal(deltas_decode(deltas, indptr, SIZE // 2048), indices)
    benchmark.group = "deltas_decode"
    benchmark.extra_info |= {"entries": indices.size}
    benchmark.pedantic(deltas_decode, (deltas, indptr, SIZE // 2048), rounds=7, warmup_rounds=1)
