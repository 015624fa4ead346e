"""Signs packed to bits, and what works on bits alone. Public through accel.kernels.binary."""

from __future__ import annotations

from typing import Any

import numpy as np

from accel.kernels import checks, runtime
from accel.kernels.conv import Pads, Pair, four_pads, output_shape, output_sizes, pair

WORD = 64
MOST_BITS = 1 << 30
"""The largest number of terms of a product: counts are int32."""


def words_for(n: int) -> int:
    """Words that hold n bits."""
    return -(-n // WORD)


def backend() -> Any:
    """The module whose functions do the work, by the back end in force; all have the same functions."""
    if runtime.backend() == "native":
        from accel.kernels import _binary_native

        return _binary_native
    if runtime.backend() == "numba":
        from accel.kernels import binary_numba

        return binary_numba
    from accel.kernels import _binary_numpy

    return _binary_numpy


def packed(name: str, value: Any, n: int, ndim: int | None = None) -> np.ndarray:
    """`value` when it holds words of n bits along its last axis and zeros after them, else an error."""
    words = checks.array(name, value, np.uint64, ndim)
    if words.ndim == 0 or words.shape[-1] != words_for(n):
        raise ValueError(
            f"{name}: expected {words_for(n)} words for {n} bits on the last axis, got shape {words.shape}"
        )
    if n % WORD and words.size and int(np.bitwise_or.reduce(words[..., -1], axis=None)) >> n % WORD:
        raise ValueError(f"{name}: expected zeros after {n} bits, got bits set in the padding of the last word")
    return words


def _is_dirty(words: np.ndarray, n: int) -> bool:
    if runtime.backend() == "native":
        return bool(runtime.core.padding_is_dirty(words, n))
    return bool(int(np.bitwise_or.reduce(words[..., -1], axis=None)) >> n % WORD)


def only_signs(name: str, x: np.ndarray) -> None:
    """Raises ValueError where x holds anything but -1 and +1."""
    bad = np.abs(x) != 1
    if bad.any():
        raise ValueError(f"{name}: expected only -1 and +1, got {x[bad].flat[0]}")


def pack_bits(x: np.ndarray, out: np.ndarray | None = None, *, strict: bool = False) -> np.ndarray:
    """Signs along the last axis as bits: bit i % 64 of word i // 64 is 1 iff x[..., i] >= 0.

    Parameters
    ----------
    x : (..., n) float32 or int8, C-contiguous. 0.0 and -0.0 count as +1, NaN as -1.
    out : (..., ceil(n / 64)) uint64, optional; must not overlap x.
    strict : refuse values other than -1 and +1.

    Returns
    -------
    (..., ceil(n / 64)) uint64; the bits after the last sign are 0.

    Raises
    ------
    TypeError   x is neither float32 nor int8, or out not uint64 (nothing is converted).
    ValueError  x has no axis or is not contiguous, out has another shape, or `strict` and a value is not -1 or +1.
    """
    checks.array("x", x, np.int8 if isinstance(x, np.ndarray) and x.dtype == np.int8 else np.float32)
    if x.ndim == 0:
        raise ValueError("x: expected at least one axis, got none")
    if strict:
        only_signs("x", x)
    words = checks.output("out", out, np.uint64, (*x.shape[:-1], words_for(x.shape[-1])), x=x)
    if words.size:
        backend().pack_bits(x, words)
    return words


def unpack_bits(words: np.ndarray, n: int) -> np.ndarray:
    """Bits to signs: (..., ceil(n / 64)) uint64 to (..., n) float32 of -1 and +1; the inverse of `pack_bits`.

    Raises
    ------
    TypeError   words is not uint64, or n not an integer.
    ValueError  there are not ceil(n / 64) words, or bits are set after the first n.
    """
    n = checks.integer("n", n, 0, MOST_BITS)
    words = packed("words", words, n)
    bits = np.unpackbits(words.astype("<u8", copy=False).view(np.uint8), axis=-1, bitorder="little", count=n)
    return bits.astype(np.float32) * np.float32(2) - np.float32(1)


def pack_pixels(
    x: np.ndarray, *, at: np.ndarray | None = None, below: np.ndarray | None = None, out: np.ndarray | None = None
) -> np.ndarray:
    """Signs of an image as bits along its channels: word c // 64 of a pixel holds channel c in bit c % 64.

    Parameters
    ----------
    x : (N, C, H, W) float32, C-contiguous.
    at : (C,) float32, optional: the bit is 1 iff x >= at[c] (0 without it). Batch-norm and sign are such a threshold.
    below : (C,) bool, optional: the bit is 1 iff x <= at[c] where true. A comparison with NaN gives 0.
    out : (N, H, W, ceil(C / 64)) uint64, optional; must not overlap an input.

    Returns
    -------
    (N, H, W, ceil(C / 64)) uint64; the bits after the last channel are 0.

    Raises
    ------
    TypeError   a dtype is another.
    ValueError  a shape does not fit.
    """
    checks.array("x", x, np.float32, 4)
    n, channels, height, width = x.shape
    for name, value, dtype in (("at", at, np.float32), ("below", below, np.bool_)):
        if value is not None and checks.array(name, value, dtype, 1).shape != (channels,):
            raise ValueError(f"{name}: expected shape ({channels},), got {value.shape}")
    words = checks.output("out", out, np.uint64, (n, height, width, words_for(channels)), x=x, at=at, below=below)
    if words.size:
        at = np.zeros(channels, np.float32) if at is None else at
        backend().pack_pixels(x, at, np.zeros(channels, np.bool_) if below is None else below, words)
    return words


def unpack_pixels(words: np.ndarray, channels: int) -> np.ndarray:
    """(N, H, W, ceil(C / 64)) uint64 to (N, C, H, W) float32 of -1 and +1; errors as `unpack_bits`."""
    channels = checks.integer("channels", channels, 0, MOST_BITS)
    packed("words", words, channels, 4)
    return np.ascontiguousarray(unpack_bits(words, channels).transpose(0, 3, 1, 2))


def binary_matmul(a_bits: np.ndarray, b_bits: np.ndarray, n: int, out: np.ndarray | None = None) -> np.ndarray:
    """Products of signs: y[m, o] = sum_i a[m, i] b[o, i] = n - 2 popcount(a xor b), exactly.

    Parameters
    ----------
    a_bits : (m, ceil(n / 64)) uint64, from `pack_bits`.
    b_bits : (o, ceil(n / 64)) uint64.
    n : signs in a row, at most 2**30.
    out : (m, o) int32, optional; must not overlap an input.

    Returns
    -------
    (m, o) int32

    Raises
    ------
    TypeError   an array is not uint64, out not int32, or n not an integer.
    ValueError  shapes do not fit, or a bit after the first n of a row is set.

    Notes
    -----
    b is packed at every call; `BinaryConv` packs it once, and a matrix product is a 1 x 1 convolution.
    """
    n = checks.integer("n", n, 0, MOST_BITS)
    packed("a_bits", a_bits, n, 2), packed("b_bits", b_bits, n, 2)
    shape = a_bits.shape[0], b_bits.shape[0]
    y = checks.output("out", out, np.int32, shape, a_bits=a_bits, b_bits=b_bits)
    if y.size:
        backend().matmul(a_bits, b_bits, n, y)
    return y


def binary_max_pool2d(
    words: np.ndarray,
    kernel: int | Pair,
    *,
    strides: int | Pair = 1,
    pads: int | Pair | Pads = 0,
    minimum: bool = False,
) -> np.ndarray:
    """Largest sign of every window, over bits: the OR of its pixels, or with `minimum` their AND.

    Max-pooling before a threshold that is crossed downwards is a minimum after it.

    Parameters
    ----------
    words : (N, H, W, words) uint64, from `pack_pixels`.
    kernel, strides : integer or (h, w), at least 1.
    pads : p, (ph, pw) or (top, left, bottom, right), each less than the kernel; the padding never wins.

    Returns
    -------
    (N, H', W', words) uint64

    Raises
    ------
    TypeError   words is not uint64, or a parameter not an integer.
    ValueError  the kernel does not fit, or pads reach as far as the kernel.
    """
    checks.array("words", words, np.uint64, 4)
    kernel, strides, four = pair("kernel", kernel, 1), pair("strides", strides, 1), four_pads(pads)
    if any(p >= kernel[i % 2] for i, p in enumerate(four)):
        raise ValueError(f"pads: expected less than the kernel {kernel}, got {four}")
    height, width = output_sizes((words.shape[1], words.shape[2]), kernel, strides, four, (1, 1))
    if height <= 0 or width <= 0 or 0 in words.shape[1:3]:
        raise ValueError(f"words: a kernel of {kernel} with pads {four} does not fit {words.shape[1:3]}")
    y = runtime.empty((words.shape[0], height, width, words.shape[3]), np.uint64)
    if y.size:
        backend().max_pool(words, kernel, strides, four[:2], bool(minimum), y)
    return y


def binary_scale_map(
    x: np.ndarray,
    kernel: int | Pair,
    *,
    strides: int | Pair = 1,
    pads: int | Pair | Pads = 0,
    dilations: int | Pair = 1,
) -> np.ndarray:
    """XNOR-Net's K: the mean over each window of A, which is the mean of |x| over the channels of a pixel.

    Parameters
    ----------
    x : (N, C, H, W) float32, C-contiguous.
    kernel, strides, pads, dilations : as in accel.kernels.conv2d, of the convolution that K scales; A is 0 outside.

    Returns
    -------
    (N, H', W') float32, what `BinaryConv` takes as `pixel_scale`.

    Raises
    ------
    TypeError   x is not float32, or a parameter not an integer.
    ValueError  x has another rank or no channel, or the kernel does not fit.
    """
    from accel.kernels.conv import conv2d

    checks.array("x", x, np.float32, 4)
    if x.shape[1] == 0:
        raise ValueError(f"x: expected at least one channel, got {checks.describe(x)}")
    size, four = pair("kernel", kernel, 1), four_pads(pads)
    # Before a kernel of that size is made.
    output_shape(x, 1, size, pair("strides", strides, 1), four, pair("dilations", dilations, 1))
    means = runtime.empty((x.shape[0], 1, *x.shape[2:]), np.float32)
    if means.size:
        backend().channel_means(x, means)
    box = np.full((1, 1, *size), 1.0 / (size[0] * size[1]), np.float32)
    return conv2d(means, box, strides=strides, pads=four, dilations=dilations)[:, 0]
