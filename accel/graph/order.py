"""Topological order of nodes."""

from __future__ import annotations

import heapq
from collections.abc import Iterable

from accel.errors import ModelError
from accel.graph.network import Node


def sort_nodes(nodes: list[Node], given: Iterable[str]) -> list[Node]:
    """The nodes so that each comes after those it reads from; their order is kept where it can be.

    `given` are the names of the inputs and constants. No recursion: depth is controlled by the file.

    Raises
    ------
    ModelError  a name is defined twice or by nothing, or nodes form a cycle.
    """
    makers = _makers(nodes, set(given))
    waits = [0] * len(nodes)
    readers: list[list[int]] = [[] for _ in nodes]
    for position, node in enumerate(nodes):
        for name in {n for n in node.inputs if n}:
            if name not in makers:
                raise ModelError(f"{node}: input {name!r} is not defined by any node, input or constant")
            if (maker := makers[name]) is not None:
                waits[position] += 1
                readers[maker].append(position)
    ready = [position for position, count in enumerate(waits) if count == 0]
    order = []
    while ready:
        position = heapq.heappop(ready)
        order.append(position)
        for reader in readers[position]:
            waits[reader] -= 1
            if waits[reader] == 0:
                heapq.heappush(ready, reader)
    if len(order) < len(nodes):
        stuck = next(position for position, count in enumerate(waits) if count)
        raise ModelError(f"{nodes[stuck]}: is part of a cycle or reads from one")
    return [nodes[position] for position in order]


def _makers(nodes: list[Node], given: set[str]) -> dict[str, int | None]:
    """Position of the node that makes each name, None for what is given."""
    makers: dict[str, int | None] = dict.fromkeys(given)
    for position, node in enumerate(nodes):
        for name in node.outputs:
            if name in makers:
                raise ModelError(f"{node}: output {name!r} is defined twice")
            if name:
                makers[name] = position
    return makers
