"""The interpreter: node by node, for networks that cannot be planned."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest
from engine.sketch import Sketch, normal

import accel
from accel.engine.interpreter import Interpreter
from accel.layers import operators


def test_it_runs_nodes_in_order(backend: str) -> None:
    s = Sketch()
    x = s.input(2, 3)
    y = s.add("Add", s.add("Neg", x), s.constant(np.float32(1)))
    (result,) = Interpreter(s.network(y)).run({"x0": normal(2, 3)})
    np.testing.assert_array_equal(result, 1 - normal(2, 3))


def test_every_output_is_an_array_of_its_own() -> None:
    """Not a view of an input, of a constant or of another output, and C-contiguous."""
    s = Sketch()
    x = s.input(2, 3)
    c = s.constant(normal(4, 2))
    y = s.add("Neg", x)
    outputs = [
        x, c, y, y, s.add("Identity", x), s.add("Flatten", x), s.add("Transpose", c), s.add("Transpose", y),
        s.add("Flatten", y, axis=0), s.add("Reshape", c, s.constant(np.array([8]))),
    ]  # fmt: skip
    network, given = s.network(*outputs), normal(2, 3)
    results = Interpreter(network).run({"x0": given})
    kept = [r.copy() for r in results]
    arrays = [given, *(np.asarray(a) for a in network.constants.values()), *results]
    for i, a in enumerate(arrays):
        assert not any(np.shares_memory(a, b) for b in arrays[:i])
    assert all(r.flags.c_contiguous and r.flags.writeable for r in results)
    for r in results:
        r[...] = 0
    for again, before in zip(Interpreter(network).run({"x0": given}), kept, strict=True):
        np.testing.assert_array_equal(again, before)


def test_values_are_dropped_after_their_last_use(monkeypatch: pytest.MonkeyPatch) -> None:
    """A chain of any length holds two values at a time."""
    s = Sketch()
    y = s.input(1000)
    for _ in range(20):
        y = s.add("Neg", y)
    alive: list[int] = []
    made: list[weakref.ref[np.ndarray]] = []

    def negate(inputs: list[np.ndarray], attributes: object, outputs: int) -> tuple[np.ndarray, ...]:
        gc.collect()
        alive.append(sum(r() is not None for r in made))
        result = -inputs[0]
        made.append(weakref.ref(result))
        return (result,)

    monkeypatch.setattr("accel.engine.interpreter.registry", lambda: {**operators.registry(), "Neg": negate})
    Interpreter(s.network(y)).run({"x0": normal(1000)})
    assert max(alive) <= 2


def test_weights_run_in_their_dense_form(backend: str) -> None:
    s = Sketch()
    x = s.input(3, 16)
    w = normal(8, 16)
    s.constants["w"] = accel.weights.Codebook.fit(w, bits=3)
    network = s.network(s.add("Gemm", x, "w", transB=1))
    dense = network.with_constants({"w": network.constants["w"].dense()})  # type: ignore[union-attr]
    feeds = {"x0": normal(3, 16, seed=1)}
    for make in (Interpreter, lambda n: accel.InferenceSession(n)):
        one, other = make(network), make(dense)
        run = (lambda r: r.run(feeds)) if isinstance(one, Interpreter) else (lambda r: r.run(None, feeds))
        np.testing.assert_array_equal(run(one)[0], run(other)[0])


def test_errors_name_the_node() -> None:
    s = Sketch()
    x, i = s.input(3), s.input(dtype=np.int64)
    network = s.network(s.add("Gather", x, i))
    with pytest.raises(accel.ModelError, match="Gather node 'gather_0': Gather: indices"):
        Interpreter(network).run({"x0": normal(3), "x1": np.array(7)})
