"""Operators that make arrays: constants, ranges, dropout masks."""

from __future__ import annotations

import math

import numpy as np

from accel.errors import ModelError, UnsupportedError
from accel.layers.operators.common import (
    Array,
    Floats,
    Ints,
    floating,
    integers,
    positive,
    refuse_bomb,
    same_dtype,
    scalar,
)
from accel.layers.operators.dtypes import element_type
from accel.layers.operators.registry import operator


@operator("Constant")
def constant(
    *,
    value: Array | None = None,
    value_float: float | None = None,
    value_floats: Floats | None = None,
    value_int: int | None = None,
    value_ints: Ints | None = None,
) -> Array:
    forms = (
        (value, None),
        (value_float, np.float32),
        (value_floats, np.float32),
        (value_int, np.int64),
        (value_ints, np.int64),
    )
    given = [(form, dtype) for form, dtype in forms if form is not None]
    if len(given) != 1:
        raise ModelError(f"value: expected one attribute, got {len(given)}")
    form, dtype = given[0]
    return np.asarray(form, dtype)


@operator("ConstantOfShape", shape_inputs=(0,))
def constant_of_shape(shape: Array, *, value: Array | None = None) -> Array:
    sizes = positive("input", integers("input", shape), 0)
    fill = np.zeros((), np.float32) if value is None else scalar("value", value)
    refuse_bomb(sizes, fill.dtype)
    return np.full(sizes, fill, fill.dtype)


@operator("Range", shape_inputs=(0, 1, 2))
def range_(start: Array, limit: Array, delta: Array, *, stash_type: int = 1) -> Array:
    """start + i * delta below (or above) the limit; 16-bit floats are computed in float32."""
    same_dtype(start, limit, delta)
    dtype = start.dtype
    work = element_type(stash_type, "stash_type") if dtype == np.float16 else dtype
    first, last, step = (
        scalar(n, v).astype(work) for n, v in zip(["start", "limit", "delta"], (start, limit, delta), strict=True)
    )
    if work.kind in "iu":
        a, b, s = int(first), int(last), int(step)
        if s == 0:
            raise ModelError("delta: expected a value other than 0, got 0")
        count = max(-((a - b) // s), 0)
    else:
        steps = (float(last) - float(first)) / float(step) if step != 0 else math.nan
        if not math.isfinite(steps):
            raise ModelError(f"start, limit, delta: expected a finite range, got {first}, {last}, {step}")
        count = max(math.ceil(steps), 0)
    refuse_bomb((count,), work)
    return np.asarray(first + np.arange(count).astype(work) * step).astype(dtype, copy=False)


@operator("EyeLike")
def eye_like(x: Array, *, dtype: int | None = None, k: int = 0) -> Array:
    if x.ndim != 2:
        raise ModelError(f"input: expected 2 axes, got shape {x.shape}")
    kind = x.dtype if dtype is None else element_type(dtype)
    refuse_bomb(x.shape, kind)
    rows, columns = x.shape
    return np.eye(rows, columns, k=max(-rows, min(columns, k)), dtype=kind)


@operator("Dropout", wants_outputs=True)
def dropout(
    x: Array,
    ratio: Array | None = None,
    training_mode: Array | None = None,
    *,
    seed: int | None = None,
    outputs: int = 1,
) -> tuple[Array, ...]:
    """x itself when not training. The mask of training is NumPy's legacy generator's, as in the ONNX suite."""
    floating(x)
    training = training_mode is not None and bool(scalar("training_mode", training_mode))
    share = 0.5 if ratio is None else float(scalar("ratio", ratio))
    if not 0 <= share < 1:
        raise ModelError(f"ratio: expected in 0 <= ratio < 1, got {share}")
    if not training or share == 0:
        return (x, np.ones(x.shape, np.bool_))[:outputs]
    if seed is not None and not 0 <= seed < 2**32:
        raise UnsupportedError(f"seed: expected in 0..{2**32 - 1}, got {seed}")
    kept = np.random.RandomState(seed).uniform(0, 1, x.shape) >= share
    y = np.where(kept, x * x.dtype.type(1 / (1 - share)), x.dtype.type(0))
    return (y, np.asarray(kept))[:outputs]
