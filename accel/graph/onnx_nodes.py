"""Nodes and functions of an ONNX file to ours, and the check of each node against its operator's definition."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from accel.errors import ModelError, UnsupportedError
from accel.graph.functions import Call, Function, Key
from accel.graph.network import Node
from accel.graph.onnx_tensors import TensorReader

if TYPE_CHECKING:
    import onnx

_MAIN = ("", "ai.onnx")
_KINDS = ("", "float", "int", "string", "tensor", "graph", "floats", "ints", "strings", "tensors", "graphs",
          "sparse tensor", "sparse tensors", "type", "types")  # fmt: skip
"""AttributeProto.AttributeType by number."""


def main_opset(imports: Iterable[Any], what: str) -> int:
    """The version of the main operator set in a list of imports, the newest that onnx knows when it is not there."""
    import onnx

    newest: int = onnx.defs.onnx_opset_version()
    versions = {int(entry.version) for entry in imports if entry.domain in _MAIN}
    if not versions:
        return newest
    if len(versions) > 1 or not 1 <= min(versions) <= newest:
        raise UnsupportedError(f"{what} imports opset {sorted(versions)}; this onnx package knows one of 1..{newest}")
    return versions.pop()


class NodeDecoder:
    """Reads nodes; tensors in attributes go through `tensors` and count there."""

    def __init__(self, tensors: TensorReader) -> None:
        self.tensors = tensors

    def call(self, proto: onnx.NodeProto) -> Call:
        """One node, as written."""
        domain = "" if proto.domain in _MAIN else proto.domain
        node = Node(proto.op_type, list(proto.input), list(proto.output), {}, proto.name, domain)
        references = {}
        for attribute in proto.attribute:
            if attribute.name in node.attributes or attribute.name in references:
                raise ModelError(f"{node}: attribute {attribute.name!r} is given twice")
            if attribute.ref_attr_name:
                references[attribute.name] = attribute.ref_attr_name
            else:
                node.attributes[attribute.name] = self.attribute(attribute, node)
        while node.inputs and not node.inputs[-1]:
            node.inputs.pop()
        return Call(node, Key(domain, proto.op_type, proto.overload), references)

    def function(self, proto: onnx.FunctionProto, opset: int) -> Function:
        """One function; `opset` holds where it imports no main operator set itself."""
        what = f"function {proto.name!r}"
        frame = Node(proto.name, [], [], {}, proto.name)
        imports = any(entry.domain in _MAIN for entry in proto.opset_import)
        return Function(
            key=Key("" if proto.domain in _MAIN else proto.domain, proto.name, proto.overload),
            inputs=list(proto.input),
            outputs=list(proto.output),
            attributes=frozenset(proto.attribute),
            defaults={a.name: self.attribute(a, frame) for a in proto.attribute_proto},
            calls=[self.call(node) for node in proto.node],
            opset=main_opset(proto.opset_import, what) if imports else opset,
        )

    def attribute(self, attribute: onnx.AttributeProto, node: Node) -> Any:
        """The value of an attribute as plain Python or an array."""
        kind = _KINDS[attribute.type] if 0 <= attribute.type < len(_KINDS) else f"number {attribute.type}"
        what = f"{node}: attribute {attribute.name!r}"
        if kind in ("float", "int"):
            return getattr(attribute, kind[0])
        if kind in ("floats", "ints"):
            return tuple(getattr(attribute, kind))
        if kind == "string":
            return _text(attribute.s, what)
        if kind == "strings":
            return tuple(_text(item, what) for item in attribute.strings)
        if kind == "tensor":
            return self.tensors.read(attribute.t, what)
        if kind == "sparse tensor":
            return self.tensors.read_sparse(attribute.sparse_tensor, what)
        if kind in ("graph", "graphs"):
            raise UnsupportedError(f"{what} holds a subgraph; accel does not run control flow")
        raise UnsupportedError(f"{what}: attributes of type {kind or 'undefined'} are not supported")


def _text(data: bytes, what: str) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise ModelError(f"{what}: the text is not UTF-8") from error


def constant_value(node: Node) -> np.ndarray:
    """The array that a Constant node stands for."""
    if len(node.attributes) == 1:
        ((name, value),) = node.attributes.items()
        if name in ("value", "sparse_value") and isinstance(value, np.ndarray):
            return value
        dtype = {"value_float": np.float32, "value_floats": np.float32, "value_int": np.int64, "value_ints": np.int64}
        if name in dtype:
            array = np.array(value, dtype[name])
            array.setflags(write=False)
            return array
    raise UnsupportedError(f"{node}: a constant given by {sorted(node.attributes)} is not supported")


def check_nodes(nodes: list[tuple[Node, int]], ir_version: int) -> None:
    """Check inputs, outputs and attributes of each node against the operator's definition in its opset.

    Raises
    ------
    ModelError  with the node's name and what onnx finds wrong.
    """
    from onnx import checker

    from accel.graph.onnx_writer import node_proto

    contexts: dict[int, Any] = {}
    for node, opset in nodes:
        if opset not in contexts:
            contexts[opset] = type(checker.DEFAULT_CONTEXT)()
            contexts[opset].ir_version = max(ir_version, 3)
            contexts[opset].opset_imports = {"": opset}
        try:
            checker.check_node(node_proto(node, opset), contexts[opset])
        except (checker.ValidationError, ValueError, RuntimeError) as error:
            reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
            raise ModelError(f"{node}: {reason:.300}") from error
