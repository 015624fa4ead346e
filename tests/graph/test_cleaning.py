from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from graph.builders import assert_same, network, ops, random, value

from accel.errors import ModelError
from accel.graph import cleaning
from accel.graph.limits import Limits
from accel.graph.network import Network, Node


def one(
    op: str,
    inputs: list[str],
    attributes: dict[str, Any] | None = None,
    constants: dict[str, Any] | None = None,
    *,
    dims: tuple[Any, ...] = (2, 3, 4),
    around: bool = True,
) -> Network:
    """x -> Neg -> the operator -> Relu -> y, or without Neg and Relu."""
    name = "a" if around else "x"
    node = Node(op, [name, *inputs], ["b" if around else "y"], attributes or {})
    nodes = [Node("Neg", ["x"], ["a"]), node, Node("Relu", ["b"], ["y"])] if around else [node]
    return network(nodes, constants or {}, [value("x", *dims)], ["y"])


def i64(*numbers: int) -> np.ndarray:
    return np.array(numbers, np.int64)


REMOVED = [
    one("Identity", []),
    one("Dropout", []),
    one("Dropout", ["r", "t"], {}, {"r": np.float32(0.5), "t": np.False_}),
    one("Cast", [], {"to": 1}),
    one("Reshape", ["s"], {}, {"s": i64(2, 3, 4)}),
    one("Reshape", ["s"], {}, {"s": i64(0, -1, 0)}, dims=("N", "M", 4)),
    one("Reshape", ["s"], {}, {"s": i64(-1, 3, 4)}, dims=("N", 3, 4)),
    one("Flatten", [], {"axis": 1}, dims=("N", 4)),
    one("Pad", ["p"], {}, {"p": i64(0, 0, 0, 0, 0, 0)}),
    one("Transpose", [], {"perm": (0, 1, 2)}),
    one("Expand", ["s"], {}, {"s": i64(1, 4)}),
    *(one(op, [], {"axis": 0} if op == "Concat" else {}) for op in ("Sum", "Max", "Min", "Mean", "Concat")),
]
KEPT = [
    one("Dropout", ["r", "t"], {}, {"r": np.float32(0.0), "t": np.True_}),
    one("Cast", [], {"to": 11}),
    one("Reshape", ["s"], {}, {"s": i64(3, 2, 4)}),
    one("Reshape", ["s"], {}, {"s": i64(0, -1, 2)}, dims=("N", 2, 2)).replace(inputs=[value("x", "N", "M", 4)]),
    one("Flatten", [], {"axis": 1}),
    one("Pad", ["p"], {}, {"p": i64(0, 0, 0, 0, 0, 1)}),
    one("Transpose", [], {"perm": (0, 2, 1)}),
    one("Expand", ["s"], {}, {"s": i64(2, 2, 3, 4)}),
]


@pytest.mark.parametrize("net", REMOVED, ids=lambda n: n.nodes[1].op)
def test_an_operator_without_effect_goes(net: Network) -> None:
    after = cleaning.remove_no_ops(net)
    assert ops(after) == ["Neg", "Relu"]
    assert_same(net, after, 0)


@pytest.mark.parametrize("net", KEPT, ids=lambda n: n.nodes[1].op)
def test_an_operator_with_effect_stays(net: Network) -> None:
    assert ops(cleaning.remove_no_ops(net)) == ops(net)


def test_names_of_outputs_are_kept() -> None:
    nodes = [Node("Neg", ["x"], ["a"]), Node("Identity", ["a"], ["y"]), Node("Relu", ["a"], ["z"])]
    net = network(nodes, {}, [value("x", 3)], ["y", "z"])
    after = cleaning.remove_no_ops(net)
    assert ops(after) == ["Neg", "Relu"] and after.nodes[1].inputs == ["y"]
    assert_same(net, after, 0)


def test_an_identity_between_names_that_both_must_stay_stays() -> None:
    through = network([Node("Identity", ["x"], ["y"])], {}, [value("x", 3)], ["y"])
    twice = network([Node("Neg", ["x"], ["a"]), Node("Identity", ["a"], ["y"])], {}, [value("x", 3)], ["a", "y"])
    for net in (through, twice):
        after = cleaning.remove_no_ops(net)
        assert ops(after) == ops(net)
        assert_same(net, after, 0)


def test_a_mask_that_is_read_keeps_its_dropout() -> None:
    nodes = [Node("Dropout", ["x"], ["y", "mask"]), Node("Not", ["mask"], ["z"])]
    assert ops(cleaning.remove_no_ops(network(nodes, {}, [value("x", 3)], ["y", "z"]))) == ["Dropout", "Not"]


def test_what_no_output_needs_goes() -> None:
    nodes = [
        Node("MaxPool", ["x"], ["y", "i"], {"kernel_shape": (1, 1)}),
        Node("Add", ["x", "c"], ["u"]),
        Node("Neg", ["u"], ["v"]),
    ]
    net = network(nodes, {"c": random(0, 1), "d": random(1, 1)}, [value("x", 1, 1, 2, 2)], ["y"])
    after = cleaning.eliminate_dead(net)
    assert ops(after) == ["MaxPool"] and after.nodes[0].outputs == ["y"] and after.constants == {}
    assert net.nodes[0].outputs == ["y", "i"], "the network it was given is as it was"


def folded(nodes: list[Node], constants: dict[str, Any], **more: Any) -> Network:
    net = network(nodes, constants, [value("x", 2, 3)], ["y"])
    after = cleaning.fold_constants(net, **more)
    assert_same(net, after, 0)
    return after


def test_constants_are_computed_through_chains_and_shapes() -> None:
    nodes = [
        Node("Shape", ["x"], ["s"]),
        Node("Gather", ["s", "one"], ["n"], {"axis": 0}),
        Node("Unsqueeze", ["n", "axes"], ["m"]),
        Node("Concat", ["minus", "m"], ["t"], {"axis": 0}),
        Node("Reshape", ["x", "t"], ["y"]),
    ]
    after = folded(nodes, {"one": np.int64(1), "axes": i64(0), "minus": i64(-1)})
    assert ops(after) == ["Reshape"] and after.constants["t"].tolist() == [-1, 3]


def test_a_shape_with_an_unknown_dim_is_left_to_run() -> None:
    net = network([Node("Shape", ["x"], ["y"])], {}, [value("x", "N", 3)], ["y"])
    assert ops(cleaning.fold_constants(net)) == ["Shape"]


LEFT = [
    (Node("QuantizeLinear", ["c", "s"], ["b"]), "quantised values are executed"),
    (Node("RandomUniformLike", ["c"], ["b"]), "a random operator is no constant"),
    (Node("NonZero", ["c"], ["b"]), "its shape depends on data"),
    (Node("Expand", ["c", "big"], ["b"]), "the result is larger than what it is made of"),
]


@pytest.mark.parametrize(("node", "reason"), LEFT, ids=[n.op for n, _ in LEFT])
def test_some_constants_are_not_computed(node: Node, reason: str) -> None:
    constants = {"c": random(0, 1, 3), "s": np.float32(0.1), "big": i64(1_000_000, 3)}
    net = network([node, Node("Size", ["b"], ["n"]), Node("Add", ["x", "x"], ["y"])], constants, [value("x", 2)], ["n"])
    after = cleaning.fold_constants(net)
    assert node.op in ops(after), reason


def test_folding_has_a_budget_for_small_results_too() -> None:
    """Every result is small, all of them are not."""
    nodes = [Node("Expand", ["c", "s"], [f"b{i}"]) for i in range(200)]
    constants = {"c": random(0, 1), "s": i64(1 << 18)}
    net = network(nodes, constants, [], ["b0"])
    after = cleaning.fold_constants(net)
    assert len(nodes) - len(after.nodes) == 64


def test_a_filled_weight_is_made_however_large_within_the_limits() -> None:
    node = Node("ConstantOfShape", ["s"], ["w"], {"value": np.array([0.5], np.float32)})
    net = network([node], {"s": i64(1 << 19)}, [], ["w"])
    assert cleaning.fold_constants(net).constants["w"].sum() == 1 << 18
    for limits, name in (
        (Limits(max_tensor_bytes=1 << 20), "max_tensor_bytes"),
        (Limits(max_total_bytes=1 << 20), "max_total_bytes"),
    ):
        with pytest.raises(ModelError, match=rf"asks for 2097152 bytes, Limits\.{name} = 1048576 leaves fewer"):
            cleaning.fold_constants(net, limits)


def test_a_node_that_fails_on_its_constants_is_named() -> None:
    nodes = [Node("Gather", ["c", "i"], ["y"], name="pick")]
    with pytest.raises(ModelError, match="Gather node 'pick': fails on its constant inputs"):
        cleaning.fold_constants(network(nodes, {"c": random(0, 3), "i": i64(7)}, [], ["y"]))


def test_a_folded_part_does_not_hold_the_whole() -> None:
    nodes = [Node("Slice", ["c", "start", "end"], ["y"])]
    net = network(nodes, {"c": random(0, 1000), "start": i64(0), "end": i64(2)}, [], ["y"])
    array = cleaning.fold_constants(net).constants["y"]
    assert array.base is None and array.flags.c_contiguous


def test_a_sum_of_two_is_an_add() -> None:
    net = network([Node("Sum", ["x", "x"], ["a"]), Node("Sum", ["a", "x", "x"], ["y"])], {}, [value("x", 3)], ["y"])
    after = cleaning.use_plain_names(net)
    assert ops(after) == ["Add", "Sum"] and ops(net) == ["Sum", "Sum"]
    assert_same(net, after, 0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_denormals_of_weights_become_zero_and_nothing_else_changes(dtype: type) -> None:
    tiny, least = np.finfo(dtype).tiny, np.finfo(dtype).smallest_subnormal
    special = np.array([0.0, -0.0, tiny, -tiny, tiny / 2, -least, least, 1.0, np.inf, -np.inf, np.nan, 3e-39], dtype)
    net = network(
        [Node("MatMul", ["x", "w"], ["a"]), Node("Mul", ["a", "c"], ["y"])],
        {"w": special.reshape(1, -1), "c": special},
        [value("x", 1, 1)],
        ["y"],
    )
    after = cleaning.flush_denormals(net)
    expected = np.where((np.abs(special) < tiny) & (special != 0), dtype(0), special)
    np.testing.assert_array_equal(
        after.constants["w"].ravel().view(f"u{special.itemsize}"), expected.view(f"u{special.itemsize}")
    )
    assert after.constants["c"] is net.constants["c"] and net.constants["w"].ravel()[4] != 0


def test_weights_without_denormals_are_the_same_object() -> None:
    net = network([Node("MatMul", ["x", "w"], ["y"])], {"w": random(0, 3, 3)}, [value("x", 1, 3)], ["y"])
    assert cleaning.flush_denormals(net) is net


def test_equal_constants_are_shared_and_only_they() -> None:
    same = random(0, 4)
    constants = {
        "a": same,
        "b": same.copy(),
        "c": -same,
        "d": same.astype(np.float64),
        "e": same.reshape(2, 2),
        "f": np.array([0.0, 1.0], np.float32),
        "g": np.array([-0.0, 1.0], np.float32),
    }
    nodes = [Node("Concat", list("abc"), ["y"], {"axis": 0}), *(Node("Neg", [n], [n * 2]) for n in "defg")]
    net = network(nodes, constants, [], ["y", "b"])
    after = cleaning.share_constants(net)
    assert after.nodes[0].inputs == ["a", "a", "c"] and [n.inputs[0] for n in after.nodes[1:]] == list("defg")
    assert set(after.constants) == set(constants), "b is an output"
    assert "b" not in cleaning.share_constants(net.replace(outputs=net.outputs[:1])).constants
    assert_same(net, after, 0)
