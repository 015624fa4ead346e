from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from graph.builders import assert_same, network, ops, random, value

from accel.graph import fusing
from accel.graph.fusing import RESIDUAL
from accel.graph.network import Network, Node
from accel.graph.passes import ACTIVATIONS, fuse
from accel.graph.shapes import infer_shapes

WEIGHTS = {"w": random(0, 3, 3, 1, 1), "low": np.float32(-0.5), "high": np.float32(0.25), "g": random(1, 3, 4)}
CONV = Node("Conv", ["x", "w"], ["a"])
IMAGE = value("x", "N", 3, 4, 4)


def fuse_activations(net: Network) -> Network:
    return fusing.fuse_activations(net, ACTIVATIONS)


def fuse_gates(net: Network) -> Network:
    return fusing.fuse_gates(net, ACTIVATIONS)


def net_of(*nodes: Node, outputs: str = "y", image: Any = IMAGE) -> Network:
    return network([n.copy() for n in nodes], WEIGHTS, [image], outputs.split())


CASES: list[tuple[Node, tuple[float, ...]]] = [
    (Node("Relu", ["a"], ["y"]), ()),
    (Node("Sigmoid", ["a"], ["y"]), ()),
    (Node("Tanh", ["a"], ["y"]), ()),
    (Node("HardSwish", ["a"], ["y"]), ()),
    (Node("LeakyRelu", ["a"], ["y"]), (0.01,)),
    (Node("LeakyRelu", ["a"], ["y"], {"alpha": 0.3}), (0.3,)),
    (Node("Elu", ["a"], ["y"], {"alpha": 2.0}), (2.0,)),
    (Node("HardSigmoid", ["a"], ["y"]), (0.2, 0.5)),
    (Node("HardSigmoid", ["a"], ["y"], {"alpha": 0.3, "beta": 0.4}), (0.3, 0.4)),
    (Node("Clip", ["a", "low", "high"], ["y"]), (-0.5, 0.25)),
    (Node("Clip", ["a", "", "high"], ["y"]), (-math.inf, 0.25)),
    (Node("Clip", ["a"], ["y"]), (-math.inf, math.inf)),
]


@pytest.mark.parametrize(("node", "parameters"), CASES, ids=[f"{n.op}{p}" for n, p in CASES])
def test_an_activation_joins_the_layer_before(node: Node, parameters: tuple[float, ...]) -> None:
    gemm = net_of(Node("Gemm", ["x", "g"], ["a"]), node, image=value("x", "N", 3))
    for net in (net_of(CONV, node), gemm):
        after = fuse_activations(net)
        assert len(after.nodes) == 1
        assert after.nodes[0].attributes == {"activation": node.op, "activation_params": parameters}
        assert after.nodes[0].outputs == ["y"]
        assert_same(net, after)


UNFUSED = [
    net_of(CONV, Node("Relu", ["a"], ["y"]), outputs="y a"),
    net_of(CONV, Node("Relu", ["a"], ["b"]), Node("Add", ["a", "b"], ["y"])),
    net_of(CONV, Node("Clip", ["a", "x"], ["y"])),
    net_of(CONV, Node("Softmax", ["a"], ["y"])),
    net_of(Node("MaxPool", ["x"], ["a"], {"kernel_shape": (1, 1)}), Node("Relu", ["a"], ["y"])),
    net_of(CONV, Node("Clip", ["low", "a"], ["y"])),
]


@pytest.mark.parametrize("net", UNFUSED, ids=lambda n: "-".join(ops(n)))
def test_what_others_see_or_is_no_activation_stays(net: Network) -> None:
    assert ops(fuse_activations(net)) == ops(net)


def test_only_one_activation_joins() -> None:
    net = net_of(CONV, Node("Relu", ["a"], ["b"]), Node("Tanh", ["b"], ["y"]))
    after = fuse_activations(net)
    assert ops(after) == ["Conv", "Tanh"] and ops(fuse_activations(after)) == ["Conv", "Tanh"]
    assert_same(net, after)


def gated(gate: Node, *, swapped: bool = False, extra: tuple[Node, ...] = (), outputs: str = "y") -> Network:
    return net_of(CONV, gate, Node("Mul", ["s", "a"] if swapped else ["a", "s"], ["y"]), *extra, outputs=outputs)


def test_gates_become_swish_and_hard_swish() -> None:
    hard = Node("HardSigmoid", ["a"], ["s"], {"alpha": float(np.float32(1 / 6)), "beta": 0.5})
    for swapped in (False, True):
        net = gated(Node("Sigmoid", ["a"], ["s"]), swapped=swapped)
        assert ops(fuse_gates(net)) == ["Conv", "Swish"]
        assert ops(fuse_gates(gated(hard, swapped=swapped))) == ["Conv", "HardSwish"]
        after = fuse(net)
        assert [n.attributes.get("activation") for n in after.nodes] == ["Swish"]
        assert_same(net, after)
    assert_same(gated(hard), fuse(gated(hard)))


@pytest.mark.parametrize(
    "net",
    [
        gated(Node("HardSigmoid", ["a"], ["s"])),
        gated(Node("Sigmoid", ["a"], ["s"]), extra=(Node("Neg", ["s"], ["z"]),), outputs="y z"),
        gated(Node("Sigmoid", ["a"], ["s"]), extra=(Node("Neg", ["a"], ["z"]),), outputs="y z"),
        gated(Node("Sigmoid", ["a"], ["s"]), outputs="y a"),
        gated(Node("Sigmoid", ["x"], ["s"])),
        net_of(Node("Neg", ["x"], ["a"]), Node("Sigmoid", ["a"], ["s"]), Node("Mul", ["a", "s"], ["y"])),
    ],
)
def test_other_products_are_no_gates(net: Network) -> None:
    assert ops(fuse_gates(net)) == ops(net)


def test_the_engine_says_what_may_be_fused() -> None:
    """What it does not take is left in operators that run by themselves."""
    net = gated(Node("Sigmoid", ["a"], ["s"]))
    assert ops(fuse(net, activations=("Relu",))) == ops(net)
    plain = net_of(CONV, Node("Add", ["a", "x"], ["b"]), Node("Tanh", ["b"], ["y"]))
    assert ops(fuse(plain, activations=("Relu",))) == ["Conv", "Tanh"]


def residual(net: Network) -> Network:
    after = fusing.fuse_residuals(net, infer_shapes(net))
    assert_same(net, after)
    return after


@pytest.mark.parametrize("order", [["a", "x"], ["x", "a"]])
def test_a_residual_joins_its_convolution(order: list[str]) -> None:
    net = net_of(CONV, Node("Add", order, ["b"]), Node("Relu", ["b"], ["y"]))
    after = residual(net)
    assert after.nodes[0].inputs == ["x", "w", "", "x"] and after.nodes[0].input(RESIDUAL) == "x"
    fused = fuse(net)
    assert ops(fused) == ["Conv"] and fused.nodes[0].attributes["activation"] == "Relu"
    assert_same(net, fused)


def test_the_later_of_two_convolutions_takes_the_other() -> None:
    net = net_of(CONV, Node("Conv", ["x", "w"], ["b"], name="later"), Node("Add", ["a", "b"], ["y"]))
    after = residual(net)
    assert [n.name for n in after.nodes] == ["", "later"] and after.nodes[1].inputs[RESIDUAL] == "a"


def test_a_convolution_waits_for_a_residual_that_is_made_after_it() -> None:
    net = net_of(CONV, Node("Relu", ["x"], ["r"]), Node("Neg", ["r"], ["s"]), Node("Add", ["a", "s"], ["y"]))
    assert ops(residual(net)) == ["Relu", "Neg", "Conv"]


def test_chains_of_blocks_fuse_throughout() -> None:
    nodes = []
    for i in range(5):
        nodes += [
            Node("Conv", [f"v{i}", "w"], [f"a{i}"]),
            Node("Relu", [f"a{i}"], [f"b{i}"]),
            Node("Conv", [f"b{i}", "w"], [f"c{i}"]),
            Node("Add", [f"c{i}", f"v{i}"], [f"d{i}"]),
            Node("Relu", [f"d{i}"], [f"v{i + 1}"]),
        ]
    net = network(nodes, WEIGHTS, [value("v0", "N", 3, 4, 4)], ["v5"])
    after = fuse(net)
    assert ops(after) == ["Conv"] * 10
    assert_same(net, after, 1e-5)


NOT_RESIDUAL = [
    (net_of(CONV, Node("Add", ["a", "x"], ["y"]), image=value("x", None, 3, 4, 4)), "sizes are unknown"),
    (net_of(CONV, Node("Add", ["a", "low"], ["y"])), "it broadcasts"),
    (net_of(CONV, Node("Add", ["a", "a"], ["y"])), "the convolution would read itself"),
    (net_of(CONV, Node("Add", ["a", "x"], ["y"]), outputs="y a"), "the sum before is an output"),
    (net_of(CONV, Node("Relu", ["a"], ["r"]), Node("Add", ["r", "x"], ["y"])), "the activation comes first"),
    (net_of(CONV, Node("Relu", ["a"], ["r"]), Node("Add", ["a", "r"], ["y"])), "the convolution has two readers"),
]


@pytest.mark.parametrize(("net", "reason"), NOT_RESIDUAL, ids=[reason for _, reason in NOT_RESIDUAL])
def test_other_sums_stay(net: Network, reason: str) -> None:
    assert "Add" in ops(residual(net)), reason


def test_a_second_residual_stays() -> None:
    net = net_of(CONV, Node("Add", ["a", "x"], ["b"]), Node("Add", ["b", "x"], ["y"]))
    assert ops(residual(net)) == ["Conv", "Add"]


def test_shapes_of_a_plan_prove_what_symbols_cannot() -> None:
    net = net_of(CONV, Node("Add", ["a", "x"], ["y"]), image=value("x", None, 3, None, None))
    shapes = infer_shapes(net, {"x": (2, 3, 4, 4)})
    assert ops(fuse(net)) == ["Conv", "Add"] and ops(fuse(net, shapes)) == ["Conv"]
