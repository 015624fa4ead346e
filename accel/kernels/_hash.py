"""The numbers that a seed stands for, the same on every platform: docs/formats/accel.md."""

from __future__ import annotations

import numpy as np

MAX_SEED = 2**63 - 1


def hash64(x: np.ndarray) -> np.ndarray:
    """The finaliser of SplitMix64 on uint64 numbers, a bijection."""
    with np.errstate(over="ignore"):
        x = x + np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(x ^ (x >> np.uint64(31)))


def stream(seed: int, first: int, last: int) -> np.ndarray:
    """hash64(hash64(seed) ^ i) for i = first .. last - 1, uint64."""
    return hash64(hash64(np.array([seed], np.uint64)) ^ np.arange(first, last, dtype=np.uint64))


def permutations(blocks: int, n: int, seed: int) -> np.ndarray:
    """(blocks, n) int32: row k has 0 .. n - 1 in the order of numbers k n .. k n + n - 1 of the stream."""
    keys = stream(seed, 0, blocks * n).reshape(blocks, n)
    return np.argsort(keys, axis=1, kind="stable").astype(np.int32)
