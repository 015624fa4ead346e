"""Operators that pick or place elements by index or by value."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from accel.errors import ModelError
from accel.layers.operators.common import (
    Array,
    choice,
    indices_within,
    integers,
    normal_axis,
    refuse_bomb,
    same_dtype,
    scalar,
)
from accel.layers.operators.registry import operator

_REDUCTIONS = {"add": np.add, "mul": np.multiply, "max": np.maximum, "min": np.minimum}


@operator("Gather")
def gather(x: Array, indices: Array, *, axis: int = 0) -> Array:
    axis = normal_axis(axis, x.ndim)
    refuse_bomb((*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :]), x.dtype)
    return np.take(x, indices_within("indices", indices, x.shape[axis]), axis)


def _mesh(indices: Array, axis: int) -> tuple[Array, ...]:
    """Index arrays that place element [i, j, ...] of `indices` at itself but for `axis`."""
    mesh = list(np.ogrid[tuple(slice(n) for n in indices.shape)])
    mesh[axis] = indices
    return tuple(mesh)


def _elements_index(x: Array, indices: Array, axis: int) -> tuple[Array, ...]:
    axis = normal_axis(axis, x.ndim)
    fits = indices.ndim == x.ndim and all(
        small <= large or i == axis for i, (small, large) in enumerate(zip(indices.shape, x.shape, strict=True))
    )
    if not fits:
        raise ModelError(f"indices: expected a shape within {x.shape} but for axis {axis}, got {indices.shape}")
    return _mesh(indices_within("indices", indices, x.shape[axis]), axis)


@operator("GatherElements")
def gather_elements(x: Array, indices: Array, *, axis: int = 0) -> Array:
    return np.asarray(x[_elements_index(x, indices, axis)])


@operator("ScatterElements")
def scatter_elements(x: Array, indices: Array, updates: Array, *, axis: int = 0, reduction: str = "none") -> Array:
    same_dtype(x, updates)
    if updates.shape != indices.shape:
        raise ModelError(f"updates: expected shape {indices.shape} like indices, got {updates.shape}")
    return _scatter(x, _elements_index(x, indices, axis), updates, reduction)


def _scatter(x: Array, index: tuple[Array, ...], updates: Array, reduction: str) -> Array:
    choice("reduction", reduction, ("none", *_REDUCTIONS))
    y = x.copy()
    if reduction == "none":
        y[index] = updates
    else:
        _REDUCTIONS[reduction].at(y, index, updates)
    return y


def _tuple_index(indices: Array, sizes: tuple[int, ...]) -> tuple[Array, ...]:
    """The last axis of `indices` as one index array per leading axis of an array of `sizes`."""
    return tuple(indices_within("indices", indices[..., i], sizes[i]) for i in range(indices.shape[-1]))


@operator("GatherND")
def gather_nd(x: Array, indices: Array, *, batch_dims: int = 0) -> Array:
    if indices.ndim == 0 or x.ndim == 0:
        raise ModelError(f"data, indices: expected at least one axis, got shapes {x.shape} and {indices.shape}")
    if not 0 <= batch_dims < min(x.ndim, indices.ndim) or x.shape[:batch_dims] != indices.shape[:batch_dims]:
        raise ModelError(
            f"batch_dims: expected leading axes that {x.shape} and {indices.shape} share, got {batch_dims}"
        )
    depth = indices.shape[-1]
    if not 1 <= depth <= x.ndim - batch_dims:
        raise ModelError(f"indices: expected a last axis of 1..{x.ndim - batch_dims}, got shape {indices.shape}")
    batch, middle = x.shape[:batch_dims], indices.shape[batch_dims:-1]
    inner = x.shape[batch_dims:]
    count = math.prod(batch)
    flat = indices.reshape(count, math.prod(middle), depth)
    index = (np.arange(count)[:, None], *_tuple_index(flat, inner))
    refuse_bomb((*batch, *middle, *inner[depth:]), x.dtype)
    return np.asarray(x.reshape(count, *inner)[index]).reshape(*batch, *middle, *inner[depth:])


@operator("ScatterND")
def scatter_nd(x: Array, indices: Array, updates: Array, *, reduction: str = "none") -> Array:
    same_dtype(x, updates)
    if indices.ndim == 0 or not 1 <= indices.shape[-1] <= x.ndim:
        raise ModelError(f"indices: expected a last axis of 1..{x.ndim}, got shape {indices.shape}")
    expected = (*indices.shape[:-1], *x.shape[indices.shape[-1] :])
    if updates.shape != expected:
        raise ModelError(f"updates: expected shape {expected}, got {updates.shape}")
    return _scatter(x, _tuple_index(indices, x.shape), updates, reduction)


@operator("OneHot", shape_inputs=(1,))
def one_hot(indices: Array, depth: Array, values: Array, *, axis: int = -1) -> Array:
    """`values` are off and on; an index outside -depth..depth-1 gives a row of off."""
    axis = normal_axis(axis, indices.ndim + 1)
    count = int(scalar("depth", depth))
    if count < 0 or values.shape != (2,):
        raise ModelError(f"depth, values: expected depth >= 0 and two values, got {count} and shape {values.shape}")
    shape = (*indices.shape[:axis], count, *indices.shape[axis:])
    refuse_bomb(shape, values.dtype)
    # Where an index is out of range no class equals it.
    wrapped = indices.astype(np.int64)
    wrapped = np.expand_dims(np.where(wrapped < 0, wrapped + count, wrapped), axis)
    classes = np.arange(count).reshape(-1, *[1] * (indices.ndim - axis))
    return np.asarray(np.where(wrapped == classes, values[1], values[0]))


@operator("NonZero", dynamic=True)
def non_zero(x: Array) -> Array:
    if x.ndim == 0:
        return np.zeros((0, int(x != 0)), np.int64)
    return np.array(np.nonzero(x), np.int64)


@operator("Compress", dynamic=True)
def compress(x: Array, condition: Array, *, axis: int | None = None) -> Array:
    """The slices along the axis (or elements of the flat array) whose condition holds; a short one selects no more."""
    if condition.dtype != np.bool_ or condition.ndim != 1:
        raise ModelError(f"condition: expected a vector of bool, got {condition.dtype} of shape {condition.shape}")
    if axis is None:
        x, axis = x.reshape(-1), 0
    axis = normal_axis(axis, x.ndim)
    if condition.size > x.shape[axis]:
        raise ModelError(f"condition: expected at most {x.shape[axis]} values, got {condition.size}")
    return np.compress(condition, x, axis)


@operator("Unique", dynamic=True)
def unique(x: Array, *, axis: int | None = None, sorted: int = 1) -> tuple[Array, ...]:
    """Unique values or slices, their first positions, the position of each in the result, and their counts."""
    axis = None if axis is None else normal_axis(axis, x.ndim)
    values, first, inverse, counts = np.unique(x, return_index=True, return_inverse=True, return_counts=True, axis=axis)
    inverse = inverse.reshape(-1)  # NumPy 2.0 gave it the shape of x
    if not sorted:
        order = np.argsort(first)
        rank = np.empty_like(order)
        rank[order] = np.arange(order.size)
        values, inverse = np.take(values, order, 0 if axis is None else axis), rank[inverse]
        first, counts = first[order], counts[order]
    return (values, *(part.astype(np.int64) for part in (first, inverse, counts)))


@operator("TopK", shape_inputs=(1,))
def top_k(x: Array, k: Array, *, axis: int = -1, largest: int = 1, sorted: int = 1) -> tuple[Array, Array]:
    """Values and indices in order; of equal values the lower index comes first. NaN counts as largest."""
    axis = normal_axis(axis, x.ndim)
    count = integers("K", k)
    length = x.shape[axis]
    if len(count) != 1 or not 0 <= count[0] <= length:
        raise ModelError(f"K: expected one value in 0..{length}, got {list(count)}")
    if largest:
        # Backwards twice, so that the stable ascending sort leaves equal values in their order.
        order = length - 1 - np.flip(np.argsort(np.flip(x, axis), axis=axis, kind="stable"), axis)
    else:
        order = np.argsort(x, axis=axis, kind="stable")
    index = np.take(order, np.arange(count[0]), axis)
    return np.take_along_axis(x, index, axis), index.astype(np.int64)


def _cumulative(ufunc: Callable[..., Array], unit: int) -> Callable[..., Array]:
    def apply(x: Array, axis: Array, *, exclusive: int = 0, reverse: int = 0) -> Array:
        along = normal_axis(int(scalar("axis", axis)), x.ndim)
        y = np.flip(x, along) if reverse else x
        y = ufunc(y, axis=along, dtype=x.dtype)
        if exclusive:
            y = np.roll(y, 1, along)
            y[(slice(None),) * along + (slice(1),)] = unit
        return np.flip(y, along) if reverse else y

    return apply


operator("CumSum")(_cumulative(np.cumsum, 0))
operator("CumProd")(_cumulative(np.cumprod, 1))
