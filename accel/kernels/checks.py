"""Argument checks shared by the kernels: every message names the argument, what was expected and what came."""

from __future__ import annotations

from numbers import Real
from typing import Any

import numpy as np

from accel.errors import shown
from accel.kernels import runtime


def describe(value: Any) -> str:
    """A short description of any value for an error message."""
    if isinstance(value, np.ndarray):
        return f"{value.dtype} array of shape {value.shape}"
    return f"{type(value).__name__} {shown(value)}"


_OTHERS = (np.matrix, np.ma.MaskedArray)


def _plain(name: str, value: np.ndarray) -> None:
    """TypeError for an array with an arithmetic of its own, as masked arrays and numbers with units have.

    No kernel knows it: results would depend on the back end. Other subclasses, as memory-mapped files, are arrays.
    """
    kind = type(value)
    if kind is np.ndarray:
        return
    if issubclass(kind, _OTHERS) or kind.__array_ufunc__ is not np.ndarray.__array_ufunc__:
        raise TypeError(f"{name}: expected a plain NumPy array, got {kind.__name__}; use np.asarray({name})")


def of_numpys_type(*arrays: np.ndarray) -> bool:
    """Whether the arrays, checked before, are of no subclass: native calls that look at them without `array` take only
    such ones."""
    return all(type(value) is np.ndarray for value in arrays)


def array(name: str, value: Any, dtype: Any, ndim: int | None = None) -> np.ndarray:
    """`value` itself when it is a plain C-contiguous array of `dtype` (and `ndim` axes), else an error.

    Raises TypeError for another type or dtype, ValueError for another rank or layout. Nothing is converted.
    """
    if not isinstance(value, np.ndarray):
        raise TypeError(f"{name}: expected a NumPy array, got {describe(value)}")
    _plain(name, value)
    if value.dtype != np.dtype(dtype):
        hint = f"; convert it with {name}.astype(np.{np.dtype(dtype).name})"
        raise TypeError(f"{name}: expected {np.dtype(dtype).name}, got {describe(value)}{hint}")
    if ndim is not None and value.ndim != ndim:
        raise ValueError(f"{name}: expected {ndim} axes, got {describe(value)}")
    if not value.flags.c_contiguous:
        raise ValueError(
            f"{name}: expected a C-contiguous array, got strides {value.strides} for {describe(value)}; "
            f"use np.ascontiguousarray({name})"
        )
    return value


def output(name: str, value: Any, dtype: Any, shape: tuple[int, ...], **inputs: np.ndarray | None) -> np.ndarray:
    """A new array, or `value` when it is a writable C-contiguous array of this dtype and shape, else an error.

    It is also an error where `value` has memory of one of the `inputs`.
    """
    if value is None:
        return runtime.empty(shape, dtype)
    checked = array(name, value, dtype)
    if checked.shape != shape:
        raise ValueError(f"{name}: expected shape {shape}, got {describe(checked)}")
    if not checked.flags.writeable:
        raise ValueError(f"{name}: expected a writable array, got a read-only one")
    for other, taken in inputs.items():
        if taken is not None and np.may_share_memory(taken, checked):
            raise ValueError(f"{name}: expected memory of its own, got memory of {other}")
    return checked


def integer(name: str, value: Any, least: int, most: int | None = None) -> int:
    """`value` as int when it is an integer within bounds, else an error."""
    bounds = f">= {least}" if most is None else f"in {least}..{most}"
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{name}: expected an integer {bounds}, got {describe(value)}")
    if value < least or (most is not None and value > most):
        raise ValueError(f"{name}: expected an integer {bounds}, got {shown(int(value))}")
    return int(value)


def number(name: str, value: Any) -> float:
    """`value` as float when it is a real number that float32 holds, else an error."""
    real = isinstance(value, Real) and not isinstance(value, bool)
    if not real:
        raise TypeError(f"{name}: expected a number, got {describe(value)}")
    if not abs(value) <= float(np.finfo(np.float32).max):
        raise ValueError(f"{name}: expected a finite number, got {shown(value)}")
    return float(value)


def byte_view(name: str, value: Any) -> np.ndarray:
    """The bytes of any contiguous bytes-like object as a uint8 array, without a copy, else an error."""
    if isinstance(value, np.ndarray):
        _plain(name, value)
    try:
        view = memoryview(value)
    except TypeError:
        raise TypeError(f"{name}: expected a bytes-like object, got {describe(value)}") from None
    if not view.c_contiguous:
        raise ValueError(f"{name}: expected contiguous memory, got a strided view")
    return np.frombuffer(view.cast("B"), np.uint8) if view.nbytes else np.empty(0, np.uint8)
