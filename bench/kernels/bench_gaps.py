"""Gap coding of a layer of four million places, a tenth of them taken."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from accel.kernels.gaps import (
    bitmap_encode,
    bitmap_expand,
    deltas_decode,
    deltas_encode,
    gaps_decode,
    gaps_encode,
    gaps_expand,
)
from accel.kernels.sparse import SparseArrays
from accel.reference import gaps as reference
from accel.weights import Codebook, CsrCodebook
from accel.weights.zeros import sparse_arrays

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


@pytest.fixture(scope="module")
def dense(positions: np.ndarray) -> np.ndarray:
    codes = np.zeros(SIZE, np.uint8)
    codes[positions] = np.random.default_rng(1).integers(1, 16, positions.size)
    return codes


@pytest.mark.parametrize("places", ["gaps", "bitmap"])
def bench_expand(
    benchmark: BenchmarkFixture, implementation: str, positions: np.ndarray, dense: np.ndarray, places: str
) -> None:
    """Codes to their places in memory that is there."""
    gaps, filler = gaps_encode(positions, 8)
    values = np.zeros(gaps.size, np.uint8)
    values[~filler] = dense[positions]
    ways: dict[str, tuple[Any, tuple[Any, ...]]] = {
        "gaps": (gaps_expand, (gaps, values)),
        "bitmap": (bitmap_expand, (bitmap_encode(dense != 0), dense[positions])),
    }
    call, args = ways[places]
    out = np.empty(SIZE, np.uint8)
    np.testing.assert_array_equal(call(*args, SIZE, out=out), dense)
    benchmark.group = f"expand/{places}"
    benchmark.extra_info |= {"positions": positions.size}
    benchmark.pedantic(call, (*args, SIZE), {"out": out}, rounds=7, warmup_rounds=1)


@pytest.mark.parametrize("way", ["straight", "by CsrCodebook"])
def bench_rows_of_codes(benchmark: BenchmarkFixture, dense: np.ndarray, way: str) -> None:
    """From codes to the rows that sparse kernels are packed from."""
    weight = Codebook(dense.reshape(2048, -1), np.linspace(0, 1, 16, dtype=np.float32))

    def detour() -> SparseArrays:
        return CsrCodebook.from_codebook(weight).kernel_arrays()

    call: Callable[[], SparseArrays | None] = detour if way == "by CsrCodebook" else partial(sparse_arrays, weight)
    found, expected = call(), detour()
    assert found is not None and found.book is not None and expected.book is not None
    np.testing.assert_array_equal(found.indices, expected.indices)
    np.testing.assert_array_equal(found.book[found.values], expected.book[expected.values])
    benchmark.group = "rows_of_codes"
    benchmark.pedantic(call, rounds=7, warmup_rounds=1)
