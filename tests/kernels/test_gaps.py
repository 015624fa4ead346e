"""Gap coding and bitmaps: the reference's entries on every back end, exact positions back, hostile gaps refused."""

from __future__ import annotations

from itertools import chain

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import accel
from accel.errors import FormatError
from accel.kernels import runtime
from accel.kernels.gaps import (
    bitmap_decode,
    bitmap_encode,
    bitmap_expand,
    deltas_decode,
    deltas_encode,
    gaps_decode,
    gaps_encode,
    gaps_expand,
)
from accel.reference import gaps as reference

BACKENDS = runtime.isa_info()["backends"]


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("dtype", [np.uint32, np.int64])
def test_entries_are_the_references(backend: str, bits: int, dtype: type) -> None:
    rng = np.random.default_rng(bits)
    reach = 2**bits
    cases = [[], [0], [reach - 1], [reach], [reach + 1], [2 * reach - 1, 2 * reach, 5 * reach], [2**32 - 1 >> 12]]
    cases += [np.flatnonzero(rng.random(5000) < density).tolist() for density in (0.001, 0.01, 0.1, 0.9, 1)]
    for case in cases:
        gaps, filler = gaps_encode(np.array(case, dtype), bits)
        assert (gaps.tolist(), filler.tolist()) == reference.encode(case, bits)
        assert gaps.dtype == np.uint8 and filler.dtype == np.bool_
        places = gaps_decode(gaps, max(case, default=-1) + 1, bits=bits, dtype=dtype)
        assert places.dtype == dtype
        assert places.tolist() == reference.decode(gaps.tolist())
        assert places[~filler].tolist() == case


@settings(max_examples=150, deadline=None)
@given(st.sets(st.integers(0, 3000), max_size=60), st.sampled_from([4, 8]), st.sampled_from(BACKENDS))
def test_a_sparse_layer_comes_back(places: set[int], bits: int, backend: str) -> None:
    """Codes scattered to the entries, 0 to the fillers, give the dense codes."""
    with accel.using(backend=backend):
        positions = np.array(sorted(places), np.uint32)
        dense = np.zeros(3001, np.uint8)
        dense[positions] = np.arange(1, positions.size + 1)
        gaps, filler = gaps_encode(positions, bits)
        codes = np.zeros(gaps.size, np.uint8)
        codes[~filler] = dense[positions]
        back = np.zeros(3001, np.uint8)
        back[gaps_decode(gaps, 3001, bits=bits)] = codes
        np.testing.assert_array_equal(back, dense)


def test_places_beyond_32_bits_need_int64(backend: str) -> None:
    gaps = np.array([255, 7], np.uint8)
    assert gaps_decode(gaps, 2**40, dtype=np.int64).tolist() == [255, 263]
    assert gaps_decode(gaps, 2**32).dtype == np.uint32
    with pytest.raises(ValueError, match=r"size: expected an integer in 0\.\.4294967296, got 4294967297"):
        gaps_decode(gaps, 2**32 + 1)


def test_published_gaps_give_the_published_positions(backend: str, shared_data) -> None:  # type: ignore[no-untyped-def]
    with np.load(shared_data / "models" / "squeezenet10_dc_raw.npz", allow_pickle=False) as file:
        for name in file["layer_names"].tolist():
            key = name.replace("/", ".")
            positions = gaps_decode(file[f"{key}.gap"], int(np.prod(file[f"{key}.shape"])), bits=4)
            np.testing.assert_array_equal(positions, file[f"{key}.pos"])
            codes = file[f"{key}.code"]
            gaps, filler = gaps_encode(positions[codes != 0], 4)
            again = np.zeros(gaps.size, np.uint8)
            again[~filler] = codes[codes != 0]
            np.testing.assert_array_equal(gaps[: codes.size], file[f"{key}.gap"][: gaps.size])
            np.testing.assert_array_equal(again, codes[: gaps.size])


def test_gaps_that_lead_outside_are_refused(backend: str) -> None:
    gaps = np.array([3, 0, 200, 5], np.uint8)
    assert gaps_decode(gaps, 212).tolist() == [3, 4, 205, 211]
    with pytest.raises(FormatError, match="gaps: entry 3 of 4: it leaves 211 places"):
        gaps_decode(gaps, 211)
    with pytest.raises(FormatError, match="gaps: entry 0 of 4: it leaves 0 places"):
        gaps_decode(gaps, 0)
    with pytest.raises(FormatError, match="gaps: entry 2 of 4: gap 200 needs more than 4 bits"):
        gaps_decode(gaps, 1000, bits=4)


def test_positions_are_checked(backend: str) -> None:
    with pytest.raises(ValueError, match="positions: expected ascending values, at least 6 at index 2, got 5"):
        gaps_encode(np.array([1, 5, 5], np.uint32))
    with pytest.raises(ValueError, match="positions: expected ascending values, at least 0 at index 0, got -1"):
        gaps_encode(np.array([-1, 5], np.int64))
    with pytest.raises(TypeError, match="positions: expected uint32 or int64, got int32"):
        gaps_encode(np.array([1], np.int32))
    with pytest.raises(TypeError, match="positions: expected a NumPy array, got list"):
        gaps_encode([1, 2])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="positions: expected 1 axes"):
        gaps_encode(np.zeros((1, 1), np.int64))


def test_parameters_are_checked() -> None:
    gaps = np.zeros(3, np.uint8)
    for bits in (0, 5, 16, "8"):
        with pytest.raises(ValueError, match="bits: expected 4 or 8, got"):
            gaps_encode(np.zeros(0, np.int64), bits)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="bits: expected 4 or 8, got"):
            gaps_decode(gaps, 3, bits=bits)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="dtype: expected uint32 or int64, got float32"):
        gaps_decode(gaps, 3, dtype=np.float32)
    with pytest.raises(ValueError, match="size: expected an integer"):
        gaps_decode(gaps, -1)
    with pytest.raises(TypeError, match="gaps: expected uint8"):
        gaps_decode(np.zeros(3, np.int64), 3)


@pytest.mark.parametrize("size", [0, 1, 7, 8, 9, 64, 1001])
def test_bitmaps(size: int) -> None:
    mask = np.random.default_rng(size).random(size) < 0.3
    packed = bitmap_encode(mask)
    assert len(packed) == -(-size // 8)
    assert all(packed[k // 8] >> k % 8 & 1 == mask[k] for k in range(size))
    np.testing.assert_array_equal(bitmap_decode(packed, size), mask)
    assert bitmap_decode(packed, size).dtype == np.bool_


def test_bitmaps_are_checked() -> None:
    for data, size in ((b"", 1), (b"\1\1", 8), (b"\1", 9)):
        with pytest.raises(FormatError, match=f"bitmap: {size} places need {-(-size // 8)} bytes, got {len(data)}"):
            bitmap_decode(data, size)
    with pytest.raises(FormatError, match="bitmap: a bit after the last place is set"):
        bitmap_decode(b"\x80", 7)
    with pytest.raises(TypeError, match="mask: expected bool"):
        bitmap_encode(np.zeros(3, np.uint8))
    with pytest.raises(TypeError, match="data: expected a bytes-like object, got int"):
        bitmap_decode(5, 7)


@pytest.mark.parametrize("bits", [4.0, [4], np.array([4, 8]), True])
def test_bits_are_an_integer(bits: object) -> None:
    with pytest.raises(ValueError, match="bits: expected 4 or 8, got "):
        gaps_encode(np.array([1], np.int64), bits)  # type: ignore[arg-type]


def row_pointers(rows: list[list[int]], dtype: type) -> np.ndarray:
    return np.cumsum([0, *map(len, rows)]).astype(dtype)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.sets(st.integers(0, 2000), max_size=20), max_size=6),
    st.sampled_from([np.int32, np.int64]),
    st.sampled_from(BACKENDS),
)
def test_columns_of_rows_come_back(rows: list[set[int]], dtype: type, backend: str) -> None:
    columns = [sorted(row) for row in rows]
    indices = np.array([*chain(*columns)], np.int32)
    indptr = row_pointers(columns, dtype)
    with accel.using(backend=backend):
        deltas = deltas_encode(indices, indptr)
        assert deltas.dtype == np.uint8 and deltas.tolist() == [*chain(*map(reference.row_deltas, columns))]
        back = deltas_decode(deltas, indptr, max(indices, default=-1) + 1)
        assert back.dtype == np.int32
        np.testing.assert_array_equal(back, indices)


@pytest.mark.parametrize("column", [2, 254, 255, 509, 510, 511, 2**31 - 2])
def test_far_columns(backend: str, column: int) -> None:
    indices, indptr = np.array([column, 1], np.int32), np.array([0, 1, 1, 2], np.int32)
    deltas = deltas_encode(indices, indptr)
    assert deltas.size == 2 + column // 255 and deltas_decode(deltas, indptr, column + 1).tolist() == [column, 1]
    with pytest.raises(FormatError, match=f"deltas: entry 0 of 2: it has no end, or leaves {column} columns"):
        deltas_decode(deltas, indptr, column)


@pytest.mark.parametrize(
    ("deltas", "message"),
    [
        ([0, 1], "2 bytes are too few for 3 entries"),
        ([0, 1, 255], "entry 2 of 3: it has no end"),
        ([255, 255, 255], "entry 0 of 3: it has no end"),
        ([0, 1, 255, 255], "entry 2 of 3: it has no end"),
        ([0, 0, 0, 0], "4 bytes are more than 3 entries have"),
        ([0, 0, 0, 255], "4 bytes are more than 3 entries have"),
        ([0, 9, 0], "entry 1 of 3: it has no end, or leaves 10 columns"),
        ([9, 0, 10], "entry 1 of 3: it has no end, or leaves 10 columns"),
        ([0, 0, 10], "entry 2 of 3: it has no end, or leaves 10 columns"),
        ([255, 0, 0], "entry 0 of 3: it has no end, or leaves 10 columns"),
    ],
)
def test_deltas_that_do_not_fit_are_refused(backend: str, deltas: list[int], message: str) -> None:
    with pytest.raises(FormatError, match=f"deltas: {message}"):
        deltas_decode(np.array(deltas, np.uint8), np.array([0, 2, 3], np.int32), 10)


def test_arguments_of_deltas_are_checked(backend: str) -> None:
    deltas, indptr = np.zeros(3, np.uint8), np.array([0, 2, 3], np.int32)
    for pointers in ([0, 3, 2], [1, 2, 3], [0, -1, 3], []):
        with pytest.raises(ValueError, match="indptr: expected "):
            deltas_decode(deltas, np.array(pointers, np.int32), 10)
    with pytest.raises(FormatError, match="3 bytes are too few for 2147483647 entries"):
        deltas_decode(deltas, np.array([0, 2**31 - 1], np.int32), 10)
    with pytest.raises(TypeError, match="indptr: expected int32 or int64, got uint8"):
        deltas_decode(deltas, deltas, 10)
    with pytest.raises(TypeError, match="deltas: expected uint8"):
        deltas_decode(indptr, indptr, 10)
    with pytest.raises(ValueError, match="columns: expected an integer"):
        deltas_decode(deltas, indptr, 2**31)
    with pytest.raises(ValueError, match="indices: expected ascending columns"):
        deltas_encode(np.array([1, 1, 0], np.int32), indptr)
    with pytest.raises(ValueError, match=r"indices: expected 0\.\."):
        deltas_encode(np.array([-1, 1, 0], np.int32), indptr)
    with pytest.raises(TypeError, match="indices: expected int32"):
        deltas_encode(np.zeros(3, np.int64), indptr)


WIDTHS = [np.uint8, np.float16, np.float32, np.float64]


def sparse(n: int, density: float, dtype: type) -> tuple[np.ndarray, np.ndarray]:
    """A dense array, and the places of what is not zero in it."""
    rng = np.random.default_rng(n)
    live = rng.random(n) < density
    return np.where(live, rng.integers(1, 100, n), 0).astype(dtype), np.flatnonzero(live)


@pytest.mark.parametrize("dtype", WIDTHS)
@pytest.mark.parametrize("density", [0.0, 0.01, 0.3, 0.99, 1.0])
@pytest.mark.parametrize("n", [0, 1, 7, 63, 64, 65, 200, 70_001])
def test_expanding_gives_the_dense_array(backend: str, dtype: type, density: float, n: int) -> None:
    dense, places = sparse(n, density, dtype)
    room = np.full(n + 2, 77, dtype)
    assert bitmap_expand(bitmap_encode(dense != 0), dense[places], n, out=room[1:-1]).base is room
    np.testing.assert_array_equal(room[1:-1], dense)
    for bits in (4, 8):
        gaps, filler = gaps_encode(places, bits)
        values = np.zeros(gaps.size, dtype)
        values[~filler] = dense[places]
        np.testing.assert_array_equal(gaps_expand(gaps, values, n, bits=bits), dense)
    assert room[0] == room[-1] == 77


@pytest.mark.parametrize("isa", runtime.isa_info()["supported"])
@pytest.mark.parametrize("dtype", WIDTHS)
def test_expanding_bitmaps_on_every_instruction_set(isa: str, dtype: type) -> None:
    for n in (64, 129, 1000):
        for density in (0.1, 0.9):
            dense, places = sparse(n, density, dtype)
            with accel.using(isa=isa):
                np.testing.assert_array_equal(bitmap_expand(bitmap_encode(dense != 0), dense[places], n), dense)


def test_expanding_refuses_what_does_not_fit(backend: str) -> None:
    one, two = np.ones(1, np.uint8), np.ones(2, np.uint8)
    with pytest.raises(FormatError, match="entry 1 of 2: it leaves 3 places"):
        gaps_expand(two, two, 3)
    with pytest.raises(FormatError, match="entry 0 of 1: gap 16 needs more than 4 bits"):
        gaps_expand(np.uint8([16]), one, 99, bits=4)
    with pytest.raises(ValueError, match="values: expected one per gap, 2, got 1"):
        gaps_expand(two, one, 9)
    with pytest.raises(ValueError, match="bits: expected 4 or 8"):
        gaps_expand(one, one, 9, bits=5)
    with pytest.raises(TypeError, match="values: expected an array of elements of 1, 2, 4 or 8 bytes"):
        gaps_expand(one, np.ones(1, np.complex128), 9)
    for size in (-1, 2**70):
        with pytest.raises(ValueError, match=r"size: expected an integer in 0\.\."):
            gaps_expand(one, one, size)
    with pytest.raises(TypeError, match="out: expected uint8"):
        gaps_expand(one, one, 9, out=np.zeros(9, np.int8))
    with pytest.raises(ValueError, match="out: expected memory of its own, got memory of values"):
        gaps_expand(one.copy(), two[:1], 2, out=two)
    for bits, message in ((3, "2 bits are set, for 1 values"), (0, "0 bits are set, for 1 values")):
        with pytest.raises(FormatError, match=message):
            bitmap_expand(bytes([bits]), one, 8)
    with pytest.raises(FormatError, match="9 places need 2 bytes, got 1"):
        bitmap_expand(b"a", one, 9)
    with pytest.raises(FormatError, match="a bit after the last place is set"):
        bitmap_expand(b"\x80", one, 7)
    with pytest.raises(TypeError, match="data"):
        bitmap_expand(3, one, 8)
    with pytest.raises(ValueError, match="values: expected 1 axes"):
        bitmap_expand(b"\x01", np.ones((1, 1)), 8)
