"""How one array becomes byte streams, the cheapest way of several. Specified in docs/formats/accel.md."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from accel.errors import AccelError, FormatError
from accel.formats.limits import DEFAULT, RATIO_FREE
from accel.formats.pages import new_array, new_zeros
from accel.kernels._coded import Coded, Sum, decode_bitmap, decode_gaps, decode_trees, open_trees, sum_of, uncoded
from accel.kernels._file_part import FilePart
from accel.kernels.floats import float_decode, float_encode
from accel.kernels.gaps import bitmap_encode, gaps_encode
from accel.kernels.huffman import huffman_decode, huffman_encode

Array = np.ndarray
SMALL = 64
"""Arrays up to this many bytes are stored as they are: no coding can repay its own description in the header."""

MANY = 4096
"""Floating-point numbers from which they are stored as such or not at all: few ones are smaller as byte planes."""

MOST_LIVE = 0.95
"""Share of elements that are not zero up to which the sparse codings are tried."""

HUGE = 4 << 20
"""Bytes that surely hold a huge page."""


class Stream(NamedTuple):
    """`symbols` bytes, stored by `method` ("raw", "huffman" or "float") in `data`."""

    method: str
    symbols: int
    data: bytes | memoryview | FilePart


FILE = 2
"""The scratch for bytes of a file, behind those for what two streams hold."""


class Scratch:
    """Memory for streams that are used up at once, from tensor to tensor the same: fresh memory costs more than
    decoding into it."""

    def __init__(self) -> None:
        self._room: dict[int, Array] = {}

    def take(self, which: int, nbytes: int) -> Array:
        """uint8; valid until the same one is taken again."""
        if which not in self._room or self._room[which].size < nbytes:
            whole = -(-nbytes // HUGE) * HUGE if nbytes > HUGE // 4 else nbytes
            self._room[which] = new_array((whole,), np.uint8)
        return self._room[which][:nbytes]


Joined = tuple[np.ndarray, Sum | None]
"""What joining gives: elements, and the sum of their bytes or None."""


@dataclass(frozen=True, slots=True)
class Coding:
    """A way to split an array into streams and back.

    `split(array)` gives arrays, one a stream: uint8, or the array's own dtype for elements that are kept. None when
    it does not apply. `join(streams, dtype, size, scratch)` is its inverse for `size` elements, beside the sum of
    their bytes where it was found on the way; it raises FormatError when the streams do not fit together.
    """

    split: Callable[[Array], list[Array] | None]
    join: Callable[[Sequence[Stream], np.dtype[Any], int, Scratch], Joined]


def encode(array: Array) -> tuple[str, list[Stream]]:
    """The name of the cheapest coding for a little-endian C-contiguous array, and its streams."""
    plain = [_raw(_bytes(array.reshape(-1)))] if array.size else [Stream("raw", 0, b"")]
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


def decode(
    coding: str, streams: Sequence[Stream], dtype: np.dtype[Any], size: int, scratch: Scratch | None = None
) -> tuple[Array, Sum]:
    """`size` elements of `dtype` from streams that may be hostile, and the sum of their bytes. Raises FormatError."""
    if coding not in CODINGS:
        raise FormatError(f"coding: expected one of {', '.join(CODINGS)}, got {coding!r}")
    elements, found = CODINGS[coding].join(streams, dtype, size, scratch or Scratch())
    return elements, found or sum_of(elements)


def stored(streams: Sequence[Stream]) -> int:
    """Bytes the streams take, with an allowance for their line in the header."""
    return sum(len(stream.data) + 8 for stream in streams)


def _honest(array: Array, streams: Sequence[Stream]) -> bool:
    """Readers refuse what expands like a bomb, as an array of equal elements would: it is stored larger."""
    data = sum(len(stream.data) for stream in streams)
    symbols = sum(stream.symbols for stream in streams)
    return max(array.nbytes, symbols) <= max(RATIO_FREE, DEFAULT.max_ratio * data)


def _bytes(array: Array) -> Array:
    """Of one axis, as little-endian uint8 without a copy."""
    symbols: np.ndarray = array.view(np.uint8)
    return symbols


def _raw(symbols: Array) -> Stream:
    return Stream("raw", symbols.size, symbols.tobytes())


FLOATS = {np.dtype("<f4"), np.dtype("<f2"), np.dtype("<u2")}
"""What the method "float" holds; u2 as the upper halves of float32."""


def _many_floats(array: Array) -> bool:
    """Whether the method "float" stores its planes, which loads faster."""
    return array.dtype in (FLOATS - {np.dtype("<u2")}) and array.size >= MANY


def _cheapest(elements: Array) -> Stream:
    symbols = _bytes(elements)
    best = _raw(symbols)
    if symbols.size > SMALL:
        ways: dict[str, Callable[[Array], bytes]] = {"huffman": lambda e: huffman_encode(_bytes(e))}
        if elements.dtype in FLOATS:
            ways["float"] = lambda e: float_encode(e.astype(e.dtype.newbyteorder("="), copy=False))
        for method, code in ways.items():
            data = code(elements)
            if len(data) < len(best.data):
                best = Stream(method, symbols.size, data)
    return best


def in_memory(data: bytes | memoryview | FilePart, scratch: Scratch) -> bytes | memoryview:
    """The same bytes; those of a file until it is called again."""
    return data.read(scratch.take(FILE, len(data))) if isinstance(data, FilePart) else data


def _read_raw(stream: Stream, symbols: Array) -> None:
    _expect_bytes(stream)
    if isinstance(stream.data, FilePart):
        stream.data.read(symbols)
    else:
        symbols[:] = np.frombuffer(stream.data, np.uint8)


def _read_into(stream: Stream, out: Array, scratch: Scratch) -> None:
    """The elements of a stream into `out`, which has room for exactly so many. Raises FormatError."""
    symbols = _bytes(out)
    _expect_symbols(stream, symbols.size)
    try:
        if stream.method == "raw":
            _read_raw(stream, symbols)
        elif stream.method == "huffman":
            huffman_decode(in_memory(stream.data, scratch), out=symbols)
        elif stream.method == "float" and out.dtype in FLOATS:
            float_decode(in_memory(stream.data, scratch), out=out)
        else:
            raise FormatError(f"stream method: expected raw, huffman or (of floats) float, got {stream.method!r:.40}")
    except AccelError:
        raise
    except (TypeError, ValueError) as error:  # numbers of another type or count than the table says
        raise FormatError(f"{stream.method} stream: {error}") from error


def _expect_symbols(stream: Stream, count: int) -> None:
    if stream.symbols != count:
        raise FormatError(f"streams: expected {count} symbols, got {stream.symbols}")


def _expect_bytes(stream: Stream) -> None:
    if len(stream.data) != stream.symbols:
        raise FormatError(f"raw stream: expected {stream.symbols} bytes, got {len(stream.data)}")


def _read(stream: Stream, dtype: Any, scratch: Scratch, which: int) -> Array:
    """As many elements as the stream says; bytes that are stored as they are stay where they are."""
    kind = np.dtype(dtype)
    if stream.method == "raw" and kind.itemsize == 1 and not isinstance(stream.data, FilePart):
        _expect_bytes(stream)
        return np.frombuffer(stream.data, kind)
    if stream.symbols % kind.itemsize:
        raise FormatError(f"streams: expected whole elements of {kind.itemsize} bytes, got {stream.symbols} symbols")
    out: Array = scratch.take(which, stream.symbols).view(kind)
    _read_into(stream, out, scratch)
    return out


def _coded(stream: Stream, dtype: Any, scratch: Scratch, which: int) -> Coded:
    """A stream of whole elements as the decoders of sparse arrays take it: decoded here, unless they do it better."""
    if stream.method == "huffman" and stream.symbols % np.dtype(dtype).itemsize == 0:
        trees = open_trees(stream.data, stream.symbols)
        if trees is not None:
            return trees
    return uncoded(_read(stream, dtype, scratch, which))


def _coded_two(streams: Sequence[Stream], dtype: np.dtype[Any], scratch: Scratch) -> tuple[Coded, Coded]:
    """Where elements stand, and the elements."""
    _expect(streams, 2)
    places, values = streams
    return _coded(places, np.uint8, scratch, 0), _coded(values, dtype, scratch, 1)


def _expect(streams: Sequence[Stream], count: int) -> None:
    if len(streams) != count:
        raise FormatError(f"streams: expected {count}, got {len(streams)}")


def _split_plain(array: Array) -> list[Array] | None:
    return [array.reshape(-1)]


def _join_plain(streams: Sequence[Stream], dtype: np.dtype[Any], size: int, scratch: Scratch) -> Joined:
    _expect(streams, 1)
    out = new_array((size,), dtype)  # as a view, a single bias would keep the bytes of the whole file
    stream = streams[0]
    if stream.method == "huffman" and stream.symbols == out.nbytes:
        trees = open_trees(stream.data, stream.symbols)
        if trees is not None:
            return out, decode_trees(trees, _bytes(out))
    _read_into(stream, out, scratch)
    return out, None


def _split_planes(array: Array) -> list[Array] | None:
    """Byte b of every element together: the sign and exponent of floats repeat, the mantissa does not."""
    if array.itemsize == 1 or _many_floats(array):
        return None
    return list(np.ascontiguousarray(array.reshape(-1, 1).view(np.uint8).T))


def _join_planes(streams: Sequence[Stream], dtype: np.dtype[Any], size: int, scratch: Scratch) -> Joined:
    _expect(streams, dtype.itemsize)
    out = new_array((size, dtype.itemsize), np.uint8)
    for at, stream in enumerate(streams):
        _expect_symbols(stream, size)
        out[:, at] = _read(stream, np.uint8, scratch, 0)
    return out.reshape(-1).view(dtype), None


def _split_delta(array: Array) -> list[Array] | None:
    """Byte planes of the difference to the element before, modulo 2**bits: for indices, sorted values."""
    if array.itemsize == 1 or _many_floats(array):
        return None
    bits = array.reshape(-1).view(f"<u{array.itemsize}")
    return _split_planes(np.diff(bits, prepend=bits.dtype.type(0)))


def _join_delta(streams: Sequence[Stream], dtype: np.dtype[Any], size: int, scratch: Scratch) -> Joined:
    unsigned = np.dtype(f"<u{dtype.itemsize}")
    steps, _ = _join_planes(streams, unsigned, size, scratch)
    return np.cumsum(steps, dtype=unsigned).view(dtype), None


def _positions(array: Array) -> Array | None:
    """Of the elements that have a bit set (-0.0 has), when they are so few that leaving out the others can pay."""
    live = array.reshape(-1).view(f"<u{array.itemsize}") != 0
    if np.count_nonzero(live) > live.size * MOST_LIVE:
        return None
    return np.flatnonzero(live).astype(np.int64, copy=False)


def _split_bitmap(array: Array) -> list[Array] | None:
    """One bit an element, set where it is not zero; then the elements that are not zero."""
    positions = _positions(array)
    if positions is None:
        return None
    live = np.zeros(array.size, np.bool_)
    live[positions] = True
    return [np.frombuffer(bitmap_encode(live), np.uint8), array.reshape(-1)[positions]]


def _join_bitmap(streams: Sequence[Stream], dtype: np.dtype[Any], size: int, scratch: Scratch) -> Joined:
    bitmap, values = _coded_two(streams, dtype, scratch)
    out = new_array((size,), dtype)
    return out, decode_bitmap(bitmap, values, out)


def _gaps(bits: int) -> Coding:
    """Deep Compression's relative index: the distance to the element before, and fillers where it overflows.

    Two streams of equally many entries, gaps and values; entry e stands at sum(gap + 1 up to e) - 1. A filler has the
    value 0, so that the reader needs no special case.
    """

    def split(array: Array) -> list[Array] | None:
        positions = _positions(array)
        if positions is None:
            return None
        gaps, filler = gaps_encode(positions, bits)
        values = np.zeros(gaps.size, array.dtype)
        values[~filler] = array.reshape(-1)[positions]
        return [gaps, values]

    def join(streams: Sequence[Stream], dtype: np.dtype[Any], size: int, scratch: Scratch) -> Joined:
        gaps, values = _coded_two(streams, dtype, scratch)
        out = new_zeros((size,), dtype)
        return out, decode_gaps(gaps, values, out, bits)

    return Coding(split, join)


CODINGS = {
    "plain": Coding(_split_plain, _join_plain),
    "planes": Coding(_split_planes, _join_planes),
    "delta": Coding(_split_delta, _join_delta),
    "bitmap": Coding(_split_bitmap, _join_bitmap),
    "gaps4": _gaps(4),
    "gaps8": _gaps(8),
}
