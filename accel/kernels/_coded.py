"""Arrays straight from coded streams into fresh memory, part by part, with the checksum of what comes out on the way.

What `huffman_decode`, `gaps_expand`, `bitmap_expand` and a CRC-32 do one after another, each over all of it: here a
part is decoded, put and summed up while it is in a core's cache, and streams take no memory of their own, not even
their bytes where those are in a file.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from accel.errors import FormatError
from accel.kernels import checks, runtime
from accel.kernels import gaps as places
from accel.kernels._checksum import crc32
from accel.kernels._file_part import FilePart
from accel.kernels._huffman_blocks import STATUS, UNREAD
from accel.kernels._huffman_frame import (
    Stream,
    corrupt,
    missing,
    most_header_bytes,
    read_header,
    read_streams,
)
from accel.reference.huffman import MAGIC, VERSION
from accel.reference.huffman_tree import FORMAT_HT

NO_DATA, NO_ENDS = np.empty(0, np.uint8), np.empty(0, np.int64)
HT_START = bytes([MAGIC, VERSION, FORMAT_HT])
IN_PLACES, IN_VALUES, AMONG_GAPS = 1, 2, 3
"""Where something is wrong: CodedResult::Where of csrc/kernels/gaps/coded.h."""


class Coded(NamedTuple):
    """`n` bytes: `data` itself, or, where there are ends of blocks, a Huffman stream of format HT, whose blocks are in
    `data` or, where there is one, in `file`."""

    n: int
    data: np.ndarray
    ends: np.ndarray = NO_ENDS
    file: FilePart | None = None

    @property
    def place(self) -> tuple[np.ndarray, int, int, np.ndarray]:
        """As the native module takes it: data, file, where the blocks begin in it, ends."""
        return (self.data, self.file.file, self.file.at, self.ends) if self.file else (self.data, -1, 0, self.ends)


def uncoded(array: np.ndarray) -> Coded:
    """The bytes of an array of one axis."""
    return Coded(array.nbytes, array.view(np.uint8))


class Sum(NamedTuple):
    """Of the bytes of an array: their CRC-32, and a number that none is above."""

    crc32: int
    most: int


def sum_of(array: np.ndarray) -> Sum:
    """Of an array that was decoded in another way."""
    return Sum(crc32(array), 255)


def open_trees(blob: Any, n: int) -> Coded | None:
    """What `blob` is where it is one stream of format HT and the native back end runs; None otherwise. Of a part of a
    file only the stream's header is read here.

    Raises
    ------
    FormatError its header is damaged, or it holds another number of symbols than n.
    OSError     the file cannot be read.
    """
    if runtime.backend() != "native":
        return None
    if isinstance(blob, FilePart):
        data = np.empty(min(len(blob), most_header_bytes(n)), np.uint8)
        blob[: data.size].read(data)
    else:
        data = checks.byte_view("blob", blob)
    if data[:3].tobytes() != HT_START:
        return None
    if isinstance(blob, FilePart):
        stream = read_header(data, max(n, 2**31))
        found = _in_file(stream, blob[data.size - stream.payload.size :])
    else:
        (stream,) = read_streams(data, max(n, 2**31))
        found = Coded(n, stream.payload, np.array(stream.ends, np.int64))
    if stream.n != n:
        raise corrupt(f"it holds {stream.n} symbols, expected {n}")
    return found


def _in_file(stream: Stream, blocks: FilePart) -> Coded:
    """Decoders refuse what is wrong with a block's size: they need no more memory for a large one."""
    if stream.nbytes != len(blocks):
        raise missing(stream, len(blocks))
    return Coded(stream.n, NO_DATA, np.array(stream.ends, np.int64), blocks)


def decode_trees(symbols: Coded, out: np.ndarray) -> Sum:
    """What `open_trees` found into uint8 memory of that size. Raises FormatError, or OSError as `FilePart.read`."""
    status, block, crc, most = runtime.core.huffman_tree_decode_summed(
        *symbols.place, out, runtime.isa_index(), runtime.threads()
    )
    _refuse(status, block, symbols)
    return Sum(crc, most)


def decode_gaps(gaps: Coded, values: Coded, out: np.ndarray, bits: int) -> Sum:
    """`gaps_expand` into `out`, which is all 0. Errors as in `decode_trees`."""
    width = out.itemsize
    if values.n != width * gaps.n:
        raise FormatError(f"streams: expected as many values as gaps, {gaps.n}, got {values.n // width}")
    if runtime.backend() != "native":
        places.gaps_expand(gaps.data, values.data.view(out.dtype), out.size, bits=bits, out=out, cleared=True)
        return sum_of(out)
    where, status, at, gap, crc, most = runtime.core.gaps_decode(
        *gaps.place, *values.place, gaps.n, width, (1 << bits) - 1, out.view(np.uint8), runtime.isa_index()
    )
    if where == AMONG_GAPS:
        raise places.wrong_gap(gap, at, gaps.n, out.size, bits)
    _refuse_streams(where, status, at, gaps, values)
    return Sum(crc, most)


def decode_bitmap(bitmap: Coded, values: Coded, out: np.ndarray) -> Sum:
    """`bitmap_expand` into `out`. Errors as in `decode_trees`."""
    width, size = out.itemsize, out.size
    if runtime.backend() != "native":
        places.bitmap_expand(bitmap.data, values.data.view(out.dtype), size, out=out)
        return sum_of(out)
    places.check_bitmap_bytes(bitmap.n, size)
    where, status, at, _, crc, most = runtime.core.bitmap_decode(
        *bitmap.place, *values.place, values.n // width, width, out.view(np.uint8), runtime.isa_index()
    )
    _refuse_streams(where, status, at, bitmap, values)
    if where:
        raise places.wrong_bits(None if at < 0 else at, values.n // width)
    return Sum(crc, most)


def _refuse_streams(where: int, status: int, block: int, places: Coded, values: Coded) -> None:
    if where in (IN_PLACES, IN_VALUES):
        _refuse(status, block, places if where == IN_PLACES else values)


def _refuse(status: int, block: int, stream: Coded) -> None:
    if status == UNREAD and stream.file:
        stream.file.read(np.empty(len(stream.file), np.uint8))  # which says why, if it is so still
    if status:
        raise corrupt(STATUS[status], block)
