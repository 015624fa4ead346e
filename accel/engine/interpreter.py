"""Running a network node by node over plain arrays: for shapes that depend on data, and where no native kernels are."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from accel.errors import naming
from accel.graph.network import Network
from accel.layers.operators import registry
from accel.weights.base import Weight


class Interpreter:
    """Executes every node by its operator. Intermediate values are dropped after their last use."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._constants = {n: c.dense() if isinstance(c, Weight) else c for n, c in network.constants.items()}
        self._dead: list[list[str]] = [[] for _ in network.nodes]
        kept = {v.name for v in network.outputs} | set(self._constants)
        last = {name: i for i, node in enumerate(network.nodes) for name in (*node.inputs, *node.outputs)}
        for name, i in last.items():
            if name and name not in kept:
                self._dead[i].append(name)

    def run(self, inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """The outputs in order; each is an array of its own."""
        values: dict[str, np.ndarray] = {**self._constants, **inputs}
        operators = registry()
        with np.errstate(all="ignore"):
            for node, dead in zip(self._network.nodes, self._dead, strict=True):
                given = [values[n] if n else None for n in node.inputs]
                with naming(node):
                    results = operators[node.op](given, node.attributes, len(node.outputs))
                values.update(zip(node.outputs, results, strict=False))
                for name in dead:
                    values.pop(name, None)
        fixed = {**self._constants, **inputs}
        outputs: list[np.ndarray] = []
        for value in self._network.outputs:
            result = np.asarray(values[value.name], order="C")
            shared = any(np.may_share_memory(result, other) for other in (*fixed.values(), *outputs))
            outputs.append(result.copy() if shared else result)
        return outputs
