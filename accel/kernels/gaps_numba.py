"""Gap coding by compiled loops; same functions as the Cython module accel.kernels._index."""

from __future__ import annotations

import numpy as np

from accel.kernels.jit import njit


@njit
def gaps_count(positions: np.ndarray, bits: int) -> int:
    entries, before = 0, np.int64(-1)
    for k in range(positions.size):
        now = np.int64(positions[k])
        if now <= before:
            return -1 - k
        entries += int((now - before - 1) >> bits) + 1
        before = now
    return entries


@njit
def gaps_fill(positions: np.ndarray, bits: int, gaps: np.ndarray, filler: np.ndarray) -> None:
    at, before, reach = 0, np.int64(-1), 1 << bits
    for k in range(positions.size):
        now = np.int64(positions[k])
        gap = now - before - 1
        while gap >= reach:
            gaps[at] = reach - 1
            filler[at] = 1
            at += 1
            gap -= reach
        gaps[at] = gap
        at += 1
        before = now


@njit
def gaps_decode(gaps: np.ndarray, size: int, most: int, positions: np.ndarray) -> int:
    now = np.int64(-1)
    for k in range(gaps.size):
        now += np.int64(gaps[k]) + 1
        if gaps[k] > most or now >= size:
            return k
        positions[k] = now
    return -1


@njit
def deltas_count(indices: np.ndarray, indptr: np.ndarray) -> int:
    count = indices.size
    for i in range(indptr.size - 1):
        before = np.int64(-1)
        for p in range(indptr[i], indptr[i + 1]):
            count += (indices[p] - before - 1) // 255
            before = np.int64(indices[p])
    return count


@njit
def deltas_fill(indices: np.ndarray, indptr: np.ndarray, deltas: np.ndarray) -> None:
    at = 0
    for i in range(indptr.size - 1):
        before = np.int64(-1)
        for p in range(indptr[i], indptr[i + 1]):
            step = indices[p] - before - 1
            before = np.int64(indices[p])
            while step >= 255:
                deltas[at] = 255
                at += 1
                step -= 255
            deltas[at] = step
            at += 1


@njit
def deltas_decode(deltas: np.ndarray, indptr: np.ndarray, columns: int, indices: np.ndarray) -> int:
    at = 0
    for i in range(indptr.size - 1):
        now = np.int64(-1)
        for p in range(indptr[i], indptr[i + 1]):
            while at < deltas.size and deltas[at] == 255:
                now += 255
                at += 1
            if at == deltas.size:
                return p
            now += np.int64(deltas[at]) + 1
            at += 1
            if now >= columns:
                return p
            indices[p] = now
    return -1 if at == deltas.size else indices.size
