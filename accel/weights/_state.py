"""Checks for `from_state`: what comes from a file is untrusted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from accel.errors import FormatError
from accel.kernels.checks import describe


def only(kind: str, found: Mapping[str, Any], expected: tuple[str, ...], what: str) -> None:
    """Raise FormatError unless `found` has exactly the expected names."""
    if set(found) != set(expected):
        raise FormatError(f"{kind} weight: expected the {what} {sorted(expected)}, got {sorted(found)}")


def array(kind: str, arrays: Mapping[str, np.ndarray], name: str, dtype: Any) -> np.ndarray:
    """The array `name` when it has this dtype, else FormatError."""
    value = arrays[name]
    if not isinstance(value, np.ndarray) or value.dtype != np.dtype(dtype):
        raise FormatError(f"{kind} weight: expected {name} as {np.dtype(dtype).name} array, got {describe(value)}")
    return value


def shape(kind: str, value: Any) -> tuple[int, ...]:
    """A dense shape from a JSON list, else FormatError."""
    if isinstance(value, list) and all(type(n) is int and n >= 0 for n in value):
        return tuple(value)
    raise FormatError(f"{kind} weight: expected a shape as a list of sizes, got {describe(value)}")


def frozen(value: np.ndarray) -> np.ndarray:
    """A read-only C-contiguous view of `value`, or a copy where others could write to its memory."""
    if value.flags.writeable or not value.flags.c_contiguous:
        value = np.array(value, order="C", copy=True)
        value.flags.writeable = False
    return value
