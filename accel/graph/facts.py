"""One fact about a value: what the shape rules take and give."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from accel.graph.network import Dim, Node

Shape = tuple[Dim, ...] | None


@dataclass(frozen=True, slots=True)
class Fact:
    """What is known of one value; `value` is the array itself when it is a small constant."""

    dtype: np.dtype[Any] | None = None
    shape: Shape = None
    value: np.ndarray | None = None

    def dims(self) -> tuple[Dim, ...]:
        """The shape; raises Unknown when the rank is not known."""
        if self.shape is None:
            raise Unknown
        return self.shape

    def numbers(self) -> list[Any]:
        """The value as a flat list; raises Unknown when it is not a small constant."""
        if self.value is None:
            raise Unknown
        return list(self.value.ravel().tolist())


class Unknown(Exception):
    """A rule cannot tell."""


Rule = Callable[[Node, list[Fact]], list[Fact]]
"""Facts of inputs (absent: Fact()) to facts of outputs."""


class Rules(dict[str, Rule]):
    """Rules by operator; called, it gives the decorator that adds one for several."""

    def __call__(self, *ops: str) -> Callable[[Rule], Rule]:
        def register(rule: Rule) -> Rule:
            self.update(dict.fromkeys(ops, rule))
            return rule

        return register


def agree(*dims: Dim) -> None:
    """Raise ValueError where sizes that must be equal are known to differ."""
    if len({dim for dim in dims if isinstance(dim, int)}) > 1:
        raise ValueError("sizes differ")


def one_type(facts: list[Fact]) -> None:
    """Raise ValueError where types that must be equal are known to differ; an absent input has none."""
    if len({fact.dtype for fact in facts if fact.dtype is not None}) > 1:
        raise ValueError("types differ")


def broadcast(*shapes: Shape) -> Shape:
    """Shape of the elementwise result, NumPy's rule with symbols."""
    if any(shape is None for shape in shapes):
        return None
    known = [shape for shape in shapes if shape is not None]
    rank = max((len(shape) for shape in known), default=0)
    columns = zip(*[(1,) * (rank - len(shape)) + shape for shape in known], strict=True)
    return tuple(_broadcast_dim(column) for column in columns)


def _broadcast_dim(dims: tuple[Dim, ...]) -> Dim:
    others = {dim for dim in dims if dim != 1}
    sizes = {dim for dim in others if isinstance(dim, int)}
    if len(sizes) > 1:
        raise ValueError("shapes do not broadcast")
    if sizes:
        return sizes.pop()
    return 1 if not others else (others.pop() if len(others) == 1 else None)
