"""Which operators accel runs: asked before anything else is done with a model."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from accel.errors import UnsupportedError
from accel.graph.network import Node
from accel.layers.operators import registry

_SHOWN = 20


def check_supported(nodes: Iterable[Node], also: Collection[str] = ()) -> None:
    """Raise UnsupportedError that names every node accel cannot run and the operators it can.

    `also` names operators that are rewritten before they run.
    """
    known = registry()
    bad = [node for node in nodes if node.domain or not (node.op in known or node.op in also)]
    if not bad:
        return
    listed = ", ".join(f"{node.domain}.{node}" if node.domain else str(node) for node in bad[:_SHOWN])
    more = f" and {len(bad) - _SHOWN} more" if len(bad) > _SHOWN else ""
    raise UnsupportedError(f"unsupported: {listed}{more}. Supported operators: {', '.join(sorted(known))}")
