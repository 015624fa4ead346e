"""Operators of older opsets in the words of opset `OPSET`, node by node.

One rule per operator whose meaning changed from opset 7 to 21 (PRelu: from 6, which onnx's converter leaves as it
is); operators that only gained types, attributes or optional inputs need none. tests/graph/test_upgrade.py compares
every rule with the definition of the old opset.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from accel.errors import ModelError, UnsupportedError
from accel.graph.names import Names
from accel.graph.network import Constant, Dim, Node
from accel.graph.shape_rules import REDUCTIONS
from accel.graph.shapes import Facts

OLDEST = 7
"""Before opset 7, arithmetic had its own broadcasting rules: graph/onnx_old.py."""


class Upgrader:
    """Rewrites nodes; `constants` receives the inputs that were attributes, `facts` is what is known of values."""

    def __init__(self, constants: dict[str, Constant], names: Names, facts: Facts) -> None:
        self.constants = constants
        self.names = names
        self.facts = facts

    def __call__(self, node: Node, opset: int) -> list[Node]:
        """The nodes that mean what `node` meant in `opset`."""
        for until, rule in _RULES.get(node.op, ()):
            if opset < until:
                return rule(self, node)
        return [node]

    def constant(self, node: Node, label: str, value: Any, dtype: Any) -> str:
        """The name of a new constant."""
        try:
            array = np.array(value, dtype)
        except (OverflowError, TypeError, ValueError) as error:
            raise ModelError(f"{node}: attribute {label!r}: {error}") from error
        name = self.names.fresh(f"{node.outputs[0]}_{label}")
        array.setflags(write=False)
        self.constants[name] = array
        self.facts.add_constant(name, array)
        return name


Rule = Callable[[Upgrader, Node], list[Node]]


def _put(node: Node, position: int, name: str) -> None:
    node.inputs += [""] * (position + 1 - len(node.inputs))
    node.inputs[position] = name


def _attribute_to_input(upgrader: Upgrader, node: Node, label: str, position: int, dtype: Any = np.int64) -> None:
    value = node.attributes.pop(label, None)
    if value is not None:
        _put(node, position, upgrader.constant(node, label, value, dtype))


def _axes(upgrader: Upgrader, node: Node) -> list[Node]:
    _attribute_to_input(upgrader, node, "axes", 1)
    return [node]


def _clip(upgrader: Upgrader, node: Node) -> list[Node]:
    dtype = upgrader.facts[node.inputs[0]].dtype or np.float32
    _attribute_to_input(upgrader, node, "min", 1, dtype)
    _attribute_to_input(upgrader, node, "max", 2, dtype)
    return [node]


def _dropout(upgrader: Upgrader, node: Node) -> list[Node]:
    node.attributes.pop("ratio", None)
    return [node]


def _pad(upgrader: Upgrader, node: Node) -> list[Node]:
    _put(node, 1, upgrader.constant(node, "pads", node.attributes.pop("pads", ()), np.int64))
    _attribute_to_input(upgrader, node, "value", 2, upgrader.facts[node.inputs[0]].dtype or np.float32)
    return [node]


def _slice(upgrader: Upgrader, node: Node) -> list[Node]:
    for position, label in enumerate(("starts", "ends", "axes"), 1):
        _attribute_to_input(upgrader, node, label, position)
    return [node]


def _split(upgrader: Upgrader, node: Node) -> list[Node]:
    split = node.attributes.pop("split", None)
    if split:
        _put(node, 1, upgrader.constant(node, "split", split, np.int64))
    return _split_count(upgrader, node)


def _split_count(upgrader: Upgrader, node: Node) -> list[Node]:
    if not node.input(1):
        node.attributes["num_outputs"] = len(node.outputs)
    return [node]


def _flattening(upgrader: Upgrader, node: Node) -> list[Node]:
    """Softmax and its kin before opset 13 took all axes from `axis` on as one (Flatten) and brought the shape back."""
    axis = node.attributes.get("axis", 1)
    shape = upgrader.facts[node.inputs[0]].shape
    if shape is not None and _one_axis(shape, axis):
        node.attributes["axis"] = axis
        return [node]
    labels = ("flat", "normal", "shape")
    flat, normal, original = (upgrader.names.fresh(f"{node.outputs[0]}_{label}") for label in labels)
    return [
        Node("Shape", [node.inputs[0]], [original]),
        Node("Flatten", [node.inputs[0]], [flat], {"axis": axis}),
        Node(node.op, [flat], [normal], {"axis": -1}, node.name),
        Node("Reshape", [normal, original], list(node.outputs)),
    ]


def _one_axis(shape: tuple[Dim, ...], axis: int) -> bool:
    """Whether `axis` is the only one of those from it on that can be longer than 1."""
    axis += len(shape) if axis < 0 else 0
    return 0 <= axis < len(shape) and all(dim == 1 for dim in shape[axis + 1 :])


def _batch_norm(upgrader: Upgrader, node: Node) -> list[Node]:
    if node.attributes.pop("spatial", 1) != 1:
        raise UnsupportedError(f"{node}: BatchNormalization with spatial = 0 is not supported")
    if len([name for name in node.outputs if name]) > 1:
        raise UnsupportedError(f"{node}: BatchNormalization in training mode is not supported")
    node.outputs = node.outputs[:1]
    return [node]


def _upsample(upgrader: Upgrader, node: Node) -> list[Node]:
    _attribute_to_input(upgrader, node, "scales", 1, np.float32)
    node.op = "Resize"
    return _resize(upgrader, node)


def _resize(upgrader: Upgrader, node: Node) -> list[Node]:
    """Resize 10 had scales as input 1, coordinates scaled without half-pixel shift, and nearest rounding down."""
    node.inputs = [node.input(0), "", node.input(1)]
    node.attributes.update(coordinate_transformation_mode="asymmetric", nearest_mode="floor")
    return [node]


def _top_k(upgrader: Upgrader, node: Node) -> list[Node]:
    _put(node, 1, upgrader.constant(node, "k", [node.attributes.pop("k", 0)], np.int64))
    return [node]


def _scatter(upgrader: Upgrader, node: Node) -> list[Node]:
    node.op = "ScatterElements"
    return [node]


def _grid_sample(upgrader: Upgrader, node: Node) -> list[Node]:
    old = node.attributes.get("mode", "bilinear")
    node.attributes["mode"] = {"bilinear": "linear", "bicubic": "cubic"}.get(old, old)
    return [node]


def _prelu(upgrader: Upgrader, node: Node) -> list[Node]:
    """Before opset 7 a slope of one axis ran along axis 1 of the data, since then along the last."""
    data, slope = (upgrader.facts[name].shape for name in node.inputs[:2])
    if slope is None or len(slope) != 1 or slope[0] == 1:
        return [node]
    if data is None:
        raise UnsupportedError(f"{node}: PRelu before opset 7 needs data of known rank")
    axes = upgrader.constant(node, "axes", range(1, len(data) - 1), np.int64)
    column = upgrader.names.fresh(f"{node.outputs[0]}_slope")
    return [
        Node("Unsqueeze", [node.inputs[1], axes], [column]),
        Node("PRelu", [node.inputs[0], column], list(node.outputs), {}, node.name),
    ]


def _roi_align(upgrader: Upgrader, node: Node) -> list[Node]:
    node.attributes["coordinate_transformation_mode"] = "output_half_pixel"
    return [node]


_RULES: dict[str, Sequence[tuple[int, Rule]]] = {
    "BatchNormalization": ((14, _batch_norm),),
    "Clip": ((11, _clip),),
    "Dropout": ((12, _dropout),),
    "GridSample": ((20, _grid_sample),),
    "Hardmax": ((13, _flattening),),
    "LogSoftmax": ((13, _flattening),),
    "PRelu": ((7, _prelu),),
    "Pad": ((11, _pad),),
    "ReduceSum": ((13, _axes),),
    "Resize": ((11, _resize),),
    "RoiAlign": ((16, _roi_align),),
    "Scatter": ((11, _scatter),),
    "Slice": ((10, _slice),),
    "Softmax": ((13, _flattening),),
    "Split": ((13, _split), (18, _split_count)),
    "Squeeze": ((13, _axes),),
    "TopK": ((10, _top_k),),
    "Unsqueeze": ((13, _axes),),
    "Upsample": ((10, _upsample),),
    **{f"Reduce{kind}": ((18, _axes),) for kind in REDUCTIONS if kind != "Sum"},
}

REPLACED = frozenset({"Scatter", "Upsample"})
"""Operators that exist only in older opsets: a rule turns each into a newer one."""
