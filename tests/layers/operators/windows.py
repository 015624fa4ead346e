"""Convolution and pooling by their definitions, one output at a time."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from hypothesis import strategies as st


def output_size(n, kernel, stride, dilation, begin, end, ceil=False):
    """As in the ONNX standard."""
    room = n + begin + end - (kernel - 1) * dilation - 1
    out = (-(-room // stride) if ceil else room // stride) + 1
    return out - 1 if ceil and (out - 1) * stride >= n + begin else out


def cells(
    position: Sequence[int], case: dict, size: Sequence[int]
) -> Iterator[tuple[tuple[int, ...], tuple[int, ...]]]:
    """(place in the kernel, place in the image) of each cell of one window that lies inside the image."""
    for tap in itertools.product(*map(range, case["kernel_shape"])):
        place = tuple(
            p * s + t * d - b
            for p, s, t, d, b in zip(position, case["strides"], tap, case["dilations"], case["pads"], strict=False)
        )
        if all(0 <= i < n for i, n in zip(place, size, strict=True)):
            yield tap, place


def pooled(x: np.ndarray, case: dict, out: Sequence[int], function: Callable[[np.ndarray], float]) -> np.ndarray:
    """`function` of the cells of each window inside the image."""
    y = np.zeros((*x.shape[:2], *out))
    for n, c, *position in np.ndindex(*y.shape):
        y[(n, c, *position)] = function(np.array([x[(n, c, *p)] for _, p in cells(position, case, x.shape[2:])]))
    return y


def convolved(x: np.ndarray, w: np.ndarray, case: dict, out: Sequence[int], group: int) -> np.ndarray:
    """The sum over each window."""
    y = np.zeros((x.shape[0], w.shape[0], *out))
    for n, o, *position in np.ndindex(*y.shape):
        first = o // (w.shape[0] // group) * w.shape[1]
        for tap, place in cells(position, case, x.shape[2:]):
            y[(n, o, *position)] += sum(w[(o, c, *tap)] * x[(n, first + c, *place)] for c in range(w.shape[1]))
    return y


@st.composite
def geometries(draw, ceil: bool = False):
    """Sizes of an image and attributes whose windows fit: (size, attributes, output)."""
    rank = draw(st.integers(1, 3))
    most = {1: 9, 2: 6, 3: 4}[rank]
    axes = []
    for _ in range(rank):
        n, k = draw(st.integers(1, most)), draw(st.integers(1, 3))
        s, d = draw(st.integers(1, 3)), draw(st.integers(1, 2))
        b, e = draw(st.integers(0, 2)), draw(st.integers(0, 2))
        e += max((k - 1) * d + 1 - n - b - e, 0)  # the window must fit
        axes.append((n, k, s, d, b, e))
    n, k, s, d, b, e = (list(values) for values in zip(*axes, strict=True))
    case = {"kernel_shape": k, "strides": s, "dilations": d, "pads": b + e}
    return n, case, [output_size(*axis, ceil) for axis in axes]
