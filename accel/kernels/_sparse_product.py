"""A sparse matrix product that is called again and again: packed once, and prepared once for each number of rows."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from accel.kernels import program as native
from accel.kernels import runtime
from accel.kernels.sparse import FEW, LINEAR, SparseArrays, SparseWeights
from accel.kernels.spmv import pack_spmv

_MOST = 16  # numbers of rows kept ready


class _Prepared(NamedTuple):
    program: Any
    scratch: int  # floats


class SparseProduct:
    """y = x W^T + bias for float32 x of shape (..., columns), C-contiguous, with one row or more."""

    def __init__(self, arrays: SparseArrays, columns: int, bias: np.ndarray | None) -> None:
        self._arrays, self._columns = arrays, columns
        self._bias = native.pack_bias(bias, arrays.rows)
        self._packed: dict[tuple[int, bool], Any] = {}  # by instruction set, for a few rows and for more
        self._ready: dict[tuple[int, int, int], _Prepared] = {}  # by rows, instruction set and threads

    def __call__(self, x: np.ndarray) -> np.ndarray:
        y = np.empty((*x.shape[:-1], self._arrays.rows), np.float32)
        threads = runtime.threads()
        key = (x.size // self._columns, runtime.isa_index(), threads)
        prepared = self._ready.get(key) or self._prepare(*key)
        bindings = [(0, x), (1, y)]
        if prepared.scratch:
            bindings.append((2, native.scratch(prepared.scratch)))
        native.run(prepared.program, np.zeros(3, np.uintp), bindings, threads=threads, keep_denormals=True)
        return y

    def _prepare(self, rows: int, isa: int, threads: int) -> _Prepared:
        few = rows <= FEW
        if (isa, few) not in self._packed:
            pack: Any = pack_spmv if few else SparseWeights
            self._packed[isa, few] = pack(self._arrays, self._columns, **({} if few else {"width": LINEAR}))
        packed, program, function = self._packed[isa, few], native.new_program(), native.activation(None)
        x, y, scratch = (native.place(i) for i in range(3))
        floats = 0
        if few:
            program.spmv(packed, rows, function, x, y, self._bias)
        else:
            step = packed.prepare_linear(rows, function, threads)
            program.sparse_linear(step, x, y, scratch, self._bias)
            floats = step.scratch_floats
        if len(self._ready) >= _MOST:
            self._ready.clear()
        prepared = self._ready[rows, isa, threads] = _Prepared(program, floats)
        return prepared
