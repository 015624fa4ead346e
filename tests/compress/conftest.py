"""Networks made by hand, and images for them, as functions that tests ask for by name."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest

from accel.graph.network import Network, Node, Value

FLOAT = np.dtype(np.float32)


def _mlp(*sizes: int, seed: int = 0) -> Network:
    """Fully connected layers with bias and ReLU between them; weights are (out, in)."""
    rng = np.random.default_rng(seed)
    constants: dict[str, np.ndarray] = {}
    nodes = []
    name = "x"
    for at, (inputs, outputs) in enumerate(itertools.pairwise(sizes)):
        constants[f"w{at}"] = (rng.standard_normal((outputs, inputs)) / np.sqrt(inputs)).astype(np.float32)
        constants[f"b{at}"] = rng.standard_normal(outputs).astype(np.float32)
        last = at == len(sizes) - 2
        out = "y" if last else f"h{at}"
        nodes.append(Node("Gemm", [name, f"w{at}", f"b{at}"], [out], {"transB": 1}))
        name = out
        if not last:
            nodes.append(Node("Relu", [out], [f"r{at}"]))
            name = f"r{at}"
    return Network("mlp", [Value("x", FLOAT, ("N", sizes[0]))], [Value("y", FLOAT, ("N", sizes[-1]))], nodes, constants)


def _convnet(seed: int = 0) -> Network:
    """Conv 3x3, ReLU, Conv 3x3, ReLU, mean over the map, MatMul."""
    rng = np.random.default_rng(seed)

    def weight(*shape: int) -> np.ndarray:
        return (rng.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32)

    constants: dict[str, np.ndarray] = {
        "k0": weight(12, 3, 3, 3),
        "c0": rng.standard_normal(12).astype(np.float32),
        "k1": weight(24, 12, 3, 3),
        "c1": rng.standard_normal(24).astype(np.float32),
        "m": np.ascontiguousarray(weight(10, 24).T),
    }
    conv = {"pads": (1, 1, 1, 1), "kernel_shape": (3, 3)}
    nodes = [
        Node("Conv", ["x", "k0", "c0"], ["a0"], dict(conv)),
        Node("Relu", ["a0"], ["a1"]),
        Node("Conv", ["a1", "k1", "c1"], ["a2"], dict(conv)),
        Node("Relu", ["a2"], ["a3"]),
        Node("GlobalAveragePool", ["a3"], ["a4"]),
        Node("Flatten", ["a4"], ["a5"]),
        Node("MatMul", ["a5", "m"], ["y"]),
    ]
    return Network("cnn", [Value("x", FLOAT, ("N", 3, 8, 8))], [Value("y", FLOAT, ("N", 10))], nodes, constants)


def _images(count: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, 3, 8, 8)).astype(np.float32)


@pytest.fixture
def mlp() -> Callable[..., Network]:
    return _mlp


@pytest.fixture
def convnet() -> Callable[..., Network]:
    return _convnet


@pytest.fixture
def images() -> Callable[..., np.ndarray]:
    return _images
