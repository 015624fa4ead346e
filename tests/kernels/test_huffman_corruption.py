"""Corrupt and hostile Huffman streams: always a FormatError, never a wrong answer, never a write outside the output."""

from __future__ import annotations

import itertools
import zlib

import numpy as np
import pytest

import accel
from accel.errors import FormatError
from accel.kernels.huffman import huffman_decode, huffman_encode
from accel.reference import huffman as reference


def draw(n: int, alphabet: int, ratio: float, seed: int) -> np.ndarray:
    p = ratio ** np.arange(alphabet)
    return np.random.default_rng(seed).choice(alphabet, n, p=p / p.sum()).astype(np.uint8)


def streams() -> list[np.ndarray]:
    """One of each kind of block: empty, run, raw, one stream, eight streams of short and of long codes."""
    noise = np.random.default_rng(0).integers(0, 256, 200).astype(np.uint8)
    few = draw(60, 3, 0.5, 1)
    return [few[:0], np.full(90, 3, np.uint8), noise, few, draw(400, 200, 0.97, 2), draw(16_400, 4, 0.12, 3)]


def frame(n: int, blocks: list[bytes], start: bytes = b"\xac\x01\x00") -> bytes:
    """A stream with a right header checksum around any blocks."""
    header = start + reference.pack_varint(n) + b"".join(reference.pack_varint(len(b)) for b in blocks)
    return header + zlib.crc32(header).to_bytes(4, "little") + b"".join(blocks)


def block(head: bytes, payload: bytes = b"", symbols: bytes = b"") -> bytes:
    """A block with a right checksum for these symbols."""
    return head + zlib.crc32(symbols, zlib.crc32(head)).to_bytes(4, "little") + payload


def room(stream: bytes) -> np.ndarray:
    """An array for as many symbols as the stream says, if they are not too many."""
    try:
        n = reference.unpack_varint(stream, 3)[0]
    except ValueError:
        n = 0
    return np.empty(min(n, 1 << 20), np.uint8)


def refused(stream: bytes, out: np.ndarray | None = None) -> bool:
    try:
        huffman_decode(stream, out)
    except FormatError:
        return True
    return False


@pytest.mark.parametrize("k", range(6))
def test_every_truncation_and_extension_is_refused(backend: str, k: int) -> None:
    stream = huffman_encode(streams()[k])
    lengths = range(len(stream)) if len(stream) < 1000 else [*range(60), *range(60, len(stream), 97), len(stream) - 1]
    for length in lengths:
        assert refused(stream[:length]), length
    assert refused(stream + b"\0") and refused(stream * 2)


@pytest.mark.parametrize("into", [False, True])
@pytest.mark.parametrize("k", range(6))
def test_every_single_bit_flip_is_refused(k: int, into: bool) -> None:
    stream = bytearray(huffman_encode(streams()[k]))
    out = np.empty(streams()[k].size, np.uint8) if into else None
    for bit in range(8 * len(stream)):
        stream[bit // 8] ^= 1 << bit % 8
        assert refused(bytes(stream), out), bit
        stream[bit // 8] ^= 1 << bit % 8


@pytest.mark.parametrize("k", range(4))
def test_every_back_end_refuses_single_bit_flips(backend: str, k: int) -> None:
    stream = bytearray(huffman_encode(streams()[k]))
    for bit in range(8 * len(stream)):
        stream[bit // 8] ^= 1 << bit % 8
        assert refused(bytes(stream)), bit
        stream[bit // 8] ^= 1 << bit % 8


def mutate(rng: np.random.Generator, data: bytearray) -> bytearray:
    """One to three of: a bit flipped, a byte set, bytes cut out, put in, or copied from elsewhere."""
    for _ in range(int(rng.integers(1, 4))):
        at, to = (int(v) for v in rng.integers(0, max(len(data), 1), 2))
        size = int(rng.integers(1, 9))
        match int(rng.integers(0, 5)):
            case 0 if data:
                data[at] ^= 1 << int(rng.integers(0, 8))
            case 1 if data:
                data[at] = int(rng.choice([0, 1, 127, 128, 255, int(rng.integers(0, 256))]))
            case 2:
                del data[at : at + size]
            case 3:
                data[at:at] = rng.bytes(size)
            case _:
                data[at : at + size] = data[to : to + size]
    return data


def test_a_hundred_thousand_mutations_give_no_wrong_answer() -> None:
    """Half of them get a right header again, so that the block decoder sees them; writes stay inside the output."""
    rng = np.random.default_rng(7)
    originals = [s for s in streams() if s.size]
    blocks = [reference.encode_block(s.tobytes()) for s in originals]
    plain = [frame(s.size, [b]) for s, b in zip(originals, blocks, strict=True)]
    arena = np.full(20_000, 0xEE, np.uint8)
    accepted = 0
    for trial in range(100_000):
        k = int(rng.integers(0, len(originals))) if trial % 8 == 0 else int(rng.integers(0, len(originals) - 1))
        if trial % 2:
            stream = bytes(mutate(rng, bytearray(plain[k])))
        else:
            n = originals[k].size if trial % 4 else int(rng.integers(1, 2 * originals[k].size))
            stream = frame(n, [bytes(mutate(rng, bytearray(blocks[k])))])
        try:
            n = int(reference.unpack_varint(stream, 3)[0])
            result = huffman_decode(stream, arena[64 : 64 + n] if n < 19_000 else None)
        except ValueError:
            pass
        else:
            accepted += 1
            np.testing.assert_array_equal(result, originals[k])
        if trial % 100 == 0:
            assert (arena[:64] == 0xEE).all() and (arena[64 + 19_000 :] == 0xEE).all()
    assert accepted < 10_000  # a mutation may undo itself or copy bytes onto themselves


def accepts(lengths: tuple[int, ...]) -> bool:
    """What must be accepted: a complete code whose last symbol completes it."""
    end = max((k + 1 for k, length in enumerate(lengths) if length), default=0)
    return sum(2.0**-x for x in lengths if x) == 1 and end == len(lengths)


def table_of(lengths: tuple[int, ...]) -> bytes:
    nibbles = [*lengths, 0] if len(lengths) % 2 else list(lengths)
    return bytes(low | high << 4 for low, high in zip(nibbles[::2], nibbles[1::2], strict=True))


@pytest.mark.parametrize(("count", "longest"), [(1, 11), (2, 11), (3, 11), (4, 8), (5, 6)])
def test_all_code_length_vectors(count: int, longest: int) -> None:
    """Accepted exactly when the Kraft sum is 1, and then decoded right."""
    payload = b"\x5a" * 24
    for lengths in itertools.product(range(longest + 1), repeat=count):
        if not accepts(lengths):
            head = bytes([reference.ONE_STREAM]) + table_of(lengths)
            assert refused(frame(30, [block(head, payload)])), lengths
            continue
        every = np.array(lengths + (0,) * (256 - count), np.uint8)
        symbols = bytes(s for s in range(count) if lengths[s]) * 3
        packed = reference.pack_stream(symbols, every, reference.canonical_codes(every))
        head = bytes([reference.ONE_STREAM]) + table_of(lengths)
        result = huffman_decode(frame(len(symbols), [block(head, packed, symbols)]))
        assert result.tobytes() == symbols, lengths


CODED = b"\x02\x11"  # one stream, the code of two symbols of one bit each
EIGHT = b"\x03\x11" + b"\1\0" * 7
FAULTS = {
    "version 2, format 0 is unknown": frame(0, [], b"\xac\x02\x00"),
    "version 1, format 4 is unknown": frame(0, [], b"\xac\x01\x04"),
    "does not begin as one": b"PK\x03\x04 something else",
    "header is corrupt: a number is cut off or too long": b"\xac\x01\x00" + b"\xff" * 9 + b"\0" * 8,
    "header is corrupt: a number is longer than needed": b"\xac\x01\x00\x80\x00" + b"\0" * 8,
    "the header's checksum does not match": b"\xac\x01\x00\x00\0\0\0\0",
    "header says 9 bytes of blocks, 8 are there": frame(2, [b"\x00" * 9])[:-1],
    "block 0: a block is cut off": frame(2, [b"\x00" * 4]),
    "block 0: 2 symbols do not fit in 6 bytes of kind 0": frame(2, [block(b"\0", b"a", b"a")]),
    "block 0: 2 symbols do not fit in 7 bytes of kind 1": frame(2, [block(b"\1a", b"a", b"aa")]),
    "block 0: 81 symbols do not fit in 10 bytes of kind 2": frame(81, [b"\2" + b"\0" * 9]),
    "block 0: a block is of an unknown kind": frame(2, [block(b"\4", b"ab", b"ab")]),
    "block 0: the code-length table holds a reserved value": frame(2, [block(b"\2\x0f", b"ab")]),
    "block 0: the code lengths are not a complete code": frame(2, [block(b"\2\x12\x01", b"abc")]),
    "block 0: the code-length table has padding": frame(2, [block(b"\2\x21\x52", b"\0")]),
    "block 0: a stream is longer than its block": frame(8, [block(EIGHT, b"\0" * 6, b"\0" * 8)]),
    "block 0: a stream ends inside a symbol": frame(9, [block(CODED, b"\0", b"\0" * 9)]),
    "block 0: a stream has bytes or bits left over": frame(7, [block(CODED, b"\x80", b"\0" * 7)]),
    "block 0: a block's checksum does not match": frame(8, [block(CODED, b"\1", b"\0" * 8)]),
}


@pytest.mark.parametrize("into", [False, True])
@pytest.mark.parametrize("words", FAULTS)
def test_faults_are_named(backend: str, words: str, into: bool) -> None:
    stream = FAULTS[words]
    with pytest.raises(FormatError, match=words.replace("'", ".")) as caught:
        huffman_decode(stream, room(stream) if into else None)
    assert str(caught.value).startswith("Huffman stream")


def test_left_over_bytes_and_trailing_streams(backend: str) -> None:
    assert refused(frame(8, [block(CODED, b"\0\0", b"\0" * 8)]))
    assert refused(frame(8, [block(CODED, b"\0\0", b"\0" * 8)]), np.empty(8, np.uint8))
    assert not refused(frame(8, [block(CODED, b"\0", b"\0" * 8)]))
    # eight streams of one symbol, and of which the last seven have none
    assert not refused(frame(8, [block(EIGHT, b"\0" * 8, b"\0" * 8)]))
    lone = b"\x03\x11" + b"\1\0" + b"\0\0" * 6
    assert not refused(frame(1, [block(lone, b"\1", b"\1")]))
    assert refused(frame(1, [block(lone, b"\1\0", b"\1")]))


def test_runs_of_code_lengths(backend: str) -> None:
    """A run may not begin the table, follow zeros, or pass symbol 255."""
    symbols = bytes([0, 5])
    fine = frame(2, [block(b"\x02\xc1\x11", b"\2", symbols)])  # 1, zeros x 4, 1
    assert huffman_decode(fine).tobytes() == symbols
    for table in (b"\x0e\x11", b"\xe0\x10", b"\xff", b"\xd1\xff\xfd", b"\xd1\xff\xdf\xff\x1f"):
        assert refused(frame(2, [block(b"\x02" + table, b"\2" * 40, symbols)]))


@pytest.mark.parametrize("n", [2**31 - 1, 2**31 + 1, 2**40, 2**62])
def test_bombs_are_refused_before_memory_is_taken(n: int) -> None:
    with pytest.raises(FormatError):
        huffman_decode(frame(n, [block(b"\1a")]), max_symbols=2**63)
    with pytest.raises(FormatError):
        huffman_decode(frame(n, [block(CODED, b"\0")] * 100), max_symbols=2**63)


def test_the_second_block_is_named() -> None:
    first = block(b"\1a", b"", b"a" * reference.BLOCK)
    stream = frame(reference.BLOCK + 3, [first, block(b"\1a", b"", b"aa")])
    for threads in (1, 2):
        with accel.using(threads=threads), pytest.raises(FormatError, match="block 1: a block's checksum"):
            huffman_decode(stream)
