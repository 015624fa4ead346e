"""The table of operators. Registering one makes it supported everywhere: load, constant folding, planning, running."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]
Function = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Operator:
    """One operator with the meaning of graph.network.OPSET.

    `function(*inputs, **attributes)` returns one array or a tuple; an absent optional input is None. With
    `wants_outputs` it also gets `outputs=` the number of outputs asked for.
    `shape_inputs`: positions of inputs whose values, not only shapes, decide the output's shape.
    `dynamic`: the output's shape depends on the values of the data itself (NonZero), so nothing can be planned.
    """

    name: str
    function: Function
    shape_inputs: tuple[int, ...] = ()
    dynamic: bool = False
    wants_outputs: bool = False

    def __call__(self, inputs: Sequence[Array | None], attributes: dict[str, Any], outputs: int = 1) -> tuple[Array, ...]:
        extra = {"outputs": outputs} if self.wants_outputs else {}
        result = self.function(*inputs, **attributes, **extra)
        return result if isinstance(result, tuple) else (result,)


_table: dict[str, Operator] = {}


def operator(
    name: str, *, shape_inputs: tuple[int, ...] = (), dynamic: bool = False, wants_outputs: bool = False
) -> Callable[[Function], Function]:
    """Register the decorated function as the operator `name`."""

    def register(function: Function) -> Function:
        if name in _table:
            raise RuntimeError(f"operator {name} is registered twice")
        _table[name] = Operator(name, function, shape_inputs, dynamic, wants_outputs)
        return function

    return register


def registry() -> dict[str, Operator]:
    """All operators by name."""
    return _table
