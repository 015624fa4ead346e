"""A matrix product that is called again and again: one native program, prepared once for each number of rows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np

from accel.kernels import program as native
from accel.kernels import runtime

_MOST = 16  # numbers of rows kept ready


class RowProduct(ABC):
    """y of x, its rows of `depth` numbers; the subclass says which kernel that is."""

    def __init__(self, depth: int) -> None:
        self._depth = depth
        self._ready: dict[tuple[int, int, int], tuple[Any, int]] = {}  # by rows, instruction set and threads

    @abstractmethod
    def _add(self, program: Any, rows: int, x: Any, y: Any, scratch: Any, threads: int) -> int:
        """Adds the kernel over these places to a program; returns how many floats of scratch it wants."""

    def _run(self, x: np.ndarray, y: np.ndarray) -> None:
        """Native y of x, neither of them empty."""
        threads = runtime.threads()
        key = x.size // self._depth, runtime.isa_index(), threads
        program, floats = self._ready.get(key) or self._prepare(*key)
        bindings = [(0, x), (1, y), (2, native.scratch(floats))]
        native.run(program, np.zeros(3, np.uintp), bindings, threads=threads, keep_denormals=True)

    def _prepare(self, rows: int, isa: int, threads: int) -> tuple[Any, int]:
        program = native.new_program()
        x, y, scratch = (native.place(i) for i in range(3))
        floats = self._add(program, rows, x, y, scratch, threads)
        if len(self._ready) >= _MOST:
            self._ready.clear()
        made = self._ready[rows, isa, threads] = program, floats
        return made  # another thread may have cleared the rest meanwhile
