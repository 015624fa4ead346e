"""2-D pooling of N x C x H x W float32 arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

from accel.kernels import checks, runtime
from accel.kernels import program as native
from accel.kernels.conv import Pair, four_pads, output_shape, pair
from accel.reference import conv as reference

Shape = tuple[int, int, int, int]


def max_pool2d(
    x: np.ndarray,
    kernel: int | Pair,
    *,
    strides: int | Pair = 1,
    pads: int | Pair | Shape = 0,
    dilations: int | Pair = 1,
    ceil_mode: bool = False,
) -> np.ndarray:
    """Largest value of every window; NaN when the window holds one, wherever it stands.

    Parameters
    ----------
    x : (N, C, H, W) float32, C-contiguous.
    kernel, strides, dilations : integer or (h, w), at least 1.
    pads : p, (ph, pw) or (top, left, bottom, right), each less than the reach of the kernel; padding never wins.
    ceil_mode : also take a last window that overhangs, if it starts inside the image or its left padding.

    Returns
    -------
    (N, C, H', W') float32

    Raises
    ------
    TypeError   x is not float32, or a parameter not an integer.
    ValueError  x has another rank, the kernel does not fit, or pads reach as far as the kernel.
    """
    shape, window = _checked(x, kernel, strides, pads, dilations, ceil_mode)
    if native.native():
        return _pool_native(x, shape, *window, average=False)
    kernel, strides, _, dilations = window
    covering = _covering(x, shape, *window)
    if runtime.backend() == "numba":
        from accel.kernels.conv_numba import max_pool2d_numba

        return max_pool2d_numba(x, kernel, shape, strides, covering, dilations)
    y = reference.max_pool2d(x, kernel, strides=strides, pads=covering, dilations=dilations)
    return y.astype(np.float32, order="C")


def average_pool2d(
    x: np.ndarray,
    kernel: int | Pair,
    *,
    strides: int | Pair = 1,
    pads: int | Pair | Shape = 0,
    dilations: int | Pair = 1,
    ceil_mode: bool = False,
    count_include_pad: bool = False,
) -> np.ndarray:
    """Mean of every window: over its cells inside the image, or with `count_include_pad` inside image and padding.

    Parameters and errors as in `max_pool2d`.
    """
    shape, window = _checked(x, kernel, strides, pads, dilations, ceil_mode)
    if native.native():
        return _pool_native(x, shape, *window, average=True, count_include_pad=count_include_pad)
    kernel, strides, four, dilations = window
    covering = _covering(x, shape, *window)
    ones = np.ones((1, 1, x.shape[2], x.shape[3]), np.float32)
    if count_include_pad:
        ones = np.pad(ones, ((0, 0), (0, 0), (four[0], four[2]), (four[1], four[3])), constant_values=1.0)
        covered = (0, 0, covering[2] - four[2], covering[3] - four[3])
    else:
        covered = covering
    cells = _sums(ones, kernel, strides, covered, dilations).astype(np.float32)
    if runtime.backend() == "numba":
        from accel.kernels.conv_numba import sum_pool2d_numba

        return np.asarray(sum_pool2d_numba(x, kernel, shape, strides, covering, dilations) / cells)
    return np.asarray(_sums(x, kernel, strides, covering, dilations) / cells, np.float32, order="C")


def _sums(x: np.ndarray, kernel: Pair, strides: Pair, pads: Shape, dilations: Pair) -> np.ndarray:
    means = reference.average_pool2d(
        x, kernel, strides=strides, pads=pads, dilations=dilations, count_include_pad=True
    )  # fmt: skip
    return means * (kernel[0] * kernel[1])


def global_average_pool2d(x: np.ndarray) -> np.ndarray:
    """Mean over H and W: (N, C, H, W) float32 to (N, C, 1, 1).

    Raises TypeError, ValueError as `max_pool2d`; ValueError also for an image without pixels.
    """
    checks.array("x", x, np.float32, 4)
    if 0 in x.shape[2:]:
        raise ValueError(f"x: expected at least one pixel, got {checks.describe(x)}")
    if not native.native() or 0 in x.shape:
        return np.asarray(x.mean(axis=(2, 3), keepdims=True, dtype=np.float64), np.float32)
    source = native.blocked_map(x.shape)
    y = runtime.empty((*x.shape[:2], 1, 1), np.float32)
    program = native.new_program()
    program.import_plain(source, native.place(0), native.place(1))
    program.global_average(source, native.place(1), native.place(2))
    _run(program, [x, runtime.empty(source.floats, np.float32), y])
    return y


def _checked(
    x: Any, kernel: Any, strides: Any, pads: Any, dilations: Any, ceil_mode: bool
) -> tuple[Shape, tuple[Pair, Pair, Shape, Pair]]:
    checks.array("x", x, np.float32, 4)
    kernel, strides, dilations = pair("kernel", kernel, 1), pair("strides", strides, 1), pair("dilations", dilations, 1)
    four = four_pads(pads)
    if any(p >= dilations[i % 2] * (kernel[i % 2] - 1) + 1 for i, p in enumerate(four)):
        raise ValueError(f"pads: expected less than the reach of the kernel {kernel}, got {four}")
    shape = output_shape(x, x.shape[1], kernel, strides, four, dilations, ceil_mode)
    return shape, (kernel, strides, four, dilations)


def _covering(x: np.ndarray, shape: Shape, kernel: Pair, strides: Pair, pads: Shape, dilations: Pair) -> Shape:
    """Pads grown at the bottom and right until the last window fits."""
    after = [
        max(
            (shape[2 + i] - 1) * strides[i] + dilations[i] * (kernel[i] - 1) + 1 - pads[i] - x.shape[2 + i], pads[2 + i]
        )
        for i in (0, 1)
    ]
    return pads[0], pads[1], after[0], after[1]


def _pool_native(
    x: np.ndarray, shape: Shape, kernel: Pair, strides: Pair, pads: Shape, dilations: Pair, **options: bool
) -> np.ndarray:
    y = runtime.empty(shape, np.float32)
    if y.size == 0:
        return y
    source, target = native.blocked_map(x.shape), native.blocked_map(shape)
    spec = native.pool_spec(
        source, target, kernel, strides=strides, pads=pads, dilations=dilations,
        average=options["average"], count_include_pad=options.get("count_include_pad", False),
    )  # fmt: skip
    program = native.new_program()
    program.import_plain(source, native.place(0), native.place(1))
    program.pool(spec, native.place(1), native.place(2))
    program.export_plain(target, native.place(2), native.place(3))
    _run(program, [x, runtime.empty(source.floats, np.float32), runtime.empty(target.floats, np.float32), y])
    return y


def _run(program: Any, arrays: list[np.ndarray]) -> None:
    native.run(
        program, np.zeros(len(arrays), np.uintp), list(enumerate(arrays)),
        threads=runtime.threads(), keep_denormals=True,
    )  # fmt: skip
