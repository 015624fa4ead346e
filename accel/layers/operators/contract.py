"""What an operator's function takes, read from its signature, and the check of what a model gives it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from accel.errors import ModelError, UnsupportedError
from accel.layers.operators.dtypes import check_dtype

Array = np.ndarray[Any, np.dtype[Any]]
Ints = tuple[int, ...]
Floats = tuple[float, ...]

_REQUIRED = inspect.Parameter.empty


def _int(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise TypeError
    return int(value)


def _float(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise TypeError
    return float(value)


def _str(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8")
    if not isinstance(value, str):
        raise TypeError
    return value


def _ints(value: Any) -> Ints:
    if not isinstance(value, (list, tuple, np.ndarray)):
        raise TypeError
    return tuple(map(_int, value))


def _floats(value: Any) -> Floats:
    if not isinstance(value, (list, tuple, np.ndarray)):
        raise TypeError
    return tuple(map(_float, value))


def _array(value: Any) -> Array:
    if not isinstance(value, np.ndarray):
        raise TypeError
    return value


_KINDS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "int": ("an integer", _int),
    "float": ("a number", _float),
    "str": ("a string", _str),
    "Ints": ("a list of integers", _ints),
    "Floats": ("a list of numbers", _floats),
    "Array": ("a tensor", _array),
}


@dataclass(frozen=True, slots=True)
class Contract:
    """Inputs and attributes of one operator.

    `names`: the inputs in order, of which the first `required` must be there; `variadic`: any number may follow.
    `kinds`: attribute name to (what it must be, the check that also makes it plain Python); `needed`: without default.
    """

    names: tuple[str, ...]
    required: int
    variadic: bool
    kinds: dict[str, tuple[str, Callable[[Any], Any]]]
    needed: tuple[str, ...]

    @classmethod
    def of(cls, function: Callable[..., Any]) -> Contract:
        """The contract that the signature of `function` states."""
        parameters = inspect.signature(function).parameters.values()
        inputs = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
        keywords = [p for p in parameters if p.kind is p.KEYWORD_ONLY and p.name != "outputs"]
        return cls(
            names=tuple(p.name for p in inputs),
            required=sum(p.default is _REQUIRED for p in inputs),
            variadic=any(p.kind is p.VAR_POSITIONAL for p in parameters),
            kinds={p.name: _KINDS[str(p.annotation).removesuffix(" | None")] for p in keywords},
            needed=tuple(p.name for p in keywords if p.default is _REQUIRED),
        )

    def inputs(self, values: Sequence[Array | None]) -> list[Array | None]:
        """The inputs without absent ones at the end; an error for too many, too few, or what is not an array."""
        arrays = list(values)
        while arrays and arrays[-1] is None:
            arrays.pop()
        least = max(self.required, int(self.variadic))
        most = f"{least} or more" if self.variadic else f"{least} to {len(self.names)}"
        if len(arrays) < least or (len(arrays) > len(self.names) and not self.variadic):
            raise ModelError(f"inputs: expected {most}, got {len(arrays)}")
        for position, value in enumerate(arrays):
            name = self.names[position] if position < len(self.names) else f"input {position}"
            if value is None and (position < self.required or self.variadic):
                raise ModelError(f"{name}: expected a tensor, got none")
            if value is not None and not isinstance(value, np.ndarray):
                raise ModelError(f"{name}: expected a NumPy array, got {type(value).__name__}")
            if value is not None:
                check_dtype(name, value.dtype)
        return arrays

    def attributes(self, values: dict[str, Any]) -> dict[str, Any]:
        """The attributes as plain Python values; an error for an unknown, missing or ill-typed one."""
        checked = {}
        for name, value in values.items():
            if name not in self.kinds:
                known = ", ".join(self.kinds) or "none"
                raise UnsupportedError(
                    f"attribute {name}: expected one of those supported ({known}), got {value!r:.60}"
                )
            expected, check = self.kinds[name]
            try:
                checked[name] = check(value)
            except (TypeError, UnicodeDecodeError):
                raise ModelError(f"attribute {name}: expected {expected}, got {value!r:.60}") from None
        for name in self.needed:
            if name not in checked:
                raise ModelError(f"attribute {name}: expected {self.kinds[name][0]}, got none")
        return checked
