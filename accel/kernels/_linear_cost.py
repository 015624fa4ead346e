"""What a matrix product should cost with and without the zeros of its weights, from operations and bytes.

The numbers of sparse products are fits to hot products of 64 x 64 to 10000 x 300 and 300 x 10000 weights with 80 to
99 % of zeros and 1 to 128 rows: within a third, mostly a tenth.
"""

from __future__ import annotations

from accel.kernels import runtime
from accel.kernels._conv_cost import MACS_PER_CYCLE, sparse_vectors
from accel.kernels.sparse import FEW

_CACHE, _MEMORY, _NEAR = 16 << 20, 7.5, 24.0
"""Bytes from which on weights come from memory, and bytes per cycle from there and from nearer."""
_SPMV_VALUE = {"baseline": 1.5, "avx2": 0.65, "avx512": 0.2, "neon": 1.5}
_SPMV_SLOT, _SPMV_SINGLE, _SPMV_ROW = 0.017, 3.0, 4.4
"""Cycles per value, per element of the matrix (windows pass over its columns) or at most per value (single ones are
looked up), and per row of weights, for each of a few rows of x."""
_SPMM_VALUE, _SPMM_ROW, _SPMM_COLUMN, _SPMM_BLOCK = 1.33, 8.0, 2.3, 256
"""Cycles per vector of 16 rows of x: per value, per row of weights once and in every block of columns, per column."""
_CSR_ONE, _CSR_FOUR, _CSR_MORE = (1.2, 11.0, 0.5), (1.85, 11.0, 3.0), (2.2, 4.0, 8.0)
"""Cycles per value, row of weights and column where they are not packed: for one row of x, up to four, and per vector
of 16."""
_CSR_TILE, _CSR_TILE_ROW = 4, 10.0
"""Vectors of a tile, and cycles per row of weights in each."""
_PACKED_CALL = 1300.0
"""Cycles of a call that the product of weights that are not packed has less."""
_WAKE = 1.2e5


def linear_cycles(rows: int, out: int, depth: int, values: int) -> tuple[float, float]:
    """Cycles of a product of `rows` vectors with all weights, and with the `values` that are not zero, packed."""
    lanes = MACS_PER_CYCLE[runtime.isa() or "baseline"]
    dense_bytes, bytes_of_value = 4.0 * out * depth, 1.3 * 5.0
    rate = _MEMORY if dense_bytes > _CACHE else _NEAR
    dense = max(rows * out * depth / lanes / 0.9, dense_bytes / rate)
    sparse = _packed_cycles(rows, out, depth, values)
    return dense, max(sparse, values * bytes_of_value / rate) if rows <= FEW else sparse


def sparse_cycles(rows: int, out: int, depth: int, values: int) -> tuple[float, float]:
    """Cycles of a call with float32 weights that are not zero: packed, and as they are, compressed sparse rows. The
    latter are faster where there are very few to a row."""
    if rows <= FEW:
        value, row, column = _CSR_ONE if rows == 1 else _CSR_FOUR
        plain = values * value + out * row + depth * column
    else:
        vectors, (value, row, column) = sparse_vectors(rows), _CSR_MORE
        plain = vectors * (values * value + out * row + depth * column)
        plain += -(-vectors // _CSR_TILE) * out * _CSR_TILE_ROW
    return _packed_cycles(rows, out, depth, values) + _PACKED_CALL, plain


def worth_waking(cycles: float) -> bool:
    """Whether a call gains by other threads although they sleep: waking one takes about 20 us."""
    return cycles >= _WAKE


def _packed_cycles(rows: int, out: int, depth: int, values: int) -> float:
    if rows <= FEW:
        passed = min(_SPMV_SLOT * out * depth, _SPMV_SINGLE * values)
        return rows * (_SPMV_VALUE[runtime.isa() or "baseline"] * values + passed + _SPMV_ROW * out)
    blocks = -(-depth // _SPMM_BLOCK)
    return sparse_vectors(rows) * (_SPMM_VALUE * values + _SPMM_ROW * out * (blocks + 1) + _SPMM_COLUMN * depth)
