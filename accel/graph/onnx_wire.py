"""The bytes of an ONNX file, with its large weights left where they are until each is read into its array.

Parsed whole, a model is in memory three times: as bytes of the file, as message, and as the copy of each field that
protobuf gives out. So the large `raw_data` of initializers are cut out first, and protobuf parses the rest, some
kilobytes. The format: https://protobuf.dev/programming-guides/encoding; the fields: onnx.proto.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import BinaryIO, NamedTuple, Protocol

import numpy as np

from accel.errors import FormatError
from accel.formats.pages import new_array

_GRAPH, _INITIALIZER, _NAME, _RAW_DATA = 7, 5, 8, 9
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_LARGE = 1 << 16
"""Weights of so many bytes are cut out; onnx's version converter wants to read smaller ones (graph/onnx_old.py)."""

_MOST_FIELDS = 1 << 19
"""Fields looked at here: one that has more, with its numbers one field each, is left to protobuf."""


class Wire(Protocol):
    """Bytes that can be read in pieces."""

    size: int

    def read(self, start: int, end: int) -> bytes:
        """A copy of some bytes; fewer than asked for past the end."""

    def array(self, start: int, end: int) -> np.ndarray:
        """The same as an uint8 array of its own."""


class BytesWire:
    """Bytes in memory. Arrays are copies: as views, a single weight would keep all of the model."""

    def __init__(self, data: bytes) -> None:
        self._data, self.size = data, len(data)

    def read(self, start: int, end: int) -> bytes:
        return self._data[start:end]

    def array(self, start: int, end: int) -> np.ndarray:
        array = new_array((end - start,), np.uint8)
        array[:] = np.frombuffer(self._data, np.uint8, end - start, start)
        return array


class FileWire:
    """An open file. Arrays are read, not mapped: a file that shrinks later must not end the process."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file, self.size = file, size

    def read(self, start: int, end: int) -> bytes:
        self._file.seek(start)
        return self._file.read(max(min(end, self.size) - start, 0))

    def array(self, start: int, end: int) -> np.ndarray:
        array = new_array((end - start,), np.uint8)
        self._file.seek(start)
        if self._file.readinto(array.data) != array.nbytes:  # type: ignore[attr-defined]
            raise FormatError(f"the file ended before byte {end}: it changed while it was read")
        return array


class Blob(NamedTuple):
    """The `raw_data` of one tensor."""

    wire: Wire
    start: int
    end: int

    @property
    def nbytes(self) -> int:
        return self.end - self.start

    def read(self) -> np.ndarray:
        """Its bytes."""
        return self.wire.array(self.start, self.end)


def cut(wire: Wire) -> tuple[bytes, dict[str, Blob]]:
    """The model without its large weights, and those by name.

    What is not a sound message comes back whole, for protobuf to say so.
    """
    scanner = _Scanner(wire)
    try:
        return scanner.model(), scanner.blobs
    except (_Unsound, UnicodeDecodeError):
        return wire.read(0, wire.size), {}


class _Unsound(Exception):
    """Not a message, or an unusual one."""


class _Field(NamedTuple):
    number: int
    kind: int
    start: int  # of the tag
    body: int
    end: int


class _Scanner:
    """Each method gives the bytes of one message without what is cut out."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self.blobs: dict[str, Blob] = {}
        self.seen = 0

    def model(self) -> bytes:
        return self._with(0, self.wire.size, _GRAPH, self._graph)

    def _graph(self, graph: _Field) -> bytes:
        return self._with(graph.body, graph.end, _INITIALIZER, self._initializer)

    def _with(self, start: int, end: int, number: int, change: Callable[[_Field], bytes]) -> bytes:
        """The message between two places with each of its messages `number` changed."""
        pieces = []
        for field in self._fields(start, end):
            if field.number == number and field.kind == _BYTES and field.end - field.body >= _LARGE:
                body = change(field)
                pieces += [self.wire.read(start, field.start), _varint(number << 3 | _BYTES), _varint(len(body)), body]
                start = field.end
        return b"".join([*pieces, self.wire.read(start, end)])

    def _initializer(self, tensor: _Field) -> bytes:
        fields = list(self._fields(tensor.body, tensor.end))
        names = [f for f in fields if f.number == _NAME and f.kind == _BYTES]
        raw = [f for f in fields if f.number == _RAW_DATA]
        if len(raw) != 1 or len(names) != 1 or raw[0].kind != _BYTES or raw[0].end - raw[0].body < _LARGE:
            return self.wire.read(tensor.body, tensor.end)
        name = self.wire.read(names[0].body, names[0].end).decode()
        if name in self.blobs:
            raise _Unsound
        self.blobs[name] = Blob(self.wire, raw[0].body, raw[0].end)
        return self.wire.read(tensor.body, raw[0].start) + self.wire.read(raw[0].end, tensor.end)

    def _fields(self, at: int, end: int) -> Iterator[_Field]:
        while at < end:
            self.seen += 1
            head = self.wire.read(at, min(at + 20, end))  # a tag and a length have at most ten bytes each
            tag, used = _read_varint(head, 0)
            kind, body = tag & 7, at + used
            if kind == _BYTES:
                length, used = _read_varint(head, used)
                body = at + used
            elif kind == _VARINT:
                length = _read_varint(head, used)[1] - used
            elif kind in (_FIXED32, _FIXED64):
                length = 4 if kind == _FIXED32 else 8
            else:
                raise _Unsound
            if body + length > end or self.seen > _MOST_FIELDS:
                raise _Unsound
            yield _Field(tag >> 3, kind, at, body, body + length)
            at = body + length


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    """A number and where it ends."""
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            break
        byte = data[at]
        value |= (byte & 127) << shift
        at += 1
        if byte < 128:
            return value, at
    raise _Unsound


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])
