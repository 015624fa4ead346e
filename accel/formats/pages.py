"""Memory for large weights."""

from __future__ import annotations

import contextlib
import math
import mmap
from typing import Any

import numpy as np

_LARGE = 1 << 18
# Python's own default is shared memory, which gets no huge pages and is filled far more slowly.
_PRIVATE = {"flags": mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS} if hasattr(mmap, "MAP_ANONYMOUS") else {}


def new_array(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """An uninitialised array that goes back to the system once it is let go.

    Large ones lie on pages of their own. On the heap, what one weight of many leaves is kept by the process: after
    half of a network's weights were replaced, it held both halves.
    """
    dtype = np.dtype(dtype)
    nbytes = math.prod(shape) * dtype.itemsize
    return np.empty(shape, dtype) if nbytes < _LARGE else _on_pages(shape, dtype, nbytes)


def new_zeros(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """The same, of zeros: pages of their own have them anyway."""
    dtype = np.dtype(dtype)
    nbytes = math.prod(shape) * dtype.itemsize
    return np.zeros(shape, dtype) if nbytes < _LARGE else _on_pages(shape, dtype, nbytes)


def _on_pages(shape: tuple[int, ...], dtype: np.dtype[Any], nbytes: int) -> np.ndarray:
    try:
        pages = mmap.mmap(-1, nbytes, **_PRIVATE)
    except OSError as why:  # no memory, or too many mappings
        raise MemoryError(f"{nbytes} bytes: {why}") from why
    if hasattr(mmap, "MADV_HUGEPAGE"):  # fewer faults while it is filled
        with contextlib.suppress(OSError):
            pages.madvise(mmap.MADV_HUGEPAGE)
    return np.frombuffer(pages, dtype).reshape(shape)
