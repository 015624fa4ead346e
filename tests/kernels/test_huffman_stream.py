"""Huffman streams in pieces and in part: the same symbols, in bounded memory, and whatever is damaged is refused."""

from __future__ import annotations

import io
import itertools
import mmap
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import accel
from accel.errors import FormatError
from accel.kernels import huffman_decode, huffman_decode_stream, huffman_encode, huffman_encode_stream
from accel.reference import huffman, huffman_tree

BLOCKS = {"h4": huffman.BLOCK, "ht": huffman_tree.BLOCK}


def draw(n: int, alphabet: int = 16, ratio: float = 0.8) -> np.ndarray:
    p = ratio ** np.arange(alphabet)
    return np.random.default_rng(n).choice(alphabet, n, p=p / p.sum()).astype(np.uint8)


def cut(symbols: np.ndarray, sizes: list[int]) -> Iterator[np.ndarray]:
    """Chunks of these sizes in turn."""
    at = 0
    for size in itertools.cycle(sizes):
        if at >= symbols.size:
            return
        yield symbols[at : at + size]
        at += size


class Slow:
    """A file that gives few bytes at a time and cannot seek."""

    def __init__(self, data: bytes, most: int) -> None:
        self._file, self._most = io.BytesIO(data), most

    def read(self, size: int) -> bytes:
        return self._file.read(min(size, self._most))


def read(data: bytes, most: int = 1 << 30) -> np.ndarray:
    return np.concatenate([np.empty(0, np.uint8), *huffman_decode_stream(Slow(data, most))])


def test_many_small_streams_take_no_memory() -> None:
    """They have more bytes in Python than in the blob."""
    many = 3000
    ends = list(huffman_encode_stream([np.zeros(many, np.uint8)]))
    blob = b"".join([ends[0], *[huffman_encode(np.zeros(1, np.uint8))] * many, ends[-1]])
    tracemalloc.start()
    symbols = huffman_decode(blob)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert symbols.size == many and peak < len(blob)


@pytest.mark.parametrize("format", ["auto", "h4", "ht"])
@pytest.mark.parametrize("n", [0, 1, 5000, (1 << 20) - 1, (1 << 20) + 1, 3_000_000])
def test_chunks_of_any_size_come_back(format: str, n: int) -> None:
    symbols = draw(n)
    first = b"".join(huffman_encode_stream([symbols], format=format))
    for sizes in ([1 + n // 3], [999_983, 0, 1 << 20], [7, 2_000_000]):
        assert b"".join(huffman_encode_stream(cut(symbols, sizes), format=format)) == first
    np.testing.assert_array_equal(read(first), symbols)
    np.testing.assert_array_equal(huffman_decode(first), symbols)


def test_every_back_end_reads_in_pieces(backend: str) -> None:
    symbols = draw(5000, 40)
    for format in ("h4", "ht"):
        for data in (huffman_encode(symbols, format=format), b"".join(huffman_encode_stream([symbols], format=format))):
            np.testing.assert_array_equal(read(data, 13), symbols)


@pytest.mark.parametrize("format", ["h4", "ht"])
def test_plain_streams_are_read_block_by_block(format: str) -> None:
    block = BLOCKS[format]
    symbols = draw(3 * block + 77)
    pieces = list(huffman_decode_stream(io.BytesIO(huffman_encode(symbols, format=format))))
    assert [piece.size for piece in pieces] == [block, block, block, 77]
    np.testing.assert_array_equal(np.concatenate(pieces), symbols)


@pytest.mark.parametrize("format", ["h4", "ht"])
def test_any_range_can_be_decoded_alone(format: str) -> None:
    block = BLOCKS[format]
    symbols = draw(3 * block + 77)
    places = [0, 1, block - 1, block, block + 1, 2 * block, 3 * block, 3 * block + 5, symbols.size]
    for data in (huffman_encode(symbols, format=format), b"".join(huffman_encode_stream([symbols], format=format))):
        for start, stop in itertools.combinations_with_replacement(places, 2):
            out = np.full(stop - start, 0xEE, np.uint8)
            assert huffman_decode(data, out, start=start, stop=stop) is out
            np.testing.assert_array_equal(out, symbols[start:stop])


def test_a_range_on_every_back_end_and_on_threads(backend: str) -> None:
    symbols = draw(2 * huffman.BLOCK + 99, 5)
    data = huffman_encode(symbols, format="h4")
    with accel.using(threads=2):
        np.testing.assert_array_equal(huffman_decode(data, start=huffman.BLOCK - 9), symbols[huffman.BLOCK - 9 :])


def test_only_the_blocks_of_a_range_are_decoded() -> None:
    block = huffman.BLOCK
    symbols = draw(3 * block)
    data = bytearray(huffman_encode(symbols, format="h4"))
    data[-5] ^= 1  # in the last block
    np.testing.assert_array_equal(huffman_decode(data, stop=2 * block), symbols[: 2 * block])
    for start, stop in ((0, None), (2 * block, 2 * block + 1)):
        with pytest.raises(FormatError, match="block 2: "):
            huffman_decode(data, start=start, stop=stop)


def test_a_mapped_file_is_read_where_it_is_needed(tmp_path: Path) -> None:
    symbols = draw(2_100_000)
    path = tmp_path / "codes.huf"
    with path.open("wb") as file:
        file.writelines(huffman_encode_stream([symbols]))
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        np.testing.assert_array_equal(
            huffman_decode(mapped, start=2_000_000, stop=2_000_500), symbols[2_000_000:][:500]
        )


def test_memory_is_that_of_a_block() -> None:
    chunk = draw(700_000)
    count = 40

    def coded() -> Iterator[bytes]:
        yield from huffman_encode_stream(itertools.repeat(chunk, count))

    class File:
        def __init__(self) -> None:
            self.pieces, self.left = coded(), b""

        def read(self, size: int) -> bytes:
            self.left = self.left or next(self.pieces, b"")
            taken, self.left = self.left[:size], self.left[size:]
            return taken

    tracemalloc.start()
    total = sum(piece.size for piece in huffman_decode_stream(File()))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert total == count * chunk.size
    assert peak < 10 * huffman_tree.BLOCK, peak


# ---- what is refused ------------------------------------------------------------------------------------------------


def refused(data: bytes) -> bool:
    answers = []
    for decode in (huffman_decode, read):
        try:
            decode(data)
            answers.append(False)
        except FormatError:
            answers.append(True)
    assert answers[0] == answers[1]
    return answers[0]


def test_damaged_sequences_are_refused_in_pieces_and_as_a_whole() -> None:
    streams = [huffman_encode(draw(n), format=format) for n, format in ((90, "h4"), (70, "ht"), (33, "h4"))]
    end = [*huffman_encode_stream([draw(193)])][-1]
    data = bytearray(b"".join([b"\xac\x01\x02", *streams, end]))
    assert not refused(bytes(data))
    for bit in range(8 * len(data)):
        data[bit // 8] ^= 1 << bit % 8
        assert refused(bytes(data)), bit
        data[bit // 8] ^= 1 << bit % 8
    assert all(refused(bytes(data[:size])) for size in range(len(data)))
    assert refused(bytes(data) + b"\0")
    for fewer in itertools.combinations(streams, 2):
        assert refused(b"".join([b"\xac\x01\x02", *fewer, end]))
    assert refused(b"".join([*streams, end])) and refused(end) and refused(bytes(data[:3]) * 2)


def test_block_sizes_that_lie_are_refused_before_they_are_read() -> None:
    class Greedy(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            assert size is not None and 0 <= size < 4_000_000
            return super().read(size)

    from accel.kernels import _huffman_frame as frame

    for size in (2**40, 2**62, 3_000_000):
        data = frame.header(0, 1000, [size]) + bytes(100)
        with pytest.raises(FormatError, match="block 0: 1000 symbols do not fit in"):
            list(huffman_decode_stream(Greedy(data)))
    with pytest.raises(FormatError, match="more than max_symbols=2147483648"):
        list(huffman_decode_stream(Greedy(frame.header(0, 2**62, []))))


def test_sequences_count_towards_max_symbols() -> None:
    data = b"".join(huffman_encode_stream([draw(1_500_000)]))
    with pytest.raises(FormatError, match="451424 symbols, more than max_symbols=451423"):
        huffman_decode(data, max_symbols=1_499_999)
    assert huffman_decode(data, max_symbols=1_500_000).size == 1_500_000


def test_arguments_are_checked_before_anything_is_read() -> None:
    with pytest.raises(TypeError, match="file: expected an object with a method read, got bytes"):
        huffman_decode_stream(b"abc")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="max_symbols: expected an integer"):
        huffman_decode_stream(io.BytesIO(), max_symbols=1.5)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="file: expected bytes from read, got str"):
        list(huffman_decode_stream(io.StringIO("text")))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="chunks: expected an iterable of uint8 arrays, got uint8 array"):
        huffman_encode_stream(draw(9))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="chunks: expected uint8, got int64 array"):
        list(huffman_encode_stream([np.arange(3)]))
    with pytest.raises(ValueError, match="format: expected 'auto', 'h4' or 'ht', got 'zip'"):
        huffman_encode_stream([], format="zip")
    data = huffman_encode(draw(500))
    for start, stop, message in ((0, 501, "stop"), (-1, None, "start"), (7, 6, "start"), (501, None, "start")):
        with pytest.raises(ValueError, match=f"{message}: expected an integer in 0"):
            huffman_decode(data, start=start, stop=stop)
    with pytest.raises(TypeError, match="start: expected an integer"):
        huffman_decode(data, start=1.0)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"out: expected shape \(6,\)"):
        huffman_decode(data, np.empty(500, np.uint8), start=1, stop=7)
