"""The table of contents of an .accel file: which tensors, in which parts, coded how. Parsed without trusting a word."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

import numpy as np

from accel.errors import FormatError
from accel.formats.limits import Limits, check, check_ratio
from accel.kernels._file_part import FilePart

ARRAY = "array"
"""The kind of a tensor that is a plain array, not a Weight."""

DTYPES = {
    np.dtype(name).newbyteorder("<").str.lstrip("<|"): np.dtype(name).newbyteorder("<")
    for name in ("?", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8")
}
"""Element types by their name in files: numpy's, little-endian."""

MAX_AXES = 32
"""What every NumPy version can hold."""

TENSOR_KEYS = ("name", "kind", "fields", "parts")
PART_KEYS = ("name", "dtype", "shape", "coding", "streams", "crc32")


class StreamEntry(NamedTuple):
    """`symbols` bytes stored in `nbytes` bytes by `method`."""

    method: str
    symbols: int
    nbytes: int


class PartEntry(NamedTuple):
    """One array: of a plain tensor the tensor itself, of a Weight one of the arrays of its state."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    coding: str
    streams: tuple[StreamEntry, ...]
    crc32: int

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes when decoded."""
        return self.size * DTYPES[self.dtype].itemsize

    @property
    def stored(self) -> int:
        """Bytes in the file."""
        return sum([stream.nbytes for stream in self.streams])

    def as_json(self) -> dict[str, Any]:
        streams = [[stream.method, stream.symbols, stream.nbytes] for stream in self.streams]
        values = (self.name, self.dtype, list(self.shape), self.coding, streams, self.crc32)
        return dict(zip(PART_KEYS, values, strict=True))


class TensorEntry(NamedTuple):
    """One tensor of the network: a plain array (kind "array") or a Weight of this kind."""

    name: str
    kind: str
    fields: Mapping[str, Any]
    parts: tuple[PartEntry, ...]

    @property
    def nbytes(self) -> int:
        """Bytes when decoded."""
        return sum([part.nbytes for part in self.parts])

    @property
    def stored(self) -> int:
        """Bytes in the file."""
        return sum([part.stored for part in self.parts])

    def as_json(self) -> dict[str, Any]:
        values = (self.name, self.kind, dict(self.fields), [part.as_json() for part in self.parts])
        return dict(zip(TENSOR_KEYS, values, strict=True))


@dataclass(frozen=True, slots=True)
class Contents:
    """What is in a file, before any tensor is decoded."""

    version: int
    file_bytes: int
    header_bytes: int
    header: dict[str, Any]
    tensors: tuple[TensorEntry, ...] = field(repr=False)

    @property
    def tensor_bytes(self) -> int:
        """Bytes of the file that hold tensors."""
        return sum(tensor.stored for tensor in self.tensors)


T = TypeVar("T", PartEntry, TensorEntry)


def pieces(entries: Iterable[T], data: memoryview | FilePart, at: int = 0) -> Iterator[tuple[T, memoryview | FilePart]]:
    """Each entry with its bytes of `data`, one after another from `at` on."""
    for entry in entries:
        end = at + entry.stored
        yield entry, data[at:end]
        at = end


def parse_tensors(value: Any, limits: Limits) -> tuple[TensorEntry, ...]:
    """The table from its JSON form. Raises FormatError naming the entry."""
    rows = _list("tensor table", value)
    check("tensor table", len(rows), limits.max_tensors, "max_tensors")
    tensors = tuple(_tensor(f"tensor {at}", row, limits) for at, row in enumerate(rows))
    _unique("tensor table", [tensor.name for tensor in tensors])
    check("tensors, decoded", sum(tensor.nbytes for tensor in tensors), limits.max_total, "max_total")
    return tensors


def _tensor(where: str, row: Any, limits: Limits) -> TensorEntry:
    name, kind, fields, parts = _object(where, row, TENSOR_KEYS)
    name = _text(f"{where}, name", name)
    where = f"tensor {name!r:.80}"
    if not isinstance(fields, dict):
        raise FormatError(f"{where}: expected an object of fields, got {fields!r:.40}")
    entries = tuple([_part(f"{where}, part {at}", part, limits) for at, part in enumerate(_list(where, parts))])
    _unique(where, [entry.name for entry in entries])
    return TensorEntry(name, _text(f"{where}, kind", kind), fields, entries)


def _part(where: str, row: Any, limits: Limits) -> PartEntry:
    name, dtype, shape, coding, streams, crc32 = _object(where, row, PART_KEYS)
    for text in (name, dtype, coding):
        _text(where, text)
    if dtype not in DTYPES:
        raise FormatError(f"{where}: expected a dtype of {', '.join(DTYPES)}, got {dtype!r:.40}")
    dims = tuple([_count(where, dim, ", shape") for dim in _list(where, shape)])
    if len(dims) > MAX_AXES:
        raise FormatError(f"{where}: expected at most {MAX_AXES} axes, got {len(dims)}")
    entries = tuple([_stream(where, stream) for stream in _list(where, streams)])
    part = PartEntry(name, dtype, dims, coding, entries, _count(where, crc32, ", crc32"))
    nbytes, symbols = part.nbytes, sum([stream.symbols for stream in entries])
    check(where, nbytes, limits.max_tensor, "max_tensor")
    check(f"{where}, symbols", symbols, limits.max_tensor, "max_tensor")
    check_ratio(where, max(nbytes, symbols), part.stored, limits)
    return part


def _stream(where: str, row: Any) -> StreamEntry:
    method, symbols, nbytes = _list(where, row, 3, ", stream")
    return StreamEntry(
        _text(where, method, ", method"), _count(where, symbols, ", symbols"), _count(where, nbytes, ", bytes")
    )


def _list(where: str, value: Any, size: int | None = None, what: str = "") -> list[Any]:
    """`where` and `what` are joined only for a message: there are hundreds of numbers in a file."""
    if not isinstance(value, list) or (size is not None and len(value) != size):
        expected = "a list" if size is None else f"a list of {size}"
        raise FormatError(f"{where}{what}: expected {expected}, got {value!r:.60}")
    return value


def _object(where: str, value: Any, keys: tuple[str, ...]) -> list[Any]:
    """The values of an object that has exactly these keys."""
    if not isinstance(value, dict) or value.keys() != set(keys):
        raise FormatError(f"{where}: expected an object with {', '.join(keys)}, got {value!r:.60}")
    return [value[key] for key in keys]


def _text(where: str, value: Any, what: str = "") -> str:
    if not isinstance(value, str):
        raise FormatError(f"{where}{what}: expected a string, got {value!r:.40}")
    return value


def _count(where: str, value: Any, what: str = "") -> int:
    # 2**63 - 1: what every other reader's signed 64-bit integers hold. bool is an int in Python, not in the format.
    if type(value) is not int or not 0 <= value < 1 << 63:
        raise FormatError(f"{where}{what}: expected an integer in 0..2**63-1, got {value!r:.40}")
    return value


def _unique(where: str, names: Sequence[str]) -> None:
    if len(set(names)) != len(names):
        double = next(name for at, name in enumerate(names) if name in names[:at])
        raise FormatError(f"{where}: the name {double!r:.80} occurs twice")
