"""What a block-circulant product should cost, as measured on one core."""

from __future__ import annotations

import math

from accel.kernels import runtime

_TRANSFORM, _PRODUCT = 2.1, 0.28
"""Cycles per number of a complex vector of two rows, on 16 lanes: a transform there or back, a product of spectra."""


def circulant_cycles(rows: int, p: int, q: int, b: int) -> float:
    """Cycles of a product of `rows` vectors with p x q blocks of b x b, by the native kernels."""
    lanes = runtime.lanes()
    least = lanes * lanes // 2  # the rows transposed at once
    n = b if runtime.core.circulant_length(runtime.isa_index(), b) == b else 2 * b
    n = math.ceil(n / least) * least
    return math.ceil(rows / 2) * n * ((p + q) * _TRANSFORM + p * q * _PRODUCT) * 16 / lanes
