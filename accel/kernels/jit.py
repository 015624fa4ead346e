"""The one way accel compiles with Numba: cached, without the GIL, strict floating point."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])


def njit(function: F) -> F:
    """Compile on first call. Only modules named *_numba.py use it; they are imported when first needed."""
    import numba

    compiled: F = numba.njit(cache=True, nogil=True, fastmath=False, error_model="numpy")(function)
    return compiled
