"""Steps that move elements: every one ends where NumPy puts it, with its bits, and nothing else is written."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kernels.board import GUARD, Board, halo_of
from kernels.floats import assert_same_bits, normal

from accel.kernels import program, runtime

if runtime.core is None:
    pytest.skip("the native kernels are not built", allow_module_level=True)


class Bytes:
    """Two arrays of any type between canaries, and a program that copies from one to the other."""

    def __init__(self, x: np.ndarray, count: int) -> None:
        self.program, self.x = program.new_program(), np.ascontiguousarray(x)
        self.raw = np.full(count * x.itemsize + 8 * GUARD, 0xAD, np.uint8)
        self.y = self.raw[4 * GUARD : 4 * GUARD + count * x.itemsize].view(x.dtype)

    def run(self, threads: int = 2) -> np.ndarray:
        program.run(self.program, np.zeros(2, np.uintp), [(0, self.x), (1, self.y)], threads=threads)
        edges = np.concatenate([self.raw[: 4 * GUARD], self.raw[-4 * GUARD :]])
        assert (edges == 0xAD).all(), "a step wrote outside its array"
        return self.y


def numbers(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """Bytes of every value: floats among them are NaNs of all kinds, which a copy must not change."""
    count = int(np.prod(shape)) * np.dtype(dtype).itemsize
    return np.random.default_rng(count).integers(0, 256, count, np.uint8).view(dtype).reshape(shape)


def contiguous(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(int(np.prod(shape[i + 1 :])) for i in range(len(shape)))


def copied(x: np.ndarray, view: np.ndarray, threads: int = 2) -> np.ndarray:
    """`view`, which is one of x, as a contiguous array by the native step."""
    board = Bytes(x, view.size)
    first = (view.__array_interface__["data"][0] - x.__array_interface__["data"][0]) // x.itemsize
    from_ = program.side(first, tuple(s // x.itemsize for s in view.strides), x.size)
    to = program.side(0, contiguous(view.shape), view.size)
    board.program.copy_strided(x.itemsize, view.shape, from_, program.place(0), to, program.place(1))
    return board.run(threads).reshape(view.shape)


WIDTHS = [np.uint8, np.float16, np.float32, np.float64]


@st.composite
def views(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """An array and a view of it: sliced with any steps, transposed, with axes of size 1 put in or stretched."""
    shape = draw(st.lists(st.integers(1, 6), max_size=5).map(tuple))
    x = numbers(shape, draw(st.sampled_from(WIDTHS)))
    index = []
    for size in shape:
        step = draw(st.sampled_from([1, 1, 2, 3, -1, -2]))
        start = draw(st.integers(0, size - 1))
        index.append(slice(start, None, step))
    view = x[(..., *index)].transpose(draw(st.permutations(range(len(shape)))))
    if draw(st.booleans()):
        view = np.broadcast_to(view, (draw(st.integers(1, 3)), *view.shape))
    return x, view


@settings(max_examples=400, deadline=None)
@given(views(), st.sampled_from([1, 3]))
def test_a_view_is_copied_bit_by_bit(both: tuple[np.ndarray, np.ndarray], threads: int) -> None:
    x, view = both
    assert copied(x, view, threads).tobytes() == view.tobytes()


@pytest.mark.parametrize("dtype", WIDTHS)
@pytest.mark.parametrize("perm", [(0, 2, 1), (2, 1, 0), (1, 0, 2), (2, 0, 1), (1, 2, 0)])
def test_large_transpositions(dtype: Any, perm: tuple[int, ...]) -> None:
    """Over several tiles, the last ones not full, and several threads."""
    x = numbers((35, 67, 83), dtype)
    assert copied(x, x.transpose(perm), threads=4).tobytes() == x.transpose(perm).tobytes()


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 5), st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=5), st.data())
def test_a_part_of_a_whole_is_written_and_nothing_beside_it(
    sizes: list[tuple[int, int, int]], data: st.DataObject
) -> None:
    """As for a Concat or a Pad: (size, before, after) along each axis."""
    x = numbers(tuple(n for n, _, _ in sizes), data.draw(st.sampled_from(WIDTHS)))
    shape = tuple(n + a + b for n, a, b in sizes)
    board = Bytes(x, int(np.prod(shape)))
    steps = contiguous(shape)
    board.program.copy_strided(
        x.itemsize, x.shape, program.side(0, contiguous(x.shape), x.size), program.place(0),
        program.side(sum(a * s for (_, a, _), s in zip(sizes, steps, strict=True)), steps, board.y.size),
        program.place(1),
    )  # fmt: skip
    expected = board.y.copy().reshape(shape)
    expected[tuple(slice(a, a + n) for n, a, _ in sizes)] = x
    assert board.run().tobytes() == expected.tobytes()


BAD_COPIES = [
    ("sizes and steps do not fit", {"width": 3}),
    ("sizes and steps do not fit", {"sizes": (2,)}),
    ("sizes and steps do not fit", {"sizes": (2, 0)}),
    ("sizes and steps do not fit", {"sizes": (1,) * 9, "steps": (1,) * 9}),
    ("reaches outside", {"first": -1}),
    ("reaches outside", {"first": 1}),
    ("reaches outside", {"steps": (3, 2)}),
    ("reaches outside", {"steps": (-3, 1)}),
    ("reaches outside", {"elements": 5}),
    ("reaches outside", {"steps": (2**62, 1), "sizes": (4, 3)}),
]


@pytest.mark.parametrize(("message", "changes"), BAD_COPIES)
def test_a_copy_that_reaches_outside_is_refused(message: str, changes: dict[str, Any]) -> None:
    given = {"width": 4, "sizes": (2, 3), "steps": (3, 1), "first": 0, "elements": 6, **changes}
    one = program.side(given["first"], given["steps"], given["elements"])
    good = program.side(0, contiguous(given["sizes"]), int(np.prod(given["sizes"])))
    at = program.place(0)
    for from_, to in ((one, good), (good, one)):
        with pytest.raises(ValueError, match=message):
            program.new_program().copy_strided(given["width"], given["sizes"], from_, at, to, at)


# -- blocked maps --------------------------------------------------------------------------------------------------


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_a_window_of_a_map(data: st.DataObject) -> None:
    """Any channels, steps and overhang, as the definition says element by element."""
    integer = lambda low, high: data.draw(st.integers(low, high))  # noqa: E731
    shape = (2, integer(1, 40), integer(1, 6), integer(1, 6))
    target_shape = (2, integer(1, 40), integer(1, 7), integer(1, 7))
    channel, first = integer(-20, 20), (integer(-4, 7), integer(-4, 7))
    step = tuple(data.draw(st.sampled_from([1, 2, 3, -1, -2])) for _ in range(2))
    value = data.draw(st.sampled_from([0.0, -1.5, np.nan, np.inf]))
    x = normal(*shape)
    expected = np.full(target_shape, value, np.float32)
    places = itertools.product(*(range(n) for n in target_shape[1:]))
    for c, h, w in places:
        at = (c - channel, first[0] + h * step[0], first[1] + w * step[1])
        if all(0 <= i < n for i, n in zip(at, shape[1:], strict=True)):
            expected[:, c, h, w] = x[:, at[0], at[1], at[2]]
    board = Board()
    source, target = program.blocked_map(shape, integer(0, 2)), program.blocked_map(target_shape, integer(0, 2))
    place, (to, slot) = board.put(source, x), board.room(target)
    board.program.copy_window(source, place, target, to, channel, first, step, value)
    np.testing.assert_array_equal(board.get(target, to, target_shape), expected)
    assert (halo_of(target, board.arrays[slot], target_shape) == 0).all()


@pytest.mark.parametrize("channels", [1, 2, 4, 10, 15, 16, 17, 32, 50])
def test_channels_last(channels: int) -> None:
    x = normal(3, channels, 5, 7)
    for halo in (0, 2):
        board, layout = Board(), program.blocked_map(x.shape, halo)
        place, y = board.put(layout, x), board.slot(x.size)
        board.program.channels_last(layout, place, program.place(y))
        board.run()
        assert_same_bits(board.arrays[y].reshape(3, 5, 7, channels), np.ascontiguousarray(x.transpose(0, 2, 3, 1)))


def test_maps_that_do_not_fit_are_refused() -> None:
    new, at = program.new_program, program.place(0)
    a, b, planes = (
        f((n, 16, 4, 4)) for f, n in ((program.blocked_map, 1), (program.blocked_map, 2), (program.plain_map, 1))
    )
    for source, target, step in (
        (a, b, (1, 1)),
        (planes, a, (1, 1)),
        (a, planes, (1, 1)),
        (a, a, (0, 1)),
        (a, a, (1, 0)),
    ):
        with pytest.raises(ValueError, match="copy_window: maps do not fit"):
            new().copy_window(source, at, target, at, 0, (0, 0), step, 0.0)
    with pytest.raises(ValueError, match="channels_last: map does not fit"):
        new().channels_last(planes, at, at)


def test_the_canary_is_seen() -> None:
    board = Board()
    slot = board.slot(4, normal(4))
    side = program.side(0, (1,), 5)
    board.program.copy_strided(4, (5,), side, program.place(slot), side, program.place(slot, 1))
    with pytest.raises(AssertionError, match="outside"):
        board.run()
