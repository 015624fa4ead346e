"""Checks for `from_state`: what comes from a file is untrusted."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from accel.errors import FormatError
from accel.kernels.checks import describe, integer

MAX_AXES = 32
"""What every NumPy version can hold."""

MAX_SIZE = 2**61 - 1
"""float32 elements whose bytes a signed 64-bit integer counts."""


class Arrays(dict[str, np.ndarray]):
    """The arrays of a file's weight; no byte of array `name` is above most[name], as its decoder knows."""

    def __init__(self) -> None:
        super().__init__()
        self.most: dict[str, int] = {}


def most(arrays: Mapping[str, np.ndarray], name: str) -> int:
    """A number that none of the bytes of an array is above, without looking at them."""
    return arrays.most.get(name, 255) if isinstance(arrays, Arrays) else 255


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


def matrix(kind: str, value: Any) -> tuple[int, int]:
    """(out, in) from a JSON list, else FormatError."""
    sizes = shape(kind, value)
    if len(sizes) != 2:
        raise FormatError(f"{kind} weight: expected a shape of two sizes, got {describe(value)}")
    return sizes[0], sizes[1]


def seed(kind: str, value: Any) -> int:
    """A seed from JSON, else FormatError."""
    if type(value) is not int or not 0 <= value < 1 << 63:
        raise FormatError(f"{kind} weight: expected a seed in 0..2**63-1, got {describe(value)}")
    return value


def dims(value: Any, name: str = "shape") -> tuple[int, ...]:
    """A dense shape given by a caller: (out, in) or (out, in/group, kh, kw), of elements that can be counted.

    `name` is what it is the shape of, for messages.
    """
    if not isinstance(value, (tuple, list)):
        raise TypeError(f"{name}: expected a tuple of sizes, got {describe(value)}")
    sizes = tuple(integer(name, size, 0) for size in value)
    if not 2 <= len(sizes) <= MAX_AXES:
        raise ValueError(f"{name}: expected (out, in) or (out, in/group, kh, kw), got {sizes}")
    # As NumPy counts: no axis of length 0 hides what the others multiply to.
    if math.prod(size or 1 for size in sizes) > MAX_SIZE:
        raise ValueError(f"{name}: expected at most 2**61 - 1 elements, got {sizes}")
    return sizes


def frozen(value: np.ndarray) -> np.ndarray:
    """A read-only C-contiguous view of `value`, or a copy where others could write to its memory."""
    if value.flags.writeable or not value.flags.c_contiguous:
        value = np.array(value, order="C", copy=True)
        value.flags.writeable = False
    return value
