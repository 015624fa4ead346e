"""Blocks of a Huffman stream, decoded by the back end in force."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np

from accel.kernels import runtime
from accel.kernels._huffman_frame import Stream, corrupt
from accel.reference import huffman as reference
from accel.reference import huffman_tree as trees

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
    "the file has changed while it was read",
)
UNREAD = len(STATUS) - 1


def decode_window(stream: Stream, start: int, stop: int, out: np.ndarray) -> None:
    """Symbols start .. stop - 1. Only the blocks that hold them are decoded; one that is wanted in part goes through
    memory of its own."""
    if start == stop:
        return
    size = stream.block
    whole = range(-(-start // size), len(stream.ends) if stop == stream.n else stop // size)
    if whole:
        begin, end = whole.start * size, min(whole.stop * size, stream.n)
        decode_blocks(stream, whole, out[begin - start : end - start])
    for k in {start // size, (stop - 1) // size} - set(whole):
        begin, end = k * size, min((k + 1) * size, stream.n)
        block = np.empty(end - begin, np.uint8)
        decode_blocks(stream, range(k, k + 1), block)
        first, last = max(start, begin), min(stop, end)
        out[first - start : last - start] = block[first - begin : last - begin]


def decode_blocks(stream: Stream, blocks: range, out: np.ndarray) -> None:
    """Consecutive blocks into `out`, which has room for exactly their symbols."""
    bounds = [0, *stream.ends][blocks.start : blocks.stop + 1]
    if runtime.backend() == "native":
        decode = runtime.core.huffman_tree_decode if stream.trees else runtime.core.huffman_decode
        ends = np.array(bounds[1:], np.int64) - bounds[0]
        payload = stream.payload[bounds[0] : bounds[-1]]
        status, where = decode(payload, ends, out, runtime.isa_index(), runtime.threads())
        if status:
            raise corrupt(STATUS[status], stream.first + blocks.start + where)
        return
    for k, begin, end in zip(blocks, bounds, bounds[1:], strict=False):
        part = out[(k - blocks.start) * stream.block :][: stream.block]
        try:
            decoded = _decode_block(stream.payload[begin:end].tobytes(), part.size, stream.trees)
        except ValueError as why:
            raise corrupt(str(why), stream.first + k) from None
        part[:] = np.frombuffer(decoded, np.uint8)


def _decode_block(block: bytes, n: int, is_tree: bool) -> bytes:
    if is_tree:
        return trees.decode_block(block, n, zlib.crc32)
    return reference.decode_block(block, n, packer().unpack_stream, zlib.crc32)


def packer() -> Any:
    """The module that packs and unpacks single streams for the back end in force."""
    if runtime.backend() == "numba":
        from accel.kernels import huffman_numba

        return huffman_numba
    from accel.kernels import _huffman_numpy

    return _huffman_numpy
