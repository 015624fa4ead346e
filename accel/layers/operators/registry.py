"""The table of operators. Registering one makes it supported everywhere: load, constant folding, planning, running."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

import numpy as np

from accel.errors import AccelError, ModelError
from accel.layers.operators.contract import Contract

Array = np.ndarray[Any, np.dtype[Any]]
Function = Callable[..., Any]
F = TypeVar("F", bound=Function)

_NUMPY_ERRORS = (ValueError, TypeError, IndexError, ArithmeticError, MemoryError, AttributeError)


@dataclass(frozen=True, slots=True)
class Operator:
    """One operator with the meaning of graph.network.OPSET.

    `function(*inputs, **attributes)` returns one array or a tuple; an absent optional input is None. With
    `wants_outputs` it also gets `outputs=` the number of outputs asked for. The positional parameters of the function
    are the inputs and its keyword-only ones the attributes; their annotations are checked at each call.
    `shape_inputs`: positions of inputs whose values, not only shapes, decide the output's shape.
    `dynamic`: the output's shape depends on the values of the data itself (NonZero), so nothing can be planned.

    A call may return a view of an input, and raises ModelError (UnsupportedError for an unknown attribute or type)
    for anything that does not fit: no other exception leaves it.
    """

    name: str
    function: Function
    shape_inputs: tuple[int, ...] = ()
    dynamic: bool = False
    wants_outputs: bool = False
    contract: Contract = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "contract", Contract.of(self.function))

    def __call__(
        self, inputs: Sequence[Array | None], attributes: dict[str, Any], outputs: int = 1
    ) -> tuple[Array, ...]:
        with np.errstate(all="ignore"):
            return self.bound(inputs, attributes, outputs)()

    def bound(
        self, inputs: Sequence[Array | None], attributes: dict[str, Any], outputs: int = 1
    ) -> Callable[[], tuple[Array, ...]]:
        """The call on these very arrays, checked once: for one that is made many times while their values change.

        The caller silences NumPy's floating-point warnings.
        """
        try:
            arrays = self.contract.inputs(inputs)
            values = self.contract.attributes(attributes)
        except AccelError as error:
            raise type(error)(f"{self.name}: {error}") from None
        if self.wants_outputs:
            values["outputs"] = outputs
        function = partial(self.function, *arrays, **values)

        def call() -> tuple[Array, ...]:
            try:
                result = function()
            except AccelError as error:
                raise type(error)(f"{self.name}: {error}") from None
            except _NUMPY_ERRORS as error:
                # The net under the explicit checks: what NumPy refuses is a fault of the model or its inputs.
                got = ", ".join("none" if x is None else f"{x.dtype}{list(x.shape)}" for x in inputs)
                raise ModelError(f"{self.name}: expected inputs that fit together, got {got}: {error}") from error
            return tuple(map(np.asarray, result)) if isinstance(result, tuple) else (np.asarray(result),)

        return call


_table: dict[str, Operator] = {}


def operator(
    name: str, *, shape_inputs: tuple[int, ...] = (), dynamic: bool = False, wants_outputs: bool = False
) -> Callable[[F], F]:
    """Register the decorated function as the operator `name`."""

    def register(function: F) -> F:
        if name in _table:
            raise RuntimeError(f"operator {name} is registered twice")
        _table[name] = Operator(name, function, shape_inputs, dynamic, wants_outputs)
        return function

    return register


def registry() -> dict[str, Operator]:
    """All operators by name."""
    return _table
