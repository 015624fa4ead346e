"""Format HT: every implementation writes the reference's bytes and reads them back; corrupt ones are refused."""

from __future__ import annotations

import itertools
import zlib

import numpy as np
import pytest

import accel
from accel.errors import FormatError
from accel.kernels import runtime
from accel.kernels.huffman import TREES_FROM, huffman_decode, huffman_encode
from accel.reference import huffman as plain
from accel.reference import huffman_tree as reference

native = pytest.mark.skipif("native" not in runtime.isa_info()["backends"], reason="not built")
PART, BLOCK = reference.PART, reference.BLOCK


def draw(n: int, alphabet: int, ratio: float = 0.8, seed: int = 0) -> np.ndarray:
    p = ratio ** np.arange(alphabet)
    return np.random.default_rng(seed).choice(alphabet, n, p=p / p.sum()).astype(np.uint8)


def stream_of(symbols: np.ndarray, blocks: list[bytes]) -> bytes:
    header = b"\xac\x01\x01" + plain.pack_varint(symbols.size) + b"".join(plain.pack_varint(len(b)) for b in blocks)
    return header + zlib.crc32(header).to_bytes(4, "little") + b"".join(blocks)


def refused(stream: bytes) -> bool:
    try:
        huffman_decode(stream)
    except FormatError:
        return True
    return False


@pytest.mark.parametrize(
    ("alphabet", "ratio"), [(1, 1), (2, 0.1), (3, 1), (16, 0.7), (150, 0.9), (256, 0.97), (256, 1)]
)
def test_every_isa_writes_the_references_bytes(isa: str, alphabet: int, ratio: float) -> None:
    for n in (1, 2, 63, 64, 65, 1000, PART - 1, PART + 1, 70_003):
        symbols = draw(n, alphabet, ratio, n)[::-1].copy()
        stream = huffman_encode(symbols, format="ht")
        assert stream == stream_of(symbols, [reference.encode_block(symbols, zlib.crc32)])
        np.testing.assert_array_equal(huffman_decode(stream), symbols)


def test_back_ends_agree(backend: str) -> None:
    for n in (0, 1, 5000, BLOCK + 77):
        symbols = draw(n, 40, 0.9, n)
        stream = huffman_encode(symbols, format="ht")
        np.testing.assert_array_equal(huffman_decode(stream), symbols)
        with accel.using(backend=runtime.isa_info()["backends"][0]):
            assert huffman_encode(symbols, format="ht") == stream


def test_blocks_of_every_kind_on_any_threads_at_any_address(isa: str) -> None:
    rng = np.random.default_rng(5)
    noise = rng.integers(0, 256, BLOCK).astype(np.uint8)
    symbols = np.concatenate([draw(BLOCK, 16), np.full(BLOCK, 9, np.uint8), noise, draw(3 * BLOCK + 1234, 200, 0.95)])
    stream = huffman_encode(symbols)  # large enough for streaming stores
    for threads, offset in ((1, 0), (2, 1), (8, 63)):
        arena = np.full(symbols.size + 192, 0xEE, np.uint8)
        out = arena[64 + offset : 64 + offset + symbols.size]
        with accel.using(threads=threads):
            huffman_decode(stream, out)
        np.testing.assert_array_equal(out, symbols)
        assert (arena[: 64 + offset] == 0xEE).all() and (arena[64 + offset + symbols.size :] == 0xEE).all()


def test_runs_of_two_symbols_with_and_without_others_between(isa: str) -> None:
    """A decoder that spreads the bits of such a run may find more of them in one word than a read at any bit holds."""
    rng = np.random.default_rng(5)
    lengths = rng.integers(1, 200, 2000)
    few, others = np.arange(2), np.repeat(np.arange(5), [1, 1, 9, 5, 4])
    symbols = np.concatenate([rng.choice((few, others)[k % 2], n) for k, n in enumerate(lengths)]).astype(np.uint8)
    assert list(reference.code_lengths(reference.count_symbols(symbols))[:2]) == [2, 2]  # a run, left of the root
    for n in (symbols.size, PART, PART + 321, 200):
        stream = huffman_encode(symbols[:n], format="ht")
        np.testing.assert_array_equal(huffman_decode(stream), symbols[:n])
        np.testing.assert_array_equal(huffman_decode(stream, start=1, stop=n - 1), symbols[1 : n - 1])


def test_the_format_follows_from_size_unless_it_is_given() -> None:
    symbols = draw(TREES_FROM, 16)
    assert huffman_encode(symbols)[2] == 1 and huffman_encode(symbols[1:])[2] == 0
    assert huffman_encode(symbols, format="h4")[2] == 0 and huffman_encode(symbols[:9], format="ht")[2] == 1
    with pytest.raises(ValueError, match="format: expected 'auto', 'h4' or 'ht', got 'zip'"):
        huffman_encode(symbols, format="zip")


def test_size_is_within_one_and_a_half_percent_of_optimal() -> None:
    bell = np.exp(-((np.arange(256) - 127.5) ** 2) / (2 * 25**2))
    rng = np.random.default_rng(0)
    for p in (bell, 0.9 ** np.arange(256), bell[::16] ** 4, np.array([0.9, 0.06, 0.04])):
        symbols = rng.choice(p.size, BLOCK, p=p / p.sum()).astype(np.uint8)
        counts = np.bincount(symbols, minlength=256)
        optimal = int(counts @ plain.code_lengths(counts, 15))
        assert 8 * len(huffman_encode(symbols)) <= 1.015 * optimal


@native
def test_lengths_are_the_references_and_complete() -> None:
    rng = np.random.default_rng(1)
    for kinds, spread in itertools.product((2, 3, 16, 65, 200, 256), (1, 40, 4000)):
        counts = np.zeros(256, np.uint32)
        counts[rng.permutation(256)[:kinds]] = rng.integers(1, 2, kinds) + (rng.random(kinds) ** 8 * spread).astype(int)
        lengths = runtime.core.huffman_tree_lengths(counts)
        np.testing.assert_array_equal(lengths, reference.code_lengths(counts))
        assert sum(2.0 ** -lengths[lengths > 0].astype(float)) == 1
    fibonacci = [1, 1]
    while len(fibonacci) < 26:
        fibonacci.append(fibonacci[-1] + fibonacci[-2])
    counts[:] = 0
    counts[:26] = fibonacci
    assert reference.code_lengths(counts).max() == 11


# ---- corrupt streams ------------------------------------------------------------------------------------------------


def test_every_single_bit_flip_and_truncation_is_refused(backend: str) -> None:
    for symbols in (draw(300, 16, 0.7), draw(200, 120, 0.97)):
        stream = bytearray(huffman_encode(symbols, format="ht"))
        for bit in range(0, 8 * len(stream), 1 if backend == "native" else 7):
            stream[bit // 8] ^= 1 << bit % 8
            assert refused(bytes(stream)), bit
            stream[bit // 8] ^= 1 << bit % 8
        assert all(refused(bytes(stream[:n])) for n in range(len(stream)))
        assert refused(bytes(stream) + b"\0")


def rechecked(symbols: np.ndarray, block: bytes, head: int, part: bytes) -> bytes:
    """A stream of one block and one part with right checksums."""
    size = (len(part) + 4).to_bytes(2, "little")
    start = block[: head - 2] + size
    sums = [zlib.crc32(x).to_bytes(4, "little") for x in (start, part)]
    return stream_of(symbols, [start + sums[0] + sums[1] + part])


def answer(stream: bytes, n: int) -> bytes | None:
    arena = np.full(n + 128, 0xEE, np.uint8)
    try:
        huffman_decode(stream, arena[64 : 64 + n])
        return arena[64 : 64 + n].tobytes()
    except FormatError:
        return None
    finally:
        assert (arena[:64] == 0xEE).all() and (arena[64 + n :] == 0xEE).all()


def test_parts_that_lie_under_right_checksums_get_the_references_answer(isa: str) -> None:
    rng = np.random.default_rng(11)
    for symbols in (draw(500, 16, 0.7), draw(640, 120, 0.95), draw(64, 3)):
        block = reference.encode_block(symbols, zlib.crc32)
        head = 1 + plain.unpack_lengths(block[1:])[1] + 2
        part = block[head + 8 :]
        for _ in range(250):
            bad = bytearray(part)
            for at in rng.integers(0, len(bad), int(rng.integers(1, 4))):
                bad[at] ^= 1 << int(rng.integers(0, 8))
            if rng.random() < 0.2:
                bad = bad[: int(rng.integers(0, len(bad)))]
            stream = rechecked(symbols, block, head, bytes(bad))
            found = answer(stream, symbols.size)
            with accel.using(backend="numpy"):
                assert found == answer(stream, symbols.size)


def test_counts_of_nodes_that_no_symbol_reaches_are_zero(backend: str) -> None:
    symbols = np.full(64, 255, np.uint8)
    lengths = reference.code_lengths(1 << np.arange(256) // 16)
    root, inner = reference.build_tree(lengths)
    part = reference.encode_part(symbols, root, inner)
    head = b"\4" + plain.pack_lengths(lengths) + b"\0\0"
    assert answer(rechecked(symbols, head, len(head), part), 64) == symbols.tobytes()
    unreached = [k for k in range(inner) if part[2 * k : 2 * k + 2] == b"\0\0"]
    assert len(unreached) > 3
    for k in unreached:
        lying = part[: 2 * k] + b"\1" + part[2 * k + 1 :]
        assert answer(rechecked(symbols, head, len(head), lying), 64) is None


@native
def test_all_vectors_of_code_lengths_of_five_symbols() -> None:
    symbols = np.arange(5, dtype=np.uint8)
    for lengths in itertools.product(range(6), repeat=5):
        complete = sum(2.0**-x for x in lengths if x) == 1
        table = plain.pack_lengths(np.array([*lengths, *[0] * 251], np.uint8)) if any(lengths) else b"\0"
        head = b"\4" + table + b"\4\0"
        block = head + zlib.crc32(head).to_bytes(4, "little") + b"\0\0\0\0"
        assert refused(stream_of(symbols, [block]))
        if complete and all(lengths):
            root, inner = reference.build_tree(np.array([*lengths, *[0] * 251], np.uint8))
            part = reference.encode_part(symbols, root, inner)
            stream = rechecked(symbols, head + b"\0" * 4, len(head), part)
            np.testing.assert_array_equal(huffman_decode(stream), symbols)
