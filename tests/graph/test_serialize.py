from __future__ import annotations

import copy
import json
import math
from typing import Any

import numpy as np
import pytest
from graph.builders import cnn_model, network, value
from hypothesis import given, settings
from hypothesis import strategies as st

from accel.errors import AccelError, FormatError, ModelError, UnsupportedError
from accel.graph.limits import Limits
from accel.graph.network import Network, Node
from accel.graph.onnx_reader import read_onnx
from accel.graph.passes import fuse, simplify
from accel.graph.serialize import network_from_dict, network_to_dict
from accel.weights import Csr


def small() -> Network:
    nodes = [
        Node("ConstantOfShape", ["s"], ["f"], {"value": np.array([-math.inf], np.float32)}),
        Node("Clip", ["x", "", "h"], ["c"], name="clip"),
        Node("MaxPool", ["c"], ["p"], {"kernel_shape": (1, 2), "auto_pad": "VALID"}),
        Node("LeakyRelu", ["p"], ["r"], {"alpha": 0.1}),
        Node("Add", ["r", "f"], ["y"]),
    ]
    constants = {"s": np.array([1]), "h": np.float32(2)}
    return network(nodes, constants, [value("x", "N", None, 2, 3)], ["y"]).replace(metadata={"k": "v"})


def through_json(net: Network) -> Network:
    text = json.dumps(network_to_dict(net), allow_nan=False)
    return network_from_dict(json.loads(text), net.constants)


def same(a: Any, b: Any) -> bool:
    if isinstance(a, np.ndarray):
        return isinstance(b, np.ndarray) and a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    return type(a) is type(b) and (a == b or (a != a and b != b))


def assert_equal(first: Network, second: Network) -> None:
    assert (first.name, first.inputs, first.outputs, first.metadata) == (
        second.name,
        second.inputs,
        second.outputs,
        second.metadata,
    )
    for a, b in zip(first.nodes, second.nodes, strict=True):
        assert (a.op, a.name, a.inputs, a.outputs) == (b.op, b.name, b.inputs, b.outputs)
        assert a.attributes.keys() == b.attributes.keys()
        assert all(same(a.attributes[key], b.attributes[key]) for key in a.attributes)


def test_a_network_survives_json() -> None:
    for net in (small(), read_onnx(cnn_model()), simplify(read_onnx(cnn_model()))):
        assert_equal(net, through_json(net))
    again = through_json(small())
    assert again.constants["h"] is not None and list(again.constants) == ["s", "h"]


@given(
    st.one_of(
        st.floats(width=32),
        st.integers(-(2**63), 2**63 - 1),
        st.text(),
        st.lists(st.floats()).map(tuple),
        st.lists(st.integers(-(2**63), 2**63 - 1)).map(tuple),
    )
)
@settings(max_examples=200, deadline=None)
def test_every_attribute_survives_json(attribute: Any) -> None:
    from accel.graph.serialize import _attribute, _plain

    again = _attribute(json.loads(json.dumps(_plain(attribute, "a"), allow_nan=False)), "a")
    if isinstance(attribute, tuple):
        assert len(again) == len(attribute) and all(map(same, attribute, again))
    else:
        assert same(attribute, again)


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint64", "int64", "float16", "float32", "float64"])
def test_arrays_survive_json(dtype: str) -> None:
    from accel.graph.serialize import _attribute, _plain

    numbers = [0, 1] if dtype == "bool" else [0, 1, np.iinfo(dtype).max if dtype[0] in "iu" else math.inf]
    for array in (np.array(numbers, dtype), np.array(numbers[1], dtype), np.zeros((2, 0), dtype)):
        assert same(_attribute(json.loads(json.dumps(_plain(array, "a"))), "a"), array)


def test_a_weight_is_a_constant() -> None:
    net = read_onnx(cnn_model())
    net = net.with_constants({"w2": Csr.from_dense(net.constants["w2"])})
    assert through_json(net).constants["w2"] is net.constants["w2"]


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda n: fuse(simplify(n)), UnsupportedError, "fused activation or residual"),
        (lambda n: n.nodes[0].inputs.extend(["", "x"]) or n, UnsupportedError, "fused activation or residual"),
        (lambda n: n.nodes[2].inputs.append("x") or n, ModelError, "Relu node 'relu1': expected 1 to 1 inputs, got"),
        (lambda n: n.nodes.reverse() or n, ModelError, "not defined by anything before it"),
        (lambda n: n.nodes[0].attributes.update(pads={}) or n, ModelError, "pads"),
    ],
)
def test_what_cannot_be_read_is_not_written(change, error: type, message: str) -> None:
    net = change(read_onnx(cnn_model()))
    with pytest.raises(error, match=message):
        network_to_dict(net)


def put(path: str, new: Any):
    """Change the dict at a path like nodes.0.op; ... deletes."""

    def change(data: dict[str, Any]) -> None:
        *way, last = [int(step) if step.isdigit() else step for step in path.split(".")]
        place: Any = data
        for step in way:
            place = place[step]
        if new is ...:
            del place[last]
        else:
            place[last] = new

    return change


FAULTS: list[tuple[Any, type, str]] = [
    (put("version", 2), FormatError, "version 2 is newer than 1, which this accel reads: update accel"),
    (put("version", True), FormatError, "version: expected int, got bool"),
    (put("version", 0), FormatError, "expected version 1 and opset 21, got 0 and 21"),
    (put("opset", 20), FormatError, "got 1 and 20"),
    (put("name", 3), FormatError, "name: expected str, got int 3"),
    (put("name", ...), FormatError, "graph: 'name' is missing"),
    (put("more", 3), FormatError, "graph: unknown key 'more'"),
    (put("inputs", {}), FormatError, "inputs: expected list"),
    (put("inputs.0.dtype", "float8"), FormatError, "input 'x': expected a dtype of .*, got 'float8'"),
    (put("inputs.0.shape.0", -1), FormatError, "input 'x': expected a dim"),
    (put("inputs.0.shape.0", True), FormatError, "input 'x': expected a dim"),
    (put("inputs.0.shape.0", 2**63), FormatError, "input 'x': expected a dim"),
    (put("inputs.0.shape", 3), FormatError, "input 'x': shape: expected list"),
    (put("inputs.0.name", "s"), FormatError, "graph: input 's': the name is empty or defined twice"),
    (put("outputs.0.name", "no"), FormatError, "graph: output 'no' is not defined"),
    (put("nodes.0", []), FormatError, "nodes: expected dict, got list"),
    (put("nodes.1.op", 1), FormatError, "node 1: op: expected str"),
    (put("nodes.1.op", "NoSuch"), UnsupportedError, "unsupported: NoSuch node 'clip'. Supported operators: Abs"),
    (put("nodes.1.domain", ""), FormatError, "node 1: unknown key 'domain'"),
    (put("nodes.1.inputs.0", "no"), FormatError, "Clip node 'clip': input 'no' is not defined by anything before it"),
    (put("nodes.1.inputs.0", None), FormatError, "node 1: inputs: expected str"),
    (put("nodes.1.outputs.0", "x"), FormatError, "Clip node 'clip': output 'x' is defined twice"),
    (put("nodes.1.inputs.0", ""), ModelError, "Clip node 'clip': expected 1 to 3 inputs"),
    (put("nodes.4.inputs", ["r"]), ModelError, "Add node .*: expected 2 to 2 inputs"),
    (put("nodes.4.outputs", []), FormatError, "node 4: expected at least one output"),
    (put("nodes.4.outputs", [""]), FormatError, "node 4: expected at least one output"),
    (put("nodes.2.attributes.group", 1), UnsupportedError, "MaxPool node .*: attribute group"),
    (put("nodes.2.attributes.kernel_shape", ...), ModelError, "MaxPool node .*: attribute kernel_shape"),
    (put("nodes.2.attributes.kernel_shape", "ab"), ModelError, "attribute kernel_shape: expected a list of integers"),
    (put("nodes.2.attributes.kernel_shape", [[1]]), FormatError, "attribute 'kernel_shape': expected a number"),
    (put("nodes.2.attributes.kernel_shape", [2**63]), FormatError, "attribute 'kernel_shape': expected a number"),
    (put("nodes.2.attributes.kernel_shape", None), FormatError, "attribute 'kernel_shape': expected a number"),
    (put("nodes.3.attributes.alpha", {"float": "1"}), FormatError, "attribute 'alpha': expected a number"),
    (put("nodes.3.attributes.alpha", True), FormatError, "attribute 'alpha': expected a number"),
    (put("nodes.0.attributes.value.data", [1, 2]), FormatError, "2 elements do not fill the shape"),
    (put("nodes.0.attributes.value.data", ["a"]), FormatError, "expected numbers of float32"),
    (put("nodes.0.attributes.value.data", [0] * 1025), FormatError, "at most 32 axes and 1024 elements"),
    (put("nodes.0.attributes.value.shape", [2**62, 0, 4]), FormatError, "do not fill"),
    (put("nodes.0.attributes.value.shape", ["a"]), FormatError, "do not fill"),
    (put("nodes.0.attributes.value.shape", [1] * 33), FormatError, "at most 32 axes"),
    (put("nodes.0.attributes.value.dtype", "object"), FormatError, "expected a dtype"),
    (put("nodes.0.attributes.value.dtype", ["float32"]), FormatError, "expected a dtype"),
    (put("nodes.0.attributes.value", {"dtype": "int8", "shape": [1], "data": [300]}), FormatError, "300"),
    (put("nodes.0.attributes.value", {"dtype": "int8", "shape": [1], "data": [0.5]}), FormatError, "numbers of int8"),
    (put("constants", ["s"]), FormatError, r"constants: .* same names, see \['h'\]"),
    (put("constants", ["s", "h", "s"]), FormatError, "constants: .* same names"),
    (put("metadata", {"k": 1}), FormatError, "metadata 'k': expected str"),
    (put("metadata", []), FormatError, "metadata: expected dict"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "error", "message"), FAULTS, ids=[message[:50] for *_, message in FAULTS])
def test_a_fault_is_named(change, error: type, message: str) -> None:
    net = small()
    data = json.loads(json.dumps(network_to_dict(net)))
    change(data)
    with pytest.raises(error, match=message):
        network_from_dict(data, net.constants)


@pytest.mark.parametrize("data", [None, [], "graph", 1, {}])
def test_what_is_no_graph_is_refused(data: Any) -> None:
    with pytest.raises(FormatError, match="graph: "):
        network_from_dict(data, {})


def test_constants_must_be_arrays_that_accel_knows() -> None:
    net = small()
    data = network_to_dict(net)
    for bad in (np.array(["a"]), [1, 2], np.array([1j])):
        with pytest.raises(FormatError, match="constant 's': expected an array of a supported type or a Weight"):
            network_from_dict(data, {**net.constants, "s": bad})


def test_the_number_of_nodes_is_bounded() -> None:
    net = small()
    with pytest.raises(FormatError, match=r"5 nodes, more than Limits\.max_nodes = 4"):
        network_from_dict(network_to_dict(net), net.constants, Limits(max_nodes=4))


def places(data: Any, way: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The way to every value in nested dicts and lists."""
    found = [way]
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, item in items:
        found += places(item, (*way, key))
    return found


ODD = [None, True, -1, 0, 2**63, 2**64, 1e308, "", "x", "NaN", [], {}, [[]], {"float": "nan"}, [None], "w" * 1000]


def test_any_change_is_an_accel_error_or_a_network() -> None:
    """Every value of the form replaced by every odd one."""
    net = small()
    data = network_to_dict(net)
    refused = 0
    for way in places(data)[1:]:
        for odd in ODD:
            changed = copy.deepcopy(data)
            place: Any = changed
            for step in way[:-1]:
                place = place[step]
            place[way[-1]] = odd
            try:
                network_from_dict(changed, net.constants).validate()
            except AccelError:
                refused += 1
    assert refused > 500
