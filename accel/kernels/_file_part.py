"""Bytes of a file that are read when they are decoded."""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np

from accel.errors import FormatError


@dataclass(frozen=True, slots=True)
class FilePart:
    """`nbytes` bytes from `at` on of the open file that `file` describes. Slices of it are parts of the file, too."""

    file: int
    at: int
    nbytes: int

    def __len__(self) -> int:
        return self.nbytes

    def __getitem__(self, which: slice) -> FilePart:
        begin, end, _ = which.indices(self.nbytes)
        return FilePart(self.file, self.at + begin, max(end - begin, 0))

    def read(self, out: np.ndarray) -> memoryview:
        """All of them, in `out`, which is uint8 and has room for exactly so many.

        Raises
        ------
        OSError      the file cannot be read.
        FormatError  it ends before.
        """
        memory = out.data
        left, at = memory, self.at
        while left:
            count = os.preadv(self.file, [left], at)
            if not count:
                raise FormatError(f"truncated: expected {self.nbytes} bytes, got {self.nbytes - len(left)}")
            left, at = left[count:], at + count
        return memory
