"""Huffman streams: every implementation writes the reference's bytes and reads them back, within what coding can do."""

from __future__ import annotations

import heapq
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import accel
from accel.kernels import _huffman_blocks, runtime
from accel.kernels.huffman import huffman_decode, huffman_encode
from accel.reference import huffman as reference

BLOCK = reference.BLOCK


def draw(n: int, alphabet: int, ratio: float = 0.8, seed: int = 0) -> np.ndarray:
    """n symbols, each `ratio` times as likely as the one before it."""
    p = ratio ** np.arange(alphabet)
    return np.random.default_rng(seed).choice(alphabet, n, p=p / p.sum()).astype(np.uint8)


def optimal_bits(symbols: np.ndarray) -> int:
    """What Huffman's own algorithm, without a limit of length, needs: the sum of its merged weights."""
    heap = [int(c) for c in np.bincount(symbols) if c]
    heapq.heapify(heap)
    total = 0
    while len(heap) > 1:
        merged = heapq.heappop(heap) + heapq.heappop(heap)
        total += merged
        heapq.heappush(heap, merged)
    return total


ALPHABETS = [1, 2, 3, 16, 100, 256]
SIZES = [0, 1, 2, 7, 8, 9, 63, 300, 4095, 4096, 16_383, 16_384, 16_391]


@pytest.mark.parametrize("alphabet", ALPHABETS)
def test_small_streams_are_the_references(backend: str, alphabet: int) -> None:
    for n in SIZES:
        symbols = draw(n, alphabet, seed=n)
        stream = huffman_encode(symbols)
        assert stream == reference.encode(symbols)
        np.testing.assert_array_equal(huffman_decode(stream), symbols)


def test_every_isa_writes_and_reads_the_same(isa: str) -> None:
    for n, alphabet in itertools.product([1, 13, 64, 5000, 70_000], ALPHABETS):
        symbols = draw(n, alphabet, 0.97, seed=n)
        stream = huffman_encode(symbols)
        assert stream == reference.encode(symbols) if n < 10_000 else True
        with accel.using(isa=runtime.isa_info()["supported"][0]):
            assert huffman_encode(symbols) == stream
        np.testing.assert_array_equal(huffman_decode(stream), symbols)


@pytest.mark.parametrize("n", [BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK + 17_001])
def test_block_borders(backend: str, n: int) -> None:
    symbols = draw(n, 16)
    symbols[: n // 3] = 5  # the first block of the largest is a run
    symbols[-1000:] = np.random.default_rng(0).integers(0, 256, 1000)
    stream = huffman_encode(symbols)
    np.testing.assert_array_equal(huffman_decode(stream), symbols)
    with accel.using(backend="numpy"):
        assert huffman_encode(symbols) == stream


def test_threads_give_the_same() -> None:
    symbols = draw(5 * BLOCK + 1, 200)
    stream = huffman_encode(symbols)
    for threads in (1, 2, 3, 8):
        with accel.using(threads=threads):
            np.testing.assert_array_equal(huffman_decode(stream), symbols)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=600), st.integers(1, 256), st.sampled_from(runtime.isa_info()["backends"]))
def test_round_trip(data: bytes, alphabet: int, backend: str) -> None:
    symbols = (np.frombuffer(data, np.uint8).astype(np.int64) % alphabet).astype(np.uint8)
    with accel.using(backend=backend):
        stream = huffman_encode(symbols)
        assert stream == reference.encode(symbols)
        np.testing.assert_array_equal(huffman_decode(stream), symbols)
        np.testing.assert_array_equal(reference.decode(stream), symbols)


def test_a_stream_written_once_is_read_for_ever() -> None:
    symbols = np.frombuffer(b"abracadabra, abracadabra", np.uint8)
    golden = bytes.fromhex(  # taken apart in docs/formats/huffman.md
        "ac01001816e7cf86bd02dd408cd4213144ac031573095952e7a576a4ce4b01"
    )
    assert huffman_encode(symbols) == golden
    np.testing.assert_array_equal(huffman_decode(golden), symbols)


# ---- size ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("alphabet", "ratio"), [(16, 0.6), (16, 0.9), (16, 1.0), (64, 0.9), (256, 0.97)])
def test_a_megabyte_is_within_one_and_a_half_percent_of_optimal(alphabet: int, ratio: float) -> None:
    symbols = draw(1 << 20, alphabet, ratio)
    assert 8 * len(huffman_encode(symbols)) <= 1.015 * optimal_bits(symbols)


@pytest.mark.parametrize("n", [100, 300, 900])
def test_small_tensors_pay_at_most_forty_bytes(n: int) -> None:
    for alphabet in (2, 5, 16):
        symbols = draw(n, alphabet)
        assert len(huffman_encode(symbols)) <= 40 + -(-optimal_bits(symbols) // 8)


def test_what_does_not_pay_is_stored_as_it_is() -> None:
    noise = np.random.default_rng(1).integers(0, 256, 50_000).astype(np.uint8)
    assert len(huffman_encode(noise)) <= noise.size + 20
    assert len(huffman_encode(np.zeros(0, np.uint8))) == 8
    assert len(huffman_encode(np.full(10 * BLOCK, 7, np.uint8))) <= 12 + 7 * 10


# ---- code lengths -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [2, 3, 4])
def test_code_lengths_are_the_shortest_of_all(limit: int) -> None:
    rng = np.random.default_rng(limit)
    for count in range(2, min(5, 2**limit) + 1):
        complete = [v for v in itertools.product(range(1, limit + 1), repeat=count) if sum(2.0**-x for x in v) == 1]
        for _ in range(40):
            counts = rng.integers(1, 10 ** int(rng.integers(1, 5)), count)
            found = reference.code_lengths(counts, limit)
            assert sum(2.0 ** -found.astype(float)) == 1
            assert int(counts @ found) == min(int(counts @ np.array(v)) for v in complete)


def test_cython_and_reference_choose_the_same_lengths_and_tables() -> None:
    index = pytest.importorskip("accel.kernels._index")
    rng = np.random.default_rng(3)
    for spread in (1, 3, 100, 261_000):
        counts = rng.integers(0, spread + 1, (30, 256)) * (rng.random((30, 256)) < rng.random((30, 1)))
        counts = np.sort(counts.astype(np.uint32), axis=1) if spread == 3 else counts.astype(np.uint32)
        counts[0] = 0
        counts[1, 5:] = 0
        lengths, tables, sizes = index.huffman_plans(counts, 11)
        for row, found, table, size in zip(counts, lengths, tables, sizes, strict=True):
            expected = reference.code_lengths(row)
            np.testing.assert_array_equal(found, expected)
            if expected.any():
                assert table[:size].tobytes() == reference.pack_lengths(expected)
                back, taken = reference.unpack_lengths(table[:size].tobytes())
                np.testing.assert_array_equal(back, expected)
                assert taken == size


def test_fibonacci_counts_reach_the_limit_of_length() -> None:
    counts = [1, 1]
    while len(counts) < 24:
        counts.append(counts[-1] + counts[-2])
    symbols = np.repeat(np.arange(24, dtype=np.uint8), counts)
    assert reference.code_lengths(np.array(counts)).max() == 11
    np.testing.assert_array_equal(huffman_decode(huffman_encode(symbols)), symbols)


def test_more_symbols_than_codes_is_an_error() -> None:
    with pytest.raises(ValueError, match="limit: 5 symbols do not fit in codes of 2 bits"):
        reference.code_lengths(np.ones(5, int), 2)


# ---- arguments ----------------------------------------------------------------------------------------------------


def test_symbols_are_checked() -> None:
    with pytest.raises(TypeError, match="symbols: expected uint8, got int64 array of shape"):
        huffman_encode(np.arange(3))
    with pytest.raises(TypeError, match="symbols: expected a NumPy array, got bytes"):
        huffman_encode(b"abc")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="symbols: expected 1 axes"):
        huffman_encode(np.zeros((2, 2), np.uint8))
    with pytest.raises(ValueError, match="symbols: expected a C-contiguous array, got strides"):
        huffman_encode(np.zeros(10, np.uint8)[::2])


@pytest.mark.parametrize("wrap", [bytes, bytearray, memoryview, lambda b: np.frombuffer(b, np.uint8)])
def test_any_bytes_can_be_decoded(wrap: type) -> None:
    symbols = draw(500, 16)
    np.testing.assert_array_equal(huffman_decode(wrap(huffman_encode(symbols))), symbols)


def test_decoding_writes_into_out_and_nowhere_else(backend: str) -> None:
    for n in (1, 77, 5000, 20_001, BLOCK + 3):
        symbols = draw(n, 7)
        arena = np.full(n + 128, 0xEE, np.uint8)
        out = arena[64 : 64 + n]
        assert huffman_decode(huffman_encode(symbols), out) is out
        np.testing.assert_array_equal(out, symbols)
        assert (arena[:64] == 0xEE).all() and (arena[64 + n :] == 0xEE).all()


def test_out_is_checked() -> None:
    stream = huffman_encode(draw(500, 16))
    with pytest.raises(ValueError, match=r"out: expected shape \(500,\), got uint8 array of shape \(499,\)"):
        huffman_decode(stream, np.empty(499, np.uint8))
    with pytest.raises(TypeError, match="out: expected uint8"):
        huffman_decode(stream, np.empty(500, np.int8))
    fixed = np.empty(500, np.uint8)
    fixed.flags.writeable = False
    with pytest.raises(ValueError, match="out: expected a writable array"):
        huffman_decode(stream, fixed)
    both = np.zeros(1000, np.uint8)
    both[: len(stream)] = np.frombuffer(stream, np.uint8)
    with pytest.raises(ValueError, match="out: expected memory of its own"):
        huffman_decode(both[: len(stream)], both[len(stream) - 1 : len(stream) + 499])


def test_blob_and_max_symbols_are_checked() -> None:
    stream = huffman_encode(draw(500, 16))
    with pytest.raises(TypeError, match="blob: expected a bytes-like object, got str"):
        huffman_decode("text")
    with pytest.raises(ValueError, match="blob: expected contiguous memory"):
        huffman_decode(memoryview(stream)[::2])
    with pytest.raises(accel.errors.FormatError, match="500 symbols, more than max_symbols=499"):
        huffman_decode(stream, max_symbols=499)
    assert huffman_decode(stream, max_symbols=500).size == 500
    with pytest.raises(TypeError, match="max_symbols: expected an integer"):
        huffman_decode(stream, max_symbols=1e9)  # type: ignore[arg-type]


def test_status_texts_match_the_reference() -> None:
    """A native status and the reference's ValueError for the same fault say the same."""
    assert len(_huffman_blocks.STATUS) == len(set(_huffman_blocks.STATUS)) == 14


def test_real_codes_and_gaps(shared_data) -> None:  # type: ignore[no-untyped-def]
    with np.load(shared_data / "models" / "squeezenet10_dc_raw.npz", allow_pickle=False) as file:
        names = [name for name in file.files if name.endswith((".code", ".gap"))]
        for name in names:
            symbols = np.ascontiguousarray(file[name])
            stream = huffman_encode(symbols)
            np.testing.assert_array_equal(huffman_decode(stream), symbols)
            optimal = -(-optimal_bits(symbols) // 8)
            alphabet = len(np.unique(symbols))
            assert len(stream) <= 1.015 * optimal + 45 + alphabet / 2
