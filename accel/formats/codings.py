"""How one array becomes byte streams, the cheapest way of several. Specified in docs/formats/accel.md."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from accel.errors import AccelError, FormatError
from accel.formats.limits import DEFAULT, RATIO_FREE
from accel.formats.pages import new_array
from accel.kernels.gaps import bitmap_decode, bitmap_encode, gaps_decode, gaps_encode
from accel.kernels.huffman import huffman_decode, huffman_encode

Array = np.ndarray
SMALL = 64
"""Arrays up to this many bytes are stored as they are: no coding can repay its own description in the header."""


@dataclass(frozen=True, slots=True)
class Stream:
    """`symbols` bytes, stored by `method` ("raw" or "huffman") in `data`."""

    method: str
    symbols: int
    data: bytes | memoryview


@dataclass(frozen=True, slots=True)
class Coding:
    """A way to split an array into byte streams and back.

    `split(array)` gives uint8 arrays, None when it does not apply. `join(streams, dtype, size)` is its inverse for
    `size` elements; it raises FormatError when the streams do not fit together.
    """

    split: Callable[[Array], list[Array] | None]
    join: Callable[[Sequence[Array], np.dtype[Any], int], Array]


def encode(array: Array) -> tuple[str, list[Stream]]:
    """The name of the cheapest coding for a little-endian C-contiguous array, and its streams."""
    plain = [_raw(array.reshape(-1).view(np.uint8))] if array.size else [Stream("raw", 0, b"")]
    best = "plain", plain
    if array.nbytes <= SMALL:
        return best
    for name, coding in CODINGS.items():
        parts = coding.split(array)
        if parts is not None:
            streams = [_cheapest(part) for part in parts]
            if stored(streams) < stored(best[1]) and _honest(array, streams):
                best = name, streams
    return best


def decode(coding: str, streams: Sequence[Stream], dtype: np.dtype[Any], size: int) -> Array:
    """`size` elements of `dtype` from streams that may be hostile. Raises FormatError."""
    if coding not in CODINGS:
        raise FormatError(f"coding: expected one of {', '.join(CODINGS)}, got {coding!r}")
    return CODINGS[coding].join([_symbols(stream) for stream in streams], dtype, size)


def stored(streams: Sequence[Stream]) -> int:
    """Bytes the streams take, with an allowance for their line in the header."""
    return sum(len(stream.data) + 8 for stream in streams)


def _honest(array: Array, streams: Sequence[Stream]) -> bool:
    """Readers refuse what expands like a bomb, as an array of equal elements would: it is stored larger."""
    data = sum(len(stream.data) for stream in streams)
    symbols = sum(stream.symbols for stream in streams)
    return max(array.nbytes, symbols) <= max(RATIO_FREE, DEFAULT.max_ratio * data)


def _raw(symbols: Array) -> Stream:
    return Stream("raw", symbols.size, symbols.tobytes())


def _cheapest(symbols: Array) -> Stream:
    if symbols.size > SMALL:
        data = huffman_encode(symbols)
        if len(data) < symbols.size:
            return Stream("huffman", symbols.size, data)
    return _raw(symbols)


def _symbols(stream: Stream) -> Array:
    if stream.method == "raw":
        if len(stream.data) != stream.symbols:
            raise FormatError(f"raw stream: expected {stream.symbols} bytes, got {len(stream.data)}")
        return np.frombuffer(stream.data, np.uint8)
    if stream.method != "huffman":
        raise FormatError(f"stream method: expected raw or huffman, got {stream.method!r}")
    out = np.empty(stream.symbols, np.uint8)
    try:
        huffman_decode(stream.data, out=out)
    except AccelError:
        raise
    except ValueError as error:
        raise FormatError(f"huffman stream: {error}") from error
    return out


def _expect(streams: Sequence[Array], *sizes: int) -> None:
    found = tuple(stream.size for stream in streams)
    if found != sizes:
        raise FormatError(f"streams: expected {list(sizes)} symbols, got {list(found)}")


def _split_plain(array: Array) -> list[Array] | None:
    return [array.reshape(-1).view(np.uint8)]


def _join_plain(streams: Sequence[Array], dtype: np.dtype[Any], size: int) -> Array:
    _expect(streams, size * dtype.itemsize)
    out = new_array((size,), dtype)  # as a view, a single bias would keep the bytes of the whole file
    out.view(np.uint8)[:] = streams[0]
    return out


def _split_planes(array: Array) -> list[Array] | None:
    """Byte b of every element together: the sign and exponent of floats repeat, the mantissa does not."""
    if array.itemsize == 1:
        return None
    return list(np.ascontiguousarray(array.reshape(-1, 1).view(np.uint8).T))


def _join_planes(streams: Sequence[Array], dtype: np.dtype[Any], size: int) -> Array:
    _expect(streams, *[size] * dtype.itemsize)
    out = new_array((size, dtype.itemsize), np.uint8)
    for plane, stream in enumerate(streams):
        out[:, plane] = stream
    return out.reshape(-1).view(dtype)


def _split_delta(array: Array) -> list[Array] | None:
    """Byte planes of the difference to the element before, modulo 2**bits: for indices, sorted values."""
    if array.itemsize == 1:
        return None
    bits = array.reshape(-1).view(f"<u{array.itemsize}")
    return _split_planes(np.diff(bits, prepend=bits.dtype.type(0)))


def _join_delta(streams: Sequence[Array], dtype: np.dtype[Any], size: int) -> Array:
    unsigned = np.dtype(f"<u{dtype.itemsize}")
    return np.cumsum(_join_planes(streams, unsigned, size), dtype=unsigned).view(dtype)


def _split_bitmap(array: Array) -> list[Array] | None:
    """One bit an element, set where it is not zero; then the elements that are not zero."""
    if array.dtype != np.uint8:
        return None
    flat = array.reshape(-1)
    live = flat != 0
    return [np.frombuffer(bitmap_encode(live), np.uint8), flat[live]]


def _join_bitmap(streams: Sequence[Array], dtype: np.dtype[Any], size: int) -> Array:
    bitmap, values = _two_of_bytes("bitmap", streams, dtype)
    live = bitmap_decode(bitmap, size)
    _expect([values], int(np.count_nonzero(live)))
    out = np.zeros(size, np.uint8)
    out[live] = values
    return out


def _two_of_bytes(name: str, streams: Sequence[Array], dtype: np.dtype[Any]) -> Sequence[Array]:
    if dtype != np.uint8 or len(streams) != 2:
        raise FormatError(f"{name}: expected 2 streams for uint8, got {len(streams)} for {dtype}")
    return streams


def _gaps(bits: int) -> Coding:
    """Deep Compression's relative index: the distance to the element before, and fillers where it overflows.

    Two streams of equal length, gaps and values; entry e stands at sum(gap + 1 up to e) - 1. A filler has the value
    0, so that the reader needs no special case.
    """

    def split(array: Array) -> list[Array] | None:
        if array.dtype != np.uint8:
            return None
        flat = array.reshape(-1)
        positions = np.flatnonzero(flat)
        gaps, filler = gaps_encode(positions.astype(np.int64, copy=False), bits)
        values = np.zeros(gaps.size, np.uint8)
        values[~filler] = flat[positions]
        return [gaps, values]

    def join(streams: Sequence[Array], dtype: np.dtype[Any], size: int) -> Array:
        gaps, values = _two_of_bytes(f"gaps{bits}", streams, dtype)
        _expect([values], gaps.size)
        out = np.zeros(size, np.uint8)
        out[gaps_decode(gaps, size, bits=bits, dtype=np.int64)] = values
        return out

    return Coding(split, join)


CODINGS = {
    "plain": Coding(_split_plain, _join_plain),
    "planes": Coding(_split_planes, _join_planes),
    "delta": Coding(_split_delta, _join_delta),
    "bitmap": Coding(_split_bitmap, _join_bitmap),
    "gaps4": _gaps(4),
    "gaps8": _gaps(8),
}
