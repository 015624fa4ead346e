from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from graph.builders import assert_same, network, ops, random, value

from accel.graph.folding import fold_affine, fold_pads, matmul_to_gemm
from accel.graph.network import Network, Node
from accel.weights import Csr

STATS = {"s": random(1, 4), "b": random(2, 4), "m": random(3, 4), "v": np.abs(random(4, 4)) + 0.1}
NORM = Node("BatchNormalization", ["a", "s", "b", "m", "v"], ["y"], {"epsilon": 1e-3})
CONV = Node("Conv", ["x", "w"], ["a"], {"pads": (1, 1, 1, 1)})
IMAGE = value("x", 2, 3, 5, 5)


def conv(*tail: Node, constants: dict[str, Any] | None = None, node: Node = CONV, weight: Any = None) -> Network:
    held = {"w": random(0, 4, 3, 3, 3) if weight is None else weight, **(constants or {})}
    return network([node.copy(), *(n.copy() for n in tail)], held, [IMAGE], [tail[-1].outputs[0]])


def test_batch_norm_joins_a_convolution() -> None:
    for node in (CONV, Node("Conv", ["x", "w", "bias"], ["a"])):
        net = conv(NORM, constants={**STATS, "bias": random(5, 4)}, node=node)
        after = fold_affine(net)
        assert ops(after) == ["Conv"] and set(after.constants) & set(STATS) == set()
        assert_same(net, after)
        assert ops(net) == ["Conv", "BatchNormalization"]


@pytest.mark.parametrize("group", [1, 2])
def test_batch_norm_joins_a_grouped_and_a_transposed_convolution(group: int) -> None:
    image = value("x", 2, 6, 5, 5)
    for op, weight in (("Conv", random(0, 4, 6 // group, 3, 3)), ("ConvTranspose", random(0, 6, 4 // group, 3, 3))):
        nodes = [Node(op, ["x", "w"], ["a"], {"group": group}), NORM.copy()]
        net = network(nodes, {"w": weight, **STATS}, [image], ["y"])
        after = fold_affine(net)
        assert ops(after) == [op]
        assert_same(net, after)


@pytest.mark.parametrize("shape", [(), (1,), (4, 1, 1), (1, 4, 1, 1), (1, 1, 1)])
@pytest.mark.parametrize("op", ["Add", "Sub", "Mul", "Div"])
@pytest.mark.parametrize("first", [True, False])
def test_arithmetic_per_channel_joins_a_convolution(op: str, shape: tuple[int, ...], first: bool) -> None:
    inputs = ["a", "c"] if first else ["c", "a"]
    net = conv(Node(op, inputs, ["y"]), constants={"c": random(7, *shape) + np.float32(3)})
    after = fold_affine(net)
    assert ops(after) == (["Conv", "Div"] if op == "Div" and not first else ["Conv"])
    assert_same(net, after, 4e-6)


def test_a_chain_joins_as_a_whole() -> None:
    tail = [Node("Mul", ["a", "c"], ["d"]), Node("Add", ["b2", "d"], ["e"]), NORM.copy()]
    tail[2].inputs[0] = "e"
    net = conv(*tail, constants={"c": random(7, 4, 1, 1), "b2": random(8, 1, 4, 1, 1), **STATS})
    after = fold_affine(net)
    assert ops(after) == ["Conv"] and after.outputs[0].name == after.nodes[0].outputs[0] == "y"
    assert_same(net, after, 5e-6)


NOT_AFFINE: list[tuple[str, list[Node], dict[str, Any]]] = [
    ("varies along an image axis", [Node("Add", ["a", "c"], ["y"])], {"c": random(1, 5)}),
    ("varies along the batch", [Node("Add", ["a", "c"], ["y"])], {"c": random(1, 2, 1, 1, 1)}),
    ("has more axes", [Node("Add", ["a", "c"], ["y"])], {"c": random(1, 1, 1, 1, 1, 1)}),
    ("divides by zero", [Node("Div", ["a", "c"], ["y"])], {"c": np.zeros((4, 1, 1), np.float32)}),
    ("is no constant", [Node("Mul", ["a", "a"], ["y"])], {}),
    (
        "is read twice",
        [Node("Relu", ["a"], ["r"]), Node("Mul", ["a", "c"], ["q"]), Node("Add", ["r", "q"], ["y"])],
        {"c": random(1, 4, 1, 1)},
    ),
]


@pytest.mark.parametrize(("reason", "tail", "constants"), NOT_AFFINE, ids=[reason for reason, *_ in NOT_AFFINE])
def test_what_is_not_affine_per_channel_stays(reason: str, tail: list[Node], constants: dict[str, Any]) -> None:
    net = conv(*tail, constants=constants)
    assert ops(fold_affine(net)) == ops(net), reason


def test_an_intermediate_output_stays_what_it_is() -> None:
    net = conv(NORM, constants=STATS)
    net.outputs.append(value("a", None, None, None, None))
    assert ops(fold_affine(net)) == ["Conv", "BatchNormalization"]


def test_one_channel_is_not_widened() -> None:
    net = conv(Node("Mul", ["a", "c"], ["y"]), constants={"c": random(1, 4, 1, 1)}, weight=random(0, 1, 3, 3, 3))
    assert ops(fold_affine(net)) == ["Conv", "Mul"]


def test_a_shared_or_compressed_weight_is_scaled_for_nobody_but_may_get_a_bias() -> None:
    nodes = [CONV.copy(), NORM.copy(), Node("Conv", ["x", "w"], ["z"])]
    net = network(nodes, {"w": random(0, 4, 3, 3, 3), **STATS}, [IMAGE], ["y", "z"])
    assert ops(fold_affine(net)) == ops(net)
    sparse = conv(NORM, constants=STATS)
    sparse = sparse.with_constants({"w": Csr.from_dense(random(0, 4, 3, 3, 3))})
    assert ops(fold_affine(sparse)) == ops(sparse)
    shifted = network(
        [CONV.copy(), Node("Add", ["a", "c"], ["y"]), nodes[2]],
        {"w": net.constants["w"], "c": random(1, 4, 1, 1)},
        [IMAGE],
        ["y", "z"],
    )
    after = fold_affine(shifted)
    assert ops(after) == ["Conv", "Conv"]
    assert_same(shifted, after)


def test_a_batch_norm_that_trains_or_comes_first_stays() -> None:
    training = NORM.copy()
    training.attributes["training_mode"] = 1
    assert ops(fold_affine(conv(training, constants=STATS))) == ["Conv", "BatchNormalization"]
    first = Node("BatchNormalization", ["x", "s", "b", "m", "v"], ["a"])
    net = network(
        [first, Node("Conv", ["a", "w"], ["y"])], {"w": random(0, 2, 4, 1, 1), **STATS}, [value("x", 1, 4, 3, 3)], ["y"]
    )
    assert ops(fold_affine(net)) == ops(net)


def test_scaling_joins_a_batch_norm() -> None:
    nodes = [
        Node("BatchNormalization", ["x", "s", "b", "m", "v"], ["a"]),
        Node("Mul", ["a", "c"], ["d"]),
        Node("Add", ["d", "c"], ["y"]),
    ]
    net = network(nodes, {**STATS, "c": random(5, 4, 1, 1)}, [value("x", 2, 4, 3, 3)], ["y"])
    after = fold_affine(net)
    assert ops(after) == ["BatchNormalization"]
    assert_same(net, after)


@pytest.mark.parametrize("attributes", [{}, {"transB": 1}, {"alpha": 0.5, "beta": 2.0}, {"transA": 1, "beta": 0.0}])
@pytest.mark.parametrize("bias", [None, (4,), (1, 4), (1,), ()])
def test_arithmetic_joins_gemm(attributes: dict[str, Any], bias: tuple[int, ...] | None) -> None:
    weight = random(0, 4, 3) if "transB" in attributes else random(0, 3, 4)
    x = value("x", 3, 2) if "transA" in attributes else value("x", 2, 3)
    constants = {"w": weight, "c": random(1, 4), "d": random(2, 1, 4), **STATS}
    inputs = ["x", "w"]
    if bias is not None:
        constants["bias"], inputs = random(3, *bias), [*inputs, "bias"]
    nodes = [
        Node("Gemm", inputs, ["g"], attributes),
        Node("Mul", ["g", "c"], ["h"]),
        Node("Sub", ["d", "h"], ["a"]),
        NORM.copy(),
    ]
    net = network(nodes, constants, [x], ["y"])
    after = fold_affine(net)
    assert ops(after) == ["Gemm"]
    assert_same(net, after, 5e-6)


def test_a_gemm_whose_bias_is_a_matrix_stays() -> None:
    nodes = [Node("Gemm", ["x", "w", "c"], ["g"]), Node("Mul", ["g", "d"], ["y"])]
    net = network(nodes, {"w": random(0, 3, 4), "c": random(1, 2, 4), "d": random(2, 4)}, [value("x", 2, 3)], ["y"])
    assert ops(fold_affine(net)) == ["Gemm", "Mul"]


def test_matrix_product_and_row_become_gemm() -> None:
    for bias, first in (((4,), True), ((1, 4), False), ((), True), ((1,), False)):
        add = Node("Add", ["a", "c"] if first else ["c", "a"], ["y"])
        net = network(
            [Node("MatMul", ["x", "w"], ["a"]), add],
            {"w": random(0, 3, 4), "c": random(1, *bias)},
            [value("x", "N", 3)],
            ["y"],
        )
        after = matmul_to_gemm(net)
        assert ops(after) == ["Gemm"]
        assert_same(net, after)


@pytest.mark.parametrize(
    ("x", "weight", "bias"),
    [((5, 2, 3), (3, 4), (4,)), ((2, 3), (3, 4), (2, 4)), ((2, 3), (3, 4), (2, 1)), ((2, 3), (3, 1), (4,))],
)
def test_other_products_stay(x: tuple[int, ...], weight: tuple[int, ...], bias: tuple[int, ...]) -> None:
    nodes = [Node("MatMul", ["x", "w"], ["a"]), Node("Add", ["a", "c"], ["y"])]
    net = network(nodes, {"w": random(0, *weight), "c": random(1, *bias)}, [value("x", *x)], ["y"])
    assert ops(matmul_to_gemm(net)) == ["MatMul", "Add"]


def padded(
    reader: Node, pads: tuple[int, ...] = (0, 0, 1, 2, 0, 0, 0, 3), fill: float | None = None, **attributes: Any
) -> Network:
    inputs = ["x", "p"] + ([] if fill is None else ["fill"])
    constants = {"p": np.array(pads, np.int64), "fill": np.float32(fill or 0), "w": random(0, 2, 3, 3, 3)}
    return network([Node("Pad", inputs, ["a"], attributes), reader], constants, [value("x", 1, 3, 6, 6)], ["y"])


POOL = {"kernel_shape": (3, 3), "strides": (2, 2)}
TAKEN = [
    padded(Node("Conv", ["a", "w"], ["y"])),
    padded(Node("Conv", ["a", "w"], ["y"], {"pads": (1, 0, 0, 2), "strides": (2, 1)}), fill=0.0, mode="constant"),
    padded(Node("Conv", ["a", "w"], ["y"], {"auto_pad": "VALID"})),
    padded(Node("AveragePool", ["a"], ["y"], dict(POOL))),
    padded(Node("AveragePool", ["a"], ["y"], {**POOL, "count_include_pad": 1, "pads": (1, 1, 1, 1)})),
]
REFUSED = [
    padded(Node("Conv", ["a", "w"], ["y"]), fill=1.0),
    padded(Node("Conv", ["a", "w"], ["y"]), (0, 0, 1, 1, 0, 0, 1, 1), mode="edge"),
    padded(Node("Conv", ["a", "w"], ["y"]), (1, 0, 1, 1, 0, 0, 1, 1)),
    padded(Node("Conv", ["a", "w"], ["y"]), (0, 0, -1, 1, 0, 0, 1, 1)),
    padded(Node("Conv", ["a", "w"], ["y"], {"auto_pad": "SAME_UPPER"})),
    padded(Node("AveragePool", ["a"], ["y"], {**POOL, "pads": (1, 1, 1, 1)})),
    padded(Node("AveragePool", ["a"], ["y"], {**POOL, "ceil_mode": 1})),
    padded(Node("MaxPool", ["a"], ["y"], dict(POOL))),
]


@pytest.mark.parametrize("net", TAKEN, ids=lambda n: n.nodes[1].op)
def test_padding_joins_its_reader(net: Network) -> None:
    after = fold_pads(net)
    assert ops(after) == ops(net)[1:]
    assert_same(net, after)


@pytest.mark.parametrize("net", REFUSED, ids=lambda n: n.nodes[1].op)
def test_padding_that_means_something_else_stays(net: Network) -> None:
    assert ops(fold_pads(net)) == ops(net)
