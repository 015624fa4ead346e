"""Checks that several families of operators share. The operator's name is put in front by `Operator.__call__`."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np

from accel.errors import ModelError
from accel.layers.operators.contract import Array, Floats, Ints

__all__ = [
    "MAX_BYTES",
    "Array",
    "Floats",
    "Ints",
    "choice",
    "floating",
    "indices_within",
    "integers",
    "mean_over",
    "normal_axes",
    "normal_axis",
    "positive",
    "refuse_bomb",
    "same_dtype",
    "scalar",
    "variance_over",
]

MAX_BYTES = 2**33
"""No operator makes an array larger than this: a few bytes of a hostile model could otherwise ask for terabytes."""


def refuse_bomb(shape: Iterable[int], dtype: np.dtype) -> None:
    """Raise when an array of this shape must not be allocated."""
    sizes = tuple(map(int, shape))
    if math.prod(sizes) * dtype.itemsize > MAX_BYTES:
        raise ModelError(f"output: expected at most {MAX_BYTES} bytes, got shape {sizes} of {dtype}")


def normal_axis(value: int, rank: int, name: str = "axis") -> int:
    """The axis counted from the front."""
    if not -rank <= value < rank:
        raise ModelError(f"{name}: expected in {-rank}..{rank - 1} for {rank} axes, got {value}")
    return value % rank


def normal_axes(values: Sequence[int], rank: int, name: str = "axes") -> Ints:
    """Distinct axes counted from the front, in the order given."""
    axes = tuple(normal_axis(value, rank, name) for value in values)
    if len(set(axes)) != len(axes):
        raise ModelError(f"{name}: expected distinct axes, got {list(values)}")
    return axes


def integers(name: str, value: Array) -> Ints:
    """The values of a vector (or scalar) of integers."""
    if value.dtype.kind not in "iu" or value.ndim > 1:
        raise ModelError(f"{name}: expected a vector of integers, got {value.dtype} of shape {value.shape}")
    return tuple(value.reshape(-1).tolist())


def scalar(name: str, value: Array) -> Array:
    """`value` with no axes when it holds one element."""
    if value.size != 1:
        raise ModelError(f"{name}: expected one element, got shape {value.shape}")
    return value.reshape(())


def positive(name: str, values: Sequence[int], least: int = 1) -> Sequence[int]:
    """`values` when none is below `least`."""
    if any(value < least for value in values):
        raise ModelError(f"{name}: expected values >= {least}, got {list(values)}")
    return values


def choice(name: str, value: str | int, allowed: Sequence[str | int]) -> None:
    """Raise unless `value` is one of `allowed`."""
    if value not in allowed:
        raise ModelError(f"{name}: expected one of {', '.join(map(str, allowed))}, got {value!r}")


def same_dtype(first: Array, *others: Array | None) -> None:
    """Raise unless all arrays have the dtype of the first."""
    for position, other in enumerate(others, 1):
        if other is not None and other.dtype != first.dtype:
            raise ModelError(f"input {position}: expected {first.dtype} like input 0, got {other.dtype}")


def floating(*arrays: Array | None) -> None:
    """Raise unless every array is of a floating-point type, and of one."""
    for position, array in enumerate(arrays):
        if array is not None and array.dtype.kind != "f":
            raise ModelError(f"input {position}: expected a floating-point type, got {array.dtype}")
    if arrays and arrays[0] is not None:
        same_dtype(arrays[0], *arrays[1:])


def indices_within(name: str, indices: Array, size: int) -> Array:
    """The indices counted from the front as int64."""
    if indices.dtype.kind not in "iu":
        raise ModelError(f"{name}: expected integers, got {indices.dtype}")
    if indices.size and (int(indices.min()) < -size or int(indices.max()) >= size):
        raise ModelError(f"{name}: expected in {-size}..{size - 1}, got {indices.min()}..{indices.max()}")
    wide = indices.astype(np.int64)
    return np.where(wide < 0, wide + size, wide)


def mean_over(x: Array, axes: Ints) -> Array:
    """The mean over the axes, kept with size 1; NaN for none at all, without the warning of np.mean."""
    count = math.prod(x.shape[axis] for axis in axes)
    return np.asarray(x.sum(axis=axes, keepdims=True) / x.dtype.type(count))


def variance_over(x: Array, mean: Array, axes: Ints) -> Array:
    """The population variance over the axes, kept with size 1."""
    return mean_over(np.square(x - mean), axes)
