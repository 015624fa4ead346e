"""Models older than opset 7, by onnx's version converter: arithmetic had its own broadcasting rules then."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from accel.errors import UnsupportedError

if TYPE_CHECKING:
    import onnx

_SMALL = 1024
"""The converter reads small tensors (scales, shapes); larger ones are weights and go around it."""


def convert_old(model: onnx.ModelProto, opset: int) -> onnx.ModelProto:
    """The model in `opset`; the original is left as it is.

    Raises
    ------
    UnsupportedError  the converter cannot do it, with its reason.
    """
    import onnx.version_converter

    if model.functions or model.graph.sparse_initializer:
        raise UnsupportedError(f"a model older than opset {opset} with functions or sparse tensors")
    bare, large = _split(model)
    try:
        converted = onnx.version_converter.convert_version(bare, opset)
    except Exception as error:  # the converter raises RuntimeError, ConvertError, InferenceError, ValueError ...
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise UnsupportedError(f"a model older than opset {opset} that onnx cannot convert: {reason:.200}") from error
    converted.graph.initializer.extend(large)
    return converted


def _split(model: onnx.ModelProto) -> tuple[onnx.ModelProto, list[onnx.TensorProto]]:
    """A copy without its large tensors, which become inputs, and those tensors."""
    import onnx

    large = [t for t in model.graph.initializer if t.data_location or math.prod(t.dims) > _SMALL]
    names = {tensor.name for tensor in large}
    bare = onnx.ModelProto(ir_version=max(model.ir_version, 4), opset_import=model.opset_import)
    bare.graph.name = model.graph.name or "graph"
    bare.graph.node.extend(model.graph.node)
    bare.graph.input.extend(model.graph.input)
    bare.graph.output.extend(model.graph.output)
    bare.graph.initializer.extend(t for t in model.graph.initializer if t.name not in names)
    given = {value.name for value in model.graph.input}
    bare.graph.input.extend(
        onnx.helper.make_tensor_value_info(t.name, t.data_type, t.dims) for t in large if t.name not in given
    )
    return bare, large
