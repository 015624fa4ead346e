"""The element types accel runs and their numbers in ONNX."""

from __future__ import annotations

from typing import Any

import numpy as np

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
"""The element types accel runs, by their number in TensorProto.DataType."""

CODES = {dtype: code for code, dtype in DTYPES.items()}
"""The inverse of DTYPES."""
