from __future__ import annotations

import numpy as np
import pytest
from graph.builders import network, value

from accel.errors import ModelError
from accel.graph.network import Network, Node
from accel.weights import Csr


def small() -> Network:
    nodes = [
        Node("Conv", ["x", "w"], ["c"], {"pads": (0, 0, 0, 0)}, "conv"),
        Node("Relu", ["c"], ["r"]),
        Node("Add", ["r", "r"], ["y"]),
    ]
    return network(nodes, {"w": np.ones((4, 3, 1, 1), np.float32)}, [value("x", "N", 3, None, 8)], ["y"])


def test_producers_and_consumers() -> None:
    net = small()
    assert {name: node.op for name, node in net.producers().items()} == {"c": "Conv", "r": "Relu", "y": "Add"}
    readers = {name: [node.op for node in nodes] for name, nodes in net.consumers().items()}
    assert readers == {"x": ["Conv"], "w": ["Conv"], "c": ["Relu"], "r": ["Add", "Add"]}


def test_weights_come_once_each_in_order() -> None:
    net = small()
    net.nodes.append(Node("Conv", ["y", "w"], ["z"]))
    assert [(node.op, name) for node, name, _ in net.weights()] == [("Conv", "w")]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda n: n.nodes.append(Node("Relu", ["gone"], ["z"])), "Relu node with output 'z': input 'gone'"),
        (lambda n: n.nodes.reverse(), "Add node with output 'y': input 'r' is not defined by anything before it"),
        (
            lambda n: n.nodes.append(Node("Relu", ["x"], ["c"], name="again")),
            "Relu node 'again': output 'c' is defined",
        ),
        (lambda n: n.outputs.append(value("no")), "output 'no' is not defined"),
        (lambda n: n.inputs.append(value("w")), "input 'w': the name is empty or defined twice"),
        (lambda n: n.inputs.append(value("")), "input '': the name is empty or defined twice"),
    ],
)
def test_validate_names_what_is_wrong(change, message: str) -> None:
    net = small()
    net.validate()
    change(net)
    with pytest.raises(ModelError, match=message):
        net.validate()


def test_replace_and_with_constants_share_the_rest() -> None:
    net = small()
    other = net.with_constants({"w": np.zeros((4, 3, 1, 1), np.float32)})
    assert other.nodes is net.nodes and net.constants["w"].all() and not other.constants["w"].any()
    assert net.replace(name="other").name == "other" and net.name == "test"


def test_a_copied_node_is_independent() -> None:
    node = small().nodes[0]
    copy = node.copy()
    copy.inputs.append("more")
    copy.attributes["group"] = 2
    assert node.inputs == ["x", "w"] and "group" not in node.attributes


def test_absent_inputs_have_an_empty_name() -> None:
    node = Node("Clip", ["x", "", "high"], ["y"])
    assert [node.input(position) for position in range(4)] == ["x", "", "high", ""]


def test_repr_and_summary_say_what_it_is() -> None:
    net = small()
    assert (
        repr(net) == "Network('test': x float32[Nx3x?x8] -> y float32[?]; 3 nodes (1 Conv, 1 Relu, 1 Add), 1 constants)"
    )
    lines = net.summary().splitlines()
    assert lines[1].split() == ["Conv", "c", "4x3x1x1", "12", "48"]
    assert lines[-1].split() == ["3", "nodes", "12", "48"]


def test_table_counts_a_shared_constant_once_and_a_weight_by_what_it_stores() -> None:
    net = small()
    net.nodes.append(Node("Conv", ["y", "w"], ["z"]))
    dense = np.zeros((4, 3, 1, 1), np.float32)
    dense[0, 0] = dense[3, 2] = 1
    sparse = Csr.from_dense(dense)
    rows = net.with_constants({"w": sparse}).table()
    assert [row["parameters"] for row in rows] == [sparse.parameters, 0, 0, 0]
    assert rows[0]["bytes"] == sparse.nbytes and rows[3]["weight"] == [4, 3, 1, 1]
