"""Network: the one form of a model inside accel. Operators have the meaning of ONNX opset `OPSET`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from accel.weights.base import Weight

OPSET = 21
"""Models are converted to this ONNX opset when read; newer ones keep their meaning (see graph/onnx_reader.py)."""

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

    Fused operators carry extra attributes that ONNX does not know, see graph/passes.py.
    """

    op: str
    inputs: list[str]
    outputs: list[str]
    attributes: dict[str, Any] = field(default_factory=dict)
    name: str = ""
    domain: str = ""

    def __str__(self) -> str:
        return f"{self.op} node {self.name!r}" if self.name else f"{self.op} node with output {self.outputs[0]!r}"


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
        return replace(self, constants={**self.constants, **changed})
