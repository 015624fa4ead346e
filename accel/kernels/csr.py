"""Compressed sparse rows: build, check, put in order, multiply. The form as it is, for any of three dtypes.

Row i of a (rows, columns) matrix holds data[indptr[i]:indptr[i+1]] at the columns indices[indptr[i]:indptr[i+1]].
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from accel.kernels import checks, runtime
from accel.kernels._index_module import index

Arrays = tuple[np.ndarray, np.ndarray, np.ndarray]
_VALUES = tuple(np.dtype(kind) for kind in (np.float32, np.float64, np.int32))
_POINTERS = tuple(np.dtype(kind) for kind in (np.int32, np.int64))
_MOST_COLUMNS = int(np.iinfo(np.int32).max)


def csr_from_dense(w: np.ndarray, dtype: Any = None, *, indptr_dtype: Any = np.int64) -> Arrays:
    """The values of a dense matrix that are not zero, row by row in column order; NaN is kept, -0.0 is not.

    Parameters
    ----------
    w : ndarray, shape (rows, columns), float32, float64 or int32, C-contiguous.
    dtype : of data; None keeps that of w.
    indptr_dtype : int64 or int32.

    Returns
    -------
    data : ndarray, shape (nnz,), dtype
    indices : ndarray, shape (nnz,), int32
    indptr : ndarray, shape (rows + 1,), indptr_dtype

    Raises
    ------
    TypeError   w or a dtype is of another type.
    ValueError  w has not two axes, over 2**31 - 1 columns, or more values than indptr_dtype counts.
    """
    _values("w", w, 2)
    pointers = _one_of("indptr_dtype", indptr_dtype, _POINTERS)
    kind = w.dtype if dtype is None else _one_of("dtype", dtype, _VALUES)
    if w.shape[1] > _MOST_COLUMNS:
        raise ValueError(f"w: expected at most 2**31 - 1 columns, got {w.shape[1]}")
    loops = _loops()
    if loops is None:
        rows, columns = np.nonzero(w)
        data, indices = w[rows, columns], columns.astype(np.int32)
        indptr = np.searchsorted(rows, np.arange(w.shape[0] + 1))
    else:
        indptr = np.zeros(w.shape[0] + 1, np.int64)
        loops.csr_count(w, indptr)
        data, indices = np.empty(indptr[-1], w.dtype), np.empty(indptr[-1], np.int32)
        loops.csr_fill(w, data, indices)
    if indptr[-1] > np.iinfo(pointers).max:
        raise ValueError(f"indptr_dtype: expected int64 for {indptr[-1]} values, got {pointers}")
    return data.astype(kind, copy=False), indices, indptr.astype(pointers, copy=False)


def csr_validate(data: np.ndarray, indices: np.ndarray, indptr: np.ndarray, columns: int) -> bool:
    """Checks that the arrays are a CSR matrix of `columns` columns; true when every row ascends without duplicates.

    Raises
    ------
    TypeError   data is not float32, float64 or int32, indices not int32, or indptr not int32 or int64.
    ValueError  lengths disagree, indptr does not ascend from 0 to nnz, or an index is negative or not below columns.
    """
    _check_shapes(data, indices, indptr, columns)
    _check_positions(indices, indptr, columns)
    loops = _loops()
    return bool((_ordered if loops is None else loops.csr_ordered)(indices, indptr))


def csr_pointers(indptr: np.ndarray) -> int:
    """Checks that row pointers ascend from 0; the number of entries, the last of them.

    Raises
    ------
    TypeError   indptr is neither int32 nor int64.
    ValueError  it is empty, does not start at 0, or falls.
    """
    _one_of("indptr", getattr(indptr, "dtype", indptr), _POINTERS)
    checks.array("indptr", indptr, indptr.dtype, 1)
    if indptr.size == 0:
        raise ValueError("indptr: expected rows + 1 entries, got none")
    _check_ascent(indptr, int(indptr[-1]))
    return int(indptr[-1])


def csr_canonical(data: np.ndarray, indices: np.ndarray, indptr: np.ndarray, columns: int) -> Arrays:
    """The same matrix with every row in column order and duplicates added up in the order they came.

    Takes and raises what `csr_validate` does; returns new arrays, or the given ones when nothing had to change.
    """
    if csr_validate(data, indices, indptr, columns):
        return data, indices, indptr
    rows = np.repeat(np.arange(indptr.size - 1), np.diff(indptr))
    order = np.lexsort((indices, rows))  # stable: duplicates stay in order
    data, indices, pointers = data[order], indices[order], indptr.astype(np.int64)
    loops = _loops()
    with np.errstate(over="ignore", invalid="ignore"):
        kept = (_sum_duplicates_numpy if loops is None else loops.csr_sum_duplicates)(data, indices, pointers)
    return data[:kept].copy(), indices[:kept].copy(), pointers.astype(indptr.dtype)


def csr_matmul(
    data: np.ndarray, indices: np.ndarray, indptr: np.ndarray, x: np.ndarray, out: np.ndarray | None = None
) -> np.ndarray:
    """y = x @ W.T for a CSR matrix W of shape (rows, columns).

    y[..., i] = sum over p in indptr[i]..indptr[i+1]-1 of data[p] * x[..., indices[p]]

    Parameters
    ----------
    data : ndarray, shape (nnz,), float32, float64 or int32
    indices : ndarray, shape (nnz,), int32, each in 0..columns-1; order and duplicates do not matter.
    indptr : ndarray, shape (rows + 1,), int32 or int64
    x : ndarray, shape (..., columns), dtype of data, C-contiguous.
    out : ndarray, shape (..., rows), dtype of data, optional; must not overlap x.

    Returns
    -------
    ndarray, shape (..., rows), dtype of data

    Raises
    ------
    TypeError   a dtype differs. ValueError   shapes do not fit, or the CSR arrays are not valid (`csr_validate`).

    Notes
    -----
    float32 on the native back end is added up in float32, value p of a row in sum p % 4 and those in pairs:
    |error| <= 4 eps sqrt(n) sum |w||x|, n the values of the row. A row of x has the same bits alone, in any batch and
    on any number of threads. Everything else is added up in the order of data, in float64 and rounded once (float32,
    float64) or modulo 2**32 (int32), with the same bits on every back end.
    Indices are checked at every call; if one is not valid, out may hold anything. Cost 2 * nnz operations per row of
    x, and x is copied into tiles of a few rows. A matrix that is used more than once is faster as `accel.weights.Csr`.
    Kernel csrc/kernels/sparse/csr_product.
    """
    if runtime.backend() == "native" and (y := _native(data, indices, indptr, x, out)) is not None:
        return y
    checks.array("x", x, getattr(data, "dtype", np.float32))
    if x.ndim == 0:
        raise ValueError(f"x: expected at least one axis, got {checks.describe(x)}")
    columns, batch = x.shape[-1], math.prod(x.shape[:-1])
    _check_shapes(data, indices, indptr, columns)
    _check_positions(indices, indptr, columns)
    y = checks.output("out", out, data.dtype, (*x.shape[:-1], indptr.size - 1))
    arrays = data, indices, indptr, x
    for name, array in zip(("data", "indices", "indptr", "x"), arrays, strict=True):
        if np.may_share_memory(array, y):
            raise ValueError(f"out: expected memory of its own, got memory of {name}")
    if not checks.of_numpys_type(*arrays, y):
        plain = np.asarray
        csr_matmul(plain(data), plain(indices), plain(indptr), plain(x), plain(y))
        return y
    loops = _loops()
    multiply = _matmul_numpy if loops is None else loops.csr_matmul
    multiply(data, indices, indptr, x.reshape(batch, columns), y.reshape(batch, indptr.size - 1))
    return y


def _native(*arrays: Any) -> np.ndarray | None:
    """The product of float32 arrays where all of them fit, else None: checks that name what is wrong are slower."""
    y: np.ndarray | None = runtime.core.csr_product(runtime.isa_index(), *arrays, runtime.threads())
    return y


def _one_of(name: str, dtype: Any, kinds: tuple[np.dtype[Any], ...]) -> np.dtype[Any]:
    try:
        kind: np.dtype[Any] = np.dtype(dtype)
    except TypeError:
        raise TypeError(f"{name}: expected {_either(kinds)}, got {checks.describe(dtype)}") from None
    if kind not in kinds:
        raise TypeError(f"{name}: expected {_either(kinds)}, got {kind}")
    return kind


def _either(kinds: tuple[np.dtype[Any], ...]) -> str:
    return " or ".join(kind.name for kind in kinds)


def _values(name: str, value: np.ndarray, ndim: int) -> None:
    if isinstance(value, np.ndarray):
        _one_of(name, value.dtype, _VALUES)
    checks.array(name, value, getattr(value, "dtype", np.float32), ndim)


def _check_shapes(data: np.ndarray, indices: np.ndarray, indptr: np.ndarray, columns: int) -> None:
    _values("data", data, 1)
    checks.array("indices", indices, np.int32, 1)
    _one_of("indptr", getattr(indptr, "dtype", indptr), _POINTERS)
    checks.array("indptr", indptr, indptr.dtype, 1)
    checks.integer("columns", columns, 0, _MOST_COLUMNS)
    if indices.size != data.size:
        raise ValueError(f"indices: expected {data.size} entries as in data, got {indices.size}")
    if indptr.size == 0:
        raise ValueError("indptr: expected rows + 1 entries, got none")


def _check_positions(indices: np.ndarray, indptr: np.ndarray, columns: int) -> None:
    _check_ascent(indptr, indices.size)
    loops = _loops()
    outside = _outside if loops is None else loops.csr_outside
    if (where := outside(indices, columns)) >= 0:
        raise ValueError(f"indices: expected 0..{columns - 1}, got {indices[where]} at {where}")


def _check_ascent(indptr: np.ndarray, nnz: int) -> None:
    loops = _loops()
    if (where := (_pointers if loops is None else loops.csr_pointers)(indptr, nnz)) >= 0:
        raise ValueError(f"indptr: expected ascending values from 0 to {nnz}, got {indptr[where]} at {where}")


def _loops() -> Any | None:
    """The module whose loops run: Cython or Numba; None for whole-array NumPy."""
    if runtime.backend() == "numba":
        from accel.kernels import csr_numba

        return csr_numba
    return index()


def _first(where: np.ndarray) -> int:
    return int(np.argmax(where)) if where.any() else -1


def _pointers(indptr: np.ndarray, nnz: int) -> int:
    if indptr[0] != 0 or indptr[-1] != nnz:
        return 0 if indptr[0] != 0 else indptr.size - 1
    return _first(np.append(False, indptr[1:] < indptr[:-1]))


def _outside(indices: np.ndarray, columns: int) -> int:
    return _first((indices < 0) | (indices >= columns))


def _ordered(indices: np.ndarray, indptr: np.ndarray) -> bool:
    begins = np.zeros(indices.size + 1, bool)
    begins[indptr] = True
    return bool((begins[1:-1] | (indices[1:] > indices[:-1])).all())


def _sum_duplicates_numpy(data: np.ndarray, indices: np.ndarray, indptr: np.ndarray) -> int:
    rows = np.repeat(np.arange(indptr.size - 1), np.diff(indptr))
    first = np.ones(data.size, bool)
    first[1:] = (np.diff(rows) != 0) | (np.diff(indices) != 0)
    total = data[first]
    np.add.at(total, (np.cumsum(first) - 1)[~first], data[~first])
    kept = total.size
    data[:kept], indices[:kept] = total, indices[first]
    indptr[1:] = np.cumsum(np.bincount(rows[first], minlength=indptr.size - 1))
    return kept


def _matmul_numpy(data: np.ndarray, indices: np.ndarray, indptr: np.ndarray, x: np.ndarray, y: np.ndarray) -> None:
    rows = np.repeat(np.arange(indptr.size - 1), np.diff(indptr))
    wide = np.int64 if data.dtype == np.int32 else np.float64
    weights = data.astype(wide)
    with np.errstate(over="ignore", invalid="ignore"):
        for b in range(x.shape[0]):
            products = weights * x[b, indices].astype(wide)
            if wide is np.int64:
                total = np.concatenate([np.zeros(1, np.int64), np.cumsum(products)])
                y[b] = np.diff(total[indptr]).astype(np.int32)
            else:
                y[b] = np.bincount(rows, products, indptr.size - 1)  # adds in order, as the loops do
