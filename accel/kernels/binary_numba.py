"""The functions of binary networks compiled by Numba: independent of the native kernels and of _binary_numpy."""

from __future__ import annotations

from typing import Any

import numpy as np

from accel.kernels.conv import Pads, Pair
from accel.kernels.jit import njit


@njit
def _popcount(v: Any) -> Any:
    v = v - ((v >> np.uint64(1)) & np.uint64(0x5555555555555555))
    v = (v & np.uint64(0x3333333333333333)) + ((v >> np.uint64(2)) & np.uint64(0x3333333333333333))
    v = (v + (v >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return np.int64((v * np.uint64(0x0101010101010101)) >> np.uint64(56))


@njit
def _pack_rows(x: Any, out: Any) -> None:
    for r in range(x.shape[0]):
        for i in range(out.shape[1]):
            word = np.uint64(0)
            for j in range(min(64, x.shape[1] - i * 64)):
                if x[r, i * 64 + j] >= 0:
                    word |= np.uint64(1) << np.uint64(j)
            out[r, i] = word


def pack_bits(x: np.ndarray, out: np.ndarray) -> None:
    _pack_rows(x.reshape(-1, x.shape[-1]), out.reshape(-1, out.shape[-1]))


@njit
def pack_pixels(x: Any, at: Any, below: Any, out: Any) -> None:
    out[:] = 0
    for n in range(x.shape[0]):
        for c in range(x.shape[1]):
            bit = np.uint64(1) << np.uint64(c % 64)
            for i in range(x.shape[2]):
                for j in range(x.shape[3]):
                    v = x[n, c, i, j]
                    if (v <= at[c]) if below[c] else (v >= at[c]):
                        out[n, i, j, c // 64] |= bit


@njit
def matmul(a: Any, b: Any, n: int, out: Any) -> None:
    for m in range(a.shape[0]):
        for o in range(b.shape[0]):
            differ = 0
            for i in range(a.shape[1]):
                differ += _popcount(a[m, i] ^ b[o, i])
            out[m, o] = n - 2 * differ


@njit
def max_pool(words: Any, kernel: Pair, strides: Pair, before: Pair, minimum: bool, out: Any) -> None:
    for n in range(out.shape[0]):
        for i in range(out.shape[1]):
            for j in range(out.shape[2]):
                out[n, i, j] = ~np.uint64(0) if minimum else np.uint64(0)
                top, left = i * strides[0] - before[0], j * strides[1] - before[1]
                for y in range(max(top, 0), min(top + kernel[0], words.shape[1])):
                    for x in range(max(left, 0), min(left + kernel[1], words.shape[2])):
                        for k in range(words.shape[3]):
                            if minimum:
                                out[n, i, j, k] &= words[n, y, x, k]
                            else:
                                out[n, i, j, k] |= words[n, y, x, k]


@njit
def channel_means(x: Any, out: Any) -> None:
    for n in range(x.shape[0]):
        for i in range(x.shape[2]):
            for j in range(x.shape[3]):
                total = 0.0
                for c in range(x.shape[1]):
                    total += abs(np.float64(x[n, c, i, j]))
                out[n, 0, i, j] = total / x.shape[1]


@njit
def _window(words: Any, first: int, channels: int, to: Any) -> None:
    """Bits first .. first + channels - 1 of a pixel, from bit 0 on."""
    shift = np.uint64(first % 64)
    for k in range(to.size):
        at = first // 64 + k
        word = words[at] >> shift
        if shift and at + 1 < words.size:
            word |= words[at + 1] << (np.uint64(64) - shift)
        left = channels - k * 64
        to[k] = word & ((np.uint64(1) << np.uint64(left)) - np.uint64(1)) if left < 64 else word


@njit
def _count(x: Any, w: Any, channels: int, pad_value: int, y: int, left: int, dilations: Pair, first: int) -> int:
    """The product of one filter with the window of image x whose first tap is at (y, left)."""
    count, mine = 0, np.empty(w.shape[2], np.uint64)
    for p in range(w.shape[0]):
        for q in range(w.shape[1]):
            i, j = y + p * dilations[0], left + q * dilations[1]
            inside = 0 <= i < x.shape[0] and 0 <= j < x.shape[1]
            if inside:
                _window(x[i, j], first, channels, mine)
            differ = 0
            for k in range(w.shape[2]):
                differ += _popcount(mine[k] ^ w[p, q, k]) if inside else _popcount(w[p, q, k])
            count += channels - 2 * differ if inside else pad_value * (2 * differ - channels)
    return count


@njit
def _counts(
    x: Any, w: Any, channels: int, pad_value: int, strides: Pair, before: Pair, dilations: Pair, group: int, out: Any
) -> None:
    for n in range(out.shape[0]):
        for i in range(out.shape[1]):
            for j in range(out.shape[2]):
                for o in range(out.shape[3]):
                    y, left = i * strides[0] - before[0], j * strides[1] - before[1]
                    first = o // (w.shape[0] // group) * channels
                    out[n, i, j, o] = _count(x[n], w[o], channels, pad_value, y, left, dilations, first)


def conv_counts(
    x: np.ndarray,
    w: np.ndarray,
    channels: int,
    pad_value: int,
    strides: Pair,
    pads: Pads,
    dilations: Pair,
    group: int,
    out: np.ndarray,
) -> None:
    """Arguments as in _binary_numpy."""
    _counts(x, w, channels, pad_value, strides, pads[:2], dilations, group, out)


@njit
def _sign_rows(x: Any, bits: Any, out: Any) -> None:
    for m in range(x.shape[0]):
        for o in range(bits.shape[0]):
            total = 0.0
            for i in range(x.shape[1]):
                v = np.float64(x[m, i])
                total += v if (bits[o, i // 64] >> np.uint64(i % 64)) & np.uint64(1) else -v
            out[m, o] = total


def sign_linear(x: np.ndarray, weights: Any, bias: np.ndarray | None, out: np.ndarray) -> None:
    _sign_rows(x, weights.bits, out)
    if weights.scale is not None:
        out *= weights.scale
    if bias is not None:
        out += bias
