"""First layers whose stride is folded into channels: as the strided convolution, wherever NaN and infinities lie."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from engine.sketch import Sketch, assert_close, convolving, expected, normal
from engine.test_plan import plan_of
from hypothesis import given, settings
from hypothesis import strategies as st

import accel
from accel.graph import Network
from accel.kernels import runtime
from accel.kernels.conv_native import Route, folded_weights, methods

pytestmark = pytest.mark.skipif(runtime.core is None, reason="plans are made of native kernels")

Layer = tuple[int, int, int, tuple[int, int, int, int]]
"""Channels, kernel, stride, pads."""


def algorithms(channels: int, kernel: int, stride: int) -> list[str]:
    found = methods((16, channels, kernel, kernel), (stride, stride), (1, 1), 1)
    return [m.algorithm for m in found if m.route is Route.FOLDED]


GEOMETRIES = [(c, k, s) for k in range(3, 12) for s in range(2, 6) for c in range(1, 5) if algorithms(c, k, s)]


def network(layer: Layer, out: int = 20, zeros: bool = False) -> Network:
    channels, kernel, stride, pads = layer
    s = Sketch()
    x, w = s.input("N", channels, "H", "W"), s.weights(out, channels, kernel, kernel)
    if zeros:
        s.constants[w][:, :, ::2, ::3] = 0
    options: dict[str, Any] = {"kernel_shape": (kernel, kernel), "strides": (stride, stride), "pads": pads}
    return s.network(s.add("Conv", x, w, s.weights(out), **options))


def run(layer: Layer, x: np.ndarray, algorithm: str, threads: int = 1, **options: Any) -> np.ndarray:
    session = accel.InferenceSession(network(layer, **options), threads=threads)
    with convolving(algorithm):
        (y,) = session.run(None, {"x0": x})
    (choice,) = [step.choice for step in plan_of(session).steps if step.choice]
    assert choice.method.algorithm == algorithm
    return y


def test_the_cases_reach_everything() -> None:
    assert {(k, s) for _, k, s in GEOMETRIES} >= {
        (5, 2),
        (7, 2),
        (7, 3),
        (8, 2),
        (9, 3),
        (9, 4),
        (11, 4),
        (11, 3),
        (11, 5),
    }
    assert {c for c, _, _ in GEOMETRIES} == {1, 2, 3, 4}
    assert {a for g in GEOMETRIES for a in algorithms(*g)} == {"winograd3", "winograd4", "winograd5"}
    assert not algorithms(3, 3, 2) and not algorithms(3, 11, 2), "2 and 6 taps have no form"
    assert not algorithms(8, 7, 3), "72 channels"


@pytest.mark.parametrize(("channels", "kernel", "stride"), GEOMETRIES)
def test_every_geometry(channels: int, kernel: int, stride: int) -> None:
    """Odd sizes, pads of each side apart, of which one may be as wide as the kernel allows."""
    for algorithm in algorithms(channels, kernel, stride):
        for size, pads in (
            ((29, 30), (0, 0, 0, 0)),
            ((23, 37), (kernel // 2, 1, 0, kernel - 1)),
            ((kernel, 41), (2, 3, 1, 0)),
        ):
            layer, x = (channels, kernel, stride, pads), normal(2, channels, *size)
            assert_close([run(layer, x, algorithm)], expected(network(layer), {"x0": x}), 2e-5)


@pytest.mark.parametrize(("channels", "kernel", "stride"), [(3, 7, 2), (3, 11, 4), (4, 5, 2), (1, 9, 3), (2, 11, 5)])
def test_every_instruction_set(isa: str, channels: int, kernel: int, stride: int) -> None:
    layer, x = (channels, kernel, stride, (2, 1, 0, 3)), normal(3, channels, 45, 38)
    for algorithm in algorithms(channels, kernel, stride):
        assert_close([run(layer, x, algorithm)], expected(network(layer), {"x0": x}), 2e-5)


@pytest.mark.parametrize(("channels", "kernel", "stride"), [(3, 7, 2), (3, 11, 4), (1, 8, 3), (4, 6, 2)])
def test_threads_and_batch_do_not_change_a_bit(isa: str, channels: int, kernel: int, stride: int) -> None:
    layer, x = (channels, kernel, stride, (1, 2, 3, 0)), normal(8, channels, 61, 53)
    for algorithm in algorithms(channels, kernel, stride):
        batch = run(layer, x, algorithm)
        for threads in (1, 2, 3):
            assert run(layer, x, algorithm, threads).tobytes() == batch.tobytes()
            alone = [run(layer, x[i : i + 1].copy(), algorithm, threads) for i in range(8)]
            assert np.concatenate(alone).tobytes() == batch.tobytes()


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_what_is_not_finite_reaches_what_direct_convolution_gives_it_to(data: st.DataObject) -> None:
    """Also through taps that only fill kernels up, of which there must be none, and in cells that no window reads."""
    channels, kernel, stride = data.draw(st.sampled_from(GEOMETRIES))
    algorithm = data.draw(st.sampled_from(algorithms(channels, kernel, stride)))
    pads = data.draw(st.tuples(*[st.integers(0, kernel - 1)] * 4))
    size = data.draw(st.tuples(*[st.integers(kernel, 40)] * 2))
    x = normal(2, channels, *size)
    for _ in range(data.draw(st.integers(1, 3))):
        place = tuple(data.draw(st.integers(0, n - 1)) for n in x.shape)
        x[place] = data.draw(st.sampled_from([np.nan, np.inf, -np.inf]))
    layer = (channels, kernel, stride, pads)
    got, wanted = run(layer, x, algorithm), run(layer, x, "direct")
    np.testing.assert_array_equal(np.isnan(got), np.isnan(wanted))
    np.testing.assert_array_equal(np.isinf(got), np.isinf(wanted))
    finite = np.isfinite(wanted)
    np.testing.assert_allclose(got[finite], wanted[finite], rtol=0, atol=2e-5 * np.abs(wanted[finite]).max(initial=1))


def test_huge_values_do_not_overflow_in_the_transforms() -> None:
    x = normal(1, 3, 40, 40)
    x[0, 1, 20, 20] = 3e38
    layer = (3, 7, 2, (3, 3, 3, 3))
    got, wanted = run(layer, x, "winograd3"), run(layer, x, "direct")
    np.testing.assert_array_equal(np.isfinite(got), np.isfinite(wanted))
    np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-4)


def test_weights_of_zero_times_infinity_are_not_finite() -> None:
    """A zero comes back from the transformed weights as the rounding of others, and must be taken for zero."""
    x = normal(1, 3, 30, 31)
    x[0, 0, 11, 12] = np.inf
    layer = (3, 7, 2, (3, 3, 3, 3))
    for algorithm in algorithms(3, 7, 2):
        got, wanted = run(layer, x, algorithm, zeros=True), run(layer, x, "direct", zeros=True)
        np.testing.assert_array_equal(np.isnan(got), np.isnan(wanted))
        np.testing.assert_array_equal(np.isinf(got), np.isinf(wanted))


@pytest.mark.parametrize(("kernel", "stride"), [(7, 2), (11, 4), (5, 2), (7, 3)])
def test_folded_weights_are_the_weights(kernel: int, stride: int) -> None:
    w = normal(5, 3, kernel, kernel)
    folded = folded_weights(w, stride)
    taps = -(-kernel // stride)
    assert folded.shape == (5, 3 * stride**2, taps, taps)
    for channel in range(3 * stride**2):
        c, p, q = channel // stride**2, channel // stride % stride, channel % stride
        there = w[:, c, p::stride, q::stride]
        np.testing.assert_array_equal(folded[:, channel, : there.shape[1], : there.shape[2]], there)
        assert not folded[:, channel, there.shape[1] :].any() and not folded[:, channel, :, there.shape[2] :].any()


def test_only_first_layers_are_folded() -> None:
    """Other inputs are in blocks, and making planes of them for this costs more than was measured."""
    s = Sketch()
    y = s.add("Relu", s.conv(s.input("N", 3, "H", "W"), 3, 4, 3))
    strided = s.conv(y, 4, 20, 5, strides=(2, 2))
    net, feeds = s.network(strided, s.conv(y, 4, 8, 3), y), {"x0": normal(2, 3, 21, 26)}
    with convolving("winograd4"):
        session = accel.InferenceSession(net)
        assert_close(session.run(None, feeds), expected(net, feeds), 2e-5)
    assert "conv winograd4 folded" not in [step.kernel for step in plan_of(session).steps]
