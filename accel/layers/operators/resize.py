"""Resize and Upsample: a separable resampling, one axis after the other."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from accel.errors import ModelError
from accel.layers.operators.common import Array, Ints, choice, integers, normal_axes, positive, refuse_bomb
from accel.layers.operators.registry import operator

_COORDINATES = (
    "half_pixel",
    "half_pixel_symmetric",
    "pytorch_half_pixel",
    "align_corners",
    "asymmetric",
    "tf_crop_and_resize",
)
_NEAREST = ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")
_POLICIES = ("stretch", "not_larger", "not_smaller")

Inputs = Sequence[Array | None]
"""roi, scales, sizes."""


@dataclass(frozen=True, slots=True)
class _Options:
    """The attributes of Resize with their defaults."""

    antialias: int = 0
    axes: Ints | None = None
    coordinate_transformation_mode: str = "half_pixel"
    cubic_coeff_a: float = -0.75
    exclude_outside: int = 0
    extrapolation_value: float = 0.0
    keep_aspect_ratio_policy: str = "stretch"
    mode: str = "nearest"
    nearest_mode: str = "round_prefer_floor"

    def __post_init__(self) -> None:
        choice("mode", self.mode, ("nearest", "linear", "cubic"))
        choice("coordinate_transformation_mode", self.coordinate_transformation_mode, _COORDINATES)
        choice("nearest_mode", self.nearest_mode, _NEAREST)
        choice("keep_aspect_ratio_policy", self.keep_aspect_ratio_policy, _POLICIES)
        if self.antialias and self.mode == "nearest":
            raise ModelError("antialias: expected 0 with mode nearest, got 1")

    @property
    def crop(self) -> bool:
        return self.coordinate_transformation_mode == "tf_crop_and_resize"


_DEFAULT = _Options()


@dataclass(frozen=True, slots=True)
class _Axis:
    """One axis to resize: its place, new size, scale, and the part of it to sample (as fractions)."""

    axis: int
    size: int
    scale: float
    start: float
    stop: float


@operator("Resize", shape_inputs=(1, 2, 3))
def resize(
    x: Array,
    roi: Array | None = None,
    scales: Array | None = None,
    sizes: Array | None = None,
    *,
    antialias: int = _DEFAULT.antialias,
    axes: Ints | None = _DEFAULT.axes,
    coordinate_transformation_mode: str = _DEFAULT.coordinate_transformation_mode,
    cubic_coeff_a: float = _DEFAULT.cubic_coeff_a,
    exclude_outside: int = _DEFAULT.exclude_outside,
    extrapolation_value: float = _DEFAULT.extrapolation_value,
    keep_aspect_ratio_policy: str = _DEFAULT.keep_aspect_ratio_policy,
    mode: str = _DEFAULT.mode,
    nearest_mode: str = _DEFAULT.nearest_mode,
) -> Array:
    options = _Options(
        antialias,
        axes,
        coordinate_transformation_mode,
        cubic_coeff_a,
        exclude_outside,
        extrapolation_value,
        keep_aspect_ratio_policy,
        mode,
        nearest_mode,
    )
    return _resized(x, (roi, scales, sizes), options)


@operator("Upsample", shape_inputs=(1,))
def upsample(x: Array, scales: Array, *, mode: str = "nearest") -> Array:
    """The opset 9 forerunner of Resize."""
    return _resized(x, (None, scales, None), _of_upsample(mode))


def _of_upsample(mode: str = "nearest") -> _Options:
    choice("mode", mode, ("nearest", "linear"))
    return _Options(mode=mode, nearest_mode="floor", coordinate_transformation_mode="asymmetric")


def _resized(x: Array, inputs: Inputs, options: _Options) -> Array:
    targets = _targets(x.shape, inputs, options)
    shape = list(x.shape)
    for target in targets:
        shape[target.axis] = target.size
    work = x.dtype if options.mode == "nearest" else np.dtype(np.float64 if x.dtype.itemsize > 4 else np.float32)
    # An axis that grows may be done before one that shrinks, so the largest array between is what counts.
    refuse_bomb((max(old, new) for old, new in zip(x.shape, shape, strict=True)), work)
    if 0 in shape:
        return np.zeros(shape, x.dtype)
    if x.size == 0:
        raise ModelError(f"X: expected elements to resize to {tuple(shape)}, got shape {x.shape}")
    y = x.astype(work, copy=False)
    for target in targets:
        y = _resample(y, target, options)
    return _narrow(y, x.dtype)


class Sampling(NamedTuple):
    """One axis resampled: every place of the output is a weighted sum of cells of the input."""

    axis: int
    cells: Array
    """(size of the output, cells), inside the input."""
    weights: Array | None
    """As many; None where the one cell is copied."""


def samplings(op: str, shape: Ints, inputs: Inputs, attributes: Mapping[str, Any]) -> list[Sampling] | None:
    """What Resize or Upsample (with its scales second in `inputs`) does, axis after axis in this order.

    None for what no weighted sum can say: values from outside the input.
    """
    options = _of_upsample(**attributes) if op == "Upsample" else _Options(**attributes)
    if options.crop or 0 in shape:
        return None
    found = []
    for target in _targets(shape, inputs, options):
        length = shape[target.axis]
        origin = _origin(target, length, options.coordinate_transformation_mode)
        found.append(Sampling(target.axis, *_cells(length, target, options, origin)))
    return found


def _narrow(y: Array, dtype: np.dtype) -> Array:
    if dtype.kind in "iu" and y.dtype != dtype:
        info = np.iinfo(dtype)
        y = np.clip(np.rint(y), info.min, info.max)
    return y.astype(dtype, copy=False)


def _targets(shape: Ints, inputs: Inputs, options: _Options) -> list[_Axis]:
    """What to do with each axis that changes. Exactly one of scales and sizes counts; an empty one is absent."""
    roi, scales, sizes = inputs
    axes, crop = options.axes, options.crop
    over = normal_axes(tuple(range(len(shape))) if axes is None else axes, len(shape))
    lengths = [shape[axis] for axis in over]
    if (scales is None or scales.size == 0) == (sizes is None or sizes.size == 0):
        raise ModelError("scales, sizes: expected exactly one of the two, got both or none")
    if scales is not None and scales.size:
        factors = _numbers("scales", scales, len(over))
        if min(factors) <= 0:
            raise ModelError(f"scales: expected values > 0, got {factors}")
        new = [math.floor(n * f) for n, f in zip(lengths, factors, strict=True)]
    else:
        new, factors = _from_sizes(lengths, sizes, options.keep_aspect_ratio_policy)
    region = _numbers("roi", roi, 2 * len(over)) if crop else [0.0] * len(over) + [1.0] * len(over)
    found = []
    for i, axis in enumerate(over):
        target = _Axis(axis, new[i], factors[i], region[i], region[i + len(over)])
        whole = target.start == 0 and target.stop == 1
        if not (whole and target.size == shape[axis] and math.isclose(target.scale, 1.0)):
            found.append(target)
    return sorted(found, key=lambda target: target.axis)


def _numbers(name: str, value: Array | None, count: int) -> list[float]:
    if value is None or value.dtype.kind != "f" or value.shape != (count,) or not np.isfinite(value).all():
        got = "none" if value is None else f"{value.dtype} of shape {value.shape}"
        raise ModelError(f"{name}: expected {count} finite numbers, got {got}")
    return [float(v) for v in value]


def _from_sizes(lengths: Sequence[int], sizes: Array | None, policy: str) -> tuple[list[int], list[float]]:
    wanted = positive("sizes", integers("sizes", sizes) if sizes is not None else (), 0)
    if len(wanted) != len(lengths) or 0 in lengths:
        raise ModelError(f"sizes: expected {len(lengths)} values for axes of sizes {list(lengths)}, got {list(wanted)}")
    factors = [new / old for new, old in zip(wanted, lengths, strict=True)]
    if policy == "stretch":
        return list(wanted), factors
    scale = min(factors) if policy == "not_larger" else max(factors)
    return [math.floor(scale * n + 0.5) for n in lengths], [scale] * len(lengths)


def _origin(target: _Axis, length: int, mode: str) -> Array:
    """The place in the input of each place in the output."""
    place = np.arange(target.size, dtype=np.float64)
    width = target.scale * length  # of the output, a fraction when scales are given
    if mode == "asymmetric":
        return place / target.scale
    if mode == "align_corners":
        return place * 0 if width == 1 else place * (length - 1) / (width - 1)
    if mode == "tf_crop_and_resize":
        extent = (target.stop - target.start) * (length - 1)
        inside = place * 0 + extent / 2 if width == 1 else place * extent / (width - 1)
        return inside + target.start * (length - 1)
    if mode == "pytorch_half_pixel" and width == 1:
        return place * 0 - 0.5
    half_pixel = (place + 0.5) / target.scale - 0.5
    if mode == "half_pixel_symmetric":
        return length / 2 * (1 - target.size / width) + half_pixel
    return half_pixel


def _resample(x: Array, target: _Axis, options: _Options) -> Array:
    """One axis resampled; places beyond the edge take the edge's value."""
    length = x.shape[target.axis]
    origin = _origin(target, length, options.coordinate_transformation_mode)
    cells, weights = _cells(length, target, options, origin)
    y = np.take(x, cells[:, 0], target.axis) if weights is None else _weighted(x, target.axis, cells, weights)
    if options.coordinate_transformation_mode == "tf_crop_and_resize":
        outside = (origin < 0) | (origin > length - 1)
        mask = outside.reshape(-1, *[1] * (x.ndim - target.axis - 1))
        y = np.where(mask, np.asarray(options.extrapolation_value).astype(y.dtype), y)
    return y


def _nearest(origin: Array, mode: str) -> Array:
    if mode in ("floor", "ceil"):
        return (np.floor if mode == "floor" else np.ceil)(origin).astype(np.int64)
    shift = np.ceil(origin - 0.5) if mode == "round_prefer_floor" else np.floor(origin + 0.5)
    return shift.astype(np.int64)


def _cells(length: int, target: _Axis, options: _Options, origin: Array) -> tuple[Array, Array | None]:
    """The cells under the filter of each place of the output, (size, cells), and their weights; nearest has none."""
    if options.mode == "nearest":
        return np.clip(_nearest(origin, options.nearest_mode), 0, length - 1)[:, None], None
    scale = min(target.scale, 1.0) if options.antialias else 1.0
    support = 1 if options.mode == "linear" else 2
    # The filter, stretched by 1 / scale, covers the cells first..last around the left neighbour.
    left = np.floor(origin).astype(np.int64)
    first = math.floor(-support / scale) + 1
    offsets = np.arange(first, 2 - first)
    distance = np.abs(offsets - (origin - left)[:, None]) * scale
    weights = _linear(distance) if options.mode == "linear" else _cubic(distance, options.cubic_coeff_a)
    cells = left[:, None] + offsets
    if options.exclude_outside:
        weights = np.where((cells < 0) | (cells >= length), 0.0, weights)
    if options.exclude_outside or options.antialias:
        total = weights.sum(axis=1, keepdims=True)
        weights = weights / np.where(total == 0, 1.0, total)
    return np.clip(cells, 0, length - 1), weights


def _weighted(x: Array, axis: int, cells: Array, weights: Array) -> Array:
    """Each output as the weighted sum of its cells, one pass per cell."""
    shape = list(x.shape)
    shape[axis] = len(cells)
    y = np.zeros(shape, x.dtype)
    for tap in range(cells.shape[1]):
        factor = weights[:, tap].astype(x.dtype).reshape(-1, *[1] * (x.ndim - axis - 1))
        y += np.take(x, cells[:, tap], axis) * factor
    return y


def _linear(distance: Array) -> Array:
    return np.asarray(np.clip(1 - distance, 0, 1))


def _cubic(distance: Array, a: float) -> Array:
    """Keys, "Cubic convolution interpolation for digital image processing", 1981, equation 4 with free a."""
    near = ((a + 2) * distance - (a + 3)) * distance * distance + 1
    far = ((a * distance - 5 * a) * distance + 8 * a) * distance - 4 * a
    return np.where(distance <= 1, near, np.where(distance < 2, far, 0.0))
