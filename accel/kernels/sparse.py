"""Products with sparse weights, packed once for the native kernels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from accel.errors import shown
from accel.kernels import checks, runtime
from accel.kernels import program as native
from accel.kernels.csr import csr_from_dense


class StoredRows(NamedTuple):
    """A sparse matrix as its weight holds it, with nothing decoded: what accel.kernels.sparse_numba reads.

    indptr : int32 (rows + 1,). deltas : uint8, columns as accel.kernels.gaps.deltas_encode writes them.
    values : as in SparseArrays, but two codes to a byte for "code16", the first in the lower half.
    kind, scale, book : as in SparseArrays; book has no more values than there are.
    """

    indptr: np.ndarray
    deltas: np.ndarray
    values: np.ndarray
    kind: str
    scale: np.ndarray | None = None
    book: np.ndarray | None = None


class SparseArrays(NamedTuple):
    """A matrix (rows, columns) as compressed sparse rows, in the form that the native kernels are packed from.

    indptr, indices : int32, (rows + 1,) and (nnz,); the columns of every row ascend.
    values : (nnz,), by `kind`: float32 for "f32", the upper halves of float32 as uint16 for "bf16", int8 for "i8",
        uint8 for "code16" and "code256".
    scale : (rows,) float32, for "i8".
    book : (16,) or (256,) float32, for codes.
    """

    indptr: np.ndarray
    indices: np.ndarray
    values: np.ndarray
    kind: str = "f32"
    scale: np.ndarray | None = None
    book: np.ndarray | None = None

    @classmethod
    def of(cls, w: np.ndarray) -> SparseArrays:
        """What is not zero of float32 `w`, its axes after the first seen as one."""
        data, indices, indptr = csr_from_dense(np.ascontiguousarray(w).reshape(w.shape[0], -1), indptr_dtype=np.int32)
        return cls(indptr, indices, data)

    @classmethod
    def of_codes(cls, codes: np.ndarray, zero: int, codebook: np.ndarray, count: int) -> SparseArrays:
        """What is not `zero`, the only code of 0.0, in uint8 `codes`, `count` of them; their axes after the first seen
        as one."""
        matrix = codes.reshape(codes.shape[0], math.prod(codes.shape[1:]))
        indptr, indices, values = runtime.core.codes_to_rows(matrix, zero, count)
        book = np.zeros(16 if codebook.size <= 16 else 256, np.float32)
        book[: codebook.size] = codebook
        return cls(indptr, indices, values, f"code{book.size}", None, book)

    @classmethod
    def whole(cls, w: np.ndarray) -> SparseArrays:
        """All numbers of float32 `w`, zeros too, its axes after the first seen as one."""
        columns = w.size // w.shape[0]
        indptr = np.arange(w.shape[0] + 1, dtype=np.int32) * np.int32(columns)
        return cls(indptr, np.tile(np.arange(columns, dtype=np.int32), w.shape[0]), w.reshape(-1))

    @property
    def rows(self) -> int:
        return self.indptr.size - 1

    def part(self, first: int, last: int) -> SparseArrays:
        """Rows first .. last-1."""
        begin, end = self.indptr[first], self.indptr[last]
        scale = None if self.scale is None else self.scale[first:last]
        return SparseArrays(
            self.indptr[first : last + 1] - begin, self.indices[begin:end], self.values[begin:end], self.kind, scale,
            self.book,
        )  # fmt: skip

    def transposed(self, columns: int) -> SparseArrays:
        """The matrix with rows and columns exchanged; `columns` become the rows. int8 values become floats, as their
        scales belong to rows."""
        order = np.argsort(self.indices, kind="stable")
        row = np.repeat(np.arange(self.rows, dtype=np.int32), np.diff(self.indptr))
        values, kind = self.values, self.kind
        if self.scale is not None:
            values, kind = values * self.scale[row], "f32"
        indptr = np.zeros(columns + 1, np.int32)
        np.cumsum(np.bincount(self.indices, minlength=columns), out=indptr[1:])
        return SparseArrays(indptr, row[order], values[order], kind, None, self.book)


_VALUES = {"f32": np.float32, "bf16": np.uint16, "i8": np.int8, "code16": np.uint8, "code256": np.uint8}


def check_arrays(arrays: SparseArrays, columns: int) -> None:
    """Raises TypeError or ValueError for a kind, dtype or rank that is not as SparseArrays says. Whether the arrays are
    a matrix of so many columns the native code checks, where it packs them."""
    if arrays.kind not in _VALUES:
        raise ValueError(f"kind: expected one of {', '.join(_VALUES)}, got {shown(arrays.kind)}")
    checks.array("values", arrays.values, _VALUES[arrays.kind], 1)
    checks.array("indices", arrays.indices, np.int32, 1)
    checks.array("indptr", arrays.indptr, np.int32, 1)
    checks.integer("columns", columns, 0, np.iinfo(np.int32).max)
    for name, value in (("scale", arrays.scale), ("book", arrays.book)):
        if value is not None:
            checks.array(name, value, np.float32, 1)


WIDE, LINEAR = 64, 32
"""Columns from which on it does not matter how many there are, and those for which matrix products are packed whatever
their rows: how a matrix is packed decides the last bits of its products."""


Strip = tuple[int, int, int]
NO_STRIPS: Strip = (0, 0, 1)


def strip_window(
    kernel: tuple[int, int], strides: tuple[int, int], dilations: tuple[int, int], output: tuple[int, int]
) -> Strip:
    """What SparseWeights takes as `window` for a convolution with an output of such a size."""
    window = (*kernel, dilations[0])
    shares = strides == (1, 1) and kernel[0] > 1
    return window if shares and runtime.core.strips_fit(runtime.isa_index(), window, output) else NO_STRIPS


def strips_pool(output: tuple[int, int]) -> bool:
    """Whether strips of such an output can give the largest of each 2 x 2 results alone."""
    return bool(runtime.core.strips_pool(runtime.isa_index(), output))


class SparseWeights:
    """Weights packed for products over many columns, one matrix per group of a convolution.

    For the instruction set in force, best at about `width` columns (output pixels, or rows of x); `threads` that may
    share the rows are those of `accel.using`, where `tune=False` packs alike on every processor, for the same bits.
    `window`, from `strip_window`: of a convolution whose taps share what is packed, for outputs of that size only.
    """

    def __init__(
        self, arrays: SparseArrays, columns: int, group: int = 1, width: int = WIDE, window: Strip = NO_STRIPS
    ) -> None:
        check_arrays(arrays, columns)
        core, rows = runtime.core, arrays.rows // group
        parts = [arrays] if group == 1 else [arrays.part(g * rows, (g + 1) * rows) for g in range(group)]
        self.matrices = [
            core.pack_sparse(
                runtime.isa_index(), part.indptr, part.indices, part.values, getattr(core.ValueKind, part.kind),
                part.scale, part.book, columns, width, runtime.threads(), window, intel=core.intel and runtime.tune(),
            )
            for part in parts
        ]  # fmt: skip
        self.rows, self.columns, self.strips = arrays.rows, columns, window != NO_STRIPS

    @property
    def nbytes(self) -> int:
        """Bytes held, positions included."""
        return sum(int(matrix.nbytes) for matrix in self.matrices)

    @property
    def values(self) -> int:
        """How many are stored."""
        return sum(int(matrix.values) for matrix in self.matrices)

    def prepare(self, spec: Any, threads: int) -> Any:
        """The convolution `spec`, between plain maps without halos, for `Program.conv`."""
        return runtime.core.prepare_sparse(runtime.isa_index(), spec, self.matrices, threads)

    def prepare_linear(self, batch: int, activation: Any, threads: int) -> Any:
        """f(x W^T + bias) of `batch` rows, for `Program.sparse_linear`."""
        return runtime.core.prepare_sparse_linear(runtime.isa_index(), self.matrices[0], batch, activation, threads)


def band_rows(second: Any, threads: int) -> int:
    """Rows of the convolution `second`, in strips, that are made at a time together with those of the one before it
    that they need; 0 where one after the other is as good."""
    return int(runtime.core.band_rows(second, threads))


def prepare_bands(weights: Sequence[SparseWeights], specs: Sequence[Any], rows: int, threads: int) -> Any:
    """Two convolutions in strips, the second of the first one's results, for `Program.conv` with the biases of both:
    `rows` of the second, a multiple of 8, at a time."""
    first, second = ((spec, w.matrices) for spec, w in zip(specs, weights, strict=True))
    return runtime.core.prepare_sparse_bands(runtime.isa_index(), *first, *second, rows, threads)


FEW = 4
"""Rows of x up to which a matrix is better packed by `pack_spmv`: 16 columns at once would be mostly empty."""
NO_WEIGHTS = np.zeros(0, np.float32)
"""What `Program.conv` takes in the place of weights that a prepared convolution holds."""


def sparse_linear(weights: SparseWeights, x: np.ndarray, bias: np.ndarray | None = None) -> np.ndarray:
    """y[..., r] = bias[r] + sum_k w[r, k] x[..., k]; x float32, C-contiguous, with one row or more."""
    y = runtime.empty((*x.shape[:-1], weights.rows), np.float32)
    program, threads = native.new_program(), runtime.threads()
    prepared = weights.prepare_linear(y.size // weights.rows, native.activation(None), threads)
    places = [native.place(i) for i in range(3)]
    program.sparse_linear(prepared, *places, native.pack_bias(bias, weights.rows))
    arrays = [x, y, native.scratch(prepared.scratch_floats)]
    native.run(program, np.zeros(3, np.uintp), list(enumerate(arrays)), threads=threads, keep_denormals=True)
    return y


def sparse_conv2d(
    x: np.ndarray,
    weights: SparseWeights,
    bias: np.ndarray | None,
    shape: Sequence[int],
    kernel: tuple[int, int],
    strides: tuple[int, int],
    pads: tuple[int, int, int, int],
    dilations: tuple[int, int],
) -> np.ndarray:
    """Arguments as checked by accel.kernels.conv.conv2d; `shape` is that of the result."""
    y = runtime.empty(shape, np.float32)
    program, threads = native.new_program(), runtime.threads()
    spec = native.conv_spec(
        native.plain_map(x.shape), native.plain_map(y.shape), kernel, strides=strides, before=pads[:2],
        dilations=dilations, groups=len(weights.matrices),
    )  # fmt: skip
    prepared = weights.prepare(spec, threads)
    places = [native.place(i) for i in (0, 1, native.NOWHERE, 2)]
    program.conv(prepared, *places, NO_WEIGHTS, native.pack_bias(bias, weights.rows))
    arrays = [x, y, native.scratch(prepared.scratch_floats)]
    native.run(program, np.zeros(3, np.uintp), list(enumerate(arrays)), threads=threads, keep_denormals=True)
    return y
