"""Small networks written node by node, and what they should compute."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any
from unittest import mock

import numpy as np

import accel
from accel.engine import tuning
from accel.engine.interpreter import Interpreter
from accel.graph import Network, Node, Value
from accel.kernels.conv_native import Method

F32 = np.dtype(np.float32)
Feeds = Mapping[str, np.ndarray]


class Sketch:
    """Collects nodes; every method returns the name of the value that it makes."""

    def __init__(self, seed: int = 0) -> None:
        self.rng = np.random.default_rng(seed)
        self.inputs: list[Value] = []
        self.nodes: list[Node] = []
        self.constants: dict[str, Any] = {}

    def input(self, *shape: int | str | None, dtype: Any = np.float32, name: str = "") -> str:
        name = name or f"x{len(self.inputs)}"
        self.inputs.append(Value(name, np.dtype(dtype), shape))
        return name

    def constant(self, value: Any) -> str:
        name = f"c{len(self.constants)}"
        self.constants[name] = np.asarray(value)
        return name

    def weights(self, *shape: int) -> str:
        """Normal, scaled so that sums over all but the first axis keep the size of what they sum."""
        scale = 1 / np.sqrt(max(np.prod(shape[1:]), 1))
        return self.constant((self.rng.standard_normal(shape) * scale).astype(np.float32))

    def add(self, op: str, *inputs: str, **attributes: Any) -> str:
        return self.add_many(op, *inputs, count=1, **attributes)[0]

    def add_many(self, op: str, *inputs: str, count: int, **attributes: Any) -> list[str]:
        outputs = [f"v{len(self.nodes)}{'abcdef'[i] if count > 1 else ''}" for i in range(count)]
        attributes = {k: tuple(v) if isinstance(v, list) else v for k, v in attributes.items()}
        self.nodes.append(Node(op, list(inputs), outputs, attributes, f"{op.lower()}_{len(self.nodes)}"))
        return outputs

    def conv(
        self, x: str, channels: int, out: int, kernel: int = 3, *, pad: int = -1, group: int = 1, **attributes: Any
    ) -> str:
        w, b = self.weights(out, channels // group, kernel, kernel), self.weights(out)
        pads = [kernel // 2 if pad < 0 else pad] * 4
        return self.add("Conv", x, w, b, kernel_shape=(kernel,) * 2, pads=tuple(pads), group=group, **attributes)

    def network(self, *outputs: str, dtype: Any = np.float32) -> Network:
        network = Network(
            "sketch", self.inputs, [Value(o, np.dtype(dtype), None) for o in outputs], self.nodes, self.constants
        )
        network.validate()
        return network


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


def expected(network: Network, feeds: Feeds) -> list[np.ndarray]:
    """Node by node on the NumPy back end, whose convolutions are float64."""
    with accel.using(backend="numpy"):
        return Interpreter(network).run(feeds)


@contextlib.contextmanager
def convolving(*algorithms: str) -> Iterator[None]:
    """Plans that are made here take the first of these algorithms that can compute a convolution, else direct."""
    promising = tuning.promising

    def wanted(*layer: Any) -> list[tuple[Method, float]]:
        possible = promising(*layer[:-1], np.inf)
        order = (*algorithms, "direct")
        found = [pair for name in order for pair in possible if pair[0].algorithm == name]
        return possible if layer[-1] == np.inf else found[:1]

    with mock.patch.object(tuning, "promising", wanted):
        yield


def assert_close(got: list[np.ndarray], wanted: list[np.ndarray], tolerance: float = 1e-5) -> None:
    """Equal shapes and types; floats within `tolerance` of the largest magnitude, everything else equal."""
    assert len(got) == len(wanted)
    for y, e in zip(got, wanted, strict=True):
        assert y.shape == e.shape and y.dtype == e.dtype
        if y.dtype.kind == "f" and y.size:
            finite = np.abs(e[np.isfinite(e)])
            np.testing.assert_allclose(y, e, rtol=0, atol=tolerance * max(finite.max(initial=0), 1e-30))
        else:
            np.testing.assert_array_equal(y, e)


def check(network: Network, feeds: Feeds, *, threads: int = 2, tolerance: float = 1e-5) -> accel.InferenceSession:
    """The planned session computes what the interpreter does, the same bits each time; returns the session."""
    session = accel.InferenceSession(network, threads=threads)
    first = session.run(None, feeds)
    assert_close(first, expected(network, feeds), tolerance)
    session.run(None, {name: np.zeros_like(x) if x.dtype.kind == "f" else x for name, x in feeds.items()})
    for again, before in zip(session.run(None, feeds), first, strict=True):
        assert again.tobytes() == before.tobytes()
    return session
