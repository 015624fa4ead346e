"""What is known of values before anything runs: element type and shape, from inputs and constants forward.

Advice, not a check: a rule that cannot tell, or meets a node that makes no sense, says "unknown", and the operator
itself reports the error when it runs. A dim is a size, a symbol (equal symbols are equal sizes) or None.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from accel.graph import layer_rules, shape_rules
from accel.graph.facts import Fact, Shape, Unknown
from accel.graph.network import Constant, Dim, Network, Node, Value

_RULES = {**shape_rules.RULES, **layer_rules.RULES}

LONGEST_VALUE = 1024
"""Constants with more elements than this are never the shape, axes or pads of anything."""


class Facts(dict[str, Fact]):
    """Facts by value name; an unknown name has the empty fact."""

    def __missing__(self, name: str) -> Fact:
        return Fact()

    def add_constant(self, name: str, constant: Constant) -> None:
        """Note a constant."""
        value = constant if isinstance(constant, np.ndarray) and constant.size <= LONGEST_VALUE else None
        self[name] = Fact(constant.dtype, tuple(constant.shape), value)

    def visit(self, node: Node) -> None:
        """Note what `node` makes."""
        self.note(node, infer(node, [self[name] for name in node.inputs]))

    def note(self, node: Node, outputs: list[Fact]) -> None:
        """Note facts of the outputs of `node`."""
        for name, fact in zip(node.outputs, outputs, strict=False):
            if name:
                self[name] = fact


def infer(node: Node, inputs: list[Fact]) -> list[Fact]:
    """Facts of the outputs of one node."""
    rule = _RULES.get(node.op)
    if rule is None or node.domain:
        return []
    try:
        return rule(node, inputs)
    except (Unknown, ArithmeticError, IndexError, KeyError, TypeError, ValueError):
        return []


def known_facts(inputs: Iterable[Value], constants: Mapping[str, Constant]) -> Facts:
    """Facts of inputs and constants."""
    facts = Facts()
    for value in inputs:
        facts[value.name] = Fact(value.dtype, value.shape)
    for name, constant in constants.items():
        facts.add_constant(name, constant)
    return facts


def network_facts(network: Network) -> Facts:
    """Facts of every value of a network."""
    facts = known_facts(network.inputs, network.constants)
    for node in network.nodes:
        facts.visit(node)
    return facts


def infer_shapes(network: Network, inputs: Mapping[str, tuple[Dim, ...]] | None = None) -> dict[str, Shape]:
    """Shape of every value as far as it is known; `inputs` gives shapes that replace those of the network's inputs."""
    return {name: fact.shape for name, fact in network_facts(with_input_shapes(network, inputs or {})).items()}


def with_input_shapes(network: Network, inputs: Mapping[str, tuple[Dim, ...]]) -> Network:
    """The network with other input shapes; its outputs' shapes become unknown when any changes."""
    if all(value.name not in inputs or inputs[value.name] == value.shape for value in network.inputs):
        return network
    return network.replace(
        inputs=[Value(v.name, v.dtype, tuple(inputs[v.name]) if v.name in inputs else v.shape) for v in network.inputs],
        outputs=[Value(v.name, v.dtype, None if v.shape is None else (None,) * len(v.shape)) for v in network.outputs],
    )


def same_shape(first: Shape, second: Shape) -> bool:
    """Whether two shapes are proven equal."""
    return first is not None and first == second and None not in first
