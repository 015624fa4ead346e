"""Convolution by a matrix product that has a kernel of its own, a row per output pixel (CirCNN does so)."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from accel.kernels import checks, runtime
from accel.kernels.conv import Pair, output_shape

_MOST_FLOATS = 1 << 20  # of windows laid out at once: 4 MB


class WindowProduct(Protocol):
    """x W^T for x of shape (..., columns), W of `out` rows."""

    @property
    def out(self) -> int: ...

    @property
    def columns(self) -> int: ...

    def __call__(self, x: np.ndarray) -> np.ndarray: ...


def window_conv2d(
    x: np.ndarray,
    product: WindowProduct,
    kernel: Pair,
    strides: Pair,
    pads: tuple[int, int, int, int],
    dilations: Pair,
) -> np.ndarray:
    """y[n, o, i, j]: the product of W with the window at (i, j), its channels tap after tap.

    Parameters
    ----------
    x : (N, C, H, W) float32, C-contiguous.
    product : with W (O, kh kw c), c >= C: the channels of a tap, filled up with zeros (to whole blocks).
    kernel, strides, pads, dilations : as in accel.kernels.conv2d; pads are top, left, bottom, right.

    Returns
    -------
    (N, O, H', W') float32

    Raises
    ------
    TypeError   x is not float32. ValueError   the kernel does not fit the padded image.

    Notes
    -----
    Windows overlap, and each is multiplied as a whole: of transforms kh kw of every pixel, where one would do.
    """
    images, channels, height, width = checks.array("x", x, np.float32, 4).shape
    shape = output_shape(x, product.out, kernel, strides, pads, dilations)
    filled = product.columns // (kernel[0] * kernel[1])
    padded = np.zeros((images, height + pads[0] + pads[2], width + pads[1] + pads[3], filled), np.float32)
    padded[:, pads[0] : pads[0] + height, pads[1] : pads[1] + width, :channels] = x.transpose(0, 2, 3, 1)
    by_image, by_row, by_column, by_channel = padded.strides
    steps, taps = (by_row * strides[0], by_column * strides[1]), (by_row * dilations[0], by_column * dilations[1])
    sizes = (images, *shape[2:], *kernel, filled)
    windows = np.lib.stride_tricks.as_strided(padded, sizes, (by_image, *steps, *taps, by_channel), writeable=False)
    y, step = runtime.empty(shape, np.float32), max(_MOST_FLOATS // (shape[3] * product.columns), 1)
    for image in range(images):
        for row in range(0, shape[2], step):
            rows = np.ascontiguousarray(windows[image, row : row + step]).reshape(-1, shape[3], product.columns)
            y[image, :, row : row + step] = product(rows).transpose(2, 0, 1)
    return y
