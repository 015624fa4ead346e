"""Structured weights in networks: run by their own kernels, as their dense form computes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from engine.sketch import Sketch, check, normal

import accel
from accel.graph import Network
from accel.kernels import runtime
from accel.weights import Fastfood, Hashed, Weight

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
