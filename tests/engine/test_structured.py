"""Structured weights in networks: run by their own kernels, as their dense form computes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from engine.sketch import Sketch, check, normal
from kernels.floats import assert_same_bits

import accel
from accel.engine.lowering import circulant_conv
from accel.graph import Network
from accel.kernels import runtime
from accel.weights import BlockCirculant, Fastfood, Hashed, Weight

if runtime.core is None:
    pytest.skip("only native kernels run structured weights in a plan", allow_module_level=True)

WEIGHTS: dict[str, Weight] = {
    "fastfood": Fastfood.random((300, 200), seed=3),
    "hashed": Hashed(normal(500, seed=4), 7, (300, 200)),
}


def network(weight: Weight, *, bias: bool = True, activation: str = "Relu", **attributes: float) -> Network:
    sketch = Sketch()
    operands = [sketch.input(None, weight.shape[1]), sketch.weights(*weight.shape)]
    sketch.constants[operands[1]] = weight
    if bias:
        operands.append(sketch.weights(weight.shape[0]))
    y = sketch.add("Gemm", *operands, transB=1, **attributes)
    return sketch.network(sketch.add(activation, y) if activation else y)


@pytest.mark.parametrize("name", WEIGHTS)
def test_a_layer_runs_by_the_kernel_of_its_weight(isa: str, name: str) -> None:
    for rows in (1, 6, 64):
        for case in (network(WEIGHTS[name]), network(WEIGHTS[name], bias=False, activation="Sigmoid")):
            feeds = {"x0": normal(rows, 200)}
            session = check(case, feeds)
            assert f"linear {name}" in [step["kernel"] for step in session.explain(feeds)]
            assert session.resident_bytes > 0


@pytest.mark.parametrize("name", WEIGHTS)
def test_what_the_kernel_does_not_take_runs_as_dense(name: str) -> None:
    weight, feeds = WEIGHTS[name], {"x0": normal(6, 200)}
    check(network(weight, activation="", beta=0.5), feeds)  # the bias is scaled
    session = check(network(weight, alpha=2.0), feeds)
    assert f"linear {name}" not in [step["kernel"] for step in session.explain(feeds)]
    sketch = Sketch()
    x, w = sketch.input(None, 300), sketch.weights(300, 200)
    sketch.constants[w] = weight
    check(sketch.network(sketch.add("MatMul", x, w)), {"x0": normal(6, 300)})


def test_a_small_fastfood_layer_runs_as_dense_where_that_is_faster() -> None:
    feeds = {"x0": normal(64, 8)}
    session = check(network(Fastfood.random((8, 8))), feeds)
    assert "linear fastfood" not in [step["kernel"] for step in session.explain(feeds)]


@pytest.mark.parametrize("name", WEIGHTS)
def test_a_saved_network_gives_the_same_bits(tmp_path: Path, name: str) -> None:
    net, x = network(WEIGHTS[name]), normal(5, 200)
    net.save(tmp_path / "n.accel")
    before = accel.InferenceSession(net).run(None, {"x0": x})
    after = accel.InferenceSession(str(tmp_path / "n.accel")).run(None, {"x0": x})
    assert before[0].tobytes() == after[0].tobytes()
    assert (tmp_path / "n.accel").stat().st_size < np.prod(WEIGHTS[name].shape) * 4 / 4


CONVOLUTIONS: dict[str, tuple[tuple[int, ...], int, dict[str, Any]]] = {
    "padded": ((64, 64, 3, 3), 16, {"pads": (1, 1, 1, 1)}),
    "unequal": ((40, 33, 3, 2), 16, {"pads": (0, 1, 2, 3), "strides": (2, 1), "dilations": (1, 2)}),
    "one pixel": ((32, 48, 1, 1), 16, {"strides": (2, 2)}),
    "large": ((16, 16, 7, 7), 8, {"pads": (3, 3, 3, 3), "strides": (2, 2)}),
}


def convolution(name: str, after: str, batch: int) -> tuple[accel.Network, dict[str, np.ndarray]]:
    """Two convolutions of which the second is dense, so that the result is wanted in blocks, or one."""
    shape, block, attributes = CONVOLUTIONS[name]
    sketch = Sketch()
    x, w = sketch.input(None, shape[1], 13, 11), sketch.weights(*shape)
    sketch.constants[w] = BlockCirculant.project(normal(*shape), block)
    y = sketch.add("Relu", sketch.add("Conv", x, w, sketch.weights(shape[0]), **attributes))
    if after:
        y = sketch.add("Conv", y, sketch.weights(16, shape[0], 3, 3), pads=(1, 1, 1, 1))
    return sketch.network(y), {"x0": normal(batch, shape[1], 13, 11)}


@pytest.mark.parametrize("after", ["", "dense"])
@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_a_block_circulant_convolution(isa: str, name: str, after: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(circulant_conv, "circulant_cycles", lambda *_: -1e9)
    monkeypatch.setattr(circulant_conv, "_MOST_FLOATS", 9000)  # several bands
    made, feeds = convolution(name, after, 3)
    session = check(made, feeds)
    assert "conv circulant" in [step["kernel"] for step in session.explain(feeds)]
    found = session.run(None, feeds)[0]
    for threads in (1, 2):
        again = accel.InferenceSession(made, threads=threads)
        assert_same_bits(again.run(None, feeds)[0], found)
    alone = accel.InferenceSession(made).run(None, {"x0": feeds["x0"][1:2].copy()})[0]
    assert_same_bits(alone[0], found[1])


def test_transforms_are_taken_where_they_should_be_faster() -> None:
    for block, expected in ((128, True), (4, False)):
        sketch = Sketch()
        x, w = sketch.input(1, 256, 14, 14), sketch.weights(256, 256, 3, 3)
        sketch.constants[w] = BlockCirculant.project(normal(256, 256, 3, 3), block)
        made = sketch.network(sketch.add("Conv", x, w, pads=(1, 1, 1, 1)))
        session = accel.InferenceSession(made)
        kernels = [step["kernel"] for step in session.explain({"x0": normal(1, 256, 14, 14)})]
        assert ("conv circulant" in kernels) == expected
