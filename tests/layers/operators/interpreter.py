"""A tiny interpreter of ONNX models: each node through the operator table, nothing else. The suite's harness only."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper, version_converter

from accel.errors import UnsupportedError
from accel.graph.network import OPSET
from accel.layers.operators import registry


def attribute(proto: onnx.AttributeProto) -> Any:
    """An attribute as plain Python or an array."""
    value = onnx.helper.get_attribute_value(proto)
    if isinstance(value, onnx.TensorProto):
        return numpy_helper.to_array(value)
    return value.decode() if isinstance(value, bytes) else value


def upgraded(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model at OPSET when it is older, unless the converter cannot."""
    versions = [entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")]
    if not versions or versions[0] >= OPSET:
        return model
    try:
        return version_converter.convert_version(model, OPSET)
    except Exception:  # the converter raises its own kinds; what it cannot convert may still mean the same
        return model


class Interpreter:
    """Runs a model node by node; raises UnsupportedError for an operator that the table lacks."""

    def __init__(self, model: onnx.ModelProto) -> None:
        if model.functions:
            raise UnsupportedError("model-local functions are not supported")
        self.graph = upgraded(model).graph
        for node in self.graph.node:
            if node.domain not in ("", "ai.onnx") or node.op_type not in registry():
                raise UnsupportedError(f"{node.domain} {node.op_type} is not supported")

    def run(self, inputs: list[np.ndarray]) -> list[np.ndarray]:
        """The outputs of the graph for inputs in its order."""
        values: dict[str, np.ndarray | None] = {"": None}
        values.update((tensor.name, numpy_helper.to_array(tensor)) for tensor in self.graph.initializer)
        free = [value.name for value in self.graph.input if value.name not in values]
        if any(isinstance(value, list) or value is None for value in inputs):
            raise UnsupportedError("a sequence or optional is not supported")
        values.update(zip(free, map(np.asarray, inputs), strict=True))
        for node in self.graph.node:
            given = {proto.name: attribute(proto) for proto in node.attribute}
            results = registry()[node.op_type]([values[name] for name in node.input], given, len(node.output))
            values.update(zip(node.output, results, strict=False))
        return [values[value.name] for value in self.graph.output]
