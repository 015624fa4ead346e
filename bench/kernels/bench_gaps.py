"""Gap coding of a layer of four million places, a tenth of them taken."""

from __future__ import annotations

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from accel.kernels.gaps import gaps_decode, gaps_encode
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
