"""ONNX models to networks: opset 7 to the newest, older ones as far as onnx's own version converter goes.

Every step is bounded by `Limits` before it takes time or memory, and anything wrong with the model is a ModelError
that names the place. Large weights are read once, from the file into their arrays (graph/onnx_wire.py); only the bare
nodes see onnx's C++ code.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from accel.errors import FormatError, ModelError, UnsupportedError, missing_extra
from accel.graph.functions import expand
from accel.graph.limits import Limits
from accel.graph.names import Names
from accel.graph.network import Constant, Dim, Network, Node, Value
from accel.graph.onnx_nodes import NodeDecoder, check_nodes, constant_value, main_opset
from accel.graph.onnx_old import convert_old
from accel.graph.onnx_tensors import TensorReader, dtype_of
from accel.graph.onnx_wire import Blob, BytesWire, FileWire, cut
from accel.graph.order import sort_nodes
from accel.graph.shapes import Facts, known_facts
from accel.graph.support import check_supported
from accel.graph.upgrade import OLDEST, REPLACED, Upgrader
from accel.kernels.checks import describe

if TYPE_CHECKING:
    import onnx


def read_onnx(
    source: bytes | BytesWire | FileWire | onnx.ModelProto, limits: Limits | None = None, *, folder: Path | None = None
) -> Network:
    """Read an ONNX model.

    Parameters
    ----------
    source : the bytes of a file, an open one as graph/onnx_wire.py reads it, or a parsed model.
    limits : what the model may cost, see Limits.
    folder : the folder of the model, from whose plain files external data is read; None refuses external data.

    Returns
    -------
    Network, with the operators' meaning of opset `OPSET` or newer, not yet simplified.

    Raises
    ------
    FormatError  not an ONNX file.
    UnsupportedError  an operator, attribute or type that accel does not run; all such operators are named.
    ModelError  the model makes no sense or exceeds a limit.
    MissingExtraError  the package onnx is not installed.
    """
    limits = limits or Limits()
    model, blobs = _parse(source)
    _refuse(model, limits)
    opset = main_opset(model.opset_import, "the model")
    if opset < OLDEST:
        model = convert_old(model, OLDEST)
    return _Reader(model, blobs, folder, limits, opset).read()


def _parse(source: bytes | BytesWire | FileWire | onnx.ModelProto) -> tuple[onnx.ModelProto, dict[str, Blob]]:
    """The model, and the weights that are not in it."""
    try:
        import onnx
        from google.protobuf.message import DecodeError
    except ImportError as error:
        raise missing_extra("onnx", "onnx", "reading an ONNX model") from error
    if isinstance(source, onnx.ModelProto):
        return source, {}
    if not isinstance(source, (bytes, BytesWire, FileWire)):
        raise TypeError(f"source: expected the bytes of a model or an onnx.ModelProto, got {describe(source)}")
    bare, blobs = cut(BytesWire(source) if isinstance(source, bytes) else source)
    model = onnx.ModelProto()
    try:
        model.ParseFromString(bare)
    except DecodeError as error:
        raise FormatError(
            "neither an .accel file nor an ONNX model: the bytes are not a protobuf message of this kind"
        ) from error
    if not model.HasField("graph") or not model.opset_import:
        raise FormatError("neither an .accel file nor an ONNX model: no graph, or no operator set, in it")
    return model, blobs


def _refuse(model: onnx.ModelProto, limits: Limits) -> None:
    """What can be told at once."""
    written = len(model.graph.node) + sum(len(function.node) for function in model.functions)
    if written > limits.max_nodes:
        raise ModelError(f"the model has {written:,} nodes, more than Limits.max_nodes = {limits.max_nodes}")
    if model.training_info:
        raise UnsupportedError("the model holds training information; accel runs inference models only")
    for value in [*model.graph.input, *model.graph.output]:
        kind = value.type.WhichOneof("value")
        if kind not in (None, "tensor_type"):
            raise UnsupportedError(f"value {value.name!r} is a {kind.removesuffix('_type')}, accel runs tensors only")


class _Reader:
    """The steps from a parsed model to a network, and what they share; `written` is the opset before conversion."""

    def __init__(
        self, model: onnx.ModelProto, blobs: dict[str, Blob], folder: Path | None, limits: Limits, written: int
    ) -> None:
        self.model = model
        self.blobs = blobs
        self.graph = model.graph
        self.limits = limits
        self.written = written
        self.tensors = TensorReader(folder, limits)
        self.names = Names(_used_names(model.graph))

    def read(self) -> Network:
        constants = self._constants()
        inputs = [self._value(v, "input") for v in self.graph.input if v.name not in constants]
        nodes = self._expanded()
        check_supported((node for node, _ in nodes), REPLACED | {"Constant"})
        nodes = self._lift_constants(nodes, constants)
        check_nodes(nodes, self.model.ir_version)
        facts = known_facts(inputs, constants)
        ordered = self._upgraded(nodes, constants, facts)
        outputs = [self._value(v, "output", facts) for v in self.graph.output]
        metadata = {entry.key: entry.value for entry in self.model.metadata_props}
        network = Network(self.graph.name, inputs, outputs, ordered, constants, metadata)
        network.validate()
        return network

    def _constants(self) -> dict[str, Constant]:
        constants: dict[str, Constant] = {}
        dense = ((t.name, t) for t in self.graph.initializer)
        sparse = ((t.values.name, t) for t in self.graph.sparse_initializer)
        for name, tensor in (*dense, *sparse):
            if not name or name in constants:
                raise ModelError(f"initializer {name!r}: the name is empty or defined twice")
            constants[name] = self._array(tensor, name, f"initializer {name!r}")
        return constants

    def _array(self, tensor: Any, name: str, what: str) -> np.ndarray:
        if tensor.DESCRIPTOR.name == "SparseTensorProto":
            return self.tensors.read_sparse(tensor, what)
        return self.tensors.read(tensor, what, self.blobs.get(name))

    def _value(self, value: onnx.ValueInfoProto, what: str, facts: Facts | None = None) -> Value:
        tensor = value.type.tensor_type
        inferred = facts[value.name].dtype if facts is not None and not tensor.elem_type else None
        dtype = inferred or dtype_of(tensor.elem_type, f"{what} {value.name!r}")
        shape = tuple(map(_dim, tensor.shape.dim)) if tensor.HasField("shape") else None
        return Value(value.name, dtype, shape)

    def _expanded(self) -> list[tuple[Node, int]]:
        """Every node with its opset, functions expanded."""
        decoder = NodeDecoder(self.tensors)
        opset = main_opset(self.model.opset_import, "the model")
        functions = {}
        for proto in self.model.functions:
            function = decoder.function(proto, opset)
            if function.key in functions:
                raise ModelError(f"function {function.key.name!r} is defined twice")
            functions[function.key] = function
        return expand([decoder.call(node) for node in self.graph.node], functions, opset, self.names, self.limits)

    def _lift_constants(self, nodes: list[tuple[Node, int]], constants: dict[str, Constant]) -> list[tuple[Node, int]]:
        """Constant nodes become constants."""
        kept = []
        for node, opset in nodes:
            if node.op != "Constant":
                kept.append((node, opset))
            elif len(node.outputs) != 1 or not node.outputs[0] or node.outputs[0] in constants:
                raise ModelError(f"{node}: expected one output that nothing else defines, got {node.outputs}")
            else:
                constants[node.outputs[0]] = constant_value(node)
        return kept

    def _upgraded(self, nodes: list[tuple[Node, int]], constants: dict[str, Constant], facts: Facts) -> list[Node]:
        """The nodes in topological order and in the words of opset OPSET."""
        opsets = {id(node): opset for node, opset in nodes}
        upgrade = Upgrader(constants, self.names, facts)
        result = []
        given = [*constants, *(v.name for v in self.graph.input if v.name not in constants)]
        for node in sort_nodes([node for node, _ in nodes], given):
            for new in upgrade(node, min(opsets[id(node)], self.written)):
                facts.visit(new)
                result.append(new)
        return result


def _used_names(graph: onnx.GraphProto) -> Iterator[str]:
    yield from (value.name for value in (*graph.input, *graph.output))
    yield from (tensor.name for tensor in graph.initializer)
    yield from (tensor.values.name for tensor in graph.sparse_initializer)
    for node in graph.node:
        yield from node.input
        yield from node.output


def _dim(dim: Any) -> Dim:
    """A size, a symbol, or None; a negative size is a habit of some writers for "unknown"."""
    if dim.HasField("dim_value"):
        return int(dim.dim_value) if dim.dim_value >= 0 else None
    return dim.dim_param or None
