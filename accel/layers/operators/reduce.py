"""Reductions over axes, and the positions of extremes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from accel.errors import ModelError
from accel.layers.operators.common import Array, Ints, integers, mean_over, normal_axes, normal_axis
from accel.layers.operators.dtypes import highest, lowest, widened
from accel.layers.operators.registry import operator

Reduction = Callable[[Array, Ints], Array]
"""Reduce the axes and keep them with size 1, in any dtype; the caller casts it back."""


def _sum(x: Array, axes: Ints) -> Array:
    return np.asarray(x.sum(axis=axes, keepdims=True, dtype=x.dtype))


def _mean(x: Array, axes: Ints) -> Array:
    return mean_over(_float(x), axes)


def _max(x: Array, axes: Ints) -> Array:
    return np.asarray(x.max(axis=axes, keepdims=True, initial=lowest(x.dtype)))


def _min(x: Array, axes: Ints) -> Array:
    return np.asarray(x.min(axis=axes, keepdims=True, initial=highest(x.dtype)))


def _log_sum_exp(x: Array, axes: Ints) -> Array:
    wide = _float(x)
    top = _max(wide, axes)
    top = np.where(np.isfinite(top), top, top.dtype.type(0))  # so that inf - inf is never formed
    return np.asarray(np.log(_sum(np.exp(wide - top), axes)) + top)


def _float(x: Array) -> Array:
    """Integers as float64, so that square roots and logarithms are rounded once."""
    return x if x.dtype.kind == "f" else x.astype(np.float64)


_REDUCTIONS: dict[str, Reduction] = {
    "ReduceSum": _sum,
    "ReduceMean": _mean,
    "ReduceMax": _max,
    "ReduceMin": _min,
    "ReduceProd": lambda x, axes: np.asarray(x.prod(axis=axes, keepdims=True, dtype=x.dtype)),
    "ReduceL1": lambda x, axes: _sum(np.abs(x), axes),
    "ReduceL2": lambda x, axes: np.sqrt(_sum(np.square(_float(x)), axes)),
    "ReduceSumSquare": lambda x, axes: _sum(np.square(x), axes),
    "ReduceLogSum": lambda x, axes: np.log(_sum(_float(x), axes)),
    "ReduceLogSumExp": _log_sum_exp,
}


def _reduction(name: str, reduction: Reduction) -> Callable[..., Array]:
    def apply(data: Array, axes: Array | None = None, *, keepdims: int = 1, noop_with_empty_axes: int = 0) -> Array:
        if data.dtype.kind == "b" and name not in ("ReduceMax", "ReduceMin"):
            raise ModelError("data: expected numbers, got bool")
        chosen = () if axes is None else integers("axes", axes)
        over = normal_axes(chosen, data.ndim)
        if not over and not noop_with_empty_axes:
            over = tuple(range(data.ndim))
        result = np.asarray(reduction(widened(data), over)).astype(data.dtype, copy=False)
        return result if keepdims else result.reshape([n for i, n in enumerate(data.shape) if i not in over])

    return apply


for _name, _function in _REDUCTIONS.items():
    operator(_name, shape_inputs=(1,))(_reduction(_name, _function))


def _position(x: Array, axis: int, keepdims: int, last: int, find: Callable[..., Array]) -> Array:
    axis = normal_axis(axis, x.ndim)
    if x.shape[axis] == 0:
        raise ModelError(f"data: expected elements along axis {axis}, got shape {x.shape}")
    found = find(np.flip(x, axis) if last else x, axis=axis, keepdims=bool(keepdims))
    return np.asarray(x.shape[axis] - 1 - found if last else found).astype(np.int64, copy=False)


@operator("ArgMax")
def arg_max(x: Array, *, axis: int = 0, keepdims: int = 1, select_last_index: int = 0) -> Array:
    return _position(x, axis, keepdims, select_last_index, np.argmax)


@operator("ArgMin")
def arg_min(x: Array, *, axis: int = 0, keepdims: int = 1, select_last_index: int = 0) -> Array:
    return _position(x, axis, keepdims, select_last_index, np.argmin)
