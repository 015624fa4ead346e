"""Slots for prepared programs, guarded on both sides."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from accel.kernels import program

GUARD = 64
"""Floats before and after every array of a `Board`; they hold a NaN of this pattern, which no kernel makes."""
CANARY = np.uint32(0x7FC0DEAD)
GARBAGE = np.float32(np.nan)


class Board:
    """Slots in memory of their own, between canaries; new arrays hold NaN, so that what is read unset shows."""

    def __init__(self) -> None:
        self.program = program.new_program()
        self.raws: list[np.ndarray] = []
        self.arrays: list[np.ndarray] = []

    def slot(self, floats: int, values: np.ndarray | None = None) -> int:
        raw = np.full(floats + 2 * GUARD, CANARY, np.uint32).view(np.float32)
        self.raws.append(raw)
        self.arrays.append(raw[GUARD : GUARD + floats])
        self.arrays[-1][:] = GARBAGE if values is None else values.ravel()
        return len(self.arrays) - 1

    def put(self, layout: Any, x: np.ndarray) -> Any:
        """The place of plain x laid out as `layout`."""
        plain, laid = self.slot(x.size, x), self.slot(layout.floats)
        self.program.import_plain(layout, program.place(plain), program.place(laid))
        return program.place(laid)

    def room(self, layout: Any) -> tuple[Any, int]:
        slot = self.slot(layout.floats)
        return program.place(slot), slot

    def get(self, layout: Any, place: Any, shape: tuple[int, ...]) -> np.ndarray:
        """Run everything, check the canaries, and return the map at `place` as a plain array."""
        plain = self.slot(math.prod(shape))
        self.program.export_plain(layout, place, program.place(plain))
        self.run()
        return self.arrays[plain].reshape(shape).copy()

    def run(self, threads: int = 2, keep_denormals: bool = True) -> None:
        slots = np.zeros(len(self.arrays), np.uintp)
        bindings = list(enumerate(self.arrays))
        program.run(self.program, slots, bindings, threads=threads, keep_denormals=keep_denormals)
        for raw in self.raws:
            edges = np.concatenate([raw[:GUARD], raw[-GUARD:]]).view(np.uint32)
            assert (edges == CANARY).all(), "a step wrote outside its arrays"


def halo_of(layout: Any, flat: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Everything around the pixels of a map."""
    n, channels, height, width = shape
    pixel = program.BLOCK if layout.blocked else 1
    planes = -(-channels // program.BLOCK) if layout.blocked else channels
    side = 2 * layout.halo
    rows = flat.reshape(n, planes, layout.plane)[:, :, : (height + side) * (width + side) * pixel]
    cells = rows.reshape(n, planes, height + side, width + side, pixel).copy()
    h = layout.halo
    inside = np.zeros(cells.shape, bool)
    inside[:, :, h : h + height, h : h + width] = True
    return cells[~inside]
