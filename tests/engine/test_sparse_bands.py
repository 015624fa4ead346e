"""Pairs of sparse convolutions that are run band by band, and those that are not."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from engine.sketch import Sketch, check, normal
from engine.test_sparse import cache, kernels, prune, sparse  # noqa: F401  fixtures

import accel
from accel.engine import lowering
from accel.graph import Network
from accel.kernels import runtime

pytestmark = [
    pytest.mark.skipif(runtime.core is None, reason="plans are made of native kernels"),
    pytest.mark.usefixtures("cache", "sparse"),
]
SIZE = (144, 160)  # enough bands for one thread, too few for two
BANDS = ["conv sparse planes in bands"] * 2
APART = ["conv sparse planes"] * 2


def chain(build: Callable[[Sketch, str, str], list[str]]) -> tuple[Network, dict[str, np.ndarray]]:
    """A convolution, and what `build` makes of the sketch, the input and its result: the outputs."""
    s = Sketch()
    x = s.input(1, 8, *SIZE)
    network = prune(s.network(*build(s, x, s.add("Relu", s.conv(x, 8, 16)))))
    return network, {"x0": normal(1, 8, *SIZE)}


def test_two_layers_with_the_same_bits(isa: str, monkeypatch: pytest.MonkeyPatch) -> None:
    network, feeds = chain(lambda s, _, y: [s.add("Relu", s.conv(y, 16, 8))])
    session = check(network, feeds, threads=1)
    assert kernels(session, feeds) == BANDS
    y = session.run(None, feeds)[0].tobytes()
    two = accel.InferenceSession(network, threads=2)
    assert kernels(two, feeds) == APART
    assert two.run(None, feeds)[0].tobytes() == y
    monkeypatch.setattr(lowering, "makes_bands", lambda *_: False)
    apart = accel.InferenceSession(network, threads=1)
    assert kernels(apart, feeds) == APART
    assert apart.run(None, feeds)[0].tobytes() == y


def test_a_pooling_is_taken_over_too() -> None:
    def build(s: Sketch, _: str, y: str) -> list[str]:
        return [s.add("MaxPool", s.add("Relu", s.conv(y, 16, 8)), kernel_shape=[2, 2], strides=[2, 2])]

    network, feeds = chain(build)
    assert kernels(check(network, feeds, threads=1), feeds) == [BANDS[0], "conv sparse planes pool in bands"]


def test_of_three_layers_the_last_is_alone() -> None:
    network, feeds = chain(lambda s, _, y: [s.conv(s.conv(y, 16, 16), 16, 4)])
    assert kernels(check(network, feeds, threads=1), feeds) == [*BANDS, APART[0]]


def test_a_residual_of_the_second(isa: str) -> None:
    network, feeds = chain(lambda s, x, y: [s.add("Relu", s.add("Add", s.conv(y, 16, 8), x))])
    session = check(network, feeds, threads=1)
    assert kernels(session, feeds) == BANDS


OTHERS: dict[str, Callable[[Sketch, str, str], list[str]]] = {
    "an output": lambda s, _, y: [s.conv(y, 16, 8), y],
    "read twice": lambda s, _, y: [s.conv(y, 16, 8), s.conv(y, 16, 8)],
    "its own residual": lambda s, _, y: [s.add("Add", s.conv(y, 16, 16), y)],
    "a stride": lambda s, _, y: [s.conv(y, 16, 8, strides=[2, 2])],
    "one tap": lambda s, _, y: [s.conv(y, 16, 8, kernel=1)],
}


@pytest.mark.parametrize("build", OTHERS.values(), ids=OTHERS)
def test_other_pairs_are_not(build: Callable[[Sketch, str, str], list[str]]) -> None:
    network, feeds = chain(build)
    assert kernels(check(network, feeds, threads=1), feeds)[:2] == APART


def test_small_maps_are_not() -> None:
    s = Sketch()
    network = prune(s.network(s.conv(s.conv(s.input(1, 8, 32, 32), 8, 16), 16, 8)))
    feeds = {"x0": normal(1, 8, 32, 32)}
    assert kernels(check(network, feeds, threads=1), feeds) == APART
