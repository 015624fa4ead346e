"""Walsh-Hadamard transform, Fastfood and hashed weights by their definitions, in float64."""

from __future__ import annotations

import numpy as np


def hadamard(n: int) -> np.ndarray:
    """H[i, j] = (-1)**popcount(i & j), n a power of two; H H = n I."""
    h = np.ones((1, 1))
    while h.shape[0] < n:
        h = np.block([[h, h], [h, -h]])
    return h


def fwht(x: np.ndarray, axis: int = -1, norm: str | None = None) -> np.ndarray:
    """y = H x along an axis, natural order; norm "ortho": / sqrt(n)."""
    y = np.moveaxis(x.astype(np.float64), axis, -1)
    shape, n = y.shape, x.shape[axis]
    y = y.reshape(-1, n)
    for half in (1 << k for k in range((n - 1).bit_length())):  # H of 2 n is [[H, H], [H, -H]] of n
        a, b = np.moveaxis(y.reshape(-1, n // (2 * half), 2, half), 2, 0)
        y = np.stack([a + b, a - b], axis=2).reshape(-1, n)
    y = np.moveaxis(y.reshape(shape), -1, axis)
    return np.asarray(y / np.sqrt(n)) if norm == "ortho" else y


def fastfood(x: np.ndarray, s: np.ndarray, g: np.ndarray, perm: np.ndarray, b: np.ndarray) -> np.ndarray:
    """S H G Pi H B x along the last axis, H orthonormal, (Pi z)[i] = z[perm[i]]."""
    mixed = fwht(b * x.astype(np.float64), norm="ortho")[..., perm]
    return np.asarray(s * fwht(g * mixed, norm="ortho"))


_MASK = (1 << 64) - 1


def hash64(x: int) -> int:
    """The finaliser of SplitMix64: a bijection of 64-bit numbers."""
    x = (x + 0x9E3779B97F4A7C15) & _MASK
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & _MASK
    return x ^ (x >> 31)


def permutation(n: int, seed: int) -> np.ndarray:
    """The numbers 0..n-1 in the order of hash64(hash64(seed) ^ i), ties (there are none) by i."""
    start = hash64(seed)
    return np.array(sorted(range(n), key=lambda i: (hash64(start ^ i), i)), np.int64)


def unhash(values: np.ndarray, shape: tuple[int, int], seed: int) -> np.ndarray:
    """w[i, j] = xi values[h]: of hash64(hash64(seed) ^ (i * in + j)) the upper 32 bits choose h, the lowest bit xi."""
    start, k = hash64(seed), values.size
    out, depth = shape
    w = np.empty(shape)
    for i in range(out):
        for j in range(depth):
            bits = hash64(start ^ (i * depth + j))
            w[i, j] = (-1.0 if bits & 1 else 1.0) * values[(bits >> 32) * k >> 32]
    return w
