"""Batch norm and sign behind binary layers become thresholds, exactly; what is not exact stays."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from graph.builders import network, ops, value

from accel.graph import passes
from accel.graph.binary import fold_thresholds
from accel.graph.network import Network, Node
from accel.graph.signs import sign_values
from accel.layers.operators import registry
from accel.weights import Binary
from accel.weights.base import dense

ONE, MINUS, ZERO = (np.array(x, np.float32) for x in (1, -1, 0))


def signs(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).choice(np.array([-1, 1], np.float32), shape)


def norm_of(out: int, seed: int, gamma: np.ndarray | None = None) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    made = {name: rng.standard_normal(out).astype(np.float32) for name in ("gamma", "beta", "mean")}
    made["mean"] *= 3
    return {**made, "var": rng.random(out).astype(np.float32) * 9, **({} if gamma is None else {"gamma": gamma})}


def binarized(name: str, output: str, positive: str = "one", negative: str = "minus") -> list[Node]:
    return [
        Node("GreaterOrEqual", [name, "zero"], [f"{output}_cond"]),
        Node("Where", [f"{output}_cond", positive, negative], [output]),
    ]


def conv_net(
    between: list[Node], last: list[Node], constants: dict[str, Any], pads: int = 1, channels: int = 5, out: int = 4
) -> Network:
    """x -> sign -> Conv -> between -> last, which makes y; `between` starts from c and ends in n."""
    nodes = [*binarized("x", "s"), Node("Conv", ["s", "w"], ["c"], {"pads": (pads,) * 4}), *between, *last]
    given = {"one": ONE, "minus": MINUS, "zero": ZERO, "w": signs(1, out, channels, 3, 3), **constants}
    return network(nodes, given, [value("x", 2, channels, 6, 6)], ["y"])


NORM = Node("BatchNormalization", ["c", "gamma", "beta", "mean", "var"], ["n"], {"epsilon": 1e-3})


def run(of: Network, x: np.ndarray) -> np.ndarray:
    """Node by node, in float64: exact but for ties."""
    values: dict[str, Any] = {n: np.asarray(dense(c), np.float64) for n, c in of.constants.items()}
    values[of.inputs[0].name] = x.astype(np.float64)
    for node in of.nodes:
        results = registry()[node.op]([values[n] if n else None for n in node.inputs], node.attributes, 1)
        values[node.outputs[0]] = results[0]
    return np.asarray(values[of.outputs[0].name])


def assert_folds(given: Network, expected_ops: list[str], seed: int = 0) -> Network:
    folded = passes.simplify(given)
    folded.validate()
    assert ops(folded) == expected_ops
    shape = [int(d) for d in given.inputs[0].shape or () if isinstance(d, int)]
    x = np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
    np.testing.assert_array_equal(run(folded, x), run(given, x))
    assert "y" in sign_values(folded)
    return folded


FOLDED = ["GreaterOrEqual", "Where", "Conv", "Sign"]


@pytest.mark.parametrize("pads", [0, 1])
@pytest.mark.parametrize("seed", range(4))
def test_batch_norm_and_where_become_a_threshold(pads: int, seed: int) -> None:
    folded = assert_folds(conv_net([NORM], binarized("n", "y"), norm_of(4, seed), pads), FOLDED, seed)
    conv = folded.nodes[2]
    bias = dense(folded.constants[conv.inputs[2]])
    np.testing.assert_array_equal(bias - np.floor(bias), 0.5)
    np.testing.assert_array_equal(np.abs(dense(folded.constants[conv.inputs[1]])), 1)


def test_sign_is_folded_where_0_cannot_occur() -> None:
    constants = norm_of(4, 3)
    assert_folds(conv_net([NORM], [Node("Sign", ["n"], ["y"])], constants), FOLDED)
    half = {"half": np.full((4, 1, 1), 0.5, np.float32), "whole": np.full((4, 1, 1), 2, np.float32)}
    sub = Node("Sub", ["c", "half"], ["n"])
    assert_folds(conv_net([sub], [Node("Sign", ["n"], ["y"])], half), FOLDED)
    sub = Node("Sub", ["c", "whole"], ["n"])
    kept = passes.simplify(conv_net([sub], [Node("Sign", ["n"], ["y"])], half))
    assert "y" not in sign_values(kept)
    # Without padding 45 terms are odd: 2 does not occur.
    assert_folds(conv_net([sub], [Node("Sign", ["n"], ["y"])], half, pads=0), FOLDED)


def test_a_falling_scale_turns_weights_around() -> None:
    gamma = np.array([1, -1, 0, -2], np.float32)
    given = conv_net([NORM], binarized("n", "y"), norm_of(4, 5, gamma))
    folded = assert_folds(given, FOLDED)
    turned = dense(folded.constants[folded.nodes[2].inputs[1]]) / dense(given.constants["w"])
    np.testing.assert_array_equal(turned[:, 0, 0, 0], [1, -1, 1, -1])


def test_scales_of_zero_and_nan_make_bits_constant() -> None:
    gamma = np.array([0, np.nan, 0, np.nan], np.float32)
    constants = {**norm_of(4, 5, gamma), "beta": np.array([1, 1, -1, -1], np.float32)}
    folded = passes.simplify(conv_net([NORM], binarized("n", "y"), constants))
    y = run(folded, np.random.default_rng(0).standard_normal((2, 5, 6, 6)))
    np.testing.assert_array_equal(y, np.broadcast_to(np.array([1, -1, -1, -1]).reshape(4, 1, 1), y.shape))
    kept = passes.simplify(conv_net([NORM], [Node("Sign", ["n"], ["y"])], constants))
    assert "y" not in sign_values(kept)  # Sign gives NaN there


@pytest.mark.parametrize("op", ["GreaterOrEqual", "Greater", "LessOrEqual", "Less"])
@pytest.mark.parametrize("swapped", [False, True])
@pytest.mark.parametrize("inverted", [False, True])
def test_every_comparison_with_ties(op: str, swapped: bool, inverted: bool) -> None:
    # Channel o of a 1 x 1 convolution compares integers with an integer.
    inputs = ["level", "c"] if swapped else ["c", "level"]
    branches = ["minus", "one"] if inverted else ["one", "minus"]
    nodes = [
        *binarized("x", "s"), Node("Conv", ["s", "w"], ["c"]), Node(op, inputs, ["cond"]),
        Node("Where", ["cond", *branches], ["y"]),
    ]  # fmt: skip
    level = np.array([0, 2, -4, 9], np.float32).reshape(4, 1, 1)
    given = {"one": ONE, "minus": MINUS, "zero": ZERO, "w": signs(2, 4, 8, 1, 1), "level": level}
    assert_folds(network(nodes, given, [value("x", 2, 8, 9, 9)], ["y"]), FOLDED)


def test_scaled_weights_and_every_step_between() -> None:
    alpha = np.array([0.1, 0.7, 3, 0], np.float32).reshape(4, 1, 1, 1)
    between = [
        Node("Mul", ["c", "m"], ["c1"]), Node("Div", ["c1", "d"], ["c2"]), Node("Sub", ["a", "c2"], ["c3"]),
        Node("Add", ["c3", "one"], ["c4"]),
        Node("BatchNormalization", ["c4", "gamma", "beta", "mean", "var"], ["c5"]),
        Node("Clip", ["c5", "minus", "one"], ["c6"]), Node("Tanh", ["c6"], ["n"]),
    ]  # fmt: skip
    rng = np.random.default_rng(8)
    constants = {
        **norm_of(4, 6), "w": signs(1, 4, 5, 3, 3) * alpha + np.float32(0),
        "m": rng.standard_normal((4, 1, 1)).astype(np.float32), "d": np.float32([[[3]], [[-0.3]], [[1]], [[7]]]),
        "a": rng.standard_normal((1, 4, 1, 1)).astype(np.float32),
    }  # fmt: skip
    assert_folds(conv_net(between, binarized("n", "y"), constants), FOLDED)


def test_pooling_moves_behind_the_sign_where_all_channels_grow() -> None:
    pool = Node("MaxPool", ["c"], ["p"], {"kernel_shape": (2, 2), "strides": (2, 2)})
    norm = Node("BatchNormalization", ["p", "gamma", "beta", "mean", "var"], ["n"], {"epsilon": 1e-3})
    gamma = np.array([1, 2, 0, 3], np.float32)
    assert_folds(conv_net([pool, norm], binarized("n", "y"), norm_of(4, 5, gamma)), [*FOLDED, "MaxPool"])
    after = Node("MaxPool", ["n"], ["p"], {"kernel_shape": (3, 3), "strides": (2, 2), "pads": (1, 1, 1, 1)})
    assert_folds(conv_net([NORM, after], binarized("p", "y"), norm_of(4, 5, gamma)), [*FOLDED, "MaxPool"])
    kept = passes.simplify(conv_net([pool, norm], binarized("n", "y"), norm_of(4, 5, -gamma)))
    assert ops(kept)[-2:] == ["GreaterOrEqual", "Where"]


def dense_net(op: str, **attributes: Any) -> Network:
    rows = bool(attributes.get("transB"))
    w = signs(3, *((6, 9) if rows else (9, 6)))
    inputs = ["s", "w"] if op == "MatMul" else ["s", "w", "b"]
    nodes = [
        *binarized("x", "s"), Node(op, inputs, ["c"], attributes),
        Node("BatchNormalization", ["c", "gamma", "beta", "mean", "var"], ["n"]), *binarized("n", "y"),
    ]  # fmt: skip
    bias = np.random.default_rng(1).standard_normal(6).astype(np.float32)
    constants = {"one": ONE, "minus": MINUS, "zero": ZERO, "w": w, "b": bias, **norm_of(6, 2)}
    return network(nodes, constants, [value("x", 7, 9)], ["y"])


def test_matrix_products() -> None:
    expected = ["GreaterOrEqual", "Where", "Gemm", "Sign"]
    assert_folds(dense_net("MatMul"), expected)
    assert_folds(dense_net("Gemm"), expected)
    assert_folds(dense_net("Gemm", transB=1, alpha=0.5, beta=-2.0), expected)
    kept = passes.simplify(dense_net("Gemm", alpha=0.3))  # its rounding is the engine's own
    assert ops(kept)[-2:] == ["GreaterOrEqual", "Where"]


def test_layers_in_a_row_and_a_second_time() -> None:
    given = dense_net("MatMul")
    more = [Node("Gemm", ["y", "w2"], ["c2"], {"transB": 1}), Node("Sub", ["c2", "half"], ["n2"])]
    nodes = [*given.nodes, *more, Node("Sign", ["n2"], ["y2"])]
    constants = {**given.constants, "w2": signs(9, 5, 6), "half": np.arange(5, dtype=np.float32) - 2.5}
    both = given.replace(nodes=nodes, constants=constants, outputs=[value("y2", None, None)])
    folded = passes.simplify(both)
    assert ops(folded) == ["GreaterOrEqual", "Where", "Gemm", "Sign", "Gemm", "Sign"]
    assert fold_thresholds(folded).constants.keys() == folded.constants.keys()
    x = np.random.default_rng(0).standard_normal((7, 9))
    np.testing.assert_array_equal(run(folded, x), run(both, x))


def test_what_others_read_or_what_is_no_sign_stays() -> None:
    given = dense_net("MatMul")
    seen = given.replace(outputs=[*given.outputs, value("c", None, None)])
    assert "BatchNormalization" in ops(fold_thresholds(seen))
    real = given.replace(nodes=[Node("MatMul", ["x", "w"], ["c"]), *given.nodes[3:]])
    assert "BatchNormalization" in ops(fold_thresholds(real))
    assert "BatchNormalization" not in ops(fold_thresholds(real, assumed={"x"}))
    w = dense(given.constants["w"]).copy()
    w[0, 0] = 0.5
    assert "BatchNormalization" in ops(fold_thresholds(given.with_constants({"w": w})))


def test_packed_weights_stay_packed() -> None:
    given = conv_net([NORM], binarized("n", "y"), norm_of(4, 1))
    w = Binary.exactly(dense(given.constants["w"]))
    assert w is not None
    folded = fold_thresholds(given.with_constants({"w": w}), packed=True)
    weight = folded.constants[folded.nodes[2].inputs[1]]
    assert isinstance(weight, Binary)
    x = np.random.default_rng(0).standard_normal((2, 5, 6, 6))
    np.testing.assert_array_equal(run(folded, x), run(given, x))


def test_a_tie_is_decided_exactly() -> None:
    # gamma (n - mean) / sqrt(var + eps) + beta is 0 for n = 3: 2 (3 - 1) / 4 - 1, and just above or below by one ulp.
    for beta, bit in ((-1.0, True), (np.nextafter(np.float32(-1), np.float32(-2)), False)):
        constants = {
            "gamma": np.full(1, 2, np.float32), "beta": np.full(1, beta, np.float32), "mean": np.ones(1, np.float32),
            "var": np.full(1, 15.5, np.float32),
        }  # fmt: skip
        norm = Node("BatchNormalization", ["c", "gamma", "beta", "mean", "var"], ["n"], {"epsilon": 0.5})
        given = conv_net([norm], binarized("n", "y"), constants, 0, 1, 1)
        folded = passes.simplify(given)
        bias = dense(folded.constants[folded.nodes[2].inputs[2]])
        assert (3 + Fraction(float(bias[0])) > 0) == bit


def test_values_that_are_signs() -> None:
    nodes = [
        *binarized("x", "s"), Node("MaxPool", ["s"], ["p"], {"kernel_shape": (2, 2)}), Node("Flatten", ["p"], ["f"]),
        Node("Concat", ["f", "f"], ["cat"], {"axis": 1}), Node("Pad", ["s", "pads", "one"], ["framed"]),
        Node("Pad", ["s", "pads"], ["zeros"]), Node("Sign", ["x"], ["sx"]),
        Node("AveragePool", ["s"], ["a"], {"kernel_shape": (2, 2)}), Node("Relu", ["s"], ["r"]),
    ]  # fmt: skip
    constants = {"one": ONE, "minus": MINUS, "zero": ZERO, "pads": np.array([0, 0, 1, 1, 0, 0, 1, 1])}
    net = network(nodes, constants, [value("x", 1, 2, 4, 4)], ["a"])
    assert sign_values(net) == {"s", "p", "f", "cat", "framed"}
