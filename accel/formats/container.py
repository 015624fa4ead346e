"""The .accel container: one file with a network's graph and tensors, each coded on its own.

Specified in docs/formats/accel.md. Nothing read from a file is trusted: every size is checked before memory is
allocated for it, and whatever does not fit together is a FormatError.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import struct
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from accel.errors import FormatError
from accel.formats import codings
from accel.formats.atomic import replace_file
from accel.formats.contents import ARRAY, DTYPES, Contents, PartEntry, StreamEntry, TensorEntry, parse_tensors, pieces
from accel.formats.files import Source, open_bytes, read_bytes
from accel.formats.limits import DEFAULT, Limits, check, check_ratio
from accel.kernels import runtime
from accel.kernels._checksum import crc32
from accel.kernels._file_part import FilePart
from accel.kernels.checks import describe
from accel.weights._state import Arrays
from accel.weights.base import Weight, weight_kinds

MAGIC = b"\x89ACCEL\r\n"
"""A byte that is not text, the name, and a line end that a text-mode copy would damage."""

VERSION = 1

SMALL = 1 << 17
"""Bytes up to which a tensor is read in one piece."""

Tensor = np.ndarray | Weight

_HEAD = struct.Struct("<8sHHIIQ")  # magic, version, flags, stored header bytes, JSON header bytes, file bytes
_DIGEST_BYTES = hashlib.sha256().digest_size


def write(path: str | os.PathLike[str], header: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
    """Save a JSON-able header and named tensors as one file. See `encode` for what is refused, and `replace_file`:
    the file appears whole or not at all, and SaveError leaves what was at `path` as it was.
    """
    replace_file(path, [encode(header, tensors)])


def encode(header: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> bytes:
    """The bytes `write` saves: the same for the same input, on every machine.

    Raises
    ------
    FormatError  the header is not JSON-able (finite numbers, string keys), or a tensor has a dtype without a place
        in the format, or a weight stands for more than readers allow (`Limits`): nothing is written that is not read.
    """
    entries, payload = [], []
    for name, tensor in tensors.items():
        entry, data = _encode_tensor(name, tensor)
        entries.append(entry.as_json())
        payload += data
    document = {"header": header, "tensors": entries}
    try:
        text = json.dumps(document, allow_nan=False, ensure_ascii=False, separators=(",", ":")).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise FormatError(f"header: cannot be written as JSON: {error}") from error
    packed = zlib.compress(text, 9)
    total = _HEAD.size + len(packed) + sum(map(len, payload)) + _DIGEST_BYTES
    body = b"".join([_HEAD.pack(MAGIC, VERSION, 0, len(packed), len(text), total), packed, *payload])
    return body + hashlib.sha256(body).digest()


def read(source: Source, limits: Limits = DEFAULT, *, digest: bool = False) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The header and tensors of a file or of its bytes. Arrays are read-only.

    Damage is found by the checksums of the header and of each tensor; `digest` checks that of the whole file, too,
    which takes longer than decoding it (docs/decisions/0009-loading-checks-each-tensor.md).

    Raises
    ------
    OSError      the file cannot be opened or read.
    FormatError  it is not an .accel file, newer than this program, damaged, or asks for more than `limits`.
    """
    if not digest:
        with open_bytes(source, limits) as data:
            return _read_all(data, limits)
    whole = read_bytes(source, limits)
    _check_digest(whole)
    return _read_all(whole, limits)


def _read_all(data: memoryview | FilePart, limits: Limits) -> tuple[dict[str, Any], dict[str, Tensor]]:
    scratch = codings.Scratch()
    contents, at = read_contents(data, limits, scratch)
    tensors: dict[str, Tensor] = {}
    with runtime.under(runtime.settings(runtime.threads())):  # looked up once for all tensors
        for entry, stored in pieces(contents.tensors, data, at):
            tensors[entry.name] = decode_tensor(entry, stored, limits, scratch)
    return contents.header, tensors


def read_contents(data: memoryview | FilePart, limits: Limits, scratch: codings.Scratch) -> tuple[Contents, int]:
    """The contents of a file, and where its first tensor starts.

    Raises
    ------
    OSError      the file cannot be read.
    FormatError  it is not an .accel file, newer than this program, damaged, or asks for more than `limits`.
    """
    start = memoryview(codings.in_memory(data[: _HEAD.size], scratch))
    check_start(start, len(data))
    at = _header_end(start, len(data), limits)
    return parse_contents(memoryview(codings.in_memory(data[:at], scratch)), len(data), limits)


def inspect(source: Source, limits: Limits = DEFAULT) -> Contents:
    """The table of contents. The digest of the whole is checked, no tensor is decoded. Errors as in `read`."""
    data = read_bytes(source, limits)
    _check_digest(data)
    return _parse(data, limits)[0]


def verify(source: Source, limits: Limits = DEFAULT) -> list[str]:
    """Everything that is wrong with a file, as messages; empty when it is sound.

    Where the header can still be read, every tensor is decoded and the damaged ones are named.
    """
    problems: list[str] = []
    try:
        data = read_bytes(source, limits)
        try:
            _check_digest(data)
        except FormatError as error:
            problems.append(str(error))
        contents, at = _parse(data, limits)
    except FormatError as error:
        return [*problems, str(error)]
    scratch = codings.Scratch()
    for entry, stored in pieces(contents.tensors, data, at):
        try:
            decode_tensor(entry, stored, limits, scratch)
        except FormatError as error:
            problems.append(str(error))
    return problems


def _encode_tensor(name: str, tensor: Tensor) -> tuple[TensorEntry, list[bytes | memoryview]]:
    if isinstance(tensor, Weight):
        kind, (arrays, fields) = tensor.kind, tensor.state()
    elif isinstance(tensor, np.ndarray):
        kind, arrays, fields = ARRAY, {"": tensor}, {}
    else:
        raise FormatError(f"tensor {name!r}: expected an array or a Weight, got {describe(tensor)}")
    parts, payload = [], []
    for part, array in arrays.items():
        row, data = _encode_part(f"tensor {name!r}", part, array)
        parts.append(row)
        payload += data
    entry = TensorEntry(name, kind, fields, tuple(parts))
    if isinstance(tensor, Weight):
        _check_dense(f"tensor {name!r}: dense form", tensor, entry, DEFAULT)
    return entry, payload


def _encode_part(where: str, name: str, array: np.ndarray) -> tuple[PartEntry, list[bytes | memoryview]]:
    dtype = array.dtype.newbyteorder("<")
    code = dtype.str.lstrip("<|")
    if DTYPES.get(code) != dtype:
        raise FormatError(f"{where}: expected a dtype of {', '.join(DTYPES)}, got {describe(array)}")
    little = np.ascontiguousarray(array, dtype).reshape(array.shape)
    coding, streams = codings.encode(little)
    entries = tuple(StreamEntry(stream.method, stream.symbols, len(stream.data)) for stream in streams)
    data = [stream.data for stream in streams if not isinstance(stream.data, FilePart)]  # none is that was encoded
    return PartEntry(name, code, array.shape, coding, entries, crc32(little)), data


def _check_digest(data: memoryview) -> None:
    """Magic, version and size first, for a message that helps; then the digest."""
    check_start(data[: _HEAD.size], len(data))
    if hashlib.sha256(data[:-_DIGEST_BYTES]).digest() != data[-_DIGEST_BYTES:]:
        raise FormatError("damaged: the digest of the file does not match its content")


def check_start(data: memoryview, size: int) -> None:
    """Of a file's first bytes: FormatError where it is no .accel file, newer than this program, or of another size than
    it says."""
    if len(data) < len(MAGIC) or data[: len(MAGIC)] != MAGIC:
        what = "empty file" if not len(data) else f"it starts with {bytes(data[: len(MAGIC)])!r}"
        raise FormatError(f"not an .accel file: {what}")
    if size < _HEAD.size + _DIGEST_BYTES:
        raise FormatError(f"truncated: {size} bytes are less than an empty file has")
    _, version, _, _, _, total = _HEAD.unpack_from(data)
    if version > VERSION:
        raise FormatError(f"format version {version} is newer than {VERSION}, which this accel reads: update accel")
    if size != total:
        what = "truncated" if size < total else "trailing bytes"
        raise FormatError(f"{what}: expected {total} bytes, got {size}")


def _parse(data: memoryview, limits: Limits) -> tuple[Contents, int]:
    """The contents, and where the first tensor starts."""
    if len(data) < _HEAD.size + _DIGEST_BYTES:
        raise FormatError(f"truncated: {len(data)} bytes are less than an empty file has")
    return parse_contents(data, len(data), limits)


def parse_contents(start: memoryview, size: int, limits: Limits) -> tuple[Contents, int]:
    """The contents of a file of `size` bytes from its first ones, and where the first tensor starts. FormatError."""
    at = _header_end(start, size, limits)
    _, version, _, packed, plain, _ = _HEAD.unpack_from(start)
    document = _document(start[_HEAD.size : at], plain)
    tensors = parse_tensors(document["tensors"], limits)
    contents = Contents(version, size, packed, document["header"], tensors)
    room = size - _DIGEST_BYTES - at
    if contents.tensor_bytes != room:
        raise FormatError(f"tensor table: claims {contents.tensor_bytes} bytes, the file has {room}")
    return contents, at


def _header_end(start: memoryview, size: int, limits: Limits) -> int:
    """Of a file's first bytes, those of its head at least: how many there are in front of the tensors."""
    _, version, flags, packed, plain, _ = _HEAD.unpack_from(start)
    if version != VERSION or flags:
        raise FormatError(f"expected format version {VERSION} and flags 0, got version {version} and flags {flags}")
    check("header", plain, limits.max_header, "max_header")
    at = _HEAD.size + int(packed)
    if at > size - _DIGEST_BYTES:
        raise FormatError(f"header: {packed} bytes do not fit into a file of {size}")
    return at


def _document(packed: memoryview, plain: int) -> dict[str, Any]:
    inflate = zlib.decompressobj()
    try:
        # One byte more than claimed, so that a header that is longer shows.
        text = inflate.decompress(packed, plain + 1)
        if len(text) != plain or not inflate.eof or inflate.unused_data:
            raise FormatError(f"header: does not unpack to the {plain} bytes it claims")
        document = json.loads(text.decode(), object_pairs_hook=_object, parse_constant=_refuse_constant)
    except (zlib.error, UnicodeDecodeError, RecursionError, json.JSONDecodeError) as error:
        raise FormatError(f"header: damaged: {error}") from error
    except FormatError:
        raise
    except ValueError as error:
        raise FormatError(f"header: damaged: {error}") from error
    expected = {"header": dict, "tensors": list}
    if not isinstance(document, dict) or {key: type(value) for key, value in document.items()} != expected:
        raise FormatError("header: expected an object with header and tensors")
    return document


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise FormatError("header: an object names a key twice")
    return found


def _refuse_constant(text: str) -> Any:
    raise FormatError(f"header: {text} is not JSON")


def decode_tensor(entry: TensorEntry, data: memoryview | FilePart, limits: Limits, scratch: codings.Scratch) -> Tensor:
    """A tensor from its bytes of the file. Raises FormatError that names it, or OSError."""
    arrays = Arrays()
    try:
        if len(data) < SMALL:
            data = memoryview(codings.in_memory(data, scratch))
        for part, stored in pieces(entry.parts, data):
            arrays[part.name], arrays.most[part.name] = _decode_part(part, stored, scratch)
        return _assemble(entry, arrays, limits)
    except FormatError as error:
        raise FormatError(f"tensor {entry.name!r:.80}: {error}") from error


def _assemble(entry: TensorEntry, arrays: Mapping[str, np.ndarray], limits: Limits) -> Tensor:
    if entry.kind == ARRAY:
        if set(arrays) != {""} or entry.fields:
            raise FormatError("an array has one part without a name and no fields")
        return arrays[""]
    kind = weight_kinds().get(entry.kind)
    if kind is None:
        raise FormatError(f"expected a kind of {', '.join([ARRAY, *weight_kinds()])}, got {entry.kind!r:.40}")
    weight = kind.from_state(arrays, entry.fields)
    _check_dense("dense form", weight, entry, limits)
    return weight


def _check_dense(what: str, weight: Weight, entry: TensorEntry, limits: Limits) -> None:
    """A sparse weight holds little and may stand for much: what dense() will allocate is bounded here."""
    dense_bytes = 4 * math.prod(weight.shape)
    check(what, dense_bytes, limits.max_tensor, "max_tensor")
    if not weight.by_formula:
        check_ratio(what, dense_bytes, entry.nbytes, limits)


def _decode_part(part: PartEntry, data: memoryview | FilePart, scratch: codings.Scratch) -> tuple[np.ndarray, int]:
    """The array, and a number that none of its bytes is above."""
    streams, at = [], 0
    for stream in part.streams:
        streams.append(codings.Stream(stream.method, stream.symbols, data[at : at + stream.nbytes]))
        at += stream.nbytes
    dtype = DTYPES[part.dtype]
    flat, found = codings.decode(part.coding, streams, dtype, part.size, scratch)
    if found.crc32 != part.crc32:
        raise FormatError("damaged: its checksum does not match")
    if part.dtype == "?" and found.most > 1 and flat.view(np.uint8).max(initial=0) > 1:
        raise FormatError("expected 0 and 1 for booleans")
    if not dtype.isnative:
        flat = flat.astype(dtype.newbyteorder("="))
    array = flat.reshape(part.shape)
    array.flags.writeable = False
    return array, found.most
