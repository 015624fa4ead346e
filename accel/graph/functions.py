"""Model-local functions of ONNX, expanded in place: counted before, without recursion, each with its own opset."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from accel.errors import ModelError
from accel.graph.limits import Limits
from accel.graph.names import Names
from accel.graph.network import Node

_PREFIX = 40
"""Longest part of a call's name that the names inside its function begin with."""


class Key(NamedTuple):
    """What a call and a function must have in common."""

    domain: str
    name: str
    overload: str = ""


@dataclass(frozen=True, slots=True)
class Call:
    """A node as written in the file. `references`: attribute name to the attribute of the enclosing function."""

    node: Node
    key: Key
    references: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Function:
    """One function; `defaults` holds the attributes that have one, `opset` the version of the main operator set."""

    key: Key
    inputs: list[str]
    outputs: list[str]
    attributes: frozenset[str]
    defaults: Mapping[str, Any]
    calls: list[Call]
    opset: int


@dataclass(slots=True)
class _Frame:
    calls: Iterator[Call]
    names: dict[str, str]
    values: Mapping[str, Any]
    opset: int
    prefix: str


def expanded_size(calls: list[Call], functions: Mapping[Key, Function], limits: Limits) -> int:
    """Number of nodes after expansion, without expanding.

    Raises
    ------
    ModelError  the number exceeds `limits.max_nodes`, calls nest deeper than `limits.max_depth` or are recursive.
    """
    done: dict[Key, tuple[int, int]] = {}
    open_: set[Key] = set()
    stack = [call.key for call in calls if call.key in functions]
    while stack:
        key = stack[-1]
        body = functions[key].calls
        if key in done:
            stack.pop()
        elif key in open_:
            open_.discard(key)
            done[key] = _measure(body, done)
            if done[key][1] > limits.max_depth:
                raise ModelError(f"function {key.name!r}: calls nest deeper than Limits.max_depth = {limits.max_depth}")
            stack.pop()
        else:
            open_.add(key)
            wanted = {call.key for call in body if call.key in functions and call.key not in done}
            if again := wanted & open_:
                raise ModelError(f"function {min(again).name!r}: calls itself")
            stack.extend(wanted)
    size = _measure(calls, done)[0]
    if size > limits.max_nodes:
        raise ModelError(f"the model has {_count(size)} nodes, more than Limits.max_nodes = {limits.max_nodes}")
    return size


def _measure(calls: list[Call], done: Mapping[Key, tuple[int, int]]) -> tuple[int, int]:
    sizes = [done.get(call.key, (1, 0)) for call in calls]
    return sum(size for size, _ in sizes), 1 + max((depth for _, depth in sizes), default=0)


def _count(number: int) -> str:
    return f"{number:,}" if number < 10**18 else f"about 2**{number.bit_length() - 1}"


def expand(
    calls: list[Call], functions: Mapping[Key, Function], opset: int, names: Names, limits: Limits
) -> list[tuple[Node, int]]:
    """The nodes with every call replaced by the function's body, each with the opset it is written in.

    The names inside a function become new ones of `names`.
    """
    expanded_size(calls, functions, limits)
    result: list[tuple[Node, int]] = []
    frames = [_Frame(iter(calls), {"": ""}, {}, opset, "")]
    while frames:
        frame = frames[-1]
        call = next(frame.calls, None)
        if call is None:
            frames.pop()
            continue
        node = _in_frame(call, frame, names)
        function = functions.get(call.key)
        if function is None:
            result.append((node, frame.opset))
        else:
            frames.append(_enter(node, function, names))
    return result


def _in_frame(call: Call, frame: _Frame, names: Names) -> Node:
    """The node with names and attribute references of its frame put in."""
    node = call.node.copy()
    for attribute, reference in call.references.items():
        if reference in frame.values:
            node.attributes[attribute] = frame.values[reference]
    if frame.prefix:
        if missing := [name for name in node.inputs if name not in frame.names]:
            raise ModelError(f"{node}: input {missing[0]!r} is not defined in its function")
        node.name = names.fresh(f"{frame.prefix}{node.name or node.op}")
        node.inputs = [frame.names[name] for name in node.inputs]
        node.outputs = [_local(name, frame, names) for name in node.outputs]
    return node


def _local(name: str, frame: _Frame, names: Names) -> str:
    if name not in frame.names:
        frame.names[name] = names.fresh(f"{frame.prefix}{name}")
    return frame.names[name]


def _enter(node: Node, function: Function, names: Names) -> _Frame:
    if len(node.inputs) > len(function.inputs) or len(node.outputs) > len(function.outputs):
        raise ModelError(
            f"{node}: {len(node.inputs)} inputs and {len(node.outputs)} outputs, "
            f"its function takes {len(function.inputs)} and gives {len(function.outputs)}"
        )
    if unknown := set(node.attributes) - function.attributes - set(function.defaults):
        raise ModelError(f"{node}: its function has no attribute {min(unknown)!r}")
    prefix = f"{node.name or node.op}/"[-_PREFIX:]
    local = dict.fromkeys(["", *function.inputs], "")
    local.update(zip(function.inputs, node.inputs, strict=False))
    for position, name in enumerate(function.outputs):
        actual = node.outputs[position] if position < len(node.outputs) else ""
        local.setdefault(name, actual or names.fresh(f"{prefix}{name}"))
    return _Frame(iter(function.calls), local, {**function.defaults, **node.attributes}, function.opset, prefix)
