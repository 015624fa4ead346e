"""Between sparse layers: poolings that the convolution takes over, and first layers that write planes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from engine.sketch import Sketch, check, normal
from engine.test_sparse import cache, kernels, prune, sparse  # noqa: F401  fixtures

import accel
from accel.graph import Network
from accel.kernels import runtime

pytestmark = [
    pytest.mark.skipif(runtime.core is None, reason="plans are made of native kernels"),
    pytest.mark.usefixtures("cache", "sparse"),
]
HALVES: dict[str, Any] = {"kernel_shape": [2, 2], "strides": [2, 2]}


def pooled(activation: str, size: tuple[int, int], *, both: bool = False) -> tuple[Network, dict[str, np.ndarray]]:
    """A convolution and its pooling; `both`: with its own result as an output too."""
    s = Sketch()
    y = s.conv(s.input(2, 8, *size), 8, 20)
    y = s.add(activation, y) if activation else y
    return prune(s.network(s.add("MaxPool", y, **HALVES), *([y] if both else []))), {"x0": normal(2, 8, *size)}


@pytest.mark.parametrize("activation", ["", "Relu"])
@pytest.mark.parametrize("size", [(8, 16), (9, 32), (2, 16)])
def test_a_pooling_is_taken_over_with_the_same_bits(isa: str, activation: str, size: tuple[int, int]) -> None:
    network, feeds = pooled(activation, size)
    session = check(network, feeds)
    assert kernels(session, feeds) == ["conv sparse planes pool"]
    apart, _ = pooled(activation, size, both=True)
    whole = accel.InferenceSession(apart)
    assert kernels(whole, feeds) == ["conv sparse planes", "pool planes"]
    expected = whole.run(None, feeds)[0].tobytes()
    assert session.run(None, feeds)[0].tobytes() == expected
    assert accel.InferenceSession(network, threads=2).run(None, feeds)[0].tobytes() == expected


@pytest.mark.parametrize(("activation", "size"), [("Sigmoid", (8, 16)), ("Relu", (8, 18))])
def test_other_poolings_stay_steps(activation: str, size: tuple[int, int]) -> None:
    network, feeds = pooled(activation, size)
    assert kernels(check(network, feeds), feeds) == ["conv sparse planes", "pool planes"]


def first(width: int, zeros: float = 0.9, channels: int = 3) -> tuple[Network, dict[str, np.ndarray]]:
    """A layer without zeros that one with so many reads."""
    s = Sketch()
    x = s.input(1, channels, 7, width)
    network = s.network(s.conv(s.add("Relu", s.conv(x, channels, 24)), 24, 16))
    weights = network.nodes[-1].inputs[1]
    keep = np.random.default_rng(0).random(network.constants[weights].shape) >= zeros
    network.constants[weights] *= keep.astype(np.float32)
    return network, {"x0": normal(1, channels, 7, width)}


def test_a_first_layer_writes_planes_for_sparse_readers(isa: str) -> None:
    network, feeds = first(16)
    assert kernels(check(network, feeds), feeds) == ["conv sparse planes"] * 2


@pytest.mark.parametrize("arguments", [(18,), (16, 0.0), (16, 0.9, 8)])
def test_other_first_layers_do_not(arguments: Any) -> None:
    network, feeds = first(*arguments)
    assert kernels(check(network, feeds), feeds)[0] != "conv sparse planes"


def test_its_zeros_meet_infinity_as_those_of_any_dense_layer() -> None:
    network, feeds = first(16)
    name = next(node.inputs[1] for node in network.nodes if node.op == "Conv")
    network.constants[name][:, 1, 0] = 0
    feeds["x0"][0, 1, 3] = np.inf  # a row that those zeros read for row 4, which the second layer reads for row 5
    session = accel.InferenceSession(network)
    assert kernels(session, feeds) == ["conv sparse planes"] * 2
    assert not np.isfinite(session.run(None, feeds)[0][0, :, 5]).all()
