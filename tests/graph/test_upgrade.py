"""Every rule against the definition of the old opset: onnx's reference evaluator runs the model as it was written."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import onnx
import pytest
from graph.builders import model, random, run
from onnx import helper
from onnx.reference import ReferenceEvaluator

from accel.errors import UnsupportedError
from accel.graph.network import OPSET
from accel.graph.onnx_reader import read_onnx
from accel.graph.upgrade import _RULES, OLDEST
from accel.layers.operators import registry

node = helper.make_node
X = random(0, 2, 3, 4, 6)
SCALES = np.array([1, 1, 2, 3], np.float32)
K = np.array([2], np.int64)
INDEX = np.array([[0, 2, 1]], np.int64)

Case = tuple[onnx.NodeProto, int, dict[str, Any]]
CASES: list[Case] = [
    (node("Clip", ["x"], ["y"], min=-0.5, max=0.25), 7, {}),
    (node("Clip", ["x"], ["y"], max=0.25), 10, {}),
    (node("Clip", ["x"], ["y"]), 9, {}),
    (node("Dropout", ["x"], ["y"], ratio=0.3), 7, {}),
    (node("Dropout", ["x"], ["y"], ratio=0.3), 10, {}),
    (node("Hardmax", ["x"], ["y"], axis=2), 11, {}),
    (node("LogSoftmax", ["x"], ["y"], axis=2), 11, {}),
    (node("Softmax", ["x"], ["y"]), 11, {}),
    (node("Softmax", ["x"], ["y"], axis=0), 7, {}),
    (node("Softmax", ["x"], ["y"], axis=-1), 11, {}),
    (node("Softmax", ["x"], ["y"], axis=-3), 11, {}),
    (node("Pad", ["x"], ["y"], pads=[0, 0, 1, 2, 0, 0, 3, 0], value=1.5), 7, {}),
    (node("Pad", ["x"], ["y"], pads=[0, 0, 1, 2, 0, 0, 2, 0], mode="reflect"), 10, {}),
    (node("ReduceSum", ["x"], ["y"], axes=[1, -1], keepdims=0), 11, {}),
    (node("ReduceSum", ["x"], ["y"]), 7, {}),
    (node("ReduceMean", ["x"], ["y"], axes=[2]), 13, {}),
    (node("ReduceMax", ["x"], ["y"], axes=[1], keepdims=0), 17, {}),
    (node("ReduceL2", ["x"], ["y"]), 13, {}),
    (node("Resize", ["x", "s"], ["y"], mode="nearest"), 10, {"s": SCALES}),
    (node("Resize", ["x", "s"], ["y"], mode="linear"), 10, {"s": SCALES}),
    (node("Upsample", ["x"], ["y"], mode="nearest", scales=[1.0, 1.0, 2.0, 3.0]), 7, {}),
    (node("Upsample", ["x", "s"], ["y"], mode="nearest"), 9, {"s": SCALES}),
    (node("Upsample", ["x", "s"], ["y"], mode="linear"), 9, {"s": SCALES}),
    (node("Slice", ["x"], ["y"], starts=[1, -3], ends=[3, 9999], axes=[2, 3]), 9, {}),
    (node("Slice", ["x"], ["y"], starts=[0, 1], ends=[1, 2]), 7, {}),
    (node("Split", ["x"], ["y", "z"], axis=3, split=[2, 4]), 11, {}),
    (node("Split", ["x"], ["y", "z"], axis=3), 7, {}),
    (node("Split", ["x"], ["y", "z"], axis=3), 13, {}),
    (node("Squeeze", ["x"], ["y"]), 11, {}),
    (node("Squeeze", ["x"], ["y"], axes=[0]), 7, {}),
    (node("Unsqueeze", ["x"], ["y"], axes=[0, -1]), 11, {}),
    (node("TopK", ["x"], ["y", "z"], k=2, axis=2), 9, {}),
    (node("Scatter", ["x", "i", "u"], ["y"], axis=1), 9, {"i": INDEX, "u": random(1, 1, 3)}),
]
SHAPES = {"Squeeze": (1, 3, 4), "Scatter": (2, 3)}


def expected_of(proto: onnx.ModelProto, old: onnx.NodeProto, opset: int, x: np.ndarray) -> list[np.ndarray]:
    """The old meaning. Where the reference evaluator has none, the definition in the operators' documentation."""
    if old.op_type in ("Softmax", "LogSoftmax", "Hardmax"):
        axis = next((a.i for a in old.attribute), 1)
        flat = x.reshape(int(np.prod(x.shape[: axis % x.ndim])), -1)
        return [registry()[old.op_type]([flat], {"axis": -1})[0].reshape(x.shape)]
    if old.op_type == "Scatter":
        return list(registry()["ScatterElements"]([x, INDEX, random(1, 1, 3)], {"axis": 1}))
    if old.op_type == "Upsample" or (old.op_type == "Resize" and opset == 10):
        return [upsampled(x, old)]
    return ReferenceEvaluator(proto).run(None, {"x": x})


def upsampled(x: np.ndarray, old: onnx.NodeProto) -> np.ndarray:
    """Output i comes from i / scale: rounded down (nearest), or between its neighbours (linear)."""
    linear = next(a.s for a in old.attribute if a.name == "mode") == b"linear"
    for axis, scale in ((2, 2), (3, 3)):
        at = np.arange(x.shape[axis] * scale) / scale
        low = np.floor(at).astype(int)
        high = np.minimum(low + 1, x.shape[axis] - 1)
        weight = ((at - low) * linear).reshape(-1, *(1,) * (3 - axis))
        x = x.take(low, axis) * (1 - weight) + x.take(high, axis) * weight
    return x


@pytest.mark.parametrize("case", CASES, ids=[f"{n.op_type}-{opset}-{i}" for i, (n, opset, _) in enumerate(CASES)])
def test_the_old_meaning_is_kept(case: Case) -> None:
    old, opset, constants = case
    x = random(3, *SHAPES[old.op_type]) if old.op_type in SHAPES else X
    proto = model([old], {"x": x}, list(old.output), constants, opset=opset)
    if old.op_type == "TopK":
        proto.graph.output[1].type.tensor_type.elem_type = 7
    net = read_onnx(proto)
    assert all(n.op in registry() for n in net.nodes)
    for expected, got in zip(expected_of(proto, old, opset, x), run(net, {"x": x}), strict=True):
        assert got.shape == expected.shape
        np.testing.assert_allclose(got, expected, rtol=2e-6, atol=1e-6)


@pytest.mark.parametrize("opset", [7, 9, 13])
def test_batch_norm(opset: int) -> None:
    constants = {"s": random(1, 3), "b": random(2, 3), "m": random(3, 3), "v": np.abs(random(4, 3))}
    old = node("BatchNormalization", ["x", *constants], ["y"], epsilon=1e-3, momentum=0.5)
    proto = model([old], {"x": X}, ["y"], constants, opset=opset)
    s, b, m, v = (a[:, None, None] for a in constants.values())
    np.testing.assert_allclose(
        run(read_onnx(proto), {"x": X})[0], s * (X - m) / np.sqrt(v + 1e-3) + b, rtol=1e-5, atol=1e-5
    )


def test_softmax_over_one_axis_stays_one_node() -> None:
    for shape, axis in (([2, 5], 1), ([2, 3, 1, 1], 1), ([2, 3, 4], -1)):
        net = read_onnx(model([node("Softmax", ["x"], ["y"], axis=axis)], {"x": shape}, ["y"], opset=11))
        assert [n.op for n in net.nodes] == ["Softmax"]


def test_a_clip_of_doubles_gets_double_bounds() -> None:
    x = np.linspace(-1, 1, 5)
    proto = model([node("Clip", ["x"], ["y"], min=-0.5)], {"x": x}, ["y"], opset=10)
    proto.graph.output[0].type.tensor_type.elem_type = 11
    net = read_onnx(proto)
    assert net.constants[net.nodes[0].inputs[1]].dtype == np.float64
    np.testing.assert_array_equal(run(net, {"x": x})[0], np.maximum(x, -0.5))


@pytest.mark.parametrize(
    ("old", "opset", "message"),
    [
        (node("BatchNormalization", ["x", "c", "c", "c", "c"], ["y"], spatial=0), 7, "spatial = 0"),
        (node("BatchNormalization", ["x", "c", "c", "c", "c"], ["y", "m", "v", "a", "b"]), 9, "training mode"),
    ],
)
def test_what_cannot_be_said_anew_is_refused(old: onnx.NodeProto, opset: int, message: str) -> None:
    with pytest.raises(UnsupportedError, match=message):
        read_onnx(model([old], {"x": X}, ["y"], {"c": random(0, 3)}, opset=opset))


def signature(schema: Any) -> tuple[Any, ...]:
    attributes = {
        name: (str(a.type), helper.get_attribute_value(a.default_value) if a.default_value.type else None)
        for name, a in schema.attributes.items()
    }
    return [formal.name for formal in schema.inputs], attributes


# Changes of signature that need no rule, because what was there means what it meant: new attributes with defaults
# that are the old behaviour, new optional inputs, renamed inputs. The rule of Upsample 10 serves 9 too;
# GroupNormalization before 21 was withdrawn, and onnx refuses it. Nothing may be added here unread.
ADDITIONS = {
    ("ArgMax", 12), ("ArgMin", 12), ("AveragePool", 10), ("AveragePool", 19), ("BatchNormalization", 14),
    ("BatchNormalization", 9), ("Cast", 19), ("Cast", 24), ("CastLike", 19), ("CastLike", 24), ("Constant", 11),
    ("Constant", 12), ("DepthToSpace", 11), ("DequantizeLinear", 13), ("DequantizeLinear", 21),
    ("DequantizeLinear", 23), ("GatherND", 12), ("LpPool", 18), ("MaxPool", 8), ("MaxPool", 10), ("Pad", 18),
    ("QuantizeLinear", 13), ("QuantizeLinear", 19), ("QuantizeLinear", 21), ("QuantizeLinear", 23), ("Range", 27),
    ("Reshape", 14), ("Resize", 18), ("ScatterElements", 16), ("ScatterND", 16), ("Shape", 15), ("SpaceToDepth", 28),
    ("TopK", 11), ("GRU", 14), ("LSTM", 14), ("RNN", 14), ("Attention", 24), ("Attention", 25),
    ("Upsample", 9), ("GroupNormalization", 21),
}  # fmt: skip


def test_every_change_of_an_operator_since_the_oldest_opset_has_a_rule_or_needs_none() -> None:
    versions: dict[str, dict[int, Any]] = {}
    for schema in onnx.defs.get_all_schemas_with_history():
        if schema.domain == "" and schema.name in registry():
            versions.setdefault(schema.name, {})[schema.since_version] = schema
    missing = []
    for op, by_version in versions.items():
        ordered = sorted(by_version)
        for before, after in pairwise(ordered):
            if after <= OLDEST or signature(by_version[before]) == signature(by_version[after]):
                continue
            ruled = {until for until, _ in _RULES.get(op, ())}
            if after not in ruled and (op, after) not in ADDITIONS:
                missing.append((op, after))
    assert missing == []


def test_no_rule_reaches_beyond_the_opset_of_networks() -> None:
    assert max(until for rules in _RULES.values() for until, _ in rules) <= OPSET
