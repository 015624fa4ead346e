"""What a product straight from codes should cost, from fits to products of 512 x 512 to 4096 x 4096 codes."""

from __future__ import annotations

from typing import Any

from accel.kernels import runtime
from accel.kernels._linear_cost import linear_cycles

_TILE = 64  # rows of W: csrc/kernels/codebook/codebook.h
_FEW: dict[str, tuple[tuple[float, float], tuple[float, float]]] = {
    "avx512": ((0.75, 1.0), (3.2, 1.3)),
    "avx2": ((1.2, 2.8), (19.0, 1.2)),
}
"""Cycles per 16 weights to look them up and for each row of x: of 4-bit codes, of bytes."""
_DOT = (0.35, 1.07)
_SLOW = ((14.0, 4.0), (14.0, 4.0))  # four lanes, values looked up one by one
_MANY_ROW = {"avx512": 1.08, "avx2": 1.08}
_FEW_ROWS = {"avx512": 1 << 20, "avx2": 2}  # of 4-bit codes; two of bytes
_CALL = 3000.0


def worth_packing(out: int, depth: int, rows: int, values: int) -> bool:
    """Whether codes into so many values could be faster than the dense product; `codebook_cycles` knows."""
    nibbles = values <= 16
    least = min(product_cycles(out, depth, rows, nibbles, dots) for dots in (False, nibbles))
    return least < linear_cycles(rows, out, depth, 0)[0]


def codebook_cycles(packed: Any, rows: int) -> float:
    """Cycles of a product of `rows` vectors with packed weights (`pack_codebook`)."""
    return product_cycles(packed.out, packed.depth, rows, packed.bits == 4, packed.dots(runtime.isa_index()))


def product_cycles(out: int, depth: int, rows: int, nibbles: bool, dots: bool) -> float:
    """The same from sizes; `dots`: pairs of bfloat16 numbers are multiplied."""
    isa = runtime.isa() or "baseline"
    look_up, row = _DOT if dots else _FEW.get(isa, _SLOW)[0 if nibbles else 1]
    if not dots and rows > (_FEW_ROWS.get(isa, 2) if nibbles else 2):
        look_up, row = look_up + row, _MANY_ROW.get(isa, 3.5)  # unfolded into the cache, then multiplied
    vectors = -(-out // _TILE) * _TILE / 16 * depth
    return vectors * (look_up + rows * row) + _CALL


_QUANTIZED = {"avx512": 2.4, "avx2": 4.6}
"""Cycles per 16 look-ups of 4-bit codes."""
_QUANTIZED_BYTE, _QUANTIZED_TABLE = 1.15, 8.5
"""Cycles of a look-up in a table of more values, and per 16 numbers of centroids, which come from memory."""


def quantized_cycles(rows: int, out: int, subs: int, values: int, size: int) -> float:
    """Cycles of a product of `rows` vectors with product-quantized weights."""
    look_ups = -(-out // _TILE) * _TILE * subs
    each = _QUANTIZED.get(runtime.isa() or "baseline", 16.0) / 16 if values <= 16 else _QUANTIZED_BYTE
    tables = subs * size * -(-values // 16) * _QUANTIZED_TABLE
    return rows * (tables + look_ups * each + _CALL)
