"""y = x W^T + bias straight from codes of values or of sub-vectors, or as a dense product."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from accel.kernels._codebook_cost import codebook_cycles, quantized_cycles, worth_packing
from accel.kernels._linear_cost import linear_cycles
from accel.kernels.codebook import PackedCodebook
from accel.kernels.product_quantized import PackedProduct
from accel.weights._faster_product import FasterProduct


class CodebookProduct(FasterProduct):
    """From `codes`, which have the bias."""

    def __init__(self, codes: PackedCodebook, dense: Callable[[], np.ndarray], bias: np.ndarray | None) -> None:
        super().__init__(codes, dense, bias)
        self.codes = codes

    def gains(self, rows: int) -> bool:
        out, depth = self.codes.shape
        if not worth_packing(out, depth, rows, self.codes.values):
            return False
        return codebook_cycles(self.codes.packed(), rows) < linear_cycles(rows, out, depth, 0)[0]


class TableProduct(FasterProduct):
    """From `tables`, which have the bias."""

    def __init__(self, tables: PackedProduct, dense: Callable[[], np.ndarray], bias: np.ndarray | None) -> None:
        super().__init__(tables, dense, bias)
        self.tables = tables

    def gains(self, rows: int) -> bool:
        out, subs = self.tables.codes.shape
        cycles = quantized_cycles(rows, out, subs, *self.tables.centroids.shape[1:])
        return cycles < linear_cycles(rows, out, self.tables.depth, 0)[0]
