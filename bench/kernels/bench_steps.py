"""Steps between the convolutions of small networks, per instruction set, beside the operators that define them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from accel import InferenceSession
from accel.graph import Network, Node, Value
from accel.kernels import runtime
from accel.layers.operators import registry

Case = tuple[str, tuple[int, ...], list[Any], dict[str, Any]]


def _int64(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


CASES: dict[str, Case] = {
    "slice/boxes": ("Slice", (1, 4420, 4), [_int64(2), _int64(4), _int64(2)], {}),
    "pad/image": ("Pad", (1, 64, 56, 56), [_int64(0, 0, 1, 1, 0, 0, 1, 1)], {}),
    "transpose/head": ("Transpose", (1, 64, 40, 40), [], {"perm": (0, 2, 3, 1)}),
    "transpose/matrix": ("Transpose", (512, 768), [], {}),
    "resize/nearest": ("Resize", (1, 64, 40, 40), [None, np.array([1, 1, 2, 2], np.float32)], {"mode": "nearest"}),
    "resize/linear": ("Resize", (1, 64, 40, 40), [None, np.array([1, 1, 2, 2], np.float32)], {"mode": "linear"}),
    "softmax/classes": ("Softmax", (1, 1000), [], {"axis": 1}),
    "softmax/boxes": ("Softmax", (1, 4420, 2), [], {"axis": 2}),
    "exp/boxes": ("Exp", (1, 4420, 2), [], {}),
    "mul/scalar": ("Mul", (1, 4420, 4), [np.float32(0.1)], {}),
    "add/channels": ("Add", (1, 64, 40, 40), [np.ones((64, 1, 1), np.float32)], {}),
}


def network(case: Case) -> Network:
    op, shape, rest, attributes = case
    names = ["" if value is None else f"c{i}" for i, value in enumerate(rest)]
    constants = {name: np.asarray(value) for name, value in zip(names, rest, strict=True) if name}
    value = Value("x", np.dtype(np.float32), shape)
    node = Node(op, ["x", *names], ["y"], attributes, op)
    return Network("step", [value], [Value("y", np.dtype(np.float32), None)], [node], constants)


def measure(benchmark: BenchmarkFixture, name: str, call: Callable[[np.ndarray], np.ndarray]) -> None:
    op, shape, rest, attributes = CASES[name]
    x = np.random.default_rng(0).standard_normal(shape, np.float32)
    (wanted,) = registry()[op]([x, *(None if v is None else np.asarray(v) for v in rest)], attributes)
    np.testing.assert_allclose(call(x), wanted, rtol=1e-5, atol=1e-7)
    benchmark.group = f"steps/{name}"
    benchmark.extra_info |= {"bytes": x.nbytes + wanted.nbytes}
    benchmark(call, x)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("isa", runtime.isa_info()["supported"])
def bench_step(benchmark: BenchmarkFixture, isa: str, name: str) -> None:
    """A session of this one node: the step, what lays the array out for it, and the 4 us of a run."""
    with runtime.using(backend="native", isa=isa):
        session = InferenceSession(network(CASES[name]), threads=1)
    measure(benchmark, name, lambda x: session.run(None, {"x": x})[0])


@pytest.mark.parametrize("name", CASES)
def bench_operator(benchmark: BenchmarkFixture, name: str) -> None:
    op, _, rest, attributes = CASES[name]
    inputs = [None if value is None else np.asarray(value) for value in rest]
    measure(benchmark, name, lambda x: np.ascontiguousarray(registry()[op]([x, *inputs], attributes)[0]))
