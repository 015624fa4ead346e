"""One arena: what lives at the same time lies apart, and what is dead is used again."""

from __future__ import annotations

import contextlib
import gc
import sys

import numpy as np
import pytest
from engine.sketch import Sketch, convolving, normal
from engine.test_random_networks import grow
from hypothesis import given, settings
from hypothesis import strategies as st

import accel
from accel.engine.memory import ALIGNMENT, Storage, assign_offsets
from accel.engine.plan import Plan
from accel.kernels import runtime

needs_native = pytest.mark.skipif(runtime.core is None, reason="plans are made of native kernels")


def rounded(nbytes: int) -> int:
    return -(-nbytes // ALIGNMENT) * ALIGNMENT


def assert_sound(storages: list[Storage], total: int) -> None:
    for i, a in enumerate(storages):
        assert a.offset >= 0 and a.offset % ALIGNMENT == 0 and a.offset + a.nbytes <= total
        for b in storages[:i]:
            lives_apart = a.last < b.first or b.last < a.first
            lies_apart = a.offset + a.nbytes <= b.offset or b.offset + b.nbytes <= a.offset
            assert lives_apart or lies_apart, (a, b)


def live_bytes(storages: list[Storage]) -> int:
    """The most that lives at one step: no arena can be smaller."""
    steps = range(max((s.last for s in storages), default=-1) + 1)
    return max((sum(rounded(s.nbytes) for s in storages if s.first <= t <= s.last) for t in steps), default=0)


lives = st.tuples(st.integers(0, 5000), st.integers(0, 30), st.integers(0, 10))


@settings(max_examples=500, deadline=None)
@given(st.lists(lives, max_size=40))
def test_no_two_live_storages_overlap(rows: list[tuple[int, int, int]]) -> None:
    storages = [Storage(nbytes, first=first, last=first + length) for nbytes, first, length in rows]
    total = assign_offsets(storages)
    assert_sound(storages, total)
    assert live_bytes(storages) <= total <= sum(rounded(s.nbytes) for s in storages)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(1, 10_000), min_size=2, max_size=40))
def test_a_chain_needs_no_more_than_its_largest_pair(sizes: list[int]) -> None:
    storages = [Storage(n, first=i, last=i + 1) for i, n in enumerate(sizes)]
    total = assign_offsets(storages)
    assert_sound(storages, total)
    assert total <= 1.5 * live_bytes(storages)


def test_equal_sizes_in_a_chain_need_two_places() -> None:
    storages = [Storage(1000, first=i, last=i + 1) for i in range(50)]
    assert assign_offsets(storages) == 2 * rounded(1000)


def test_nothing_needs_nothing() -> None:
    assert assign_offsets([]) == 0
    assert assign_offsets([Storage(0, first=0, last=3)]) == 0


def test_touches_span_a_life() -> None:
    storage = Storage(8)
    for step in (3, 5, 9):
        storage.touch(step)
    assert (storage.first, storage.last) == (3, 9)


def plan_of(session: accel.InferenceSession) -> Plan:
    (plan,) = session._plans.values()
    assert isinstance(plan, Plan)
    return plan


@needs_native
@pytest.mark.parametrize("algorithm", ["direct", "winograd2", "winograd4"])
def test_a_deep_chain_runs_in_the_memory_of_two_layers(algorithm: str) -> None:
    """And of one layer's scratch, which Winograd has and direct convolution has not."""
    s = Sketch()
    x = s.input(1, 32, 28, 28)
    y = x
    for _ in range(30):
        y = s.add("Relu", s.conv(y, 32, 32))
    session = accel.InferenceSession(s.network(y))
    with convolving(algorithm):
        session.run(None, {"x0": normal(1, 32, 28, 28)})
    padded = 32 * 30 * 30 * 4
    plan = plan_of(session)
    scratches = {step.writes[1].storage.nbytes for step in plan.steps if step.choice}
    assert len(scratches) == 1 and (scratches == {0}) == (algorithm == "direct")
    assert plan.arena_bytes <= 2 * padded + max(scratches) + 4 * ALIGNMENT


@needs_native
@pytest.mark.parametrize("seed", range(40))
def test_storages_of_random_plans_lie_apart(seed: int) -> None:
    network, feeds = grow(seed, 12)
    session = accel.InferenceSession(network)
    session.run(None, feeds)
    plan = plan_of(session)
    arena = [s for s in plan._arena if not s.external]
    assert_sound(arena, plan.arena_bytes)
    for number, step in enumerate(plan.steps):
        for tensor in (*step.reads, *step.writes):
            if not tensor.storage.external and tensor.constant is None:
                assert tensor.storage.first <= number <= tensor.storage.last
                bytes_of_map = tensor.spec.nbytes if tensor.map is None else 4 * tensor.map.floats
                last = tensor.map.plane * -(-tensor.spec.shape[1] // 16) * 4 if tensor.floats else bytes_of_map
                assert 4 * tensor.floats + min(last, bytes_of_map) <= rounded(tensor.storage.nbytes)


@needs_native
def test_runs_allocate_no_activations() -> None:
    """The workspace of the first run serves the next ones."""
    s = Sketch()
    x = s.input(1, 16, 20, 20)
    session = accel.InferenceSession(s.network(s.add("GlobalAveragePool", s.conv(s.conv(x, 16, 16), 16, 16))))
    feeds = {"x0": normal(1, 16, 20, 20)}
    session.run(None, feeds)
    (workspace,) = plan_of(session)._free
    for _ in range(5):
        session.run(None, feeds)
    assert list(plan_of(session)._free) == [workspace]
    assert workspace._buffer.ctypes.data % ALIGNMENT == 0


@needs_native
def test_the_arrays_of_the_caller_are_forgotten_after_a_run() -> None:
    """Also those that Python steps read and write, and after an error."""
    s = Sketch()
    x, i = s.input(4, 3), s.input(2, dtype=np.int64)
    session = accel.InferenceSession(s.network(s.add("Gather", s.add("Round", x), i, axis=0)))
    for indices, refused in (([0, 3], False), ([0, 4], True), ([1, 2], False)):
        array = normal(4, 3)
        before = sys.getrefcount(array)
        feeds = {"x0": array, "x1": np.array(indices)}
        with pytest.raises(accel.ModelError) if refused else contextlib.nullcontext():
            session.run(None, feeds)
        del feeds
        gc.collect()  # the frames of the error
        assert sys.getrefcount(array) == before


@needs_native
def test_an_error_in_a_run_gives_the_workspace_back() -> None:
    s = Sketch()
    x, i = s.input(4, 3), s.input(2, dtype=np.int64)
    session = accel.InferenceSession(s.network(s.add("Gather", s.add("Relu", x), i, axis=0)))
    good, bad = ({"x0": normal(4, 3), "x1": np.array(v)} for v in ([0, 3], [0, 4]))
    wanted = session.run(None, good)[0]
    for _ in range(3):
        with pytest.raises(accel.ModelError, match=r"Gather node 'gather_1': Gather: indices"):
            session.run(None, bad)
    np.testing.assert_array_equal(session.run(None, good)[0], wanted)
    assert len(plan_of(session)._free) == 1
