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
from accel.reference import huffman_tree as trees
from accel.reference.huffman import BLOCK, EIGHT_STREAMS, FORMAT_H4, MAGIC, MAX_BITS, ONE_STREAM, RAW, RUN, VERSION
from accel.reference.huffman_tree import FORMAT_HT

# Symbols from which a stream is written as HT: decoding small ones takes no time, and H4 is up to one percent smaller.
TREES_FROM = 1 << 20

# What HuffmanStatus of csrc/kernels/huffman/huffman.h means, in its order; the words of accel.reference.huffman.
STATUS = (
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
    "a node's bitmap does not have as many set bits as its count",
)


def huffman_encode(symbols: np.ndarray, *, format: str = "auto") -> bytes:
    """Huffman code of a uint8 array.

    Codes of at most 11 bits, one per block; blocks for which coding does not pay are stored as they are. Every back
    end writes the same bytes.

    Parameters
    ----------
    symbols : ndarray, shape (n,), uint8, C-contiguous; n may be 0.
    format : "h4", canonical codes in interleaved streams, blocks of 261,632 symbols with the shortest possible code;
        a few hundred symbols of a small alphabet cost about 25 bytes beside their bits.
        "ht", one bitmap per node of the code's tree, blocks of 1,048,576 symbols; decoded several times faster by
        vectors (AVX-512 above all), up to one percent larger.
        "auto", ht from 1,048,576 symbols on.

    Returns
    -------
    bytes   the stream, with checksums of the header and of each block.

    Raises
    ------
    TypeError   symbols is not a uint8 array (nothing is converted silently).
    ValueError  symbols has not one axis or is not contiguous, or format is none of the three.

    References
    ----------
    .. [1] Larmore & Hirschberg, "A fast algorithm for optimal length-limited Huffman codes", J. ACM 37, 1990.
    .. [2] Han, Mao & Dally, "Deep compression", ICLR 2016 (coding of weights and of relative indices).
    """
    checks.array("symbols", symbols, np.uint8, 1)
    if format not in ("auto", "h4", "ht"):
        raise ValueError(f"format: expected 'auto', 'h4' or 'ht', got {format!r}")
    if format == "ht" or (format == "auto" and symbols.size >= TREES_FROM):
        return _encode_trees(symbols)
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
    return b"".join([_header(FORMAT_H4, symbols.size, sizes), payload])


def _encode_trees(symbols: np.ndarray) -> bytes:
    if runtime.backend() == "native":
        start = bytes([MAGIC, VERSION, FORMAT_HT])
        stream: bytes = runtime.core.huffman_tree_encode(symbols, start, runtime.isa_index())
        return stream
    parts = (symbols[k : k + trees.BLOCK] for k in range(0, symbols.size, trees.BLOCK))
    blocks = [trees.encode_block(part, zlib.crc32) for part in parts]
    return b"".join([_header(FORMAT_HT, symbols.size, [len(block) for block in blocks]), *blocks])


def _header(format: int, n: int, sizes: Any) -> bytes:
    header = bytes([MAGIC, VERSION, format]) + reference.pack_varint(n)
    header += b"".join(reference.pack_varint(int(size)) for size in sizes)
    return header + zlib.crc32(header).to_bytes(4, "little")


def huffman_decode(blob: Any, out: np.ndarray | None = None, *, max_symbols: int = 2**31) -> np.ndarray:
    """The symbols of a Huffman stream.

    The stream may be hostile: sizes are checked against `max_symbols` and against the bytes that are there before
    anything is allocated (a coded symbol takes a bit at least; only runs of one symbol expand further, to at most
    1,048,576 symbols from 7 bytes), every read stays inside the stream, and every byte of it is covered by a checksum.

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
    accel.reference.huffman and huffman_tree. Outputs of 4 MiB or more are written past the caches.
    """
    data = checks.byte_view("blob", blob)
    stream = _read_header(data, checks.integer("max_symbols", max_symbols, 0))
    _check_sizes(stream)
    symbols = checks.output("out", out, np.uint8, (stream.n,))
    if out is not None and np.may_share_memory(out, data):
        raise ValueError("out: expected memory of its own, got memory of blob")
    if runtime.backend() == "native":
        ends = np.array(stream.ends, np.int64)
        decode = runtime.core.huffman_tree_decode if stream.trees else runtime.core.huffman_decode
        status, where = decode(stream.payload, ends, symbols, runtime.isa_index(), runtime.threads())
        if status:
            raise _corrupt(STATUS[status], where)
        return symbols
    start = 0
    for k, end in enumerate(stream.ends):
        part = symbols[k * stream.block : (k + 1) * stream.block]
        try:
            block = stream.payload[start:end].tobytes()
            decoded = _decode_block(block, part.size, stream.trees)
        except ValueError as why:
            raise _corrupt(str(why), k) from None
        part[:] = np.frombuffer(decoded, np.uint8)
        start = end
    return symbols


def _decode_block(block: bytes, n: int, is_tree: bool) -> bytes:
    if is_tree:
        return trees.decode_block(block, n, zlib.crc32)
    return reference.decode_block(block, n, _streams().unpack_stream, zlib.crc32)


@dataclass(frozen=True)
class _Stream:
    trees: bool  # format HT
    block: int  # symbols
    n: int
    payload: np.ndarray
    ends: list[int]  # of the blocks, in payload


def _corrupt(why: str, block: int | None = None) -> FormatError:
    return FormatError(f"Huffman stream{'' if block is None else f', block {block}'}: {why}")


def _read_header(data: np.ndarray, max_symbols: int) -> _Stream:
    if data.size < 3 or data[0] != MAGIC:
        raise _corrupt("it does not begin as one; is this another kind of data?")
    if data[1] != VERSION or data[2] not in (FORMAT_H4, FORMAT_HT):
        raise _corrupt(f"version {data[1]}, format {data[2]} is unknown; a newer accel may have written it")
    is_tree = bool(data[2] == FORMAT_HT)
    symbols = trees.BLOCK if is_tree else BLOCK
    view = data.data
    sizes: list[int] = []
    try:
        n, at = reference.unpack_varint(view, 3)
        if n > max_symbols:
            raise _corrupt(f"it holds {n} symbols, more than max_symbols={max_symbols}")
        while len(sizes) * symbols < n:
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
    return _Stream(is_tree, symbols, n, payload, list(itertools.accumulate(sizes)))


def _check_sizes(stream: _Stream) -> None:
    """Refuses blocks that cannot hold their symbols, before memory is taken for the symbols."""
    start, left = 0, stream.n
    for k, end in enumerate(stream.ends):
        size, symbols = end - start, min(stream.block, left)
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
