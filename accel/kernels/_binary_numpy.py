"""The functions of binary networks in NumPy: signs as floats, products by its BLAS. Exact: sums stay below 2**24."""

from __future__ import annotations

from typing import Any

import numpy as np

from accel.kernels.conv import Pair

_EXACT = 1 << 24  # float32 holds every integer up to here


def unpack(words: np.ndarray, n: int) -> np.ndarray:
    """(..., words) uint64 to (..., n) of +-1, in the narrowest float whose sums of n are exact."""
    bits = np.unpackbits(words.astype("<u8", copy=False).view(np.uint8), axis=-1, bitorder="little", count=n)
    signs: np.ndarray = bits.astype(np.float32 if n < _EXACT else np.float64)
    return signs * 2 - 1


def _pack(bits: np.ndarray, out: np.ndarray) -> None:
    flat = np.zeros((*out.shape[:-1], out.shape[-1] * 8), np.uint8)
    octets = np.packbits(bits, axis=-1, bitorder="little")
    flat[..., : octets.shape[-1]] = octets
    out[...] = flat.view("<u8")


def pack_bits(x: np.ndarray, out: np.ndarray) -> None:
    _pack(x >= 0, out)


def pack_pixels(x: np.ndarray, at: np.ndarray, below: np.ndarray, out: np.ndarray) -> None:
    pixels = x.transpose(0, 2, 3, 1)
    _pack(np.where(below, pixels <= at, pixels >= at), out)


def matmul(a: np.ndarray, b: np.ndarray, n: int, out: np.ndarray) -> None:
    out[...] = unpack(a, n) @ unpack(b, n).T


def max_pool(words: np.ndarray, kernel: Pair, strides: Pair, before: Pair, minimum: bool, out: np.ndarray) -> None:
    images, (height, width) = np.arange(words.shape[0]), words.shape[1:3]
    combine, identity = (np.bitwise_and, ~np.uint64(0)) if minimum else (np.bitwise_or, np.uint64(0))
    out[...] = identity
    taps = [_taps(out.shape[1 + i], kernel[i], strides[i], before[i], (height, width)[i]) for i in (0, 1)]
    for p in taps[0]:
        for q in taps[1]:
            rows, columns = (
                np.arange(out.shape[1 + i]) * strides[i] + (p, q)[i] - before[i] for i in (0, 1)
            )  # of the words that tap (p, q) meets
            r, c = ((at >= 0) & (at < size) for at, size in ((rows, height), (columns, width)))
            target = np.ix_(images, np.flatnonzero(r), np.flatnonzero(c))
            out[target] = combine(out[target], words[np.ix_(images, rows[r], columns[c])])


def _taps(windows: int, kernel: int, stride: int, before: int, size: int) -> list[int]:
    """The taps of a pooling window that meet the image anywhere: of a huge kernel few do."""
    starts = (i * stride - before for i in range(windows))
    return sorted({tap for start in starts for tap in range(max(-start, 0), min(kernel, size - start))})


def channel_means(x: np.ndarray, out: np.ndarray) -> None:
    out[:, 0] = np.abs(x).mean(axis=1, dtype=np.float64)


def conv_counts(
    x: np.ndarray,
    w: np.ndarray,
    channels: int,
    pad_value: int,
    strides: Pair,
    pads: tuple[int, int, int, int],
    dilations: Pair,
    group: int,
    out: np.ndarray,
) -> None:
    """x (N, H, W, words) of group * channels bits, w (O, kh, kw, words) of `channels` bits, out (N, H', W', O)."""
    kernel, filters = w.shape[1:3], w.shape[0] // group
    top, left, bottom, right = pads
    depth = kernel[0] * kernel[1] * channels
    signs = unpack(x, group * channels).astype(np.float32 if depth < _EXACT else np.float64, copy=False)
    signs = np.pad(signs, ((0, 0), (top, bottom), (left, right), (0, 0)), constant_values=pad_value)
    reach = [d * (k - 1) + 1 for k, d in zip(kernel, dilations, strict=True)]
    view = np.lib.stride_tricks.sliding_window_view(signs, reach, axis=(1, 2))
    view = view[:, :: strides[0], :: strides[1], :, :: dilations[0], :: dilations[1]]
    weights = unpack(w, channels).astype(signs.dtype, copy=False)
    for g in range(group):
        columns = view[:, :, :, g * channels : (g + 1) * channels].transpose(0, 1, 2, 4, 5, 3).reshape(-1, depth)
        mine = slice(g * filters, (g + 1) * filters)
        out[..., mine] = (columns @ weights[mine].reshape(filters, depth).T).reshape(*out.shape[:3], filters)


def sign_linear(x: np.ndarray, weights: Any, bias: np.ndarray | None, out: np.ndarray) -> None:
    """x (m, columns) and out (m, rows); weights: a SignWeights."""
    np.matmul(x, unpack(weights.bits, weights.columns).T, out=out, casting="same_kind")
    if weights.scale is not None:
        out *= weights.scale
    if bias is not None:
        out += bias
