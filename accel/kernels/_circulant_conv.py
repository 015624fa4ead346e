"""Convolution with weights that are block-circulant over channels, as one product per output pixel (CirCNN)."""

from __future__ import annotations

import numpy as np

from accel.kernels import checks
from accel.kernels.circulant import CirculantPlan
from accel.kernels.conv import Pair, output_shape

_MOST_FLOATS = 1 << 20  # of windows laid out at once: 4 MB


def circulant_conv2d(
    x: np.ndarray,
    plan: CirculantPlan,
    kernel: Pair,
    strides: Pair,
    pads: tuple[int, int, int, int],
    dilations: Pair,
) -> np.ndarray:
    """y[n, o, i, j]: the product of W with the window at (i, j), its channels tap after tap.

    Parameters
    ----------
    x : (N, C, H, W) float32, C-contiguous.
    plan : of W (O, kh kw q b), q b >= C: the channels of a tap, filled up with zeros to whole blocks.
    kernel, strides, pads, dilations : as in accel.kernels.conv2d; pads are top, left, bottom, right.

    Returns
    -------
    (N, O, H', W') float32

    Raises
    ------
    TypeError   x is not float32. ValueError   the kernel does not fit the padded image.

    Notes
    -----
    Windows overlap, and each is transformed as a whole: kh kw transforms of every pixel, where one would do.
    """
    images, channels, height, width = checks.array("x", x, np.float32, 4).shape
    shape = output_shape(x, plan.out, kernel, strides, pads, dilations)
    filled = plan.columns // (kernel[0] * kernel[1])
    padded = np.zeros((images, height + pads[0] + pads[2], width + pads[1] + pads[3], filled), np.float32)
    padded[:, pads[0] : pads[0] + height, pads[1] : pads[1] + width, :channels] = x.transpose(0, 2, 3, 1)
    by_image, by_row, by_column, by_channel = padded.strides
    steps, taps = (by_row * strides[0], by_column * strides[1]), (by_row * dilations[0], by_column * dilations[1])
    sizes = (images, *shape[2:], *kernel, filled)
    windows = np.lib.stride_tricks.as_strided(padded, sizes, (by_image, *steps, *taps, by_channel), writeable=False)
    y, step = np.empty(shape, np.float32), max(_MOST_FLOATS // (shape[3] * plan.columns), 1)
    for image in range(images):
        for row in range(0, shape[2], step):
            rows = np.ascontiguousarray(windows[image, row : row + step]).reshape(-1, shape[3], plan.columns)
            y[image, :, row : row + step] = plan(rows).transpose(2, 0, 1)
    return y
