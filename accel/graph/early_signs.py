"""Signs come before what only moves elements: next to the product whose result they decide."""

from __future__ import annotations

from accel.graph.draft import Draft
from accel.graph.network import Network, Node
from accel.graph.shapes import Facts
from accel.graph.signs import COMPARISONS

_MOVES = frozenset({"Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Identity"})


def move_signs_up(network: Network) -> Network:
    """Flatten, then sign, becomes sign, then Flatten, and so for every operator that only moves elements; exact.

    A sign is Sign, or Where of a comparison with one number that chooses between +1 and -1.
    """
    draft = Draft(network)
    facts = draft.facts()
    for node in reversed(draft.nodes):  # the mover next to the sign first: the one before it then finds it closer
        if node.op in _MOVES and node.outputs[0] not in draft.outputs:
            signs = _signs(draft, facts, node)
            if signs:
                _swap(draft, node, signs)
    return draft.finish()


def _signs(draft: Draft, facts: Facts, mover: Node) -> list[Node]:
    """The nodes that make signs of what `mover` gives and of nothing else: one, two, or none."""
    reader = draft.only_reader(mover.outputs[0])
    if reader is None or (reader.op == "Sign" and reader.attributes):
        return []
    if reader.op == "Sign":
        return [reader]
    where = draft.only_reader(reader.outputs[0]) if reader.op in COMPARISONS else None
    if where is None or where.op != "Where" or where.inputs[0] != reader.outputs[0]:
        return []
    shapes = [facts[mover.inputs[0]].shape, facts[mover.outputs[0]].shape]
    rank = min(len(shape) if shape is not None else 0 for shape in shapes)
    compared = reader.inputs[1 if reader.inputs[0] == mover.outputs[0] else 0]
    numbers = [draft.array(name) for name in (compared, *where.inputs[1:])]
    if any(number is None or number.size != 1 or number.ndim > rank for number in numbers):
        return []
    levels = {float(number.ravel()[0]) for number in numbers[1:] if number is not None}
    return [reader, where] if levels == {1.0, -1.0} else []


def _swap(draft: Draft, mover: Node, signs: list[Node]) -> None:
    """Each node takes over what the next one did, and the last what `mover` did; the values keep their names."""
    nodes = [mover, *signs]
    roles = [*(node.copy() for node in signs), mover.copy()]
    source = mover.inputs[0]
    read = [*(node.outputs[0] for node in nodes[:-1]), source]  # what each role took its elements from, and now:
    reads = [source, *(node.outputs[0] for node in nodes[:-1])]
    for node, role, old, new in zip(nodes, roles, read, reads, strict=True):
        node.op, node.attributes, node.name = role.op, role.attributes, role.name
        for position in range(max(len(role.inputs), len(node.inputs))):
            name = role.input(position)
            draft.set_input(node, position, new if name == old else name)
