"""Arrays straight from coded streams into fresh memory, part by part, with the checksum of what comes out on the way.

What `huffman_decode`, `gaps_expand`, `bitmap_expand` and a CRC-32 do one after another, each over all of it: here a
part is decoded, put and summed up while it is in a core's cache, and streams take no memory of their own.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from accel.errors import FormatError
from accel.kernels import checks, runtime
from accel.kernels import gaps as places
from accel.kernels._checksum import crc32
from accel.kernels._huffman_blocks import STATUS
from accel.kernels._huffman_frame import corrupt, read_streams
from accel.reference.huffman import MAGIC, VERSION
from accel.reference.huffman_tree import FORMAT_HT

NO_ENDS = np.empty(0, np.int64)
IN_PLACES, IN_VALUES, AMONG_GAPS = 1, 2, 3
"""Where something is wrong: CodedResult::Where of csrc/kernels/gaps/coded.h."""


class Coded(NamedTuple):
    """`n` bytes: `data` itself, or, where there are ends of blocks, a Huffman stream of format HT."""

    n: int
    data: np.ndarray
    ends: np.ndarray = NO_ENDS


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
    """What `blob` is where it is one stream of format HT and the native back end runs; None otherwise.

    Raises
    ------
    FormatError its header is damaged, or it holds another number of symbols than n.
    """
    data = checks.byte_view("blob", blob)
    if runtime.backend() != "native" or data[:3].tobytes() != bytes([MAGIC, VERSION, FORMAT_HT]):
        return None
    (stream,) = read_streams(data, max(n, 2**31))
    if stream.n != n:
        raise corrupt(f"it holds {stream.n} symbols, expected {n}")
    return Coded(n, stream.payload, np.array(stream.ends, np.int64))


def decode_trees(symbols: Coded, out: np.ndarray) -> Sum:
    """What `open_trees` found into uint8 memory of that size. Raises FormatError."""
    status, block, crc, most = runtime.core.huffman_tree_decode_summed(
        symbols.data, symbols.ends, out, runtime.isa_index(), runtime.threads()
    )
    if status:
        raise corrupt(STATUS[status], block)
    return Sum(crc, most)


def decode_gaps(gaps: Coded, values: Coded, out: np.ndarray, bits: int) -> Sum:
    """`gaps_expand` into `out`, which is all 0. Raises FormatError."""
    width = out.itemsize
    if values.n != width * gaps.n:
        raise FormatError(f"streams: expected as many values as gaps, {gaps.n}, got {values.n // width}")
    if runtime.backend() != "native":
        places.gaps_expand(gaps.data, values.data.view(out.dtype), out.size, bits=bits, out=out, cleared=True)
        return sum_of(out)
    where, status, at, gap, crc, most = runtime.core.gaps_decode(
        gaps.data, gaps.ends, values.data, values.ends, gaps.n, width, (1 << bits) - 1, out.view(np.uint8),
        runtime.isa_index(),
    )  # fmt: skip
    if where == AMONG_GAPS:
        raise places.wrong_gap(gap, at, gaps.n, out.size, bits)
    _refuse_streams(where, status, at)
    return Sum(crc, most)


def decode_bitmap(bitmap: Coded, values: Coded, out: np.ndarray) -> Sum:
    """`bitmap_expand` into `out`. Raises FormatError."""
    width, size = out.itemsize, out.size
    if runtime.backend() != "native":
        places.bitmap_expand(bitmap.data, values.data.view(out.dtype), size, out=out)
        return sum_of(out)
    places.check_bitmap_bytes(bitmap.n, size)
    where, status, at, _, crc, most = runtime.core.bitmap_decode(
        bitmap.data, bitmap.ends, values.data, values.ends, values.n // width, width, out.view(np.uint8),
        runtime.isa_index(),
    )  # fmt: skip
    _refuse_streams(where, status, at)
    if where:
        raise places.wrong_bits(None if at < 0 else at, values.n // width)
    return Sum(crc, most)


def _refuse_streams(where: int, status: int, block: int) -> None:
    if where in (IN_PLACES, IN_VALUES):
        raise corrupt(STATUS[status], block)
