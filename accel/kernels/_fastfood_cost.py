"""What a Fastfood product should cost, as measured on one core."""

from __future__ import annotations

from accel.kernels import runtime


def fastfood_cycles(rows: int, blocks: int, n: int) -> float:
    """Cycles of a product of `rows` vectors with blocks of n: four rows at a time, 28 a vector of them on 16 lanes."""
    lanes = runtime.lanes()
    return -(-rows // 4) * blocks * max(4 * n / lanes, 4) * (28 if lanes == 16 else 16)
