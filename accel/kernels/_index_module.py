"""The Cython module accel.kernels._index, when it was built and the native back end is in force."""

from __future__ import annotations

import importlib
from typing import Any

from accel.kernels import runtime

_index: Any = None
try:
    _index = importlib.import_module("accel.kernels._index")
except ImportError:
    pass  # not built: callers run Numba or NumPy


def index() -> Any | None:
    """The module, or None when another implementation has to run."""
    return _index if runtime.backend() == "native" else None
