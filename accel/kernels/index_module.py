"""The Cython module accel.kernels._index, when it was built and the native back end is in force."""

from __future__ import annotations

from typing import Any

from accel.kernels import runtime

_index: Any
try:
    from accel.kernels import _index
except ImportError:
    _index = None


def index() -> Any | None:
    """The module, or None when another implementation has to run."""
    return _index if runtime.backend() == "native" else None
