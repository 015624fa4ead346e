"""Network: the one form of a model inside accel. Operators have the meaning of ONNX opset `OPSET`."""

from __future__ import annotations

import dataclasses
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from accel.errors import ModelError
from accel.weights.base import Weight

if TYPE_CHECKING:
    import onnx

OPSET = 21
"""Models are brought to this ONNX opset when read; newer ones keep their meaning (see graph/onnx_reader.py)."""

Dim = int | str | None
Constant = np.ndarray | Weight


@dataclass(frozen=True, slots=True)
class Value:
    """An input or output of a network. A dim is a size, a symbol that stands for one, or None (unknown)."""

    name: str
    dtype: np.dtype[Any]
    shape: tuple[Dim, ...] | None


@dataclass(slots=True)
class Node:
    """One operator. An optional input that is absent has the name ''. Attributes are plain Python or arrays.

    Fused operators carry extra attributes that ONNX does not know, see graph/fusing.py.
    """

    op: str
    inputs: list[str]
    outputs: list[str]
    attributes: dict[str, Any] = field(default_factory=dict)
    name: str = ""
    domain: str = ""

    def __str__(self) -> str:
        if self.name or not self.outputs:
            return f"{self.op} node {self.name!r}"
        return f"{self.op} node with output {self.outputs[0]!r}"

    def input(self, position: int) -> str:
        """Name of the input at `position`, '' when it is absent."""
        return self.inputs[position] if position < len(self.inputs) else ""

    def copy(self) -> Node:
        """A node whose lists and dict can be changed without changing this one."""
        return Node(self.op, list(self.inputs), list(self.outputs), dict(self.attributes), self.name, self.domain)


@dataclass(slots=True)
class Network:
    """Nodes in topological order, constants by name, and the values that go in and out.

    A constant is an ndarray or a Weight; a value name is either an input, a constant or the output of one node.
    """

    name: str
    inputs: list[Value]
    outputs: list[Value]
    nodes: list[Node]
    constants: dict[str, Constant]
    metadata: dict[str, str] = field(default_factory=dict)

    def weights(self) -> Iterator[tuple[Node, str, Constant]]:
        """(node, constant name, constant) of every Conv and Gemm/MatMul weight, in order, each constant once."""
        seen = set()
        for node in self.nodes:
            if node.op in ("Conv", "Gemm", "MatMul") and len(node.inputs) > 1:
                name = node.inputs[1]
                if name in self.constants and name not in seen:
                    seen.add(name)
                    yield node, name, self.constants[name]

    def with_constants(self, changed: dict[str, Constant]) -> Network:
        """A network that shares everything but the constants named in `changed`."""
        return self.replace(constants={**self.constants, **changed})

    def replace(self, **changes: Any) -> Network:
        """A network that shares everything but the fields given."""
        return dataclasses.replace(self, **changes)

    def producers(self) -> dict[str, Node]:
        """The node that makes each value."""
        return {name: node for node in self.nodes for name in node.outputs if name}

    def consumers(self) -> dict[str, list[Node]]:
        """The nodes that read each value, once per input that reads it. Network outputs are not listed."""
        readers: dict[str, list[Node]] = {}
        for node in self.nodes:
            for name in node.inputs:
                if name:
                    readers.setdefault(name, []).append(node)
        return readers

    def validate(self) -> None:
        """Check the rules of this class.

        Raises
        ------
        ModelError  a name is defined twice, read before it is defined, or not defined at all.
        """
        known = set(self.constants)
        for value in self.inputs:
            if not value.name or value.name in known:
                raise ModelError(f"input {value.name!r}: the name is empty or defined twice")
            known.add(value.name)
        for node in self.nodes:
            for name in node.inputs:
                if name and name not in known:
                    raise ModelError(f"{node}: input {name!r} is not defined by anything before it")
            for name in node.outputs:
                if name in known:
                    raise ModelError(f"{node}: output {name!r} is defined twice")
                if name:
                    known.add(name)
        for value in self.outputs:
            if value.name not in known:
                raise ModelError(f"output {value.name!r} is not defined by any node, input or constant")

    def table(self) -> list[dict[str, Any]]:
        """One row per node: op, name, output, and shape, parameters and bytes of the constants only it introduces."""
        seen: set[str] = set()
        rows = []
        for node in self.nodes:
            names = [n for n in dict.fromkeys(node.inputs) if n in self.constants and n not in seen]
            seen.update(names)
            held = [self.constants[n] for n in names]
            weight = self.constants.get(node.input(1))
            rows.append(
                {
                    "op": node.op,
                    "name": node.name,
                    "output": node.outputs[0] if node.outputs else "",
                    "weight": None if weight is None else list(weight.shape),
                    "parameters": sum(c.parameters if isinstance(c, Weight) else c.size for c in held),
                    "bytes": sum(c.nbytes for c in held),
                }
            )
        return rows

    def summary(self) -> str:
        """The table of nodes as text, with a line of totals."""
        rows = self.table()
        lines = [f"{'op':<20} {'output':<32} {'weight':<20} {'parameters':>12} {'bytes':>12}"]
        for row in rows:
            shape = "" if row["weight"] is None else "x".join(map(str, row["weight"]))
            lines.append(
                f"{row['op']:<20.20} {row['output']:<32.32} {shape:<20.20} {row['parameters']:>12,} {row['bytes']:>12,}"
            )
        parameters, size = (sum(row[key] for row in rows) for key in ("parameters", "bytes"))
        lines.append(f"{f'{len(rows)} nodes':<20} {'':<32} {'':<20} {parameters:>12,} {size:>12,}")
        return "\n".join(lines)

    def __repr__(self) -> str:
        ops = ", ".join(f"{count} {op}" for op, count in Counter(node.op for node in self.nodes).most_common(3))
        return (
            f"Network({self.name!r}: {_values(self.inputs)} -> {_values(self.outputs)}; "
            f"{len(self.nodes)} nodes ({ops}), {len(self.constants)} constants)"
        )

    def to_onnx(self, path: str | os.PathLike[str] | None = None) -> onnx.ModelProto:
        """The dense equivalent as an ONNX model, saved at `path` when given. See graph/onnx_writer.py."""
        from accel.graph.onnx_writer import to_onnx

        return to_onnx(self, path)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the network as one `.accel` file, replacing an old one only when the new one is complete."""
        from accel.graph.store import save

        save(self, path)


def _values(values: list[Value]) -> str:
    def one(value: Value) -> str:
        dims = "?" if value.shape is None else "x".join("?" if d is None else str(d) for d in value.shape)
        return f"{value.name} {value.dtype}[{dims}]"

    return ", ".join(one(value) for value in values[:3]) + (", ..." if len(values) > 3 else "")
