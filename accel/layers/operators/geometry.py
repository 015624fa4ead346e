"""Where windows lie: the arithmetic that convolution and pooling share."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from accel.errors import ModelError
from accel.layers.operators.common import Array, Ints, choice, positive, refuse_bomb

AUTO_PAD = ("NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID")


@dataclass(frozen=True, slots=True)
class Windows:
    """Windows over the spatial axes of an array of shape (N, C, *size).

    `begin` and `end` are the pads of the model; `out` is how many windows there are, whose last ones may reach
    past the end pad with ceil_mode.
    """

    size: Ints
    kernel: Ints
    strides: Ints
    dilations: Ints
    begin: Ints
    end: Ints
    out: Ints

    def padded(self, x: Array, fill: float | int) -> Array:
        """x with `fill` around it, so far that every window lies inside."""
        reach = [(o - 1) * s + (k - 1) * d + 1 for o, s, k, d in self._per_axis()]
        after = [max(r - n - b, 0) for r, n, b in zip(reach, self.size, self.begin, strict=True)]
        if not any(self.begin) and not any(after):
            return x
        shape = [n + b + a for n, b, a in zip(self.size, self.begin, after, strict=True)]
        refuse_bomb((*x.shape[:2], *shape), x.dtype)
        y = np.full((*x.shape[:2], *shape), fill, x.dtype)
        y[spatial(slice(b, b + n) for b, n in zip(self.begin, self.size, strict=True))] = x
        return y

    def _per_axis(self) -> Iterator[tuple[int, int, int, int]]:
        return zip(self.out, self.strides, self.kernel, self.dilations, strict=True)

    def taps(self) -> Iterator[tuple[Ints, tuple[slice, ...]]]:
        """For each cell of the kernel its index, and the slice of `padded` that holds it for every window."""
        for tap in itertools.product(*map(range, self.kernel)):
            starts = [t * d for t, d in zip(tap, self.dilations, strict=True)]
            yield (
                tap,
                tuple(slice(a, a + (o - 1) * s + 1, s) for a, o, s in zip(starts, self.out, self.strides, strict=True)),
            )

    def counts(self, include_pad: bool) -> Array:
        """How many cells of each window lie inside the array, or inside the array and its pads: shape `out`."""
        total = np.ones(())
        for axis, (out, stride, kernel, dilation) in enumerate(self._per_axis()):
            start = np.arange(out) * stride - self.begin[axis]
            low = -self.begin[axis] if include_pad else 0
            high = self.size[axis] + (self.end[axis] if include_pad else 0)
            first, stop = (np.clip(-((start - edge) // dilation), 0, kernel) for edge in (low, high))
            total = total[..., None] * (stop - first)
        return total


def spatial(index: Iterable[int | slice]) -> Any:
    """An index that leaves the leading axes whole."""
    return (..., *index)


def per_axis(name: str, values: Ints | None, rank: int, default: int, least: int) -> Ints:
    """One value for each spatial axis."""
    if values is None:
        return (default,) * rank
    if len(values) != rank:
        raise ModelError(f"{name}: expected {rank} values, got {list(values)}")
    positive(name, values, least)
    return values


def spatial_rank(x: Array) -> int:
    """The number of axes after N and C."""
    if x.ndim < 3:
        raise ModelError(f"X: expected at least 3 axes (N, C, ...), got shape {x.shape}")
    return x.ndim - 2


def explicit_pads(pads: Ints | None, rank: int) -> tuple[Ints, Ints]:
    """The pads before and after each spatial axis."""
    both = per_axis("pads", pads, 2 * rank, 0, 0)
    return both[:rank], both[rank:]


def split_pads(total: int, auto_pad: str) -> tuple[int, int]:
    """Half of the padding to each side, the odd cell at the end for SAME_UPPER and at the beginning else."""
    small = total // 2
    return (small, total - small) if auto_pad == "SAME_UPPER" else (total - small, small)


def _count(size: int, pads: int, reach: int, stride: int, begin: int, ceil_mode: int) -> int:
    """How many windows of `reach` cells fit; with ceil_mode also one that starts inside but ends outside."""
    room = size + pads - reach
    if not ceil_mode:
        return room // stride + 1
    out = -(-room // stride) + 1
    return out - 1 if (out - 1) * stride >= size + begin else out


def windows(
    x: Array,
    kernel: Ints,
    *,
    strides: Ints | None,
    pads: Ints | None,
    dilations: Ints | None,
    auto_pad: str,
    ceil_mode: int = 0,
) -> Windows:
    """The windows of these attributes over x; raises ModelError for what does not fit."""
    rank = spatial_rank(x)
    size = x.shape[2:]
    kernel = per_axis("kernel_shape", kernel, rank, 1, 1)
    stride = per_axis("strides", strides, rank, 1, 1)
    dilation = per_axis("dilations", dilations, rank, 1, 1)
    choice("auto_pad", auto_pad, AUTO_PAD)
    begin, end = explicit_pads(pads if auto_pad == "NOTSET" else None, rank)
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    if auto_pad.startswith("SAME"):
        out = tuple(-(-n // s) for n, s in zip(size, stride, strict=True))
        totals = [max((o - 1) * s + r - n, 0) for o, s, r, n in zip(out, stride, reach, size, strict=True)]
        split = [split_pads(total, auto_pad) for total in totals]
        begin, end = tuple(b for b, _ in split), tuple(e for _, e in split)
    else:
        out = tuple(
            _count(n, b + e, r, s, b, ceil_mode) for n, b, e, r, s in zip(size, begin, end, reach, stride, strict=True)
        )
    if min(out) < 1:
        raise ModelError(f"X: expected spatial sizes that hold a window of {tuple(reach)} cells, got shape {x.shape}")
    refuse_bomb((*x.shape[:2], *out), x.dtype)
    return Windows(size, kernel, stride, dilation, begin, end, out)
