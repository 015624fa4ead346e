"""float32 values rounded to fewer bits, and back."""

from __future__ import annotations

import numpy as np

KINDS = {"float32": np.dtype(np.float32), "bfloat16": np.dtype(np.uint16), "int8": np.dtype(np.int8)}
"""Names of stored values, and the arrays they are held in; bfloat16 as its 16 bits."""

MOST = np.float32(127)
_TINY = np.finfo(np.float32).tiny


def to_bfloat16(values: np.ndarray) -> np.ndarray:
    """The upper 16 bits of float32 values, rounded to nearest, ties to even; NaN stays NaN, with its quiet bit set."""
    bits = values.view(np.uint32)
    with np.errstate(over="ignore"):  # a NaN whose bits wrap is replaced
        rounded = (bits + np.uint32(0x7FFF) + (bits >> np.uint32(16) & np.uint32(1))) >> np.uint32(16)
    quiet = bits >> np.uint32(16) | np.uint32(0x40)
    return np.where(np.isnan(values), quiet, rounded).astype(np.uint16)


def from_bfloat16(bits: np.ndarray) -> np.ndarray:
    """The float32 values of bfloat16 bits, exactly."""
    return (bits.astype(np.uint32) << np.uint32(16)).view(np.float32)


def to_int8(values: np.ndarray, indptr: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Finite values of CSR rows as integers in -127..127, and the float32 scale of each row.

    scale = max |w| / 127 in the row, 1 where the row is empty, at least the smallest normal number; q = w / scale to
    the nearest, ties to even: |w - q * scale| <= scale / 2.
    """
    counts = np.diff(indptr)
    largest = np.zeros(counts.size, np.float32)
    filled = counts > 0
    if values.size:
        largest[filled] = np.maximum.reduceat(np.abs(values), indptr[:-1][filled])
    scale = np.where(largest > 0, np.maximum(largest / MOST, _TINY), np.float32(1))
    with np.errstate(over="ignore"):  # the largest number over 127 may have been rounded up
        scale = np.where(np.isfinite(scale * MOST), scale, np.nextafter(scale, np.float32(0)))
    steps = np.rint(values / np.repeat(scale, counts).astype(np.float64))
    return np.clip(steps, -127, 127).astype(np.int8), scale
