"""Tensors of an ONNX file to arrays: sizes are checked before memory is taken, external data stays in its folder."""

from __future__ import annotations

import math
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from accel.errors import ModelError, UnsupportedError
from accel.graph.limits import Limits
from accel.graph.onnx_wire import Blob
from accel.layers.operators.dtypes import DTYPES

# The typed field that holds a tensor's numbers when raw_data does not: onnx.proto, comments of TensorProto.
_FIELDS = {1: "float_data", 7: "int64_data", 11: "double_data", 12: "uint64_data", 13: "uint64_data"}
_EXTERNAL = 1
_EXTERNAL_KEYS = {"location", "offset", "length", "checksum"}


def dtype_of(code: int, what: str) -> np.dtype[Any]:
    """The NumPy dtype of an ONNX element type, or UnsupportedError that names `what`."""
    if code not in DTYPES:
        import onnx

        known = onnx.TensorProto.DataType.keys() if code in onnx.TensorProto.DataType.values() else ()
        name = onnx.TensorProto.DataType.Name(code) if known else f"number {code}"
        supported = ", ".join(dtype.name for dtype in DTYPES.values())
        raise UnsupportedError(f"{what}: element type {name} is not supported; accel runs {supported}")
    return DTYPES[code]


class TensorReader:
    """Reads the tensors of one model and keeps count of their bytes.

    Parameters
    ----------
    folder : folder of the model file, None when the model came as bytes: external data is refused then.
    limits : max_tensor_bytes and max_total_bytes are enforced before an array is made.
    """

    def __init__(self, folder: Path | None, limits: Limits) -> None:
        self.folder = folder
        self.limits = limits
        self.total = 0

    def read(self, tensor: Any, what: str, blob: Blob | None = None) -> np.ndarray:
        """The array of a TensorProto: read-only, in native byte order; `blob` is its raw_data when it was cut out."""
        dtype = dtype_of(tensor.data_type, what)
        shape = _shape(tensor.dims, what)
        size = self._size(shape, dtype, what)
        if tensor.data_location == _EXTERNAL:
            array = self._external(tensor, size, dtype, what)
        elif blob is not None or tensor.HasField("raw_data"):
            given = len(tensor.raw_data) if blob is None else blob.nbytes
            if given != size * dtype.itemsize:
                raise ModelError(
                    f"{what}: shape {list(shape)} of {dtype} needs {size * dtype.itemsize} bytes, got {given}"
                )
            array = _from_raw(tensor.raw_data if blob is None else blob.read(), dtype)
        else:
            array = _from_field(tensor, size, dtype, what)
        array = array.reshape(shape)
        array.setflags(write=False)
        return array

    def read_sparse(self, sparse: Any, what: str) -> np.ndarray:
        """The dense array of a SparseTensorProto (COO, indices (nnz,) or (nnz, rank))."""
        values, indices = self.read(sparse.values, what), self.read(sparse.indices, what)
        shape = _shape(sparse.dims, what)
        size = self._size(shape, values.dtype, what)
        if values.ndim != 1 or indices.dtype != np.int64:
            raise ModelError(f"{what}: expected values of one axis and int64 indices, got {values.ndim} axes")
        flat = self._flat_indices(indices, shape, len(values), what)
        dense = np.zeros(size, values.dtype)
        dense[flat] = values
        dense.setflags(write=False)
        return dense.reshape(shape)

    @staticmethod
    def _flat_indices(indices: np.ndarray, shape: tuple[int, ...], count: int, what: str) -> np.ndarray:
        if indices.shape not in ((count,), (count, len(shape))):
            expected = f"({count},) or ({count}, {len(shape)})"
            raise ModelError(f"{what}: indices have shape {indices.shape}, expected {expected}")
        bounds = np.array([math.prod(shape)] if indices.ndim == 1 else shape, np.int64)
        if np.any(indices < 0) or np.any(indices.reshape(count, -1) >= bounds):
            raise ModelError(f"{what}: an index lies outside the shape {list(shape)}")
        return indices if indices.ndim == 1 else np.ravel_multi_index(tuple(indices.T), shape)

    def _size(self, shape: tuple[int, ...], dtype: np.dtype[Any], what: str) -> int:
        """Number of elements, counted against the limits."""
        # NumPy refuses axes that are too long together even when another has length 0.
        nbytes = math.prod(dim or 1 for dim in shape) * dtype.itemsize
        if nbytes > self.limits.max_tensor_bytes:
            raise ModelError(f"{what}: {nbytes} bytes exceed Limits.max_tensor_bytes = {self.limits.max_tensor_bytes}")
        size = math.prod(shape)
        self.total += size * dtype.itemsize
        if self.total > self.limits.max_total_bytes:
            raise ModelError(
                f"{what}: all tensors so far take {self.total} bytes, more than "
                f"Limits.max_total_bytes = {self.limits.max_total_bytes}"
            )
        return size

    def _external(self, tensor: Any, size: int, dtype: np.dtype[Any], what: str) -> np.ndarray:
        if self.folder is None:
            raise ModelError(f"{what}: its data is in another file, and a model that is not a path has no folder")
        entries = {entry.key: entry.value for entry in tensor.external_data}
        if not set(entries) <= _EXTERNAL_KEYS or "location" not in entries:
            raise ModelError(f"{what}: external data has the keys {sorted(entries)}, not {sorted(_EXTERNAL_KEYS)}")
        need = size * dtype.itemsize
        offset = _natural(entries.get("offset", "0"), f"{what}: offset of external data")
        length = _natural(entries.get("length", str(need)), f"{what}: length of external data")
        if length != need:
            raise ModelError(f"{what}: external data of {length} bytes, its shape needs {need}")
        with open_inside(self.folder, entries["location"], what) as file:
            available = os.fstat(file.fileno()).st_size
            if offset + need > available:
                raise ModelError(f"{what}: bytes {offset}..{offset + need} of a file of {available} bytes")
            file.seek(offset)
            raw = file.read(need)
        if len(raw) != need:
            raise ModelError(f"{what}: the external file ended after {len(raw)} of {need} bytes")
        return _from_raw(raw, dtype)


@contextmanager
def open_inside(folder: Path, location: str, what: str) -> Iterator[Any]:
    """Open a regular file below `folder` for reading: no '..', absolute path, symbolic or hard link.

    Every folder on the way is opened without following links, relative to the one before, so a path that is
    exchanged between check and use is not followed either (reliability: external data of ONNX, CVE-2022-25882 on).
    """
    parts = location.replace("\\", "/").split("/")
    if not location or "\0" in location or ":" in location or any(part in ("", ".", "..") for part in parts):
        raise ModelError(f"{what}: external data at {location!r:.80}, expected a plain path below the model's folder")
    try:
        descriptor = _descend(folder, parts)
    except OSError as error:
        raise ModelError(f"{what}: external data {location!r:.80} cannot be opened: {error.strerror}") from error
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
        os.close(descriptor)
        raise ModelError(f"{what}: external data {location!r:.80} is not a regular file with a single name")
    with os.fdopen(descriptor, "rb") as file:
        yield file


def _descend(folder: Path, parts: list[str]) -> int:
    # O_NONBLOCK: opening a FIFO must not wait for a writer. Flags that a platform lacks are left out.
    flags = os.O_RDONLY | sum(getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_CLOEXEC", "O_NONBLOCK", "O_BINARY"))
    if os.open not in os.supports_dir_fd:
        path = folder.joinpath(*parts)
        if path.resolve() != folder.resolve().joinpath(*parts):
            raise OSError(0, "a symbolic link is on the way")
        return os.open(path, flags)
    here = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for part in parts[:-1]:
            below = os.open(part, flags | os.O_DIRECTORY, dir_fd=here)
            os.close(here)
            here = below
        return os.open(parts[-1], flags, dir_fd=here)
    finally:
        os.close(here)


def _natural(text: str, what: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise ModelError(f"{what}: expected a number >= 0, got {text!r:.40}")
    return int(text)


def _shape(dims: Any, what: str) -> tuple[int, ...]:
    shape = tuple(int(d) for d in dims)
    # 32 axes is NumPy 1's limit; no operator uses more than 8.
    if len(shape) > 32 or any(d < 0 for d in shape):
        raise ModelError(f"{what}: shape {list(shape)[:40]} is not a shape of at most 32 axes of size >= 0")
    return shape


def _from_raw(raw: bytes | np.ndarray, dtype: np.dtype[Any]) -> np.ndarray:
    array = np.frombuffer(raw, dtype.newbyteorder("<")).astype(dtype, copy=False)
    if dtype == np.bool_ and array.view(np.uint8).max(initial=0) > 1:
        array = array.view(np.uint8) != 0
    return array


def _from_field(tensor: Any, size: int, dtype: np.dtype[Any], what: str) -> np.ndarray:
    numbers = getattr(tensor, _FIELDS.get(tensor.data_type, "int32_data"))
    if len(numbers) != size:
        raise ModelError(f"{what}: shape {list(tensor.dims)} needs {size} elements, got {len(numbers)}")
    array = np.array(numbers, np.float64 if dtype.kind == "f" and dtype.itemsize > 2 else None)
    if dtype == np.float16:
        # float16 is kept as its bits in the low half of an int32.
        return array.astype(np.uint16).view(np.float16) if size else np.empty(0, dtype)
    if dtype.kind in "iu" and size and not np.can_cast(array.dtype, dtype):
        bounds = np.iinfo(dtype)
        if array.min() < bounds.min or array.max() > bounds.max:
            raise ModelError(f"{what}: a number does not fit into {dtype}")
    return array.astype(dtype)
