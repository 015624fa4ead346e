"""CRC-32 as zlib has it, by carry-less multiplication where the processor can."""

from __future__ import annotations

import zlib

import numpy as np

from accel.kernels import runtime


def crc32(data: np.ndarray) -> int:
    """Of the bytes of a C-contiguous array."""
    flat = data.reshape(-1).view(np.uint8)
    if runtime.backend() == "native":
        found: int = runtime.core.crc32(flat, runtime.isa_index())
        return found
    return zlib.crc32(flat.data)
