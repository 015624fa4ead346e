"""Memory of results: what making one costs, and writing it for the first time, beside numpy.empty.

"kept": accel's own, in memory that earlier results have left. "not-kept": accel's with nothing kept. "given": an array
that is there already, written again.
"""

from __future__ import annotations

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from accel.kernels import runtime

KB, MB = 1 << 10, 1 << 20
EMPTY = {"accel": runtime.empty, "numpy": np.empty}


@pytest.mark.parametrize("nbytes", [0, 400, 512 * KB, MB, 16 * MB])
@pytest.mark.parametrize("whose", EMPTY)
def bench_empty(benchmark: BenchmarkFixture, whose: str, nbytes: int) -> None:
    """Nothing is written."""
    benchmark.group = f"empty/{nbytes / KB:g} KB"
    benchmark(EMPTY[whose], (nbytes // 4,), np.float32)


SIZES = [MB, 4 * MB, 16 * MB, 64 * MB, 164 * MB]
MEGABYTES = [f"{size // MB}MB" for size in SIZES]


@pytest.mark.parametrize("nbytes", SIZES, ids=MEGABYTES)
@pytest.mark.parametrize("memory", ["given", "kept", "not-kept"], indirect=True)
def bench_fill(benchmark: BenchmarkFixture, memory: str, nbytes: int) -> None:
    """One result that is let go before the next."""
    there = np.ones(nbytes // 4, np.float32) if memory == "given" else None

    def run() -> None:
        array = runtime.empty((nbytes // 4,), np.float32) if there is None else there
        array.fill(1)

    benchmark.group = f"fill/{nbytes // MB} MB"
    benchmark.pedantic(run, rounds=25, warmup_rounds=2)


@pytest.mark.parametrize("nbytes", SIZES[:-1], ids=MEGABYTES[:-1])
def bench_fill_three(benchmark: BenchmarkFixture, memory: str, nbytes: int) -> None:
    """Three that live at the same time, as a few layers in a row leave them."""

    def run() -> None:
        arrays = [runtime.empty((nbytes // 4,), np.float32) for _ in range(3)]
        for array in arrays:
            array.fill(1)

    benchmark.group = f"fill three/{nbytes // MB} MB"
    benchmark.pedantic(run, rounds=25, warmup_rounds=2)
