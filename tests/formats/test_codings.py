"""Codings: arrays to streams and back, and streams that lie."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from accel.errors import FormatError
from accel.formats import codings
from accel.formats.codings import CODINGS, Scratch, Stream
from accel.kernels import float_encode

DTYPES = [np.dtype(name).newbyteorder("<") for name in ("u1", "i1", "?", "u2", "i4", "f2", "f4", "i8", "f8")]


def skewed(seed: int, size: int, dtype: np.dtype, zeros: float) -> np.ndarray:
    """Values of small magnitude, many of them zero: what weights and indices look like."""
    rng = np.random.default_rng(seed)
    values = np.abs(rng.standard_normal(size) * 9).astype(np.uint8).astype(dtype)
    return np.where(rng.random(size) < zeros, dtype.type(0), values)


@settings(max_examples=120, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([0, 1, 7, 64, 65, 300, 3000]),
    st.sampled_from(DTYPES),
    st.sampled_from([0.0, 0.5, 0.99, 1.0]),
    st.sampled_from(list(CODINGS)),
)
def test_every_coding_is_lossless(seed: int, size: int, dtype: np.dtype, zeros: float, name: str) -> None:
    array = skewed(seed, size, dtype, zeros)
    parts = CODINGS[name].split(array)
    if parts is None:
        return
    streams = [Stream("raw", part.nbytes, part.tobytes()) for part in parts]
    joined = CODINGS[name].join(streams, dtype, size, Scratch())[0]
    assert joined.tobytes() == array.tobytes() and joined.dtype == dtype


@settings(max_examples=80, deadline=None)
@given(hnp.arrays(st.sampled_from(DTYPES), st.integers(0, 400)))
def test_the_cheapest_coding_is_lossless_and_not_larger(array: np.ndarray) -> None:
    name, streams = codings.encode(array)
    assert codings.decode(name, streams, array.dtype, array.size)[0].tobytes() == array.tobytes()
    assert sum(len(stream.data) for stream in streams) <= array.nbytes


def test_special_floats_keep_their_bits() -> None:
    bits = np.array([0x7FC00001, 0xFFC00000, 0x80000000, 0x00000001, 0x7F800000] * 40, np.uint32)
    array = bits.view(np.float32)
    name, streams = codings.encode(array)
    assert codings.decode(name, streams, array.dtype, array.size)[0].tobytes() == array.tobytes()


def chosen(array: np.ndarray) -> str:
    return codings.encode(np.ascontiguousarray(array))[0]


def test_each_coding_wins_where_it_should() -> None:
    rng = np.random.default_rng(0)
    codes = rng.integers(1, 200, 20_000, np.uint8)
    assert chosen(codes) == "plain"
    assert chosen(np.where(rng.random(20_000) < 0.95, 0, codes).astype(np.uint8)) == "gaps8"
    assert chosen(np.where(rng.random(20_000) < 0.5, 0, codes).astype(np.uint8)) == "bitmap"
    assert chosen(np.sort(rng.integers(0, 2**31, 5_000)).astype("<i4")) == "delta"
    assert chosen(np.arange(1, 5_000).astype("<i4") * 3 % 40_000) == "delta"
    assert chosen(rng.integers(0, 300, 5_000).astype("<i4")) == "planes"
    assert chosen(np.zeros(4, np.float32)) == "plain"


@pytest.mark.parametrize("dtype", ["<f4", "<f2", "<u2"])
def test_weights_are_coded_as_floats_and_pruned_ones_as_sparse_floats(dtype: str) -> None:
    rng = np.random.default_rng(0)
    bits = (rng.standard_normal(5_000) * 0.05).astype(np.float32)
    weights = (bits.view(np.uint32) >> 16).astype(dtype) if dtype == "<u2" else bits.astype(dtype)
    pruned = np.where(rng.random(5_000) < 0.9, weights.dtype.type(0), weights)
    for array, coding in ((weights, "plain"), (pruned, "gaps8")):
        name, streams = codings.encode(array)
        assert (name, streams[-1].method) == (coding, "float")
        assert codings.decode(name, streams, array.dtype, array.size)[0].tobytes() == array.tobytes()


def test_minus_zero_is_not_left_out() -> None:
    array = np.zeros(1000, np.float32)
    array[::50] = -0.0
    for name in ("bitmap", "gaps4", "gaps8"):
        places, values = CODINGS[name].split(array) or []
        assert values.view(np.uint32).max() == 1 << 31
        streams = [Stream("raw", part.nbytes, part.tobytes()) for part in (places, values)]
        assert CODINGS[name].join(streams, array.dtype, 1000, Scratch())[0].tobytes() == array.tobytes()


def test_constant_arrays_do_not_become_bombs() -> None:
    """A run of a megabyte codes into a few bytes, which readers refuse: it is stored larger, and can be read."""
    array = np.zeros(1 << 20, np.uint8)
    name, streams = codings.encode(array)
    data = sum(len(stream.data) for stream in streams)
    assert array.nbytes <= 1000 * data
    np.testing.assert_array_equal(codings.decode(name, streams, array.dtype, array.size)[0], array)


def raw(*parts: list[int] | np.ndarray) -> list[Stream]:
    arrays = [np.asarray(part, np.uint8) for part in parts]
    return [Stream("raw", array.size, array.tobytes()) for array in arrays]


U1, F4 = np.dtype("u1"), np.dtype("<f4")


@pytest.mark.parametrize(
    ("coding", "streams", "dtype", "size", "message"),
    [
        ("zip", raw([1]), U1, 1, "coding: expected one of plain"),
        ("plain", raw([1, 2]), U1, 3, "expected 3 symbols, got 2"),
        ("plain", raw([1], [2]), U1, 2, "streams: expected 1, got 2"),
        ("plain", raw(), U1, 2, "streams: expected 1, got 0"),
        ("planes", raw([1], [2], [3]), F4, 1, "streams: expected 4, got 3"),
        ("delta", raw([1], [2], [3], [4, 5]), F4, 1, "expected 1 symbols, got 2"),
        ("bitmap", raw([1]), U1, 8, "streams: expected 2, got 1"),
        ("bitmap", raw([1], [9]), F4, 8, "whole elements of 4 bytes, got 1"),
        ("bitmap", raw([1, 0], [9]), U1, 8, "8 places need 1 bytes, got 2"),
        ("bitmap", raw([128], [9]), U1, 7, "a bit after the last place is set"),
        ("bitmap", raw([3], [9]), U1, 8, "2 bits are set, for 1 values"),
        ("bitmap", raw([3], [9, 8, 7, 6]), F4, 8, "2 bits are set, for 1 values"),
        ("gaps4", raw([1, 16], [9, 9]), U1, 90, "needs more than 4 bits"),
        ("gaps4", raw([1, 15], [9, 9]), U1, 17, "leaves 17 places"),
        ("gaps8", raw([1, 255], [9]), U1, 999, "as many values as gaps, 2, got 1"),
        ("gaps8", raw([1, 255], [9] * 4), F4, 999, "as many values as gaps, 2, got 1"),
        ("gaps8", raw([1]), U1, 9, "streams: expected 2, got 1"),
        ("plain", [Stream("raw", 3, b"ab")], U1, 3, "raw stream: expected 3 bytes, got 2"),
        ("plain", [Stream("lzma", 1, b"a")], U1, 1, r"expected raw, huffman or \(of floats\) float, got 'lzma'"),
        ("plain", [Stream("float", 1, b"a")], U1, 1, "got 'float'"),
        ("plain", [Stream("float", 4, b"abc")], F4, 1, "float stream"),
        ("plain", [Stream("float", 4, float_encode(np.ones(2, np.float16)))], F4, 1, "float stream: out: expected"),
        ("plain", [Stream("float", 4, float_encode(np.ones(2, np.float32)))], F4, 1, "float stream: out: expected"),
        ("plain", [Stream("huffman", 5, b"abc")], U1, 5, "Huffman stream"),
    ],
)
def test_streams_that_lie_are_refused(
    coding: str, streams: list[Stream], dtype: np.dtype, size: int, message: str
) -> None:
    with pytest.raises(FormatError, match=message):
        codings.decode(coding, streams, dtype, size)


def test_a_huffman_stream_of_another_length_is_refused() -> None:
    name, streams = codings.encode(np.repeat(np.uint8([1, 2, 3, 3]), 200))
    assert streams[0].method == "huffman"
    lying = [Stream("huffman", streams[0].symbols + 1, streams[0].data)]
    with pytest.raises(FormatError, match="huffman stream"):
        codings.decode(name, lying, U1, 801)


def test_a_filler_may_stand_anywhere() -> None:
    """Deep Compression's fillers carry the value 0; the reader needs no rule for them."""
    found, _ = codings.decode("gaps4", raw([15, 2, 0], [0, 7, 8]), U1, 25)
    assert np.flatnonzero(found).tolist() == [18, 19] and found[18:20].tolist() == [7, 8]
