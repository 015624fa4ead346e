"""Small networks and models for the tests of accel.graph, and a plain interpreter to compare them by."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from accel.graph.network import Network, Node, Value
from accel.layers.operators import registry
from accel.weights.base import dense

F32 = np.dtype(np.float32)


def value(name: str, *shape: int | str | None, dtype: Any = F32) -> Value:
    return Value(name, np.dtype(dtype), shape)


def network(nodes: list[Node], constants: dict[str, Any], inputs: list[Value], outputs: list[str]) -> Network:
    arrays = {name: np.asarray(array) for name, array in constants.items()}
    made = Network("test", inputs, [Value(name, F32, None) for name in outputs], nodes, arrays)
    made.validate()
    return made


def random(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def feeds(of: Network, seed: int = 0, **symbols: int) -> dict[str, np.ndarray]:
    """Random inputs; a symbol or an unknown dim is 2 unless `symbols` says otherwise."""
    rng = np.random.default_rng(seed)
    shapes = {v.name: [d if isinstance(d, int) else symbols.get(str(d), 2) for d in v.shape or ()] for v in of.inputs}
    return {v.name: rng.standard_normal(shapes[v.name]).astype(v.dtype) for v in of.inputs}


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


ACTIVATIONS: dict[str, Any] = {
    "Relu": lambda x: np.maximum(x, 0),
    "Sigmoid": sigmoid,
    "Tanh": np.tanh,
    "Swish": lambda x: x * sigmoid(x),
    "HardSwish": lambda x: x * np.clip(x / 6 + 0.5, 0, 1),
    "LeakyRelu": lambda x, alpha: np.where(x < 0, alpha * x, x),
    "Elu": lambda x, alpha: np.where(x < 0, alpha * np.expm1(np.minimum(x, 0)), x),
    "HardSigmoid": lambda x, alpha, beta: np.clip(alpha * x + beta, 0, 1),
    "Clip": lambda x, low, high: np.clip(x, low, high),
}


def run(of: Network, feed: dict[str, np.ndarray]) -> list[np.ndarray]:
    """The outputs, node by node, fused nodes by their definition in passes.fuse."""
    values: dict[str, Any] = {"": None, **{name: dense(c) for name, c in of.constants.items()}, **feed}
    for node in of.nodes:
        attributes = dict(node.attributes)
        activation = attributes.pop("activation", None)
        parameters = attributes.pop("activation_params", ())
        inputs = [values[name] for name in node.inputs]
        residual = inputs.pop() if node.op == "Conv" and len(inputs) == 4 else None
        results = list(registry()[node.op](inputs, attributes, len(node.outputs)))
        if residual is not None:
            assert residual.shape == results[0].shape
            results[0] = results[0] + residual
        if activation is not None:
            results[0] = ACTIVATIONS[activation](results[0], *parameters).astype(results[0].dtype)
        values.update(zip(node.outputs, results, strict=False))
    return [values[v.name] for v in of.outputs]


def assert_same(before: Network, after: Network, tolerance: float = 2e-6, **symbols: int) -> None:
    """Both give the same outputs, relative to the largest of each, and `after` is valid."""
    after.validate()
    feed = feeds(before, **symbols)
    for expected, got in zip(run(before, feed), run(after, feed), strict=True):
        assert got.shape == expected.shape and got.dtype == expected.dtype
        scale = max(float(np.abs(expected).max(initial=0)), 1e-30)
        np.testing.assert_allclose(got, expected, rtol=0, atol=tolerance * scale)


def ops(of: Network) -> list[str]:
    return [node.op for node in of.nodes]


def model(
    nodes: list[onnx.NodeProto],
    inputs: dict[str, Any],
    outputs: list[str],
    initializers: dict[str, Any] | None = None,
    *,
    opset: int = 21,
    **more: Any,
) -> onnx.ModelProto:
    """An ONNX model; `inputs` name to shape (float32) or array (its type and shape)."""
    infos = []
    for name, shape in inputs.items():
        code = helper.np_dtype_to_tensor_dtype(shape.dtype) if isinstance(shape, np.ndarray) else 1
        infos.append(helper.make_tensor_value_info(name, code, shape.shape if isinstance(shape, np.ndarray) else shape))
    tensors = [numpy_helper.from_array(np.asarray(a), name) for name, a in (initializers or {}).items()]
    graph = helper.make_graph(
        nodes, "g", infos, [helper.make_tensor_value_info(name, 1, None) for name in outputs], tensors
    )
    imports = [helper.make_opsetid("", opset), *more.pop("imports", ())]
    return helper.make_model(graph, opset_imports=imports, ir_version=10, **more)


def cnn_model() -> onnx.ModelProto:
    """Conv with pads, batch norm, activation, residual, pooling, Gemm: 9 nodes, about 2 kB."""
    weights = {
        "w1": random(1, 4, 3, 3, 3),
        "w2": random(2, 4, 4, 1, 1),
        "b2": random(3, 4),
        "scale": random(4, 4),
        "shift": random(5, 4),
        "mean": random(6, 4),
        "var": np.abs(random(7, 4)) + 0.5,
        "w3": random(8, 5, 4),
        "b3": random(9, 5),
    }
    node = helper.make_node
    nodes = [
        node("Conv", ["x", "w1"], ["c1"], pads=[1, 1, 1, 1], strides=[1, 1], name="conv1"),
        node("BatchNormalization", ["c1", "scale", "shift", "mean", "var"], ["n1"], epsilon=1e-3, name="norm1"),
        node("Relu", ["n1"], ["r1"], name="relu1"),
        node("Conv", ["r1", "w2", "b2"], ["c2"], name="conv2"),
        node("Add", ["c2", "r1"], ["a1"], name="add1"),
        node("MaxPool", ["a1"], ["p1"], kernel_shape=[2, 2], strides=[2, 2], name="pool1"),
        node("GlobalAveragePool", ["p1"], ["g1"], name="pool2"),
        node("Flatten", ["g1"], ["f1"], name="flatten1"),
        node("Gemm", ["f1", "w3", "b3"], ["y"], transB=1, name="gemm1"),
    ]
    return model(nodes, {"x": ["N", 3, 6, 6]}, ["y"], weights, opset=17)
