"""Huffman streams in pieces: tensors of any size in the memory of a block."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol

import numpy as np

from accel.errors import FormatError
from accel.kernels import _huffman_frame as frame
from accel.kernels import checks, runtime
from accel.kernels._huffman_blocks import decode_blocks
from accel.kernels._huffman_frame import SEQUENCE_END, SEQUENCE_START, Stream, corrupt
from accel.kernels.huffman import check_format, huffman_encode
from accel.reference.huffman_tree import BLOCK


class Readable(Protocol):
    """A binary file, a pipe, a socket's file: at most `size` bytes at a call, none at the end."""

    def read(self, size: int, /) -> bytes: ...


def huffman_encode_stream(chunks: Iterable[np.ndarray], *, format: str = "auto") -> Iterator[bytes]:
    """Huffman code of uint8 arrays one after another, in pieces to be written one after another.

    The bytes together are a sequence of streams of 1,048,576 symbols each, whatever the sizes of the chunks:
    `huffman_decode` reads them as well as `huffman_decode_stream`. At any time one such piece and its code are held.

    Parameters
    ----------
    chunks : iterable of ndarray, shape (n,), uint8, C-contiguous; any number, of any sizes. Each is read before the
        next is asked for.
    format : of each stream, as in `huffman_encode`.

    Yields
    ------
    bytes

    Raises
    ------
    TypeError   chunks is not iterable, or a chunk is not a uint8 array.
    ValueError  a chunk has not one axis or is not contiguous, or format is unknown.

    Examples
    --------
    >>> with open("codes.huf", "wb") as file:
    ...     file.writelines(huffman_encode_stream(tensor.reshape(-1) for tensor in tensors))
    """
    check_format(format)
    if not isinstance(chunks, Iterable) or isinstance(chunks, np.ndarray):
        raise TypeError(f"chunks: expected an iterable of uint8 arrays, got {checks.describe(chunks)}")
    return _encode(chunks, format)


def _encode(chunks: Iterable[np.ndarray], format: str) -> Iterator[bytes]:
    n = 0
    yield SEQUENCE_START
    for piece in _pieces(chunks):
        yield huffman_encode(piece, format=format)
        n += piece.size
    yield frame.sequence_end(n)


def _pieces(chunks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """The same symbols, BLOCK at a time; each piece is gone when the next is asked for."""
    gathered, count = np.empty(BLOCK, np.uint8), 0
    for chunk in chunks:
        left = checks.array("chunks", chunk, np.uint8, 1)
        while left.size:
            if not count and left.size >= BLOCK:
                yield left[:BLOCK]
                left = left[BLOCK:]
                continue
            taken = left[: BLOCK - count]
            gathered[count : count + taken.size] = taken
            count, left = count + taken.size, left[taken.size :]
            if count == BLOCK:
                yield gathered
                count = 0
    if count:
        yield gathered[:count]


def huffman_decode_stream(file: Readable, *, max_symbols: int = 2**31) -> Iterator[np.ndarray]:
    """The symbols of a Huffman stream, or of a sequence of streams, block by block as they are read.

    At any time the bytes and the symbols of one block are held, and the sizes of the blocks of one stream. Each block
    is checked before it is given out; that the whole is complete is known when the last has been asked for. The file
    need not be able to seek; to decode a range of it, map it and give the map to `huffman_decode`.

    Parameters
    ----------
    file : with a method read(size) that returns bytes; read to its end.
    max_symbols : most symbols to accept in one stream.

    Yields
    ------
    ndarray, shape (m,), uint8; m is 261,632 (H4) or 1,048,576 (HT), less in the last block of a stream

    Raises
    ------
    FormatError the stream is truncated, corrupt, of another kind, or one is longer than max_symbols.
    TypeError   file has no method read, or reads something else than bytes.
    """
    if not callable(getattr(file, "read", None)):
        raise TypeError(f"file: expected an object with a method read, got {checks.describe(file)}")
    return _decode(_Source(file), checks.integer("max_symbols", max_symbols, 0))


class _Source:
    """A file that can be looked into before it is read."""

    def __init__(self, file: Readable) -> None:
        self._file = file
        self._ahead = b""

    def peek(self, size: int) -> np.ndarray:
        """The next `size` bytes, fewer at the end of the file."""
        pieces, have = [self._ahead], len(self._ahead)
        while have < size:
            piece = self._file.read(size - have)
            if not isinstance(piece, bytes):
                raise TypeError(f"file: expected bytes from read, got {checks.describe(piece)}")
            if not piece:
                break
            pieces.append(piece)
            have += len(piece)
        self._ahead = b"".join(pieces)
        return checks.byte_view("file", self._ahead)[:size]

    def take(self, size: int) -> np.ndarray:
        """The next `size` bytes, all of them."""
        taken = self.peek(size)
        if taken.size < size:
            raise corrupt(f"it ends {size - taken.size} bytes early")
        self._ahead = self._ahead[size:]
        return taken


def _decode(source: _Source, max_symbols: int) -> Iterator[np.ndarray]:
    if source.peek(3).tobytes() == SEQUENCE_START:
        source.take(len(SEQUENCE_START))
        n = 0
        while source.peek(3).tobytes() != SEQUENCE_END:
            stream = _header(source, max_symbols)
            n += stream.n
            yield from _blocks(source, stream)
        source.take(frame.read_end(source.peek(len(frame.sequence_end(2**62))), n))
    else:
        yield from _blocks(source, _header(source, max_symbols))
    if source.peek(1).size:
        raise corrupt("bytes stand behind its end")


def _header(source: _Source, max_symbols: int) -> Stream:
    """The header of the next stream, of which as few bytes are read as its size needs."""
    size, most = 64, frame.most_header_bytes(max_symbols)
    while True:
        data = source.peek(size)
        try:
            stream = frame.read_header(data, max_symbols)
        except FormatError:
            if data.size < size or size >= most:
                raise
            size = min(16 * size, most)
            continue
        source.take(data.size - stream.payload.size)
        return stream


def _blocks(source: _Source, stream: Stream) -> Iterator[np.ndarray]:
    start = 0
    for k, end in enumerate(stream.ends):
        size, n = end - start, min(stream.block, stream.n - k * stream.block)
        frame.check_size(stream, k, size, next(iter(source.peek(1).tolist()), None))
        only = Stream(stream.trees, n, [size], source.take(size), k)
        symbols = runtime.empty(only.n, np.uint8)
        decode_blocks(only, range(1), symbols)
        yield symbols
        start = end
