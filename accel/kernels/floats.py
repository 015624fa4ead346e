"""Lossless coding of floating-point numbers. The stream is specified in docs/formats/floats.md."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from accel.errors import FormatError
from accel.kernels import checks, runtime
from accel.kernels._huffman_blocks import STATUS
from accel.reference import floats as reference
from accel.reference import huffman
from accel.reference.floats import BLOCK, MAGIC, VERSION
from accel.reference.huffman import RAW, RUN

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
    bytes   the stream, with checksums; at most 16 bytes and 36 per block of 32,768 numbers longer than the numbers.

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
    sizes = np.array([len(block) for block in blocks], "<u4")
    header = start + huffman.pack_varint(values.size) + sizes.tobytes()
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
    stream = _read_header(data, checks.integer("max_values", max_values, 0))
    _check_sizes(stream)
    values = checks.output("out", out, stream.dtype, (stream.n,))
    if out is not None and np.may_share_memory(out, data):
        raise ValueError("out: expected memory of its own, got memory of blob")
    width = stream.dtype.itemsize
    if runtime.backend() == "native":
        status, where = runtime.core.float_decode(
            stream.payload, stream.ends, values.view(np.uint8), width, runtime.isa_index(), runtime.threads()
        )
        if status:
            raise _corrupt(STATUS[status], where)
        return values
    bits = values.view(f"u{width}")
    for k, (start, end, n) in enumerate(zip(stream.starts, stream.ends, stream.numbers, strict=True)):
        try:
            block = stream.payload[start:end].tobytes()
            bits[k * BLOCK : k * BLOCK + n] = reference.decode_block(block, int(n), bits.dtype, zlib.crc32)
        except ValueError as why:
            raise _corrupt(str(why), k) from None
    return values


def _kind(values: Any) -> int:
    for kind, dtype in enumerate(TYPES):
        if isinstance(values, np.ndarray) and values.dtype == dtype:
            return kind
    raise TypeError(
        f"values: expected an array of float32, float16 or uint16 (the bits of bfloat16), got {checks.describe(values)}"
    )


def _corrupt(why: str, block: int | None = None) -> FormatError:
    return FormatError(f"float stream{'' if block is None else f', block {block}'}: {why}")


@dataclass(frozen=True)
class _Stream:
    dtype: np.dtype[Any]
    n: int
    payload: np.ndarray
    ends: np.ndarray  # of the blocks, in payload, int64

    @property
    def starts(self) -> np.ndarray:
        return np.concatenate([np.zeros(1, np.int64), self.ends])[:-1]

    @property
    def numbers(self) -> np.ndarray:
        """How many each block holds."""
        return np.minimum(self.n - BLOCK * np.arange(self.ends.size), BLOCK)


def _read_header(data: np.ndarray, max_values: int) -> _Stream:
    if data.size < 3 or data[0] != MAGIC:
        raise _corrupt("it does not begin as one; is this another kind of data?")
    if data[1] != VERSION or data[2] >= len(TYPES):
        raise _corrupt(f"version {data[1]}, type {data[2]} is unknown; a newer accel may have written it")
    try:
        n, at = huffman.unpack_varint(data.data, 3)
    except ValueError as why:
        raise _corrupt(f"the header is corrupt: {why}") from None
    if n > max_values:
        raise _corrupt(f"it holds {n} numbers, more than max_values={max_values}")
    end = at + 4 * -(-n // BLOCK)
    if end + 4 > data.size:
        raise _corrupt(f"the header is cut off: {n} numbers need more than {data.size} bytes")
    if bytes(data[end : end + 4]) != zlib.crc32(data[:end].data).to_bytes(4, "little"):
        raise _corrupt("the header's checksum does not match")
    ends = np.cumsum(data[at:end].view("<u4"), dtype=np.int64)
    payload = data[end + 4 :]
    if int(ends[-1] if n else 0) != payload.size:
        raise _corrupt(f"its header says {int(ends[-1] if n else 0)} bytes of blocks, {payload.size} are there")
    return _Stream(TYPES[data[2]], n, payload, ends)


def _check_sizes(stream: _Stream) -> None:
    """Refuses planes that cannot hold their numbers, before memory is taken for the numbers."""
    width, starts = stream.dtype.itemsize, stream.starts
    head = 4 * (width - 1)
    _refuse(starts + head > stream.ends, "a block is cut off")
    sizes = stream.payload[starts[:, None] + np.arange(head)].view("<u4")
    ends = np.column_stack([starts[:, None] + head + np.cumsum(sizes, axis=1, dtype=np.int64), stream.ends])
    begins = np.column_stack([starts + head, ends[:, :-1]])
    _refuse(((ends - begins < 5) | (begins >= stream.ends[:, None])).any(axis=1), "a plane is cut off")
    kinds, bytes_, numbers = stream.payload[begins], ends - begins, stream.numbers[:, None]
    raw_or_run = np.where(kinds == RAW, numbers + 5, 6)
    fits = np.where(kinds <= RUN, bytes_ == raw_or_run, numbers <= 8 * bytes_)
    _refuse(~fits.all(axis=1), "a plane's bytes do not fit its numbers")


def _refuse(wrong: np.ndarray, why: str) -> None:
    if wrong.any():
        raise _corrupt(why, int(np.argmax(wrong)))
