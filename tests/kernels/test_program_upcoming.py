"""What deep convolutions fetch for later steps changes nothing."""

from __future__ import annotations

import numpy as np
import pytest
from kernels.board import Board
from kernels.floats import assert_same_bits, normal

from accel.kernels import conv2d, linear, program, runtime
from accel.kernels.conv_native import method_named

if runtime.core is None:
    pytest.skip("the native kernels are not built", allow_module_level=True)


def add_conv(board: Board, x: np.ndarray, w: np.ndarray) -> tuple[object, object]:
    """A 1 x 1 convolution; its map and place."""
    shape = (x.shape[0], w.shape[0], *x.shape[2:])
    source, target = program.blocked_map(x.shape), program.blocked_map(shape)
    method = method_named("direct", w.shape, (1, 1), (1, 1), 1)
    spec = program.conv_spec(source, target, (1, 1), strides=(1, 1), before=(0, 0), dilations=(1, 1))
    place, (to, _), none = board.put(source, x), board.room(target), program.place(program.NOWHERE)
    board.program.conv(method.prepare(spec, 3), place, to, none, none, *method.pack(w, None, (1, 1), 1))
    return target, to


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize(("depth", "out"), [(1, 1), (90, 30), (700, 500)])  # less and more than is fetched
def test_the_same_bits_as_step_by_step(isa: str, threads: int, depth: int, out: int) -> None:
    images = [normal(1, 80, 7, 7), normal(1, 150, 9, 5, seed=1)]
    filters = [normal(48, 80, 1, 1, seed=2), normal(24, 150, 1, 1, seed=3)]
    rows, w, b = normal(1, depth, seed=4), normal(out, depth, seed=5), normal(out, seed=6)
    board = Board()
    targets = [add_conv(board, x, f) for x, f in zip(images, filters, strict=True)]
    source, target, none = board.slot(depth, rows), board.slot(out), program.place(program.NOWHERE)
    board.program.linear(
        1, depth, out, program.activation(None), program.place(source), program.place(target), none,
        program.pack_linear(w), program.pack_bias(b, out),
    )  # fmt: skip
    plain = [board.slot(f.shape[0] * x[0, 0].size) for x, f in zip(images, filters, strict=True)]
    for (layout, place), to in zip(targets, plain, strict=True):
        board.program.export_plain(layout, place, program.place(to))
    board.run(threads)
    assert_same_bits(board.arrays[target].reshape(1, out), linear(rows, w, b))
    for x, f, to in zip(images, filters, plain, strict=True):
        expected = conv2d(x, f, algorithm="direct")
        assert_same_bits(board.arrays[to].reshape(expected.shape), expected)
