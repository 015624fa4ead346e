"""Arrays straight from coded streams: what decoding, expanding and summing up one after another give, and refusals."""

from __future__ import annotations

import zlib

import numpy as np
import pytest

import accel
from accel.errors import FormatError
from accel.kernels import bitmap_encode, gaps_encode, huffman_encode, runtime
from accel.kernels._coded import Coded, decode_bitmap, decode_gaps, decode_trees, open_trees, uncoded
from accel.reference.huffman_tree import BLOCK

pytestmark = pytest.mark.skipif(runtime.core is None, reason="only the native back end decodes in parts")
ISAS = runtime.isa_info()["supported"]
PART = 1 << 15  # symbols that are decoded together


def sparse(n: int, density: float, dtype: type = np.uint8) -> np.ndarray:
    rng = np.random.default_rng(n)
    found = np.where(rng.random(n) < density, rng.integers(1, 16, n), 0)
    return found.astype(dtype)


def coded(array: np.ndarray, trees: bool) -> Coded:
    symbols = array.view(np.uint8)
    if not trees:
        return uncoded(array)
    found = open_trees(huffman_encode(symbols, format="ht"), symbols.size)
    assert found is not None
    return found


def gap_streams(dense: np.ndarray, bits: int) -> tuple[np.ndarray, np.ndarray]:
    gaps, filler = gaps_encode(np.flatnonzero(dense), bits)
    values = np.zeros(gaps.size, dense.dtype)
    values[~filler] = dense[dense != 0]
    return gaps, values


def bitmap_streams(dense: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.frombuffer(bitmap_encode(dense != 0), np.uint8), dense[dense != 0]


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("dtype", [np.uint8, np.float16, np.float32, np.float64])
@pytest.mark.parametrize("n", [0, 1, 63, 64, 65, 1000, 8 * PART + 9])
def test_sparse_streams_give_the_array_and_its_sum(isa: str, dtype: type, n: int) -> None:
    with accel.using(isa=isa):
        for density, trees in ((0.02, (True, True)), (0.4, (True, False)), (0.97, (False, True))):
            dense = sparse(n, density, dtype)
            room = np.full(n + 2, 77, dtype)
            streams = [coded(part, tree) for part, tree in zip(bitmap_streams(dense), trees, strict=True)]
            sums = [decode_bitmap(streams[0], streams[1], room[1:-1])]
            np.testing.assert_array_equal(room[1:-1], dense)
            assert room[0] == room[-1] == 77
            for bits in (4, 8):
                streams = [coded(part, tree) for part, tree in zip(gap_streams(dense, bits), trees, strict=True)]
                out = np.zeros(n, dtype)
                sums.append(decode_gaps(streams[0], streams[1], out, bits))
                np.testing.assert_array_equal(out, dense)
            for found in sums:
                assert found.crc32 == zlib.crc32(dense.tobytes())
                assert found.most >= dense.view(np.uint8).max(initial=0)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("n", [1, 777, PART + 1, 2 * BLOCK + 12_345])
def test_trees_give_the_symbols_and_their_sum(threads: int, n: int) -> None:
    symbols = np.minimum(np.random.default_rng(n).geometric(0.4, n), 15).astype(np.uint8)
    symbols[n // 2 : n // 2 + BLOCK] = 3  # a run, where there are so many
    out = np.empty(n, np.uint8)
    with accel.using(threads=threads):
        found = decode_trees(coded(symbols, True), out)
    np.testing.assert_array_equal(out, symbols)
    assert found.crc32 == zlib.crc32(symbols.tobytes())
    assert found.most >= symbols.max()


def test_a_bound_is_close_where_it_is_known() -> None:
    """So that codes need no search for their maximum."""
    dense = sparse(3 * PART, 0.3)
    bitmap, live = (coded(part, True) for part in bitmap_streams(dense))
    assert decode_bitmap(bitmap, live, np.empty_like(dense)).most == 15
    gaps, values = (coded(part, True) for part in gap_streams(dense, 8))
    assert decode_gaps(gaps, values, np.zeros_like(dense), 8).most == 15
    assert decode_trees(coded(dense, True), np.empty_like(dense)).most == 15
    noise = np.random.default_rng(0).integers(0, 256, 5000).astype(np.uint8)
    assert decode_trees(coded(noise, True), np.empty_like(noise)).most == 255


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("trees", [(True, True), (False, False)])
def test_streams_that_do_not_fit_are_refused(isa: str, trees: tuple[bool, bool]) -> None:
    dense = sparse(2 * PART, 0.5)
    gaps, values = gap_streams(dense, 4)
    bitmap, live = bitmap_streams(dense)
    out = np.zeros_like(dense)

    def streams(*parts: np.ndarray) -> list[Coded]:
        return [coded(part, tree) for part, tree in zip(parts, trees, strict=True)]

    with accel.using(isa=isa):
        with pytest.raises(FormatError, match=f"gaps: entry {gaps.size - 1} of {gaps.size}: it leaves"):
            decode_gaps(*streams(gaps, values), out[: int(np.flatnonzero(dense)[-1])], 4)
        large = gaps.copy()
        large[1000] = 16
        with pytest.raises(FormatError, match=r"entry 1000 of .*: gap 16 needs more than 4 bits"):
            decode_gaps(*streams(large, values), np.zeros_like(dense), 4)
        with pytest.raises(FormatError, match="expected as many values as gaps"):
            decode_gaps(*streams(gaps, values[1:]), out, 4)
        for count in (live.size - 1, live.size - 20_000, 0):
            with pytest.raises(FormatError, match=f"bitmap: {live.size} bits are set, for {count} values"):
                decode_bitmap(*streams(bitmap, live[:count]), out)
        more = np.concatenate([live, live])
        with pytest.raises(FormatError, match=f"bitmap: {live.size} bits are set, for {more.size} values"):
            decode_bitmap(*streams(bitmap, more), out)
        with pytest.raises(FormatError, match="places need"):
            decode_bitmap(*streams(bitmap, live), out[:-8])
        bitmap = bitmap.copy()
        bitmap[-1] |= 128
        with pytest.raises(FormatError, match="a bit after the last place is set"):
            decode_bitmap(*streams(bitmap, live), out[:-1])


def test_headers_that_lie_are_refused() -> None:
    blob = huffman_encode(np.arange(9, dtype=np.uint8), format="ht")
    with pytest.raises(FormatError, match="it holds 9 symbols, expected 10"):
        open_trees(blob, 10)
    assert open_trees(huffman_encode(np.arange(9, dtype=np.uint8), format="h4"), 9) is None
    assert open_trees(b"", 0) is None
    with accel.using(backend="numpy"):
        assert open_trees(blob, 9) is None


def test_every_damage_of_a_stream_is_refused() -> None:
    """By the checksums of the stream, or because what comes out has another sum."""
    dense = sparse(500, 0.3)
    ways = {"gaps": gap_streams(dense, 8), "bitmap": bitmap_streams(dense)}
    for name, parts in ways.items():
        blobs = [huffman_encode(part, format="ht") for part in parts]
        for which in (0, 1):
            for bit in range(8 * len(blobs[which])):
                changed = bytearray(blobs[which])
                changed[bit // 8] ^= 1 << bit % 8
                pair = [bytes(changed) if which == k else blob for k, blob in enumerate(blobs)]
                with pytest.raises(FormatError):
                    read = [open_trees(blob, part.size) for blob, part in zip(pair, parts, strict=True)]
                    if None in read:
                        raise FormatError("of another format")
                    first, second = (x for x in read if x is not None)
                    out = np.zeros_like(dense)
                    decode_gaps(first, second, out, 8) if name == "gaps" else decode_bitmap(first, second, out)
