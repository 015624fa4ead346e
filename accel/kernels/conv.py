"""2-D convolution of N x C x H x W float32 arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from accel.errors import shown
from accel.kernels import checks, runtime
from accel.kernels import program as native
from accel.reference import conv as reference
from accel.reference import fft, winograd

Pair = tuple[int, int]
Pads = tuple[int, int, int, int]
ALGORITHMS = ("auto", "direct", "im2col", *(f"winograd{m}" for m in range(2, 7)), "fft")
MOST = 2**31 - 1
"""The largest stride, dilation, pad or window: the native kernels count in 32 bits."""


def pair(name: str, value: Any, least: int) -> Pair:
    """(h, w) from an integer or a pair of integers."""
    if isinstance(value, (int, np.integer)):
        value = (value, value)
    if not isinstance(value, (tuple, list)) or len(value) != 2:
        raise TypeError(f"{name}: expected an integer or a pair, got {checks.describe(value)}")
    return checks.integer(name, value[0], least, MOST), checks.integer(name, value[1], least, MOST)


def four_pads(value: Any) -> tuple[int, int, int, int]:
    """(top, left, bottom, right) from p, (ph, pw) or all four."""
    if isinstance(value, (tuple, list)) and len(value) == 4:
        top, left, bottom, right = (checks.integer("pads", v, 0, MOST) for v in value)
        return top, left, bottom, right
    height, width = pair("pads", value, 0)
    return height, width, height, width


def output_size(size: int, kernel: int, stride: int, dilation: int, before: int, after: int, ceil: bool = False) -> int:
    """Windows along one axis. With `ceil` a last window may overhang, if it starts inside image or left padding."""
    room = size + before + after - dilation * (kernel - 1) - 1
    if room < 0:
        return 0
    count = -(-room // stride) + 1 if ceil else room // stride + 1
    return count - 1 if ceil and (count - 1) * stride >= size + before else count


def output_sizes(
    size: Pair, kernel: Pair, strides: Pair, pads: tuple[int, ...], dilations: Pair, ceil: bool = False
) -> Pair:
    """(H', W') of an image of `size`; 0 where the kernel does not fit."""
    height, width = (
        output_size(size[i], kernel[i], strides[i], dilations[i], pads[i], pads[2 + i], ceil) for i in (0, 1)
    )
    return height, width


def output_shape(
    x: np.ndarray,
    channels: int,
    kernel: Pair,
    strides: Pair,
    pads: tuple[int, ...],
    dilations: Pair,
    ceil: bool = False,
) -> tuple[int, int, int, int]:
    height, width = output_sizes((x.shape[2], x.shape[3]), kernel, strides, pads, dilations, ceil)
    if height <= 0 or width <= 0:
        raise ValueError(
            f"x: a kernel of {kernel} with pads {pads} and dilations {dilations} does not fit {x.shape[2:]}"
        )
    return x.shape[0], channels, height, width


def result_shape(
    x: np.ndarray, w: tuple[int, ...], strides: Pair, pads: tuple[int, ...], dilations: Pair, group: int
) -> tuple[int, int, int, int]:
    """Of a convolution with weights of shape `w`, or ValueError where they do not fit."""
    if w[0] % group or x.shape[1] != w[1] * group or 0 in w:
        raise ValueError(
            f"w: expected shape (O, {x.shape[1]}/group, kh, kw) with O a multiple of group, got {w} for "
            f"x of shape {x.shape} and group {shown(group)}"
        )
    return output_shape(x, w[0], (w[2], w[3]), strides, pads, dilations)


def conv2d(
    x: np.ndarray,
    w: np.ndarray,
    bias: np.ndarray | None = None,
    *,
    strides: int | Pair = 1,
    pads: int | Pair | tuple[int, int, int, int] = 0,
    dilations: int | Pair = 1,
    group: int = 1,
    algorithm: str = "auto",
) -> np.ndarray:
    """Convolution (cross-correlation) as in ONNX Conv; see accel.reference.conv.conv2d for the formula.

    Parameters
    ----------
    x : (N, C, H, W) float32, C-contiguous.
    w : (O, C/group, kh, kw) float32, C-contiguous.
    bias : (O,) float32, optional.
    strides, dilations : integer or (h, w), at least 1.
    pads : p, (ph, pw) or (top, left, bottom, right), at least 0; filled with zeros.
    group : number of groups; divides C and O.
    algorithm : one of ALGORITHMS. "winogradM" computes tiles of M x M outputs, dilations 1: 2, 4 and 6 for 3 x 3
        kernels, 4 for 5 x 5; with strides of 2, 3 and 5 for 3 x 3, and others for few channels
        (docs/kernels/winograd.md). "fft": kernels whose longer side is 5 to 13, strides and dilations 1. "auto" takes
        what should be the fastest for one image of this size; winograd6 only by its name.

    Returns
    -------
    (N, O, H', W') float32 with H' = (H + top + bottom - dh (kh - 1) - 1) // sh + 1.

    Raises
    ------
    TypeError   an array is not float32, or a parameter not an integer (nothing is converted).
    ValueError  ranks, channels, groups or sizes do not fit together, or the algorithm is unknown, cannot compute this
                convolution, or transforms weights and one is not finite.

    Notes
    -----
    Weights are packed at every call; `accel.Conv2d` packs them once. Error against float64, direct and im2col: below
    4 eps sqrt(K) sum |w| |x| with K = C/group kh kw; the others: docs/kernels/winograd.md.
    """
    x, w = checks.array("x", x, np.float32, 4), checks.array("w", w, np.float32, 4)
    strides, dilations, pads = pair("strides", strides, 1), pair("dilations", dilations, 1), four_pads(pads)
    group = checks.integer("group", group, 1)
    if algorithm not in ALGORITHMS:
        raise ValueError(f"algorithm: expected one of {', '.join(ALGORITHMS)}, got {shown(algorithm)}")
    shape = result_shape(x, w.shape, strides, pads, dilations, group)
    if bias is not None and checks.array("bias", bias, np.float32, 1).shape != w.shape[:1]:
        raise ValueError(f"bias: expected shape ({w.shape[0]},), got {bias.shape}")
    if shape[0] == 0:
        return np.zeros(shape, np.float32)
    geometry = (strides, pads, dilations, group)
    if native.native():
        from accel.kernels.conv_native import conv2d_native

        method = choose_method(algorithm, w, shape[2:], strides, dilations, group)
        return conv2d_native(x, w.shape, method, method.pack(w, bias, strides, group), shape, *geometry)
    if algorithm != "auto":
        choose_method(algorithm, w, shape[2:], strides, dilations, group)  # the same are refused as natively
    if algorithm not in ("direct", "im2col") and not np.isfinite(x).all():
        algorithm = "direct"  # a tile would spread what is not finite
    return (
        _by_numba(x, w, bias, shape, algorithm, *geometry)
        if runtime.backend() == "numba"
        else _by_definition(x, w, bias, algorithm, *geometry)
    )


def _by_numba(
    x: np.ndarray,
    w: np.ndarray,
    bias: np.ndarray | None,
    shape: tuple[int, int, int, int],
    algorithm: str,
    strides: Pair,
    pads: Pads,
    dilations: Pair,
    group: int,
) -> np.ndarray:
    from accel.kernels import conv_numba, winograd_numba

    if algorithm.startswith("winograd"):
        return winograd_numba.winograd2d_numba(x, w, bias, shape, int(algorithm[8:]), strides[0], pads, group)
    if algorithm == "fft":
        return winograd_numba.fft2d_numpy(x, w, bias, shape, pads, group)
    by = winograd_numba.im2col2d_numpy if algorithm == "im2col" else conv_numba.conv2d_numba
    return by(x, w, bias, shape, strides, pads, dilations, group)


def _by_definition(
    x: np.ndarray,
    w: np.ndarray,
    bias: np.ndarray | None,
    algorithm: str,
    strides: Pair,
    pads: Pads,
    dilations: Pair,
    group: int,
) -> np.ndarray:
    if algorithm.startswith("winograd"):
        y = winograd.conv2d(x, w, bias, m=int(algorithm[8:]), stride=strides[0], pads=pads, group=group)
    elif algorithm == "fft":
        y = fft.conv2d(x, w, bias, pads=pads, group=group)
    else:
        by = reference.conv2d_im2col if algorithm == "im2col" else reference.conv2d
        y = by(x, w, bias, strides=strides, pads=pads, dilations=dilations, group=group)
    return y.astype(np.float32, order="C")


def choose_method(algorithm: str, w: np.ndarray, size: Pair, strides: Pair, dilations: Pair, group: int) -> Any:
    """The native method for weights `w` and an output of `size`: by its name, or for "auto" by its predicted cost."""
    from accel.kernels._conv_cost import promising
    from accel.kernels.conv_native import method_named

    if algorithm != "auto":
        method = method_named(algorithm, w.shape, strides, dilations, group)
        if method.transforms and not np.isfinite(w).all():
            raise ValueError(f"w: expected finite weights for {algorithm}, got some that are not; direct takes them")
        return method
    method = promising(w.shape, size, strides, dilations, group, within=1.0)[0][0]
    return (
        method
        if not method.transforms or np.isfinite(w).all()
        else method_named("direct", w.shape, strides, dilations, group)
    )


def conv2d_packed(
    x: np.ndarray,
    w_shape: tuple[int, ...],
    prepared: Callable[[Pair], tuple[Any, tuple[np.ndarray, np.ndarray]]],
    *,
    strides: Pair,
    pads: Pads,
    dilations: Pair,
    group: int,
) -> np.ndarray:
    """`conv2d` by the native kernels; `prepared` gives method and packed weights for an output size."""
    from accel.kernels.conv_native import conv2d_native

    shape = result_shape(checks.array("x", x, np.float32, 4), w_shape, strides, pads, dilations, group)
    if shape[0] == 0:
        return np.zeros(shape, np.float32)
    return conv2d_native(x, w_shape, *prepared(shape[2:]), shape, strides, pads, dilations, group)
