"""CSR loops compiled by Numba; same functions as the Cython module accel.kernels._index."""

from __future__ import annotations

import numpy as np

from accel.kernels.jit import njit


@njit
def csr_count(w: np.ndarray, indptr: np.ndarray) -> None:
    count = 0
    for i in range(w.shape[0]):
        for j in range(w.shape[1]):
            if w[i, j] != 0:
                count += 1
        indptr[i + 1] = count


@njit
def csr_fill(w: np.ndarray, data: np.ndarray, indices: np.ndarray) -> None:
    at = 0
    for i in range(w.shape[0]):
        for j in range(w.shape[1]):
            if w[i, j] != 0:
                data[at] = w[i, j]
                indices[at] = j
                at += 1


@njit
def csr_pointers(indptr: np.ndarray, nnz: int) -> int:
    if indptr[0] != 0:
        return 0
    if indptr[-1] != nnz:
        return indptr.size - 1
    for i in range(1, indptr.size):
        if indptr[i] < indptr[i - 1]:
            return i
    return -1


@njit
def csr_outside(indices: np.ndarray, columns: int) -> int:
    for p in range(indices.size):
        if indices[p] < 0 or indices[p] >= columns:
            return p
    return -1


@njit
def csr_ordered(indices: np.ndarray, indptr: np.ndarray) -> bool:
    for i in range(indptr.size - 1):
        for p in range(indptr[i] + 1, indptr[i + 1]):
            if indices[p] <= indices[p - 1]:
                return False
    return True


@njit
def csr_sum_duplicates(data: np.ndarray, indices: np.ndarray, indptr: np.ndarray) -> int:
    at, begin = 0, 0
    for i in range(indptr.size - 1):
        end, row_start = indptr[i + 1], at
        for p in range(begin, end):
            if at > row_start and indices[at - 1] == indices[p]:
                data[at - 1] = data[at - 1] + data[p]
            else:
                indices[at] = indices[p]
                data[at] = data[p]
                at += 1
        indptr[i + 1] = at
        begin = end
    return at


@njit
def _matmul_float(data: np.ndarray, indices: np.ndarray, indptr: np.ndarray, x: np.ndarray, y: np.ndarray) -> None:
    for b in range(x.shape[0]):
        for i in range(indptr.size - 1):
            total = 0.0
            for p in range(indptr[i], indptr[i + 1]):
                total += np.float64(data[p]) * np.float64(x[b, indices[p]])
            y[b, i] = total


@njit
def _matmul_int(data: np.ndarray, indices: np.ndarray, indptr: np.ndarray, x: np.ndarray, y: np.ndarray) -> None:
    for b in range(x.shape[0]):
        for i in range(indptr.size - 1):
            total = np.int64(0)
            for p in range(indptr[i], indptr[i + 1]):
                total += np.int64(data[p]) * np.int64(x[b, indices[p]])
            y[b, i] = np.int32(total & 0xFFFFFFFF)


def csr_matmul(data: np.ndarray, indices: np.ndarray, indptr: np.ndarray, x: np.ndarray, y: np.ndarray) -> None:
    (_matmul_int if data.dtype == np.int32 else _matmul_float)(data, indices, indptr, x, y)
