"""The element types that operators run on, and their numbers in ONNX."""

from __future__ import annotations

from typing import Any

import numpy as np

from accel.errors import UnsupportedError

DTYPES: dict[int, np.dtype[Any]] = {
    1: np.dtype(np.float32),
    2: np.dtype(np.uint8),
    3: np.dtype(np.int8),
    4: np.dtype(np.uint16),
    5: np.dtype(np.int16),
    6: np.dtype(np.int32),
    7: np.dtype(np.int64),
    9: np.dtype(np.bool_),
    10: np.dtype(np.float16),
    11: np.dtype(np.float64),
    12: np.dtype(np.uint32),
    13: np.dtype(np.uint64),
}
"""By the number in onnx.TensorProto.DataType."""

_KNOWN = frozenset(DTYPES.values())
_NAMES = ", ".join(str(dtype) for dtype in DTYPES.values())


def check_dtype(name: str, dtype: np.dtype[Any]) -> None:
    """Raise unless operators run on arrays of this dtype."""
    if dtype not in _KNOWN:
        raise UnsupportedError(f"{name}: expected one of {_NAMES}, got {dtype}")


def element_type(code: int, name: str = "dtype") -> np.dtype[Any]:
    """The dtype of an ONNX element type code."""
    if code not in DTYPES:
        raise UnsupportedError(f"{name}: expected the code of one of {_NAMES}, got {code}")
    return DTYPES[code]


def widened(x: np.ndarray[Any, np.dtype[Any]]) -> np.ndarray[Any, np.dtype[Any]]:
    """float16 as float32, for sums that 11 bits could not hold; anything else as it is."""
    return x.astype(np.float32) if x.dtype == np.float16 else x


def lowest(dtype: np.dtype[Any]) -> Any:
    """The value that never wins a maximum."""
    if dtype.kind == "b":
        return False
    return np.iinfo(dtype).min if dtype.kind in "iu" else dtype.type(-np.inf)


def highest(dtype: np.dtype[Any]) -> Any:
    """The value that never wins a minimum."""
    if dtype.kind == "b":
        return True
    return np.iinfo(dtype).max if dtype.kind in "iu" else dtype.type(np.inf)
