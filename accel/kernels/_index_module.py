"""The Cython module accel.kernels._index, when it was built and the native back end is in force."""

from __future__ import annotations

import contextlib
import importlib
from typing import Any

from accel.kernels import runtime

_index: Any = None
with contextlib.suppress(ImportError):  # not built: callers run Numba or NumPy
    _index = importlib.import_module("accel.kernels._index")


def index() -> Any | None:
    """The module, or None when another implementation has to run."""
    return _index if runtime.backend() == "native" else None
