"""A network being rewritten: what passes work on, so that none changes the network it was given."""

from __future__ import annotations

import numpy as np

from accel.graph.names import Names
from accel.graph.network import Constant, Network, Node
from accel.graph.shapes import Facts, network_facts

FLOATS = (np.dtype(np.float32), np.dtype(np.float64))


class Draft:
    """A private copy of nodes and constants with an index of who makes and who reads each value.

    Nodes are taken out (`remove`), changed where they stand, or put where their only reader was (`put_at`): all of
    these keep the topological order.
    """

    def __init__(self, network: Network, *, consume: bool = False) -> None:
        """`consume` lets the given network forget a constant that is dropped here."""
        self._network = network
        self._consumed = network.constants if consume else {}
        self.nodes: list[Node] = [node.copy() for node in network.nodes]
        self.constants: dict[str, Constant] = dict(network.constants)
        self.outputs = {value.name for value in network.outputs}
        self._place = {id(node): position for position, node in enumerate(self.nodes)}
        self._makers = {name: node for node in self.nodes for name in node.outputs if name}
        self._readers: dict[str, dict[tuple[int, int], Node]] = {}
        for node in self.nodes:
            for position, name in enumerate(node.inputs):
                self._readers.setdefault(name, {})[id(node), position] = node
        self._removed: set[int] = set()
        self._names: Names | None = None

    def facts(self) -> Facts:
        """What is known of the values of the network as it came."""
        return network_facts(self._network)

    def maker(self, name: str) -> Node | None:
        """The node that makes a value, None for inputs and constants."""
        return self._makers.get(name)

    def removed(self, node: Node) -> bool:
        """Whether the node was taken out."""
        return id(node) in self._removed

    def only_reader(self, name: str) -> Node | None:
        """The node that alone reads a value, once, when the value is no output of the network."""
        readers = self._readers.get(name, {})
        return next(iter(readers.values())) if len(readers) == 1 and name not in self.outputs else None

    def readers(self, name: str) -> list[Node]:
        """The nodes that read a value, once per input that reads it."""
        return list(self._readers.get(name, {}).values())

    def array(self, name: str) -> np.ndarray | None:
        """A constant that is a plain array."""
        constant = self.constants.get(name)
        return constant if isinstance(constant, np.ndarray) else None

    def add_constant(self, base: str, constant: Constant) -> str:
        """Name of a new constant, read-only from now on."""
        if self._names is None:
            values = [value.name for value in (*self._network.inputs, *self._network.outputs)]
            self._names = Names([*values, *self.constants, *self._makers])
        name = self._names.fresh(base)
        if isinstance(constant, np.ndarray):
            constant.setflags(write=False)
        self.constants[name] = constant
        return name

    def drop_constant(self, name: str) -> None:
        """Forget a constant that nothing reads any more: `finish` would, but its memory is wanted now."""
        self.constants.pop(name, None)
        self._consumed.pop(name, None)

    def set_input(self, node: Node, position: int, name: str) -> None:
        """Let `node` read another value at `position`; '' for none."""
        for missing in range(len(node.inputs), position + 1):
            node.inputs.append("")
            self._readers.setdefault("", {})[id(node), missing] = node
        del self._readers[node.inputs[position]][id(node), position]
        node.inputs[position] = name
        self._readers.setdefault(name, {})[id(node), position] = node

    def set_output(self, node: Node, position: int, name: str) -> None:
        """Let `node` make its output at `position` under another name."""
        self._makers.pop(node.outputs[position], None)
        node.outputs[position] = name
        self._makers[name] = node

    def remove(self, node: Node) -> None:
        """Take a node out. What it made must be made by another node, or read by none."""
        self._removed.add(id(node))
        for position, name in enumerate(node.inputs):
            del self._readers[name][id(node), position]
        for name in node.outputs:
            if self._makers.get(name) is node:
                del self._makers[name]

    def put_at(self, node: Node, reader: Node) -> None:
        """Take out `reader`, the only one of `node`, which takes its place in the order and makes its output."""
        output = reader.outputs[0]
        self.remove(reader)
        self.set_output(node, 0, output)
        here, there = self._place[id(node)], self._place[id(reader)]
        self.nodes[here], self.nodes[there] = reader, node
        self._place[id(node)], self._place[id(reader)] = there, here

    def place(self, name: str) -> int:
        """Position of the node that makes a value, -1 for inputs and constants."""
        maker = self.maker(name)
        return -1 if maker is None else self._place[id(maker)]

    def bypass(self, node: Node, source: str) -> bool:
        """Take out a node whose first output equals `source`; False when names of network outputs forbid it."""
        target = node.outputs[0]
        if target not in self.outputs:
            self._redirect(target, source)
            self.remove(node)
            return True
        maker = self.maker(source)
        if maker is None or source in self.outputs:
            return False
        # The network's output keeps its name: the maker takes it over, and others read that name.
        self.remove(node)
        self.set_output(maker, maker.outputs.index(source), target)
        self._redirect(source, target)
        return True

    def _redirect(self, old: str, new: str) -> None:
        for (_, position), reader in list(self._readers.get(old, {}).items()):
            self.set_input(reader, position, new)

    def finish(self) -> Network:
        """The rewritten network, without the constants that nothing reads any more."""
        nodes = [node for node in self.nodes if not self.removed(node)]
        for node in nodes:
            while node.inputs and not node.inputs[-1]:
                node.inputs.pop()
        used = {name for node in nodes for name in node.inputs} | self.outputs
        constants = {name: value for name, value in self.constants.items() if name in used}
        return self._network.replace(nodes=nodes, constants=constants)
