"""A sparse matrix product that is called again and again: prepared once for each number of rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from accel.kernels import program as native
from accel.kernels import runtime
from accel.kernels._linear_cost import sparse_cycles, worth_waking
from accel.kernels.sparse import FEW, LINEAR, SparseArrays, SparseWeights
from accel.kernels.spmv import pack_spmv

_MOST = 16  # numbers of rows kept ready
_Product = Callable[[np.ndarray], np.ndarray]


class SparseProduct:
    """y = x W^T + bias for float32 x of shape (..., columns), C-contiguous, with one row or more.

    Weights are packed for a few rows or for more, or multiplied as they are, whichever is predicted to be fastest.
    """

    def __init__(self, arrays: SparseArrays, columns: int, bias: np.ndarray | None) -> None:
        self._arrays, self._columns, self._bias = arrays, columns, bias
        self._packed: dict[tuple[int, bool], tuple[Any, int]] = {}  # by instruction set, few rows or not: and threads
        self._ready: dict[tuple[int, int, int], _Product] = {}  # by rows, instruction set and threads

    def __call__(self, x: np.ndarray) -> np.ndarray:
        key = (x.size // self._columns, runtime.isa_index(), runtime.threads())
        return (self._ready.get(key) or self._prepare(*key))(x)

    def _prepare(self, rows: int, isa: int, threads: int) -> _Product:
        arrays = self._arrays
        packed, plain = sparse_cycles(rows, arrays.rows, self._columns, arrays.values.size)
        wanted = threads if worth_waking(min(packed, plain)) else 1
        if arrays.kind == "f32" and plain < packed:
            product = self._as_it_is(isa, wanted)
        else:
            product = self._of_packed(rows, isa, wanted)
        if len(self._ready) >= _MOST:
            self._ready.clear()
        self._ready[rows, isa, threads] = product
        return product

    def _as_it_is(self, isa: int, threads: int) -> _Product:
        (indptr, indices, values, *_), bias, multiply = self._arrays, self._bias, runtime.core.csr_product

        def product(x: np.ndarray) -> np.ndarray:
            y: np.ndarray = multiply(isa, values, indices, indptr, x, None, threads)
            return y if bias is None else np.add(y, bias, out=y)

        return product

    def _of_packed(self, rows: int, isa: int, threads: int) -> _Product:
        few, core = rows <= FEW, runtime.core
        packed, shared_by = self._packed.get((isa, few), (None, 0))
        if packed is None or (not few and shared_by < threads):  # rows of wide products are split when they are packed
            arrays, columns = self._arrays, self._columns
            packed = pack_spmv(arrays, columns) if few else SparseWeights(arrays, columns, width=LINEAR)
            self._packed[isa, few] = packed, runtime.threads()
            self._ready.clear()  # what held the one before
        bias = native.pack_bias(self._bias, self._arrays.rows)
        if few:
            return lambda x: core.run_spmv(packed, x, bias, threads)
        step = packed.prepare_linear(rows, native.activation(None), threads)
        floats = step.scratch_floats
        return lambda x: core.run_sparse_linear(step, x, bias, native.scratch(floats), threads)
