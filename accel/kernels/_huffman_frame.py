"""What stands around the blocks of a Huffman stream, read without trusting it. Specified in docs/formats/huffman.md."""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from accel.errors import FormatError
from accel.reference import huffman as reference
from accel.reference import huffman_tree as trees
from accel.reference.huffman import BLOCK, FORMAT_H4, MAGIC, RAW, RUN, VERSION
from accel.reference.huffman_tree import FORMAT_HT

SEQUENCE_START = bytes([MAGIC, VERSION, 2])
SEQUENCE_END = bytes([MAGIC, VERSION, 3])
_CHECKSUM = 4


@dataclass(frozen=True)
class Stream:
    """Blocks of one format, and how many symbols they hold."""

    trees: bool  # format HT
    n: int
    ends: list[int]  # of the blocks, in payload
    payload: np.ndarray  # from the first block on; what is behind the last does not belong to it
    first: int = 0  # the number of the first block, for messages

    @property
    def block(self) -> int:
        """Symbols of every block but the last."""
        return trees.BLOCK if self.trees else BLOCK

    @property
    def nbytes(self) -> int:
        """Bytes of all blocks."""
        return self.ends[-1] if self.ends else 0


def corrupt(why: str, block: int | None = None) -> FormatError:
    return FormatError(f"Huffman stream{'' if block is None else f', block {block}'}: {why}")


def header(format: int, n: int, sizes: Iterable[int]) -> bytes:
    """What stands before blocks of these sizes."""
    return _signed(bytes([MAGIC, VERSION, format]), n, *sizes)


def sequence_end(n: int) -> bytes:
    """What stands behind streams of n symbols together."""
    return _signed(SEQUENCE_END, n)


def _signed(start: bytes, *numbers: int) -> bytes:
    text = start + b"".join(reference.pack_varint(int(number)) for number in numbers)
    return text + zlib.crc32(text).to_bytes(_CHECKSUM, "little")


def most_header_bytes(max_symbols: int) -> int:
    """Of a stream of that many symbols, whatever its numbers are."""
    return 3 + 9 * (1 + -(-max_symbols // BLOCK)) + _CHECKSUM


def read_header(data: np.ndarray, max_symbols: int) -> Stream:
    """The stream at the front of `data`; its blocks need not be there."""
    if data.size < 3 or data[0] != MAGIC:
        raise corrupt("it does not begin as one; is this another kind of data?")
    if data[1] != VERSION or data[2] not in (FORMAT_H4, FORMAT_HT):
        raise corrupt(f"version {data[1]}, format {data[2]} is unknown; a newer accel may have written it")
    is_tree, view = bool(data[2] == FORMAT_HT), data.data
    block = trees.BLOCK if is_tree else BLOCK
    sizes: list[int] = []
    try:
        n, at = reference.unpack_varint(view, 3)
        if n > max_symbols:
            raise corrupt(f"it holds {n} symbols, more than max_symbols={max_symbols}")
        while len(sizes) * block < n:
            size, at = reference.unpack_varint(view, at)
            sizes.append(size)
    except FormatError:
        raise
    except ValueError as why:
        raise corrupt(f"the header is corrupt: {why}") from None
    _check_sum(view, at)
    return Stream(is_tree, n, list(itertools.accumulate(sizes)), data[at + _CHECKSUM :])


def read_end(data: np.ndarray, n: int) -> int:
    """The bytes of what stands behind the streams of a sequence, which hold n symbols."""
    try:
        said, at = reference.unpack_varint(data.data, len(SEQUENCE_END))
    except ValueError as why:
        raise corrupt(f"the end of the sequence is corrupt: {why}") from None
    _check_sum(data.data, at)
    if said != n:
        raise corrupt(f"its end says {said} symbols, {n} are there")
    return at + _CHECKSUM


def _check_sum(view: memoryview, at: int) -> None:
    if bytes(view[at : at + _CHECKSUM]) != zlib.crc32(view[:at]).to_bytes(_CHECKSUM, "little"):
        raise corrupt("the header's checksum does not match")


def read_streams(data: np.ndarray, max_symbols: int) -> Iterable[Stream]:
    """The only stream of `data`, or those of a sequence; all their bytes are there, and none behind."""
    if data[:3].tobytes() == SEQUENCE_START:
        return _Sequence(data[len(SEQUENCE_START) :], max_symbols)
    stream = read_header(data, max_symbols)
    if stream.nbytes != stream.payload.size:
        raise missing(stream, stream.payload.size)
    check_sizes(stream)
    return [stream]


@dataclass(frozen=True)
class _Sequence:
    """Streams one after another, read anew by every loop: what is known of the smallest ones takes more memory than
    their bytes."""

    data: np.ndarray
    max_symbols: int

    def __iter__(self) -> Iterator[Stream]:
        data, n = self.data, 0
        while data[:3].tobytes() != SEQUENCE_END:
            stream = read_header(data, self.max_symbols - n)
            if stream.nbytes > stream.payload.size:
                raise missing(stream, stream.payload.size)
            check_sizes(stream)
            yield stream
            data, n = stream.payload[stream.nbytes :], n + stream.n
        left = data.size - read_end(data, n)
        if left:
            raise corrupt(f"{left} bytes stand behind its end")


def missing(stream: Stream, there: int) -> FormatError:
    """Of a stream with `there` bytes behind its header."""
    return corrupt(f"its header says {stream.nbytes} bytes of blocks, {there} are there")


def check_sizes(stream: Stream) -> None:
    """Refuses blocks that cannot hold their symbols, before memory is taken for the symbols."""
    start, front = 0, stream.payload.data
    for k, end in enumerate(stream.ends):
        check_size(stream, k, end - start, front[start] if end > start else None)
        start = end


def check_size(stream: Stream, k: int, size: int, kind: int | None) -> None:
    """Of block k, whose first byte is its kind. Coded symbols take 1 to 11 bits; with tables, counts and padding they
    stay below the bound here."""
    symbols = min(stream.block, stream.n - k * stream.block)
    if size < 5 or kind is None:
        raise corrupt("a block is cut off", k)
    coded = symbols <= 8 * size and size <= 2 * symbols + 4096
    if not (size == symbols + 5 if kind == RAW else size == 6 if kind == RUN else coded):
        raise corrupt(f"{symbols} symbols do not fit in {size} bytes of kind {kind}", k)
