"""Memory of weights and arenas: zeroed, on cache lines of its own, on pages that live as long as they are used."""

from __future__ import annotations

import gc
import itertools
import weakref
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kernels.places import address, resident

from accel.kernels import program, runtime

pytestmark = pytest.mark.skipif(runtime.core is None, reason="the native kernels are not built")

HUGE = 2 << 20
MOST = 3 << 20


def buffer(nbytes: int) -> np.ndarray:
    array: np.ndarray = runtime.core.aligned_buffer(nbytes)
    return array


@pytest.mark.parametrize("nbytes", [0, 1, 63, 64, 65, 4095, 4096, HUGE - 1, HUGE, HUGE + 1, 2 * HUGE - 64, MOST])
def test_zeroed_aligned_and_writable(nbytes: int) -> None:
    for _ in range(3):
        array = buffer(nbytes)
        assert array.dtype == np.uint8 and array.shape == (nbytes,) and array.flags.c_contiguous
        assert address(array) % 64 == 0 and not array.any()
        array[:] = 255


def test_large_ones_begin_on_a_large_page() -> None:
    assert address(buffer(HUGE)) % HUGE == 0 and address(buffer(MOST)) % HUGE == 0


def test_small_ones_share_pages() -> None:
    arrays = [buffer(1000) for _ in range(100)]
    places = sorted(map(address, arrays))
    assert places[-1] - places[0] < 3 * HUGE and len({place // HUGE for place in places}) <= 4


def test_pages_live_as_long_as_any_array_on_them() -> None:
    """Whichever goes first, and through views."""
    arrays = [buffer(100_000) for _ in range(60)]  # three times the pages of one piece
    for i, array in enumerate(arrays):
        array[:] = i + 1
    kept = {i: arrays[i][5:10].view() for i in (0, 7, 30, 59)}
    arrays.clear()
    gc.collect()
    noise = [buffer(100_000) for _ in range(60)]
    assert not any(array.any() for array in noise)
    for array in noise:
        array[:] = 99
    assert all((view == i + 1).all() for i, view in kept.items())


def test_memory_goes_back() -> None:
    """Hundreds of arrays, one after another, need the room of a few."""
    first = resident()
    for _ in range(300):
        buffer(MOST)[:] = 1
    for _ in range(300):
        buffer(1_000_000)[:] = 1
    assert resident() - first < 64 << 20


def assert_apart(arrays: list[np.ndarray]) -> None:
    """No two on one cache line."""
    spans = sorted((address(a), address(a) + max(a.nbytes, 1)) for a in arrays if a.nbytes)
    for (_, end), (begin, _) in itertools.pairwise(spans):
        assert begin >= -(-end // 64) * 64


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, MOST), st.booleans()), min_size=1, max_size=25))
def test_any_sizes_in_any_order(requests: list[tuple[int, bool]]) -> None:
    held: list[tuple[int, np.ndarray]] = []
    for number, (nbytes, keep) in enumerate(requests, 1):
        array = buffer(nbytes)
        assert address(array) % 64 == 0 and not array.any()
        array[:] = number
        if keep:
            held.append((number, array))
    assert_apart([array for _, array in held])
    assert all((array == number).all() for number, array in held)


def test_many_threads_get_memory_of_their_own() -> None:
    sizes = [1, 64, 100, 5_000, 200_000, 900_000, HUGE + 5]

    def work(number: int) -> list[np.ndarray]:
        kept = []
        for i in range(60):
            array = buffer(sizes[(number + i) % len(sizes)])
            assert not array.any()
            array[:] = number
            if i % 5 == 0:
                kept.append(array)
        return kept

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(work, range(1, 9)))
    assert_apart([array for kept in found for array in kept])
    assert all((array == number).all() for number, kept in enumerate(found, 1) for array in kept)


def test_an_array_keeps_its_pages_alone() -> None:
    """The buffer object itself is not needed."""
    array = program.aligned(10)
    owner = weakref.ref(array.base) if isinstance(array.base, np.ndarray) else None
    view = array[2:5]
    del array
    gc.collect()
    view[:] = 3
    assert view.tolist() == [3, 3, 3] and (owner is None or owner() is not None)


@pytest.mark.parametrize("nbytes", [1 << 62, (1 << 64) - 1, (1 << 64) - HUGE])
def test_more_than_there_is(nbytes: int) -> None:
    with pytest.raises(MemoryError):
        buffer(nbytes)


@pytest.mark.parametrize("bad", [-1, 1.5, "1", None, 1 << 64])
def test_sizes_that_are_none(bad: Any) -> None:
    with pytest.raises(TypeError):
        runtime.core.aligned_buffer(bad)
