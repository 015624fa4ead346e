from __future__ import annotations

import time
import tracemalloc

import numpy as np
import onnx
import pytest
from graph.builders import feeds, model, random, run
from onnx import helper
from onnx.reference import ReferenceEvaluator

from accel.errors import ModelError, UnsupportedError
from accel.graph.limits import Limits
from accel.graph.onnx_reader import read_onnx

OPSETS = [helper.make_opsetid("", 17), helper.make_opsetid("my", 1)]


def function(
    name: str, nodes: list[onnx.NodeProto], inputs: str = "x", outputs: str = "y", **more
) -> onnx.FunctionProto:
    opsets = more.pop("opsets", OPSETS)
    return helper.make_function("my", name, inputs.split(), outputs.split(), nodes, opsets, **more)


def call(name: str, inputs: str, outputs: str, **attributes) -> onnx.NodeProto:
    return helper.make_node(name, inputs.split(), outputs.split(), domain="my", **attributes)


def with_functions(nodes: list[onnx.NodeProto], functions: list[onnx.FunctionProto]) -> onnx.ModelProto:
    return model(nodes, {"a": [2, 3]}, ["out"], opset=17, imports=[OPSETS[1]], functions=functions)


def test_nested_calls_give_what_onnx_says() -> None:
    inner = function("Inner", [helper.make_node("Relu", ["x"], ["t"]), helper.make_node("Add", ["t", "x"], ["y"])])
    outer = function(
        "Outer",
        [call("Inner", "x", "t"), call("Inner", "t", "u"), helper.make_node("Mul", ["t", "u"], ["y"])],
    )
    # t and u are names of the graph too.
    nodes = [helper.make_node("Neg", ["a"], ["t"]), call("Outer", "t", "u"), call("Outer", "u", "out")]
    proto = with_functions(nodes, [inner, outer])
    net = read_onnx(proto)
    assert len(net.nodes) == 11 and len({node.name for node in net.nodes if node.name}) == 10
    feed = feeds(net)
    np.testing.assert_array_equal(run(net, feed)[0], ReferenceEvaluator(proto).run(None, feed)[0])


def test_attributes_are_passed_or_have_defaults() -> None:
    node = helper.make_node("LeakyRelu", ["x"], ["y"])
    node.attribute.add(name="alpha", ref_attr_name="slope", type=onnx.AttributeProto.FLOAT)
    plain = helper.make_node("Elu", ["x"], ["y"])
    plain.attribute.add(name="alpha", ref_attr_name="given", type=onnx.AttributeProto.FLOAT)
    defaults = [helper.make_attribute("slope", 0.25)]
    leaky = function("Leaky", [node], attribute_protos=defaults)
    elu = function("MyElu", [plain], attributes=["given"])
    nodes = [call("Leaky", "a", "b"), call("Leaky", "b", "c", slope=0.5), call("MyElu", "c", "d"),
             call("MyElu", "d", "out", given=2.0)]  # fmt: skip
    net = read_onnx(with_functions(nodes, [leaky, elu]))
    assert [node.attributes for node in net.nodes] == [{"alpha": 0.25}, {"alpha": 0.5}, {}, {"alpha": 2.0}]


def test_an_optional_input_may_be_absent() -> None:
    clip = function("MyClip", [helper.make_node("Clip", ["x", "low", "high"], ["y"])], "x low high")
    net = read_onnx(with_functions([call("MyClip", "a", "out")], [clip]))
    assert net.nodes[0].inputs == ["a", "", ""]
    x = random(0, 2, 3)
    np.testing.assert_array_equal(run(net, {"a": x})[0], x)


def test_a_function_keeps_the_opset_it_is_written_in() -> None:
    """Softmax of opset 11 in a model of opset 17: axes from 1 on count as one."""
    softmax = function("Old", [helper.make_node("Softmax", ["x"], ["y"])], opsets=[helper.make_opsetid("", 11)])
    nodes = [call("Old", "a", "out")]
    proto = model(nodes, {"a": [2, 3, 4]}, ["out"], opset=17, imports=[OPSETS[1]], functions=[softmax])
    x = random(0, 2, 3, 4)
    flat = np.exp(x.reshape(2, 12))
    expected = (flat / flat.sum(1, keepdims=True)).reshape(x.shape)
    np.testing.assert_allclose(run(read_onnx(proto), {"a": x})[0], expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("nodes", "functions", "error", "message"),
    [
        ([call("F", "a", "out")], [function("F", [call("F", "x", "y")])], ModelError, "function 'F': calls itself"),
        (
            [call("F", "a", "out")],
            [function("F", [call("G", "x", "y")]), function("G", [call("F", "x", "y")])],
            ModelError,
            "calls itself",
        ),
        ([call("F", "a a", "out")], [function("F", [])], ModelError, "2 inputs and 1 outputs"),
        ([call("F", "a", "out", no=1)], [function("F", [])], ModelError, "has no attribute 'no'"),
        ([call("F", "a", "out")], [function("F", [])] * 2, ModelError, "function 'F' is defined twice"),
        ([call("F", "a", "out")], [function("F", [])], ModelError, "output 'out' is not defined"),
        ([call("G", "a", "out")], [function("F", [])], UnsupportedError, "unsupported: my.G node"),
        (
            [helper.make_node("Relu", ["a"], ["t"]), call("F", "a", "out")],
            [function("F", [helper.make_node("Relu", ["t"], ["y"])])],
            ModelError,
            "input 't' is not defined in its function",
        ),
    ],
)
def test_errors(nodes: list, functions: list, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        read_onnx(with_functions(nodes, functions))


def doubling(levels: int) -> onnx.ModelProto:
    functions = [function("F0", [helper.make_node("Relu", ["x"], ["y"])])]
    for level in range(1, levels + 1):
        below = f"F{level - 1}"
        functions.append(function(f"F{level}", [call(below, "x", "t"), call(below, "t", "y")]))
    return with_functions([call(f"F{levels}", "a", "out")], functions)


@pytest.mark.parametrize("levels", [24, 60])
def test_doubling_functions_are_refused_before_they_grow(levels: int) -> None:
    proto = doubling(levels)
    tracemalloc.start()
    start = time.process_time()
    with pytest.raises(ModelError, match=r"nodes, more than Limits\.max_nodes = 100000"):
        read_onnx(proto)
    assert time.process_time() - start < 1
    assert tracemalloc.get_traced_memory()[1] < 20e6
    tracemalloc.stop()


def test_deep_calls_are_refused() -> None:
    functions = [function("F0", [helper.make_node("Relu", ["x"], ["y"])])]
    functions += [function(f"F{i}", [call(f"F{i - 1}", "x", "y")]) for i in range(1, 3000)]
    start = time.process_time()
    with pytest.raises(ModelError, match=r"calls nest deeper than Limits\.max_depth = 64"):
        read_onnx(with_functions([call("F2999", "a", "out")], functions))
    assert time.process_time() - start < 1
    assert len(read_onnx(with_functions([call("F60", "a", "out")], functions)).nodes) == 1


def test_a_function_within_the_limits_is_expanded() -> None:
    assert len(read_onnx(doubling(10)).nodes) == 1024
    with pytest.raises(ModelError, match=r"1,024 nodes, more than Limits\.max_nodes = 1023"):
        read_onnx(doubling(10), Limits(max_nodes=1023))
