"""What is inferred against what the operators really give."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from graph.builders import network, random, value

from accel.graph.network import Node
from accel.graph.shapes import infer_shapes, network_facts, same_shape, with_input_shapes
from accel.layers.operators import registry


def i64(*numbers: int) -> np.ndarray:
    return np.array(numbers, np.int64)


X = random(0, 2, 4, 6, 5)
CASES: list[tuple[str, list[Any], dict[str, Any], int]] = [
    ("Relu", [X], {}, 1),
    ("Clip", [X, np.float32(0), np.float32(1)], {}, 1),
    ("Dropout", [X], {}, 2),
    ("Add", [X, random(1, 4, 1, 5)], {}, 1),
    ("Sum", [X, random(1, 5), random(2, 6, 1)], {}, 1),
    ("Greater", [X, random(1, 5)], {}, 1),
    ("IsNaN", [X], {}, 1),
    ("Where", [X > 0, X, np.float32(0)], {}, 1),
    ("Cast", [X], {"to": 7}, 1),
    ("QuantizeLinear", [X, np.float32(0.5)], {}, 1),
    ("QuantizeLinear", [X, np.float32(0.5), np.int8(1)], {}, 1),
    ("DequantizeLinear", [np.ones((2, 3), np.int8), np.float32(0.5)], {}, 1),
    ("Conv", [X, random(1, 3, 4, 3, 2)], {"pads": (1, 0, 2, 1), "strides": (2, 1), "dilations": (1, 2)}, 1),
    ("Conv", [X, random(1, 4, 2, 3, 3)], {"auto_pad": "SAME_UPPER", "strides": (2, 2), "group": 2}, 1),
    ("Conv", [X, random(1, 4, 4, 3, 3)], {"auto_pad": "VALID", "kernel_shape": (3, 3)}, 1),
    ("Conv", [random(0, 2, 3, 9), random(1, 5, 3, 4)], {}, 1),
    ("ConvTranspose", [X, random(1, 4, 3, 3, 3)], {"strides": (2, 3), "output_padding": (1, 0)}, 1),
    ("ConvTranspose", [X, random(1, 4, 3, 3, 3)], {"pads": (1, 1, 0, 1), "group": 2, "dilations": (2, 1)}, 1),
    ("MaxPool", [X], {"kernel_shape": (2, 2), "strides": (2, 2), "ceil_mode": 1}, 1),
    ("MaxPool", [X], {"kernel_shape": (2, 2), "strides": (3, 3), "ceil_mode": 1, "pads": (1, 1, 1, 1)}, 1),
    ("MaxPool", [X], {"kernel_shape": (3, 2)}, 2),
    ("AveragePool", [X], {"kernel_shape": (3, 3), "pads": (1, 1, 1, 1), "strides": (2, 2)}, 1),
    ("GlobalAveragePool", [X], {}, 1),
    ("Gemm", [random(0, 3, 4), random(1, 5, 4)], {"transB": 1}, 1),
    ("Gemm", [random(0, 4, 3), random(1, 4, 5)], {"transA": 1}, 1),
    ("MatMul", [X, random(1, 5, 7)], {}, 1),
    ("MatMul", [random(0, 5), random(1, 5)], {}, 1),
    ("MatMul", [random(0, 3, 5), random(1, 5)], {}, 1),
    ("MatMul", [random(0, 5), random(1, 2, 5, 3)], {}, 1),
    ("Flatten", [X], {"axis": 2}, 1),
    ("Flatten", [X], {"axis": -1}, 1),
    ("Flatten", [X], {"axis": 0}, 1),
    ("Reshape", [X, i64(0, -1, 3)], {}, 1),
    ("Reshape", [np.zeros((0, 3), np.float32), i64(3, 0)], {"allowzero": 1}, 1),
    ("Transpose", [X], {"perm": (2, 0, 3, 1)}, 1),
    ("Transpose", [X], {}, 1),
    ("Concat", [X, X, random(1, 2, 1, 6, 5)], {"axis": -3}, 1),
    ("Squeeze", [random(0, 1, 3, 1)], {}, 1),
    ("Squeeze", [random(0, 1, 3, 1), i64(-1)], {}, 1),
    ("Unsqueeze", [X, i64(0, -1)], {}, 1),
    ("Slice", [X, i64(0, -1), i64(9, -9), i64(1, 2), i64(2, -2)], {}, 1),
    ("Slice", [X, i64(1), i64(2)], {}, 1),
    ("Gather", [X, np.array([[0, 1, 1]])], {"axis": 2}, 1),
    ("Split", [X], {"axis": 2, "num_outputs": 4}, 4),
    ("Split", [X, i64(1, 5)], {"axis": 2}, 2),
    ("Shape", [X], {"start": 1, "end": -1}, 1),
    ("Shape", [X], {}, 1),
    ("Size", [X], {}, 1),
    ("ConstantOfShape", [i64(2, 3)], {"value": np.array([7], np.int32)}, 1),
    ("Expand", [random(0, 3, 1), i64(2, 1, 4)], {}, 1),
    ("Tile", [random(0, 3, 1), i64(2, 4)], {}, 1),
    ("Range", [np.float32(1), np.float32(4.5), np.float32(0.5)], {}, 1),
    ("Range", [np.int64(5), np.int64(-2), np.int64(-3)], {}, 1),
    ("Pad", [X, i64(0, 0, 1, 2, 0, 0, 0, 3)], {}, 1),
    ("Pad", [X, i64(1, 2), np.float32(0), i64(-1)], {}, 1),
    ("Resize", [X, None, np.array([1, 1, 1.5, 2], np.float32)], {"mode": "nearest"}, 1),
    ("Resize", [X, None, None, i64(2, 4, 3, 9)], {"mode": "linear"}, 1),
    ("DepthToSpace", [X], {"blocksize": 2}, 1),
    ("SpaceToDepth", [random(0, 1, 2, 4, 6)], {"blocksize": 2}, 1),
    ("ReduceMean", [X, i64(1, -1)], {"keepdims": 0}, 1),
    ("ReduceSum", [X], {"noop_with_empty_axes": 1}, 1),
    ("ReduceMax", [X], {}, 1),
    ("ArgMax", [X], {"axis": 1, "keepdims": 0}, 1),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=[f"{op}-{i}" for i, (op, *_) in enumerate(CASES)])
def test_types_and_shapes_are_those_of_the_result(case: tuple[str, list[Any], dict[str, Any], int]) -> None:
    op, arrays, attributes, count = case
    arrays = [None if a is None else np.asarray(a) for a in arrays]
    names = ["" if a is None else f"i{k}" for k, a in enumerate(arrays)]
    node = Node(op, names, [f"o{k}" for k in range(count)], attributes)
    # What a rule reads as a number is a constant, the data is an input.
    inputs = [value(n, *a.shape, dtype=a.dtype) for n, a in zip(names[:1], arrays[:1], strict=True)]
    constants = {n: a for n, a in zip(names[1:], arrays[1:], strict=True) if n}
    if op in ("ConstantOfShape", "Range"):
        inputs, constants = [], {names[0]: arrays[0], **constants}
    facts = network_facts(network([node], constants, inputs, [node.outputs[0]]))
    results = registry()[op](arrays, attributes, count)
    for name, expected in zip(node.outputs, results, strict=True):
        assert facts[name].shape == expected.shape and facts[name].dtype == expected.dtype
        if facts[name].value is not None:
            np.testing.assert_array_equal(facts[name].value, expected)


def shape_of(nodes: list[Node], constants: dict[str, Any], *dims: Any) -> Any:
    net = network(nodes, constants, [value("x", *dims)], [nodes[-1].outputs[0]])
    return infer_shapes(net)[nodes[-1].outputs[0]]


def test_symbols_go_through_what_keeps_a_size() -> None:
    weight = {"w": random(0, 8, 3, 3, 3)}
    same = Node("Conv", ["x", "w"], ["y"], {"pads": (1, 1, 1, 1)})
    assert shape_of([same], weight, "N", 3, "H", None) == ("N", 8, "H", None)
    assert shape_of([Node("Conv", ["x", "w"], ["y"])], weight, "N", 3, "H", 9) == ("N", 8, None, 7)
    assert shape_of([Node("Flatten", ["x"], ["y"])], {}, "N", 3, 1, 1) == ("N", 3)
    assert shape_of([Node("Add", ["x", "x"], ["y"])], {}, "N", None) == ("N", None)
    assert shape_of([Node("Reshape", ["x", "s"], ["y"])], {"s": i64(0, -1)}, "N", 3, 4) == ("N", 12)
    assert shape_of([Node("Reshape", ["x", "s"], ["y"])], {"s": i64(-1, 12)}, "N", 3, 4) == ("N", 12)
    assert shape_of([Node("Reshape", ["x", "s"], ["y"])], {"s": i64(0, -1)}, "N", "H", 4) == ("N", None)


def test_what_makes_no_sense_is_unknown_not_an_error() -> None:
    bad = [
        Node("Conv", ["x", "w"], ["y"], {"strides": (0, 0)}),
        Node("Conv", ["x", "w"], ["y"], {"pads": (1,)}),
        Node("Transpose", ["x"], ["y"], {"perm": (0, 0, 1, 2)}),
        Node("Concat", ["x", "w"], ["y"], {"axis": 99}),
        Node("Flatten", ["x"], ["y"], {"axis": "a"}),
        Node("Add", ["x", "w"], ["y"]),
        Node("Gemm", ["x", "w"], ["y"]),
        Node("NoSuchOperator", ["x"], ["y"]),
        Node("Relu", ["x"], ["y"], domain="com.other"),
    ]
    for node in bad:
        assert (
            network_facts(network([node], {"w": random(0, 5, 3, 3, 3)}, [value("x", 1, 3, 9, 9)], ["y"]))["y"].shape
            is None
        )


def test_other_input_shapes_make_output_shapes_unknown() -> None:
    net = network([Node("Relu", ["x"], ["y"])], {}, [value("x", "N", 3)], ["y"])
    net.outputs[0] = value("y", "N", 3)
    assert with_input_shapes(net, {"x": ("N", 3)}) is net
    other = with_input_shapes(net, {"x": (5, 3)})
    assert other.inputs[0].shape == (5, 3) and other.outputs[0].shape == (None, None)
    assert infer_shapes(net, {"x": (5, 3)})["y"] == (5, 3)


def test_shapes_are_equal_only_when_proven() -> None:
    assert same_shape(("N", 3), ("N", 3)) and same_shape((), ())
    assert not same_shape((None, 3), (None, 3)) and not same_shape(None, None) and not same_shape(("N",), ("M",))
