"""Networks as JSON: the readable part of an `.accel` file. docs/formats/graph.md is the specification.

Reading trusts nothing: types, keys, names and order are checked, and anything unexpected is a FormatError.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from accel.errors import FormatError, ModelError, UnsupportedError
from accel.graph.fusing import is_fused
from accel.graph.limits import Limits
from accel.graph.network import OPSET, Constant, Dim, Network, Node, Value
from accel.graph.support import check_supported
from accel.kernels.checks import describe
from accel.layers.operators import registry
from accel.layers.operators.dtypes import DTYPES
from accel.weights.base import Weight

VERSION = 1
"""Version of the JSON form. A reader refuses a newer one."""

MOST_ELEMENTS = 1024
"""Arrays in attributes are small: a fill value, a window. Everything larger is a constant."""

_TYPES = {dtype.name: dtype for dtype in DTYPES.values()}
_NON_FINITE = {"inf": math.inf, "-inf": -math.inf, "nan": math.nan}
_INT64, _ANY_INT = range(-(2**63), 2**63), range(-(2**63), 2**64)
_NETWORK = {"version", "opset", "name", "inputs", "outputs", "nodes", "constants", "metadata"}


def network_to_dict(network: Network) -> dict[str, Any]:
    """The network as a JSON-able dict, with the names of its constants but not their contents.

    Raises
    ------
    ModelError  the network is not valid, or has something the form has no place for (a fused operator).
    """
    network.validate()
    check_supported(network.nodes)
    for node in network.nodes:
        _check_node(node)
    return {
        "version": VERSION,
        "opset": OPSET,
        "name": network.name,
        "inputs": [_value_to_dict(value) for value in network.inputs],
        "outputs": [_value_to_dict(value) for value in network.outputs],
        "nodes": [_node_to_dict(node) for node in network.nodes],
        "constants": list(network.constants),
        "metadata": dict(network.metadata),
    }


def _value_to_dict(value: Value) -> dict[str, Any]:
    shape = None if value.shape is None else list(value.shape)
    return {"name": value.name, "dtype": value.dtype.name, "shape": shape}


def _node_to_dict(node: Node) -> dict[str, Any]:
    data: dict[str, Any] = {"op": node.op, "inputs": list(node.inputs), "outputs": list(node.outputs)}
    if node.name:
        data["name"] = node.name
    if node.attributes:
        data["attributes"] = {key: _plain(value, f"{node}: attribute {key}") for key, value in node.attributes.items()}
    return data


def _plain(value: Any, what: str) -> Any:
    if isinstance(value, np.ndarray):
        if value.size > MOST_ELEMENTS or value.dtype.name not in _TYPES:
            raise ModelError(f"{what}: expected at most {MOST_ELEMENTS} elements, got {describe(value)}")
        data = [_plain(item, what) for item in value.ravel().tolist()]
        return {"dtype": value.dtype.name, "shape": list(value.shape), "data": data}
    if isinstance(value, (tuple, list)):
        return [_plain(item, what) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": str(value)}
    if isinstance(value, (bool, int, float, str)):
        return value
    raise ModelError(f"{what}: expected numbers, strings, lists of them or an array, got {describe(value)}")


def network_from_dict(data: Any, constants: Mapping[str, Constant], limits: Limits | None = None) -> Network:
    """The inverse of `network_to_dict`.

    Parameters
    ----------
    data : what JSON gave, untrusted.
    constants : the constants by name: exactly those that `data` lists.
    limits : max_nodes bounds the number of nodes.

    Raises
    ------
    FormatError  anything that `network_to_dict` would not write.
    UnsupportedError  an operator or attribute that accel does not run; all such operators are named.
    """
    limits = limits or Limits()
    fields = _object(data, _NETWORK, _NETWORK, "graph")
    _version(fields)
    items = _list(fields["nodes"], dict, "nodes")
    if len(items) > limits.max_nodes:
        raise FormatError(f"graph: {len(items)} nodes, more than Limits.max_nodes = {limits.max_nodes}")
    network = Network(
        name=_expect(fields["name"], str, "name"),
        inputs=[_value(item, "input") for item in _list(fields["inputs"], dict, "inputs")],
        outputs=[_value(item, "output") for item in _list(fields["outputs"], dict, "outputs")],
        nodes=[_node(item, f"node {position}") for position, item in enumerate(items)],
        constants=_constants(fields["constants"], constants),
        metadata=_metadata(fields["metadata"]),
    )
    try:
        network.validate()
    except ModelError as error:
        raise FormatError(f"graph: {error}") from error
    check_supported(network.nodes)
    for node in network.nodes:
        _check_node(node)
    return network


def _version(fields: dict[str, Any]) -> None:
    version, opset = (_expect(fields[key], int, key) for key in ("version", "opset"))
    if version > VERSION:
        raise FormatError(f"graph: version {version} is newer than {VERSION}, which this accel reads: update accel")
    if version != VERSION or opset != OPSET:
        raise FormatError(f"graph: expected version {VERSION} and opset {OPSET}, got {version} and {opset}")


def _constants(listed: Any, given: Mapping[str, Constant]) -> dict[str, Constant]:
    names = _list(listed, str, "constants")
    if set(names) != set(given) or len(set(names)) != len(names):
        different = sorted(set(names) ^ set(given))[:3]
        raise FormatError(f"constants: the graph and the stored tensors do not have the same names, see {different}")
    for name in names:
        constant = given[name]
        known = isinstance(constant, np.ndarray) and constant.dtype.name in _TYPES
        if not known and not isinstance(constant, Weight):
            raise FormatError(
                f"constant {name!r}: expected an array of a supported type or a Weight, got {describe(constant)}"
            )
    return {name: given[name] for name in names}


def _metadata(data: Any) -> dict[str, str]:
    fields = _expect(data, dict, "metadata")
    return {key: _expect(value, str, f"metadata {key!r:.40}") for key, value in fields.items()}


def _value(data: Any, what: str) -> Value:
    keys = {"name", "dtype", "shape"}
    fields = _object(data, keys, keys, what)
    name = _expect(fields["name"], str, f"{what} name")
    dtype = _expect(fields["dtype"], str, f"{what} {name!r:.40}: dtype")
    if dtype not in _TYPES:
        raise FormatError(f"{what} {name!r:.40}: expected a dtype of {', '.join(_TYPES)}, got {dtype!r:.40}")
    shape = fields["shape"]
    if shape is not None:
        shape = tuple(_dim(dim, f"{what} {name!r:.40}") for dim in _expect(shape, list, f"{what} {name!r:.40}: shape"))
    return Value(name, _TYPES[dtype], shape)


def _dim(dim: Any, what: str) -> Dim:
    if dim is None or (isinstance(dim, str) and dim):
        return dim
    if isinstance(dim, int) and not isinstance(dim, bool) and dim in _INT64 and dim >= 0:
        return dim
    raise FormatError(f"{what}: expected a dim that is a size, a symbol or null, got {describe(dim)}")


def _node(data: Any, what: str) -> Node:
    fields = _object(data, {"op", "inputs", "outputs"}, {"op", "inputs", "outputs", "name", "attributes"}, what)
    node = Node(
        op=_expect(fields["op"], str, f"{what}: op"),
        inputs=_list(fields["inputs"], str, f"{what}: inputs"),
        outputs=_list(fields["outputs"], str, f"{what}: outputs"),
        name=_expect(fields.get("name", ""), str, f"{what}: name"),
    )
    if not any(node.outputs):
        raise FormatError(f"{what}: expected at least one output that has a name")
    attributes = _expect(fields.get("attributes", {}), dict, f"{what}: attributes")
    node.attributes = {key: _attribute(value, f"{what}: attribute {key!r:.40}") for key, value in attributes.items()}
    return node


def _attribute(value: Any, what: str) -> Any:
    if isinstance(value, list):
        return tuple(_scalar(item, what) for item in value)
    if isinstance(value, dict) and set(value) == {"dtype", "shape", "data"}:
        return _array(value, what)
    return _scalar(value, what)


def _scalar(value: Any, what: str, integers: range = _INT64) -> int | float | str:
    if isinstance(value, (float, str)):
        return value
    if isinstance(value, int) and not isinstance(value, bool) and value in integers:
        return value
    if isinstance(value, dict) and set(value) == {"float"} and str(value["float"]) in _NON_FINITE:
        return _NON_FINITE[str(value["float"])]
    raise FormatError(f"{what}: expected a number, a string or a list of them, got {describe(value)}")


def _array(value: dict[str, Any], what: str) -> np.ndarray:
    dtype = _TYPES.get(value["dtype"]) if isinstance(value["dtype"], str) else None
    shape, data = (_expect(value[key], list, f"{what}: {key}") for key in ("shape", "data"))
    sizes = [_dim(dim, what) for dim in shape]
    if dtype is None or len(data) > MOST_ELEMENTS or len(sizes) > 32:
        raise FormatError(f"{what}: expected a dtype, at most 32 axes and {MOST_ELEMENTS} elements")
    if not all(isinstance(size, int) for size in sizes) or math.prod(s for s in sizes if isinstance(s, int)) != len(
        data
    ):
        raise FormatError(f"{what}: {len(data)} elements do not fill the shape {shape!r:.60}")
    kinds: dict[str, tuple[type, ...]] = {"b": (bool,), "i": (int,), "u": (int,), "f": (int, float)}
    numbers = data if dtype.kind == "b" else [_scalar(item, what, _ANY_INT) for item in data]
    if not all(isinstance(number, kinds[dtype.kind]) for number in numbers):
        raise FormatError(f"{what}: expected numbers of {dtype}")
    try:
        with np.errstate(over="raise"):
            array = np.array(numbers, dtype).reshape(shape)
    except (ArithmeticError, ValueError) as error:
        raise FormatError(f"{what}: {error}") from error
    array.setflags(write=False)
    return array


def _check_node(node: Node) -> None:
    """Inputs and attributes against what the operator takes; ModelError or UnsupportedError names the node."""
    contract = registry()[node.op].contract
    if is_fused(node):
        raise UnsupportedError(f"{node}: has a fused activation or residual, which exist only inside a plan")
    least, most = contract.required, len(contract.names)
    if not all(node.input(position) for position in range(least)) or (
        len(node.inputs) > most and not contract.variadic
    ):
        raise ModelError(f"{node}: expected {least} to {most} inputs, got {node.inputs[: most + 1]!r:.200}")
    try:
        contract.attributes(node.attributes)
    except ModelError as error:
        raise type(error)(f"{node}: {error}") from None


def _expect(value: Any, kind: type, what: str) -> Any:
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise FormatError(f"{what}: expected {kind.__name__}, got {describe(value)}")
    return value


def _list(value: Any, kind: type, what: str) -> list[Any]:
    return [_expect(item, kind, what) for item in _expect(value, list, what)]


def _object(value: Any, required: set[str], allowed: set[str], what: str) -> dict[str, Any]:
    fields: dict[str, Any] = _expect(value, dict, what)
    if missing := required - set(fields):
        raise FormatError(f"{what}: {min(missing)!r} is missing")
    if unknown := set(fields) - allowed:
        raise FormatError(f"{what}: unknown key {min(unknown)!r:.40}")
    return fields
