"""The element types of ONNX as NumPy dtypes, without the onnx package."""

from __future__ import annotations

from typing import Any

import numpy as np

from accel.errors import UnsupportedError

# onnx.TensorProto.DataType
_NUMPY = {
    1: "float32",
    2: "uint8",
    3: "int8",
    4: "uint16",
    5: "int16",
    6: "int32",
    7: "int64",
    9: "bool",
    10: "float16",
    11: "float64",
    12: "uint32",
    13: "uint64",
}
_EXTENDED = {16: "bfloat16", 21: "uint4", 22: "int4"}


def element_type(code: int, name: str = "dtype") -> np.dtype[Any]:
    """The dtype of an ONNX element type code; bfloat16, int4 and uint4 need the package ml_dtypes."""
    if code in _NUMPY:
        return np.dtype(_NUMPY[code])
    if code in _EXTENDED:
        try:
            import ml_dtypes
        except ImportError:
            raise UnsupportedError(f"{name}: {_EXTENDED[code]} needs the package 'ml_dtypes'") from None
        return np.dtype(getattr(ml_dtypes, _EXTENDED[code]))
    supported = ", ".join([*_NUMPY.values(), *_EXTENDED.values()])
    raise UnsupportedError(f"{name}: expected the code of one of {supported}, got {code}")


def integer_range(dtype: np.dtype[Any]) -> tuple[int, int]:
    """Smallest and largest value of an integer type, of those that ml_dtypes adds too."""
    if dtype.kind in "iu":
        info = np.iinfo(dtype)
        return int(info.min), int(info.max)
    ranges = {"int4": (-8, 7), "uint4": (0, 15)}
    if dtype.name not in ranges:
        raise UnsupportedError(f"expected an integer type, got {dtype}")
    return ranges[dtype.name]
