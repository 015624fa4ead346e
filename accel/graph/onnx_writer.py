"""Networks to ONNX models: the dense equivalent, in standard operators, for every other runtime."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np

from accel.errors import ModelError, UnsupportedError, missing_extra
from accel.formats.atomic import replace_file
from accel.graph.network import OPSET, Constant, Network, Node, Value
from accel.graph.shapes import infer_shapes
from accel.kernels.checks import describe
from accel.layers.operators.dtypes import DTYPES
from accel.weights.base import dense

if TYPE_CHECKING:
    import onnx

CODES = {dtype: code for code, dtype in DTYPES.items()}
"""Element types by number, the inverse of DTYPES."""


def to_onnx(network: Network, path: str | os.PathLike[str] | None = None) -> onnx.ModelProto:
    """The dense equivalent of a network as an ONNX model.

    Parameters
    ----------
    network : Network, not fused.
    path : where to save it, optional. An old file is replaced only when the new one is complete.

    Returns
    -------
    onnx.ModelProto, opset `OPSET` or the oldest newer one that has all operators, checked by onnx in full.
    `metadata_props` holds the network's metadata and the producer.

    Raises
    ------
    ModelError  the network cannot be said in ONNX, or is larger than protobuf's 2 GiB.
    SaveError  the file cannot be written; what was at `path` is unchanged.
    MissingExtraError  the package onnx is not installed.
    """
    try:
        import onnx
    except ImportError as error:
        raise missing_extra("onnx", "onnx", "writing an ONNX model") from error
    import accel

    network.validate()
    opset = _opset(network)
    imports = [onnx.helper.make_opsetid("", opset)]
    model = onnx.helper.make_model(
        onnx.helper.make_graph(
            [node_proto(node, opset) for node in network.nodes],
            network.name or "graph",
            [_value_proto(value) for value in network.inputs],
            [_value_proto(value) for value in _outputs(network)],
            [_tensor_proto(name, constant) for name, constant in network.constants.items()],
        ),
        opset_imports=imports,
        ir_version=onnx.helper.find_min_ir_version_for(imports),
        producer_name="accel",
        producer_version=accel.__version__,
    )
    onnx.helper.set_model_props(model, network.metadata)
    data = _checked(model)
    if path is not None:
        replace_file(path, [data])
    return model


def _outputs(network: Network) -> list[Value]:
    """The outputs, with inferred shapes where they state none: ONNX wants the rank of every output."""
    if all(value.shape is not None for value in network.outputs):
        return network.outputs
    shapes = infer_shapes(network)
    return [v if v.shape is not None else Value(v.name, v.dtype, shapes.get(v.name)) for v in network.outputs]


def _checked(model: onnx.ModelProto) -> bytes:
    import onnx
    from google.protobuf.message import EncodeError

    try:
        data: bytes = model.SerializeToString()
        onnx.checker.check_model(data, full_check=True)
    except (EncodeError, ValueError, RuntimeError, onnx.checker.ValidationError) as error:
        # RuntimeError: shape inference. EncodeError, ValueError: larger than 2 GiB.
        raise ModelError(f"the network is not a valid ONNX model: {str(error).strip():.500}") from error
    return data


def _opset(network: Network) -> int:
    """The oldest opset from OPSET on that defines every operator with these attributes and inputs."""
    import onnx

    newest: int = onnx.defs.onnx_opset_version()
    return max((_node_opset(node, newest) for node in network.nodes), default=OPSET)


def _node_opset(node: Node, newest: int) -> int:
    import onnx

    for opset in range(OPSET, newest + 1):
        if not onnx.defs.has(node.op, opset, node.domain):
            continue
        schema = onnx.defs.get_schema(node.op, opset, node.domain)
        if set(node.attributes) <= set(schema.attributes) and len(node.inputs) <= schema.max_input:
            return opset
    raise UnsupportedError(f"{node}: ONNX has no operator with these inputs and attributes {sorted(node.attributes)}")


def node_proto(node: Node, opset: int) -> onnx.NodeProto:
    """One node as ONNX writes it."""
    import onnx

    proto = onnx.NodeProto(op_type=node.op, domain=node.domain, name=node.name)
    proto.input.extend(node.inputs)
    proto.output.extend(node.outputs)
    for name, value in node.attributes.items():
        empty = isinstance(value, tuple) and not value
        proto.attribute.append(_attribute_proto(name, value, _empty_kind(node, name, opset) if empty else None, node))
    return proto


def _attribute_proto(name: str, value: Any, kind: int | None, node: Node) -> onnx.AttributeProto:
    from onnx import AttributeProto

    if isinstance(value, np.ndarray):
        return AttributeProto(name=name, type=AttributeProto.TENSOR, t=_tensor_proto(name, value))
    if isinstance(value, str):
        return AttributeProto(name=name, type=AttributeProto.STRING, s=value.encode())
    if isinstance(value, float):
        return AttributeProto(name=name, type=AttributeProto.FLOAT, f=value)
    if isinstance(value, int):
        return AttributeProto(name=name, type=AttributeProto.INT, i=value)
    if isinstance(value, tuple) and not value:
        return AttributeProto(name=name, type=kind)
    if isinstance(value, tuple) and all(isinstance(item, str) for item in value):
        return AttributeProto(name=name, type=AttributeProto.STRINGS, strings=[item.encode() for item in value])
    if isinstance(value, tuple) and all(isinstance(item, int) for item in value):
        return AttributeProto(name=name, type=AttributeProto.INTS, ints=value)
    if isinstance(value, tuple) and all(isinstance(item, (int, float)) for item in value):
        return AttributeProto(name=name, type=AttributeProto.FLOATS, floats=value)
    raise ModelError(f"{node}: attribute {name}: expected numbers, strings, tuples or an array, got {describe(value)}")


def _empty_kind(node: Node, name: str, opset: int) -> int:
    """The type of an empty list, which only the operator's definition tells."""
    import onnx

    lists = (onnx.AttributeProto.FLOATS, onnx.AttributeProto.INTS, onnx.AttributeProto.STRINGS)
    if onnx.defs.has(node.op, opset, node.domain):
        definition = onnx.defs.get_schema(node.op, opset, node.domain).attributes.get(name)
        if definition is not None and definition.type.value in lists:
            return int(definition.type.value)
    return int(onnx.AttributeProto.INTS)


def _tensor_proto(name: str, constant: Constant) -> onnx.TensorProto:
    import onnx

    array = dense(constant)
    if array.dtype not in CODES:
        raise UnsupportedError(f"constant {name!r}: element type {array.dtype} has no place in ONNX")
    little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    return onnx.TensorProto(name=name, data_type=CODES[array.dtype], dims=array.shape, raw_data=little.tobytes())


def _value_proto(value: Value) -> onnx.ValueInfoProto:
    import onnx

    shape: Any = None if value.shape is None else list(value.shape)
    return onnx.helper.make_tensor_value_info(value.name, CODES[value.dtype], shape)
