"""Signs move before what only moves elements, and to the product that they decide; the function stays."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from graph.builders import feeds, network, run, value

from accel.graph import passes
from accel.graph.early_signs import move_signs_up
from accel.graph.network import Network, Node

SIGN = [Node("Sign", ["m"], ["y"])]
WHERE = [Node("GreaterOrEqual", ["m", "zero"], ["c"]), Node("Where", ["c", "one", "minus"], ["y"])]
TURNED = [Node("Less", ["zero", "m"], ["c"]), Node("Where", ["c", "minus", "one"], ["y"])]
FLATTEN = [Node("Flatten", ["x"], ["m"], {"axis": 1})]
TWO = [Node("Transpose", ["x"], ["t"], {"perm": (0, 2, 3, 1)}), Node("Reshape", ["t", "shape"], ["m"])]
CONSTANTS: dict[str, Any] = {
    **{name: np.array(number, np.float32) for name, number in (("zero", 0), ("one", 1), ("minus", -1), ("two", 2))},
    "shape": np.array([2, -1]),
    "vector": np.zeros(12, np.float32),
    "deep": np.zeros((1, 1, 1), np.float32),
}


def made(nodes: list[Node], outputs: tuple[str, ...] = ("y",)) -> Network:
    read = {name for node in nodes for name in node.inputs}
    constants = {name: array for name, array in CONSTANTS.items() if name in read}
    return network([node.copy() for node in nodes], constants, [value("x", 2, 3, 2, 2)], list(outputs))


@pytest.mark.parametrize("movers", [FLATTEN, TWO, [Node("Identity", ["x"], ["m"])]], ids=["flatten", "two", "identity"])
@pytest.mark.parametrize("signs", [SIGN, WHERE, TURNED], ids=["sign", "where", "turned"])
def test_signs_come_first(movers: list[Node], signs: list[Node]) -> None:
    before = made([*movers, *signs])
    after = move_signs_up(before)
    after.validate()
    assert [node.op for node in after.nodes] == [node.op for node in (*signs, *movers)]
    feed = feeds(before)
    feed["x"].flat[::5] = 0
    np.testing.assert_array_equal(run(after, feed)[0], run(before, feed)[0])


@pytest.mark.parametrize(
    ("nodes", "outputs"),
    [
        ([*FLATTEN, Node("GreaterOrEqual", ["m", "vector"], ["c"]), WHERE[1]], ("y",)),  # one number for each element
        ([*FLATTEN, Node("GreaterOrEqual", ["m", "deep"], ["c"]), WHERE[1]], ("y",)),  # adds an axis to what it gives
        ([*FLATTEN, WHERE[0], Node("Where", ["c", "two", "minus"], ["y"])], ("y",)),  # no signs
        ([*FLATTEN, WHERE[0], Node("Where", ["c", "m", "minus"], ["y"])], ("y",)),
        ([*FLATTEN, *WHERE, Node("Relu", ["m"], ["r"])], ("y", "r")),  # others read the moved elements
        ([*FLATTEN, *SIGN], ("y", "m")),
        ([*FLATTEN, *WHERE, Node("Not", ["c"], ["n"]), Node("Where", ["n", "one", "minus"], ["z"])], ("y", "z")),
        ([Node("Concat", ["x"], ["m"], {"axis": 0}), *SIGN], ("y",)),
    ],
)
def test_others_stay(nodes: list[Node], outputs: tuple[str, ...]) -> None:
    before = made(nodes, outputs)
    assert [node.op for node in move_signs_up(before).nodes] == [node.op for node in before.nodes]


def test_a_flattened_layer_becomes_a_threshold() -> None:
    """Sign, Conv, BatchNormalization, Flatten, sign: as PyTorch writes a binary convolution before a Linear."""
    rng = np.random.default_rng(0)
    nodes = [
        Node("GreaterOrEqual", ["x", "zero"], ["d"]),
        Node("Where", ["d", "one", "minus"], ["s"]),
        Node("Conv", ["s", "w"], ["k"]),
        Node("BatchNormalization", ["k", "gamma", "beta", "mean", "var"], ["b"]),
        Node("Flatten", ["b"], ["m"], {"axis": 1}),
        *WHERE,
    ]
    numbers = {name: rng.standard_normal(4).astype(np.float32) for name in ("gamma", "beta", "mean")}
    constants = {
        **{name: CONSTANTS[name] for name in ("zero", "one", "minus")},
        **numbers,
        "var": rng.random(4).astype(np.float32),
        "w": rng.choice(np.array([-1, 1], np.float32), (4, 3, 2, 2)),
    }
    before = network(nodes, constants, [value("x", 2, 3, 2, 2)], ["y"])
    after = passes.simplify(before)
    assert [node.op for node in after.nodes] == ["GreaterOrEqual", "Where", "Conv", "Sign", "Flatten"]
    feed = feeds(before)
    np.testing.assert_array_equal(run(after, feed)[0], run(before, feed)[0])
