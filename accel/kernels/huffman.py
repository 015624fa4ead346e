"""Huffman coding of uint8 symbols. The stream is specified in docs/formats/huffman.md."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np

from accel.errors import shown
from accel.kernels import _huffman_frame as frame
from accel.kernels import checks, runtime
from accel.kernels._huffman_blocks import decode_window, packer
from accel.kernels._index_module import index
from accel.reference import huffman as reference
from accel.reference import huffman_tree as trees
from accel.reference.huffman import BLOCK, EIGHT_STREAMS, FORMAT_H4, MAGIC, MAX_BITS, ONE_STREAM, RAW, RUN, VERSION
from accel.reference.huffman_tree import FORMAT_HT

# Symbols from which a stream is written as HT: decoding small ones takes no time, and H4 is up to one percent smaller.
TREES_FROM = 1 << 20


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
    check_format(format)
    if format == "ht" or (format == "auto" and symbols.size >= TREES_FROM):
        return _encode_trees(symbols)
    payload: Any
    sizes: Any
    if runtime.backend() == "native":
        payload, sizes = _encode_native(symbols)
    else:
        blocks = [
            reference.encode_block(symbols[k : k + BLOCK].tobytes(), packer().pack_stream, zlib.crc32)
            for k in range(0, symbols.size, BLOCK)
        ]
        payload, sizes = b"".join(blocks), [len(block) for block in blocks]
    return b"".join([frame.header(FORMAT_H4, symbols.size, sizes), payload])


def check_format(format: str) -> None:
    if format not in ("auto", "h4", "ht"):
        raise ValueError(f"format: expected 'auto', 'h4' or 'ht', got {shown(format)}")


def _encode_trees(symbols: np.ndarray) -> bytes:
    if runtime.backend() == "native":
        start = bytes([MAGIC, VERSION, FORMAT_HT])
        stream: bytes = runtime.core.huffman_tree_encode(symbols, start, runtime.isa_index())
        return stream
    parts = (symbols[k : k + trees.BLOCK] for k in range(0, symbols.size, trees.BLOCK))
    blocks = [trees.encode_block(part, zlib.crc32) for part in parts]
    return b"".join([frame.header(FORMAT_HT, symbols.size, [len(block) for block in blocks]), *blocks])


def huffman_decode(
    blob: Any,
    out: np.ndarray | None = None,
    *,
    start: int = 0,
    stop: int | None = None,
    max_symbols: int = 2**31,
) -> np.ndarray:
    """The symbols of a Huffman stream or of a sequence of streams, all or some.

    The stream may be hostile: sizes are checked against `max_symbols` and against the bytes that are there before
    anything is allocated (a coded symbol takes a bit at least; only runs of one symbol expand further, to at most
    1,048,576 symbols from 7 bytes), every read stays inside the stream, and every byte of it is covered by a checksum.

    Parameters
    ----------
    blob : bytes-like, contiguous; also a memory-mapped file.
    out : ndarray, shape (stop - start,), uint8, C-contiguous, optional; undefined after an error.
    start, stop : which of the n symbols; to n if stop is None. Only the blocks that hold them are decoded (261,632
        symbols each in H4, 1,048,576 in HT); damage in others stays unseen.
    max_symbols : most symbols to accept.

    Returns
    -------
    ndarray, shape (stop - start,), uint8

    Raises
    ------
    FormatError the stream is truncated, corrupt, of another kind, or longer than max_symbols.
    TypeError   blob is not bytes-like, start or stop is not an integer, or out is not a uint8 array.
    ValueError  start and stop are not in order within 0..n, or out has another shape than the symbols or overlaps blob.

    Notes
    -----
    Blocks are decoded in parallel on accel.using(threads=) threads. Kernel csrc/kernels/huffman; definition
    accel.reference.huffman and huffman_tree. Outputs of 4 MiB or more are written past the caches.
    """
    data = checks.byte_view("blob", blob)
    most = checks.integer("max_symbols", max_symbols, 0)
    if out is not None and stop is None and type(start) is int and start == 0 and _decoded_at_once(data, out, most):
        return out
    streams = frame.read_streams(data, most)
    n = sum(stream.n for stream in streams)
    stop = n if stop is None else checks.integer("stop", stop, 0, n)
    start = checks.integer("start", start, 0, stop)
    symbols = checks.output("out", out, np.uint8, (stop - start,), blob=data)
    begin = 0
    for stream in streams:
        first, last = max(start, begin), min(stop, begin + stream.n)
        if first < last:
            decode_window(stream, first - begin, last - begin, symbols[first - start : last - start])
        begin += stream.n
    return symbols


def _decoded_at_once(data: np.ndarray, out: np.ndarray, max_symbols: int) -> bool:
    """Whether `out` now holds what one sound H4 stream says. A network has hundreds that are so small that Python
    around them takes longer than decoding them."""
    isa = runtime.native_index()
    if isa < 0 or not isinstance(out, np.ndarray) or out.size > max_symbols:
        return False
    found: bool = runtime.core.huffman_decode_at_once(data, out, isa, runtime.threads())
    return found


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
