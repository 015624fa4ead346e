"""Lossless coding of floating-point numbers. The stream is specified in docs/formats/floats.md."""

from __future__ import annotations

import itertools
import zlib
from typing import Any

import numpy as np

from accel.errors import FormatError
from accel.kernels import checks, runtime
from accel.kernels._blocks import Blocks, misfit, read_blocks
from accel.kernels.huffman import STATUS
from accel.reference import floats as reference
from accel.reference import huffman
from accel.reference.floats import BLOCK, MAGIC, VERSION

TYPES: tuple[np.dtype[Any], ...] = (np.dtype(np.float32), np.dtype(np.float16), np.dtype(np.uint16))
"""By their number in the stream; uint16 holds the bits of bfloat16."""


def float_encode(values: np.ndarray) -> bytes:
    """Floating-point numbers coded without loss, bit by bit: NaNs keep their payload, zeros their sign.

    Weights of a network fill a few octaves, so their exponents cost 2 to 3 of 8 bits. The exponents are coded by
    Huffman trees, and so is every other byte that repeats; what does not is stored as it is.

    Parameters
    ----------
    values : ndarray, shape (n,), float32, float16 or uint16, C-contiguous. uint16 stands for the bits of bfloat16,
        e.g. ``array.view(np.uint16)`` of an array of ml_dtypes, or the upper halves of float32.

    Returns
    -------
    bytes   the stream, with checksums; at most 27 bytes and 29 per block of 1,048,576 numbers longer than the numbers.

    Raises
    ------
    TypeError   values is not an array of one of these types (nothing is converted silently).
    ValueError  values has not one axis or is not contiguous.

    Notes
    -----
    Every back end and instruction set writes the same bytes. Kernel csrc/kernels/floats; definition
    accel.reference.floats.

    References
    ----------
    .. [1] Hershcovitch et al., "ZipNN: Lossless compression for AI models", 2024 (grouping of bytes, Huffman codes).
    """
    kind = _kind(values)
    checks.array("values", values, values.dtype, 1)
    start = bytes([MAGIC, VERSION, kind])
    width = values.itemsize
    if runtime.backend() == "native":
        stream: bytes = runtime.core.float_encode(values.view(np.uint8), start, width, runtime.isa_index())
        return stream
    bits = values.view(f"u{width}")
    blocks = [reference.encode_block(bits[k : k + BLOCK], zlib.crc32) for k in range(0, values.size, BLOCK)]
    header = b"".join([start, *map(huffman.pack_varint, [values.size, *map(len, blocks)])])
    return b"".join([header, zlib.crc32(header).to_bytes(4, "little"), *blocks])


def float_decode(blob: Any, out: np.ndarray | None = None, *, max_values: int = 2**31) -> np.ndarray:
    """The numbers of a stream that `float_encode` wrote.

    The stream may be hostile: sizes are checked against `max_values` and against the bytes that are there before
    anything is allocated, every read stays inside the stream, and every byte of it is covered by a checksum.

    Parameters
    ----------
    blob : bytes-like, contiguous.
    out : ndarray, shape (n,), of the stream's type, C-contiguous, optional; undefined after an error.
    max_values : most numbers to accept.

    Returns
    -------
    ndarray, shape (n,), float32, float16 or, the bits of bfloat16, uint16

    Raises
    ------
    FormatError the stream is truncated, corrupt, of another kind, or longer than max_values.
    TypeError   blob is not bytes-like, or out is of another type than the numbers.
    ValueError  out has another shape than the numbers, or overlaps blob.

    Notes
    -----
    Planes are decoded in parts of 32,768 numbers and merged while they are in a core's cache; blocks in parallel on
    accel.using(threads=) threads. Outputs of 4 MiB or more are written past the caches.
    """
    data = checks.byte_view("blob", blob)
    dtype, blocks = _read_header(data, checks.integer("max_values", max_values, 0))
    _check_sizes(blocks, dtype.itemsize)
    values = checks.output("out", out, dtype, (blocks.n,))
    if out is not None and np.may_share_memory(out, data):
        raise ValueError("out: expected memory of its own, got memory of blob")
    if runtime.backend() == "native":
        status, where = runtime.core.float_decode(
            blocks.payload,
            np.array(blocks.ends, np.int64),
            values.view(np.uint8),
            dtype.itemsize,
            runtime.isa_index(),
            runtime.threads(),
        )
        if status:
            raise _corrupt(STATUS[status], where)
        return values
    unsigned = np.dtype(f"u{dtype.itemsize}")
    for k, block in enumerate(blocks.each()):
        part = values[k * BLOCK : (k + 1) * BLOCK]
        try:
            part.view(unsigned)[:] = reference.decode_block(block.tobytes(), part.size, unsigned, zlib.crc32)
        except ValueError as why:
            raise _corrupt(str(why), k) from None
    return values


def _kind(values: Any) -> int:
    for kind, dtype in enumerate(TYPES):
        if isinstance(values, np.ndarray) and values.dtype == dtype:
            return kind
    raise TypeError(
        "values: expected an array of float32, float16 or uint16 (the bits of bfloat16), "
        f"got {checks.describe(values)}"
    )


def _corrupt(why: str, block: int | None = None) -> FormatError:
    return FormatError(f"float stream{'' if block is None else f', block {block}'}: {why}")


def _read_header(data: np.ndarray, max_values: int) -> tuple[np.dtype[Any], Blocks]:
    if data.size < 3 or data[0] != MAGIC:
        raise _corrupt("it does not begin as one; is this another kind of data?")
    if data[1] != VERSION or data[2] >= len(TYPES):
        raise _corrupt(f"version {data[1]}, type {data[2]} is unknown; a newer accel may have written it")
    return TYPES[data[2]], read_blocks(data, BLOCK, max_values, "values", _corrupt)


def _check_sizes(blocks: Blocks, width: int) -> None:
    """Refuses planes that cannot hold their numbers, before memory is taken for the numbers."""
    for k, block in enumerate(blocks.each()):
        numbers = min(BLOCK, blocks.n - k * BLOCK)
        try:
            ends = reference.plane_ends(block.data, width)
        except ValueError as why:
            raise _corrupt(str(why), k) from None
        for start, end in itertools.pairwise([4 * (width - 1), *ends]):
            if why := misfit(block[start:end], numbers):
                raise _corrupt(why, k)
