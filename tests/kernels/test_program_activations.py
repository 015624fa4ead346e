"""The activations of prepared programs, against their operators in float64."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from kernels.board import Board
from kernels.floats import EPS, normal

from accel.kernels import conv2d, program, runtime
from accel.layers.operators import registry

ACTIVATIONS: dict[str, tuple[tuple[float, ...], dict[str, Any]]] = {
    "Relu": ((), {}),
    "LeakyRelu": ((0.125,), {"alpha": 0.125}),
    "HardSigmoid": ((0.25, 0.375), {"alpha": 0.25, "beta": 0.375}),
    "HardSwish": ((), {}),
    "Sigmoid": ((), {}),
}
SPECIAL = np.array(
    [
        np.nan,
        np.inf,
        -np.inf,
        0.0,
        -0.0,
        1e-40,
        -1e-40,
        1e-38,
        3e38,
        -3e38,
        88.7,
        -88.7,
        -104.0,
        104.0,
        3.0,
        -3.0,
        1,
        -1,
    ],
    np.float32,
)


def definition(name: str, x: np.ndarray) -> np.ndarray:
    """In float64 by the operator's own formula."""
    x = x.astype(np.float64)
    with np.errstate(all="ignore"):
        if name == "Swish":
            return x / (1 + np.exp(-x))
        _, attributes = ACTIVATIONS[name]
        result: np.ndarray = registry()[name]([x], attributes, 1)[0]
        return result


def apply(name: str, x: np.ndarray) -> np.ndarray:
    board, parameters = Board(), ACTIVATIONS.get(name, ((), {}))[0]
    source, target = board.slot(x.size, x), board.slot(x.size)
    board.program.activation(program.activation(name, parameters), x.size, program.place(source), program.place(target))
    board.run()
    return board.arrays[target].reshape(x.shape).copy()


def check(name: str, x: np.ndarray, y: np.ndarray) -> None:
    """Within 4 ulp (exp 2, the sum and the division the rest) or 1e-36, below which exp(-x) saturates.

    HardSwish cancels near x = -3: there within 2 eps |x|.
    """
    expected = definition(name, x)
    ordinary = np.isfinite(x)
    np.testing.assert_array_equal(y[~ordinary], expected[~ordinary])
    x, y, expected = x[ordinary], y[ordinary], expected[ordinary]
    slack = 2 * EPS * np.abs(x.astype(np.float64)) if name == "HardSwish" else 1e-36
    assert (np.abs(y - expected) <= 4 * EPS * np.abs(expected) + slack).all()


@pytest.mark.parametrize("name", [*ACTIVATIONS, "Swish"])
def test_activations_of_every_length(isa: str, name: str, awkward_sizes: list[int]) -> None:
    for n in (*awkward_sizes, 100_000):
        x = normal(n) * 8
        check(name, x, apply(name, x))


@pytest.mark.parametrize("name", [*ACTIVATIONS, "Swish"])
def test_activations_of_special_values_in_every_lane(isa: str, name: str) -> None:
    for lane in range(40):
        x = np.zeros(40 + SPECIAL.size, np.float32)
        x[lane : lane + SPECIAL.size] = SPECIAL
        check(name, SPECIAL, apply(name, x)[lane : lane + SPECIAL.size])


@pytest.mark.parametrize("name", [*ACTIVATIONS, "Swish"])
def test_kernels_apply_what_the_activation_alone_gives(isa: str, name: str) -> None:
    """To the bit: elementwise steps by each operation, and depthwise strips with and without a residual."""
    shape = (2, 19, 7, 27)
    x, y = normal(*shape) * 4, normal(*shape, seed=1)
    f = program.activation(name, ACTIVATIONS.get(name, ((), {}))[0])
    layout = program.blocked_map(shape, 2)
    for kind, function in (("add", np.add), ("subtract", np.subtract), ("multiply", np.multiply)):
        board = Board()
        a, b, (to, _) = board.put(layout, x), board.put(layout, y), board.room(layout)
        board.program.elementwise(program.elementwise_spec(kind, layout, layout, layout, activation=f), a, b, to)
        np.testing.assert_array_equal(board.get(layout, to, shape), apply(name, function(x, y)))
    for kernel, with_residual in itertools.product((1, 3, 5), (False, True)):
        w, bias = normal(19, 1, kernel, kernel, seed=2), normal(19, seed=3)
        board = Board()
        a, residual, (to, _) = board.put(layout, x), board.put(layout, y), board.room(layout)
        spec = program.conv_spec(
            layout, layout, (kernel, kernel), strides=(1, 1), before=(kernel // 2,) * 2, dilations=(1, 1),
            residual=layout if with_residual else None, activation=f,
        )  # fmt: skip
        packed = program.pack_depthwise(w), program.pack_bias(bias, 19)
        prepared = runtime.core.prepare_depthwise(runtime.isa_index(), spec)
        nowhere = program.place(program.NOWHERE)
        board.program.conv(prepared, a, to, residual if with_residual else nowhere, nowhere, *packed)
        sums = conv2d(x, w, bias, pads=kernel // 2, group=19)
        np.testing.assert_array_equal(board.get(layout, to, shape), apply(name, sums + y if with_residual else sums))


def test_relu_and_clip_keep_nan_and_negative_zero_and_denormals(isa: str) -> None:
    y = apply("Relu", SPECIAL)
    assert np.isnan(y[0]) and np.signbit(y[4]) and y[4] == 0
    assert y[5] == np.float32(1e-40)
    clip = program.activation("Clip", (-1.0, 6.0))
    board = Board()
    a, b = board.slot(SPECIAL.size, SPECIAL), board.slot(SPECIAL.size)
    board.program.activation(clip, SPECIAL.size, program.place(a), program.place(b))
    board.run()
    np.testing.assert_array_equal(board.arrays[b], np.clip(SPECIAL, np.float32(-1), np.float32(6)))


def test_denormals_are_flushed_on_request_and_the_mode_is_restored(isa: str) -> None:
    """In the caller and in the workers."""
    board, layout = Board(), program.blocked_map((1, 16, 100, 100))
    x = np.full((1, 16, 100, 100), 1e-40, np.float32)
    place, (to, slot) = board.put(layout, x), board.room(layout)
    board.program.elementwise(program.elementwise_spec("add", layout, layout, layout), place, place, to)
    board.run(threads=3, keep_denormals=True)
    assert (board.arrays[slot] == np.float32(1e-40) + np.float32(1e-40)).all()
    board.run(threads=3, keep_denormals=False)
    assert (board.arrays[slot] == 0).all()
    assert np.float32(1e-40) * np.float32(1) != 0
