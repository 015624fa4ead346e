from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accel.errors import ModelError
from accel.graph.network import Node
from accel.graph.order import sort_nodes


def chain(length: int) -> list[Node]:
    return [Node("Relu", [f"v{i}"], [f"v{i + 1}"]) for i in range(length)]


def test_a_sorted_list_stays_as_it_is() -> None:
    nodes = [Node("Relu", ["x"], ["b"]), Node("Relu", ["x"], ["a"]), Node("Add", ["a", "b"], ["c"])]
    assert sort_nodes(nodes, ["x"]) == nodes


@given(st.integers(0, 30), st.randoms(use_true_random=False))
def test_any_order_of_a_graph_is_sorted(length: int, rng: random.Random) -> None:
    nodes = [Node("Add", [f"v{rng.randint(0, i)}", f"v{rng.randint(0, i)}"], [f"v{i + 1}"]) for i in range(length)]
    rng.shuffle(nodes)
    known = {"v0"}
    ordered = sort_nodes(nodes, known)
    assert sorted(map(id, ordered)) == sorted(map(id, nodes))
    for node in ordered:
        assert set(node.inputs) <= known
        known.update(node.outputs)


def test_a_deep_chain_backwards_needs_no_recursion() -> None:
    nodes = chain(50_000)
    assert sort_nodes(nodes[::-1], ["v0"]) == nodes


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        (
            [Node("Add", ["x", "b"], ["a"], name="one"), Node("Relu", ["a"], ["b"])],
            "Add node 'one': is part of a cycle",
        ),
        (
            [Node("Relu", ["x"], ["a"]), Node("Relu", ["x"], ["a"], name="two")],
            "Relu node 'two': output 'a' is defined",
        ),
        ([Node("Relu", ["x"], ["x"])], "output 'x' is defined twice"),
        ([Node("Relu", ["nothing"], ["a"])], "input 'nothing' is not defined"),
    ],
)
def test_errors_name_the_node(nodes: list[Node], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        sort_nodes(nodes, ["x"])
