"""Shapes known before anything runs: inferred right for valid nodes, refused for invalid ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from engine.sketch import Sketch, assert_close, check, expected, normal
from hypothesis import given, settings
from hypothesis import strategies as st

import accel
from accel.engine.interpreter import Interpreter
from accel.engine.shapes import DynamicShapeError, Spec, infer, window
from accel.errors import ModelError
from accel.graph.passes import fuse
from accel.kernels import runtime

F32, I64 = np.dtype(np.float32), np.dtype(np.int64)


# -- values that follow from shapes ----------------------------------------------------------------------------------


def test_what_follows_from_shapes_is_computed_once() -> None:
    s = Sketch()
    x = s.input("N", 3, "H", "W")
    height = s.add("Gather", s.add("Shape", x), s.constant(np.array([2])), axis=0)
    size = s.add("Mul", height, s.constant(np.array([2])))
    zeros = s.add("ConstantOfShape", s.add("Concat", size, size, axis=0))
    network = s.network(s.add("Add", zeros, zeros), x)
    known = infer(network, {"x0": Spec((2, 3, 5, 7), F32)})
    assert isinstance(known[size], np.ndarray) and known[size].tolist() == [10]
    assert isinstance(known[zeros], np.ndarray) and known[zeros].shape == (10, 10)
    assert known["x0"] == Spec((2, 3, 5, 7), F32)
    session = check(network, {"x0": normal(2, 3, 5, 7)})
    if runtime.core is not None:
        assert not [step for step in next(iter(session._plans.values())).steps if "shape" in step.node]


def test_reshapes_to_the_shape_of_the_input_are_planned() -> None:
    s = Sketch()
    x = s.input("N", 4, "H", "W")
    batch = s.add("Gather", s.add("Shape", x), s.constant(np.array(0)), axis=0)
    target = s.add("Concat", s.add("Unsqueeze", batch, s.constant(np.array([0]))), s.constant(np.array([-1])), axis=0)
    network = s.network(s.add("Reshape", s.add("Relu", x), target))
    session = accel.InferenceSession(network)
    for shape in ((2, 4, 3, 3), (1, 4, 2, 5)):
        feeds = {"x0": normal(*shape)}
        np.testing.assert_array_equal(session.run(None, feeds)[0], expected(network, feeds)[0])
    if runtime.core is not None:
        assert not any(isinstance(p, Interpreter) for p in session._plans.values())


def test_a_fused_network_has_the_shapes_that_were_found_before() -> None:
    """Of what its nodes make under names of their own, too: a network whose activation, residual and gate are fused."""
    s = Sketch()
    x = s.input("N", 8, 9, 9)
    y = s.add("Relu", s.conv(x, 8, 16))
    y = s.add("Relu", s.add("Add", y, s.conv(y, 16, 16)))
    y = s.conv(y, 16, 8)
    y = s.add("Mul", y, s.add("Sigmoid", y))
    network = s.network(s.add("GlobalAveragePool", y))
    inputs = {"x0": Spec((2, 8, 9, 9), F32)}
    known = infer(network, inputs)
    before = {name: value for name, value in known.items() if isinstance(value, Spec)}
    fused = fuse(network, {name: value.shape for name, value in known.items()})
    assert len(fused.nodes) == 4
    assert infer(fused, inputs, before) == infer(fused, inputs)
    del before[fused.nodes[1].outputs[0]]
    assert infer(fused, inputs, before) == infer(fused, inputs)


@pytest.mark.parametrize(
    "build",
    [
        lambda s: s.add("NonZero", s.input(3, 4)),
        lambda s: s.add("Reshape", s.input(2, 6), s.input(2, dtype=np.int64)),
        lambda s: s.add("ConstantOfShape", s.input(2, dtype=np.int64)),
        lambda s: s.add("Compress", s.input(4), s.input(4, dtype=np.bool_)),
        lambda s: s.add("Range", *(s.input(dtype=np.int64) for _ in range(3))),
    ],
)
def test_shapes_that_depend_on_data_are_left_to_the_interpreter(build: Callable[[Sketch], str]) -> None:
    s = Sketch()
    network = s.network(build(s), dtype=np.int64)
    specs = {
        v.name: Spec(tuple(d if isinstance(d, int) else 1 for d in v.shape or ()), v.dtype) for v in network.inputs
    }
    with pytest.raises(DynamicShapeError, match="the shape of its output depends on data"):
        infer(network, specs)


# -- nodes whose inputs do not fit -----------------------------------------------------------------------------------

IMAGE = (1, 16, 6, 6)
Build = Callable[[Sketch], str]


def conv(**changes: Any) -> Build:
    """A convolution of IMAGE with weights (8, 16, 3, 3) and a bias, with something changed."""

    def build(s: Sketch) -> str:
        x = s.input(*changes.get("image", IMAGE))
        w = s.constant(normal(*changes.get("weights", (8, 16, 3, 3))))
        bias = s.constant(changes.get("bias", normal(8)))
        return s.add("Conv", x, w, bias, **changes.get("attributes", {}))

    return build


def joined(s: Sketch) -> str:
    x = s.input(*IMAGE)
    parts = [s.conv(x, 16, 16), s.conv(x, 16, 16, pad=0)]
    return s.conv(s.add("Concat", *parts, axis=1), 32, 8, 5)


def summed(s: Sketch) -> str:
    x = s.input(*IMAGE)
    return s.add("Add", s.conv(x, 16, 16), s.conv(x, 16, 16, pad=0))


INVALID: list[tuple[str, Build]] = [
    ("Gemm: B: expected a matrix that fits A", lambda s: s.add("Gemm", s.input(2, 7), s.weights(12, 9), transB=1)),
    ("Gemm: B: expected a matrix", lambda s: s.add("Gemm", s.input(2, 7), s.weights(12, 900_000), transB=1)),
    ("Gemm: B: expected a matrix", lambda s: s.add("Gemm", s.input(2, 7), s.weights(8, 12))),
    ("Gemm: A, B: expected two matrices", lambda s: s.add("Gemm", s.input(7), s.weights(7, 12))),
    ("Gemm: A, B: expected two matrices", lambda s: s.add("Gemm", s.input(2, 3, 7), s.weights(7, 12))),
    ("Gemm: expected inputs that fit", lambda s: s.add("Gemm", s.input(2, 7), s.weights(7, 12), s.weights(5))),
    ("MatMul: B: expected a matrix", lambda s: s.add("MatMul", s.input(2, 7), s.weights(9, 12))),
    ("MatMul: B: expected a matrix", lambda s: s.add("MatMul", s.input(2, 2, 7), s.weights(900, 12))),
    ("Conv: B: expected shape", conv(bias=normal(7))),
    ("Conv: B: expected shape", conv(bias=normal(9))),
    ("Conv: B: expected shape", conv(bias=normal(2, 4))),
    ("Conv: input 2: expected float32", conv(bias=np.ones(8))),
    ("Conv: kernel_shape: expected", conv(attributes={"kernel_shape": [1, 1]})),
    ("Conv: W: expected 4 axes", conv(weights=(8, 16, 3))),
    ("Conv: group: expected to divide", conv(weights=(8, 15, 3, 3))),
    ("Conv: group: expected to divide", conv(attributes={"group": 0})),
    ("Conv: group: expected to divide", conv(attributes={"group": 3})),
    ("Concat: inputs: expected shapes", joined),
    ("Concat: inputs: expected", lambda s: s.add("Concat", s.input(2, 3, 4), s.input(2, 3), axis=0)),
    ("Concat: input 1: expected", lambda s: s.add("Concat", s.input(2), s.input(2, dtype=np.int64), axis=0)),
    ("Concat: axis: expected", lambda s: s.add("Concat", s.input(2, 3), s.input(2, 3), axis=2)),
    ("Add: expected inputs that fit", summed),
    ("Add: expected inputs that fit", lambda s: s.add("Add", s.input(2, 7), s.input(2, 8))),
    ("Add: input 1: expected int64", lambda s: s.add("Add", s.input(2, dtype=np.int64), s.input(2))),
    ("Mul: input 1: expected float32", lambda s: s.add("Mul", s.input(2), s.constant(np.ones(2)))),
    ("Reshape: shape: expected 24", lambda s: s.add("Reshape", s.input(2, 3, 4), s.constant(np.array([5, 5])))),
    ("Reshape: shape", lambda s: s.add("Reshape", s.input(2, 3, 4), s.constant(np.array([-1, -1])))),
    ("Reshape: shape", lambda s: s.add("Reshape", s.input(2, 3, 4), s.constant(np.array([-24, -1])))),
    ("Flatten: axis", lambda s: s.add("Flatten", s.input(2, 3, 4), axis=9)),
    ("Squeeze: axes", lambda s: s.add("Squeeze", s.input(2, 3, 4), s.constant(np.array([1])))),
    ("Unsqueeze: axes", lambda s: s.add("Unsqueeze", s.input(2, 3, 4), s.constant(np.array([9])))),
    ("Transpose: perm", lambda s: s.add("Transpose", s.input(2, 3, 4), perm=[0, 1, 1])),
    ("Clip: min: expected one element", lambda s: s.add("Clip", s.input(2), s.constant(np.ones(2, np.float32)))),
    ("MaxPool: attribute kernel_shape", lambda s: s.add("MaxPool", s.input(*IMAGE))),
    ("MaxPool: kernel_shape", lambda s: s.add("MaxPool", s.input(*IMAGE), kernel_shape=[2])),
    ("GlobalAveragePool: X: expected at least 3 axes", lambda s: s.add("GlobalAveragePool", s.input(1, 16))),
]


@pytest.mark.parametrize(("message", "build"), INVALID)
@pytest.mark.parametrize("read", [False, True])
def test_an_invalid_node_is_named_before_anything_runs(backend: str, message: str, build: Build, read: bool) -> None:
    """Also where its result is only read by others: kernels would trust a shape that rules inferred for it."""
    s = Sketch()
    result = build(s)
    network = s.network(s.add("Relu", result) if read else result)
    session = accel.InferenceSession(network)
    feeds = {v.name: np.zeros([int(d or 0) for d in v.shape or ()], v.dtype) for v in network.inputs}
    with pytest.raises(ModelError, match=r"^\w+ node '\w+': " + message):
        session.run(None, feeds)


# -- windows -------------------------------------------------------------------------------------------------------


@settings(max_examples=200, deadline=None)
@given(
    st.tuples(st.integers(1, 12), st.integers(1, 12)),
    st.tuples(st.integers(1, 4), st.integers(1, 4)),
    st.tuples(st.integers(1, 3), st.integers(1, 3)),
    st.tuples(st.integers(1, 3), st.integers(1, 3)),
    st.sampled_from(["NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"]),
    st.sampled_from(["Conv", "MaxPool", "AveragePool"]),
    st.booleans(),
)
def test_automatic_pads_and_ceiling_are_those_of_the_operators(
    size: tuple[int, int], kernel: tuple[int, int], strides: tuple[int, int], dilations: tuple[int, int], auto: str,
    op: str, ceil: bool,
) -> None:  # fmt: skip
    attributes: dict[str, Any] = {"strides": strides, "dilations": dilations, "auto_pad": auto, "kernel_shape": kernel}
    s = Sketch()
    x = s.input(1, 16, *size)
    if op == "Conv":
        y = s.add(op, x, s.weights(8, 16, *kernel), **attributes)
    else:
        y = s.add(op, x, ceil_mode=int(ceil), **attributes)
    network, feeds = s.network(y), {"x0": normal(1, 16, *size)}
    try:
        wanted = expected(network, feeds)[0]
    except ModelError:
        with pytest.raises(ModelError):
            accel.InferenceSession(network).run(None, feeds)
        return
    got = accel.InferenceSession(network).run(None, feeds)[0]
    assert_close([got], [wanted])


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"strides": (1, 1, 1)}, "expected 2 axes in kernel_shape, strides and dilations and 4 pads"),
        ({"pads": (1, 1)}, "expected 2 axes"),
        ({"strides": (0, 1)}, "must be positive"),
        ({"dilations": (1, -1)}, "must be positive"),
        ({"strides": (2**31, 1)}, "expected at most 2147483647"),
        ({"pads": (0, 0, 0, 2**40)}, "expected at most 2147483647"),
        ({"dilations": (2**31 - 1, 1), "auto_pad": "SAME_UPPER"}, "expected at most 2147483647"),
    ],
)
def test_impossible_windows_are_refused(attributes: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        window(attributes, (4, 4), (5, 5))
