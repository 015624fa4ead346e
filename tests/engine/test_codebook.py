"""Codebook weights in networks: run straight from their codes where that pays, as their dense form computes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from engine.sketch import Sketch, check, normal

import accel
from accel.graph import Network
from accel.kernels import runtime
from accel.weights import Codebook, ProductQuantized, Weight

if runtime.core is None:
    pytest.skip("only native kernels run codes in a plan", allow_module_level=True)

OUT, DEPTH = 300, 2000


def codebook(values: int, *, zeros: bool = False, groups: int = 1) -> Codebook:
    codes = np.random.default_rng(1).integers(0, values, (OUT, DEPTH), dtype=np.uint8)
    book = normal(groups, values, seed=2) * np.float32(0.02)
    if zeros:
        book[:, values // 4 :] = 0
    return Codebook(codes, book if groups > 1 else book[0])


def network(weight: Weight, *, bias: bool = True, activation: str = "Relu", **attributes: float) -> Network:
    sketch = Sketch()
    operands = [sketch.input(None, DEPTH), sketch.weights(OUT, DEPTH)]
    sketch.constants[operands[1]] = weight
    if bias:
        operands.append(sketch.weights(OUT))
    y = sketch.add("Gemm", *operands, transB=1, **attributes)
    return sketch.network(sketch.add(activation, y) if activation else y)


def kernels(session: accel.InferenceSession, rows: int) -> list[str]:
    return [step["kernel"] for step in session.explain({"x0": normal(rows, DEPTH)})]


@pytest.mark.parametrize("groups", [1, 3])
def test_a_layer_runs_from_its_codes(isa: str, groups: int) -> None:
    for case in (
        network(codebook(16, groups=groups)),
        network(codebook(16, groups=groups), bias=False, activation="Sigmoid"),
        network(codebook(16, groups=groups), activation="", beta=0.5),
    ):
        session = check(case, {"x0": normal(1, DEPTH)})
        assert isa != "avx512" or "linear codes" in kernels(session, 1)
        check(case, {"x0": normal(20, DEPTH)})


def test_the_same_bits_as_dense_weights_for_any_batch() -> None:
    weight = codebook(16)
    coded = network(weight)
    (name,) = (name for name, value in coded.constants.items() if value is weight)
    plain = coded.with_constants({name: weight.dense()})
    x = normal(7, DEPTH)
    sessions = [accel.InferenceSession(net) for net in (coded, plain)]
    coded_y, plain_y = (session.run(None, {"x0": x})[0] for session in sessions)
    assert coded_y.tobytes() == plain_y.tobytes()
    assert sessions[0].run(None, {"x0": x[:1]})[0].tobytes() == plain_y[:1].tobytes()


@pytest.mark.parametrize("case", ["zeros", "alpha", "MatMul"])
def test_what_the_kernel_does_not_take_runs_otherwise(case: str) -> None:
    feeds = {"x0": normal(1, DEPTH)}
    if case == "MatMul":
        sketch = Sketch()
        x, w = sketch.input(None, OUT), sketch.weights(OUT, DEPTH)
        sketch.constants[w] = codebook(16)
        session = check(sketch.network(sketch.add("MatMul", x, w)), {"x0": normal(1, OUT)})
        assert "linear" in [step["kernel"] for step in session.explain({"x0": normal(1, OUT)})]
        return
    net = network(codebook(16, zeros=True)) if case == "zeros" else network(codebook(16), alpha=2.0)
    assert "linear codes" not in kernels(check(net, feeds), 1)


def test_codes_of_a_byte_run_as_dense_in_large_batches() -> None:
    with accel.using(threads=1):
        session = accel.InferenceSession(network(codebook(256)))
        assert "linear codes" not in kernels(session, 64)


def test_a_saved_network_gives_the_same_bits(tmp_path: Path) -> None:
    net, x = network(codebook(16, groups=2)), normal(5, DEPTH)
    net.save(tmp_path / "n.accel")
    before = accel.InferenceSession(net).run(None, {"x0": x})
    after = accel.InferenceSession(str(tmp_path / "n.accel")).run(None, {"x0": x})
    assert before[0].tobytes() == after[0].tobytes()
    assert (tmp_path / "n.accel").stat().st_size < OUT * DEPTH * 4 / 7


def test_a_product_quantized_layer_runs_by_tables(isa: str) -> None:
    codes = np.random.default_rng(1).integers(0, 16, (OUT, DEPTH // 4), dtype=np.uint8)
    weight = ProductQuantized(codes, normal(DEPTH // 4, 16, 4, seed=2) * np.float32(0.02))
    for rows in (1, 50):
        session = check(network(weight), {"x0": normal(rows, DEPTH)})
        assert isa == "baseline" or rows > 1 or "linear product quantized" in kernels(session, rows)
