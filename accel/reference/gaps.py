"""Relative positions by their definition, entry by entry: the oracle of accel.kernels.gaps."""

from __future__ import annotations


def encode(positions: list[int], bits: int) -> tuple[list[int], list[bool]]:
    """(gaps, filler): an entry of gap g stands g + 1 places after the one before it, the first one at g."""
    gaps, filler = [], []
    before = -1
    for position in positions:
        gap = position - before - 1
        while gap > 2**bits - 1:
            gaps.append(2**bits - 1)
            filler.append(True)
            gap -= 2**bits
        gaps.append(gap)
        filler.append(False)
        before = position
    return gaps, filler


def decode(gaps: list[int]) -> list[int]:
    positions = []
    now = -1
    for gap in gaps:
        now += gap + 1
        positions.append(now)
    return positions


def row_deltas(columns: list[int]) -> list[int]:
    """Bytes of one row's ascending columns: a byte b < 255 ends an entry b + 1 places after the one before it (the
    first at b); 255 advances by 255 and more follows."""
    deltas, before = [], -1
    for column in columns:
        full, rest = divmod(column - before - 1, 255)
        deltas += [255] * full + [rest]
        before = column
    return deltas
