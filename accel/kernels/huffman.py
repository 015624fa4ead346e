"""Huffman coding of uint8 symbols. The stream is specified in docs/formats/huffman.md."""

from __future__ import annotations

import itertools
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from accel.errors import FormatError
from accel.kernels import checks, runtime
from accel.kernels._index_module import index
from accel.reference import huffman as reference
from accel.reference.huffman import BLOCK, EIGHT_STREAMS, FORMAT_H4, MAGIC, MAX_BITS, ONE_STREAM, RAW, RUN, VERSION

# What HuffmanStatus of csrc/kernels/huffman/huffman.h means, in its order; the words of accel.reference.huffman.
_STATUS = (
    "",
    "a block is of an unknown kind",
    "a block is cut off",
    "a raw or run block has another size than its symbols need",
    "the code-length table holds a reserved value",
    "the code lengths are not a complete code",
    "the code-length table has padding that is not zero",
    "a stream is longer than its block",
    "a stream ends inside a symbol",
    "a stream has bytes or bits left over",
    "a block's checksum does not match",
    "a block leaves the stream",
)


def huffman_encode(symbols: np.ndarray) -> bytes:
    """Canonical Huffman code of a uint8 array.

    Blocks of 261,632 symbols, each with its own code of at most 11 bits (package-merge: the shortest such code), or
    stored as it is where coding does not pay. A few hundred symbols of a small alphabet cost about 25 bytes beside
    their bits. Every back end writes the same bytes.

    Parameters
    ----------
    symbols : ndarray, shape (n,), uint8, C-contiguous; n may be 0.

    Returns
    -------
    bytes   the stream, format H4, with checksums of the header and of each block.

    Raises
    ------
    TypeError   symbols is not a uint8 array (nothing is converted silently).
    ValueError  symbols has not one axis or is not contiguous.

    References
    ----------
    .. [1] Larmore & Hirschberg, "A fast algorithm for optimal length-limited Huffman codes", J. ACM 37, 1990.
    .. [2] Han, Mao & Dally, "Deep compression", ICLR 2016 (coding of weights and of relative indices).
    """
    checks.array("symbols", symbols, np.uint8, 1)
    payload: Any
    sizes: Any
    if runtime.backend() == "native":
        payload, sizes = _encode_native(symbols)
    else:
        blocks = [
            reference.encode_block(symbols[k : k + BLOCK].tobytes(), _streams().pack_stream, zlib.crc32)
            for k in range(0, symbols.size, BLOCK)
        ]
        payload, sizes = b"".join(blocks), [len(block) for block in blocks]
    header = bytes([MAGIC, VERSION, FORMAT_H4]) + reference.pack_varint(symbols.size)
    header += b"".join(reference.pack_varint(int(size)) for size in sizes)
    return b"".join([header, zlib.crc32(header).to_bytes(4, "little"), payload])


def huffman_decode(blob: Any, out: np.ndarray | None = None, *, max_symbols: int = 2**31) -> np.ndarray:
    """The symbols of a Huffman stream.

    The stream may be hostile: sizes are checked against `max_symbols` and against the bytes that are there before
    anything is allocated (a coded symbol takes a bit at least; only runs of one symbol expand further, to at most
    261,632 symbols from 7 bytes), every read stays inside the stream, and every byte of it is covered by a checksum.

    Parameters
    ----------
    blob : bytes-like, contiguous.
    out : ndarray, shape (n,), uint8, C-contiguous, optional; undefined after an error.
    max_symbols : most symbols to accept.

    Returns
    -------
    ndarray, shape (n,), uint8

    Raises
    ------
    FormatError the stream is truncated, corrupt, of another kind, or longer than max_symbols.
    TypeError   blob is not bytes-like, or out is not a uint8 array.
    ValueError  out has another shape than the stream's symbols, or overlaps blob.

    Notes
    -----
    Blocks are decoded in parallel on accel.using(threads=) threads. Kernel csrc/kernels/huffman; definition
    accel.reference.huffman.
    """
    data = checks.byte_view("blob", blob)
    stream = _read_header(data, checks.integer("max_symbols", max_symbols, 0))
    _check_sizes(stream)
    symbols = checks.output("out", out, np.uint8, (stream.n,))
    if out is not None and np.may_share_memory(out, data):
        raise ValueError("out: expected memory of its own, got memory of blob")
    if runtime.backend() == "native":
        ends = np.array(stream.ends, np.int64)
        status, where = runtime.core.huffman_decode(
            stream.payload, ends, symbols, runtime.isa_index(), runtime.threads()
        )
        if status:
            raise _corrupt(_STATUS[status], where)
        return symbols
    start = 0
    for k, end in enumerate(stream.ends):
        part = symbols[k * BLOCK : (k + 1) * BLOCK]
        try:
            block = stream.payload[start:end].tobytes()
            decoded = reference.decode_block(block, part.size, _streams().unpack_stream, zlib.crc32)
        except ValueError as why:
            raise _corrupt(str(why), k) from None
        part[:] = np.frombuffer(decoded, np.uint8)
        start = end
    return symbols


@dataclass(frozen=True)
class _Stream:
    n: int
    payload: np.ndarray
    ends: list[int]  # of the blocks, in payload


def _corrupt(why: str, block: int | None = None) -> FormatError:
    return FormatError(f"Huffman stream{'' if block is None else f', block {block}'}: {why}")


def _read_header(data: np.ndarray, max_symbols: int) -> _Stream:
    if data.size < 3 or data[0] != MAGIC:
        raise _corrupt("it does not begin as one; is this another kind of data?")
    if data[1] != VERSION or data[2] != FORMAT_H4:
        raise _corrupt(f"version {data[1]}, format {data[2]} is unknown; a newer accel may have written it")
    view = data.data
    sizes: list[int] = []
    try:
        n, at = reference.unpack_varint(view, 3)
        if n > max_symbols:
            raise _corrupt(f"it holds {n} symbols, more than max_symbols={max_symbols}")
        while len(sizes) * BLOCK < n:
            size, at = reference.unpack_varint(view, at)
            sizes.append(size)
    except FormatError:
        raise
    except ValueError as why:
        raise _corrupt(f"the header is corrupt: {why}") from None
    if bytes(view[at : at + 4]) != zlib.crc32(view[:at]).to_bytes(4, "little"):
        raise _corrupt("the header's checksum does not match")
    payload = data[at + 4 :]
    if sum(sizes) != payload.size:
        raise _corrupt(f"its header says {sum(sizes)} bytes of blocks, {payload.size} are there")
    return _Stream(n, payload, list(itertools.accumulate(sizes)))


def _check_sizes(stream: _Stream) -> None:
    """Refuses blocks that cannot hold their symbols, before memory is taken for the symbols."""
    start, left = 0, stream.n
    for k, end in enumerate(stream.ends):
        size, symbols = end - start, min(BLOCK, left)
        if size < 5:
            raise _corrupt("a block is cut off", k)
        kind = stream.payload[start]
        fits = size == symbols + 5 if kind == RAW else size == 6 if kind == RUN else symbols <= 8 * size
        if not fits:
            raise _corrupt(f"{symbols} symbols do not fit in {size} bytes of kind {kind}", k)
        start, left = end, left - symbols


def _encode_native(symbols: np.ndarray) -> tuple[memoryview, np.ndarray]:
    counts = runtime.core.huffman_histograms(symbols, runtime.isa_index())
    lengths, tables, table_bytes = _plans(counts)
    n = counts.sum(axis=1, dtype=np.int64)
    bits = (counts.astype(np.int64) * lengths).sum(axis=1)
    eight = n >= reference.STREAMS_FROM
    overhead = table_bytes + np.where(eight, 2 * (reference.STREAMS - 1) + reference.STREAMS, 0)
    kinds = np.select(
        [table_bytes == 0, overhead + (bits + 7) // 8 >= n], [RUN, RAW], np.where(eight, EIGHT_STREAMS, ONE_STREAM)
    ).astype(np.uint8)
    payload, sizes = runtime.core.huffman_encode(symbols, kinds, lengths, tables, table_bytes, runtime.isa_index())
    return memoryview(payload), sizes


def _plans(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Per row of counts: code lengths, their table and its size; zeros where fewer than two symbols occur."""
    cython = index()
    if cython is not None:
        lengths, tables, table_bytes = cython.huffman_plans(counts, MAX_BITS)
        return lengths, tables, table_bytes
    lengths = np.array([reference.code_lengths(row) for row in counts], np.uint8).reshape(-1, 256)
    tables, table_bytes = np.zeros((len(counts), 128), np.uint8), np.zeros(len(counts), np.int64)
    for k, row in enumerate(lengths):
        if row.any():
            table = reference.pack_lengths(row)
            tables[k, : len(table)] = np.frombuffer(table, np.uint8)
            table_bytes[k] = len(table)
    return lengths, tables, table_bytes


def _streams() -> Any:
    """The module that packs and unpacks single streams for the back end in force."""
    if runtime.backend() == "numba":
        from accel.kernels import huffman_numba

        return huffman_numba
    from accel.kernels import _huffman_numpy

    return _huffman_numpy
