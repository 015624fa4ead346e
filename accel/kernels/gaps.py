"""Where the non-zero weights are: relative positions (Deep Compression) and bitmaps."""

from __future__ import annotations

from typing import Any

import numpy as np

from accel.errors import FormatError
from accel.kernels import checks, runtime
from accel.kernels._index_module import index
from accel.kernels.csr import csr_pointers, csr_validate

ESCAPE = 255
"""A delta byte: advance so many columns, more follows."""
MOST_PLACES = 2**60 - 1
"""Of elements of 8 bytes: the bytes can be counted."""


def gaps_encode(positions: np.ndarray, bits: int = 8) -> tuple[np.ndarray, np.ndarray]:
    """Ascending positions as distances of `bits` bits.

    An entry of gap g, 0 <= g <= 2**bits - 1, stands g + 1 places after the entry before it; the first stands at place
    g. Where the distance is too long, filler entries of gap 2**bits - 1 stand in between: a decoder gives them the
    value 0 (code 0).

    Parameters
    ----------
    positions : ndarray, shape (n,), uint32 or int64, strictly ascending from 0 up.
    bits : 4 or 8.

    Returns
    -------
    gaps : ndarray, shape (entries,), uint8; entries >= n
    filler : ndarray, shape (entries,), bool; ``codes = np.zeros(...); codes[~filler] = codes_of_positions``

    Raises
    ------
    TypeError   positions is neither uint32 nor int64.
    ValueError  positions do not ascend, one is negative, or bits is not 4 or 8.

    References
    ----------
    .. [1] Han, Mao & Dally, "Deep compression", ICLR 2016, section 2.
    """
    _check_positions(positions)
    _check_bits(bits)
    loops = _loops()
    if loops is None:
        gaps, filler, wrong = _encode_numpy(positions, bits)
    else:
        entries = loops.gaps_count(positions, bits)
        wrong = -1 - entries if entries < 0 else -1
        gaps, filler = np.empty(max(entries, 0), np.uint8), np.zeros(max(entries, 0), np.uint8)
        if wrong < 0:
            loops.gaps_fill(positions, bits, gaps, filler)
    if wrong >= 0:
        least = int(positions[wrong - 1]) + 1 if wrong else 0
        raise ValueError(
            f"positions: expected ascending values, at least {least} at index {wrong}, got {positions[wrong]}"
        )
    return gaps, filler.view(np.bool_)


def gaps_decode(gaps: np.ndarray, size: int, *, bits: int = 8, dtype: Any = np.uint32) -> np.ndarray:
    """The position of every entry, fillers included.

    Parameters
    ----------
    gaps : ndarray, shape (entries,), uint8, as `gaps_encode` makes them.
    size : places there are; every position is below it.
    bits : 4 or 8.
    dtype : of the result, uint32 (size <= 2**32) or int64.

    Returns
    -------
    ndarray, shape (entries,), dtype, strictly ascending

    Raises
    ------
    FormatError a gap needs more than `bits` bits, or a position is not below size.
    TypeError   gaps is not uint8, or dtype is another.
    ValueError  size is negative or too large for dtype, or bits is not 4 or 8.
    """
    checks.array("gaps", gaps, np.uint8, 1)
    kind = _position_dtype(dtype)
    checks.integer("size", size, 0, 2**32 if kind == np.uint32 else 2**62)
    _check_bits(bits)
    most = (1 << bits) - 1
    loops = _loops()
    if loops is None:
        positions, wrong = _decode_numpy(gaps, size, most, kind)
    else:
        positions = np.empty(gaps.size, kind)
        wrong = loops.gaps_decode(gaps, size, most, positions)
    if wrong >= 0:
        raise wrong_gap(int(gaps[wrong]), wrong, gaps.size, size, bits)
    return positions


def deltas_encode(indices: np.ndarray, indptr: np.ndarray) -> np.ndarray:
    """Columns of the rows of a CSR matrix as distances of one byte, without fillers.

    A byte b < 255 ends an entry that stands b + 1 columns after the one before it in its row; the first of a row stands
    in column b. A byte 255 advances by 255 columns, and more of the same entry follows. So there are as many bytes
    below 255 as entries, and each list of columns has one form.

    Parameters
    ----------
    indices : ndarray, shape (nnz,), int32, strictly ascending from 0 up inside each row.
    indptr : ndarray, shape (rows + 1,), int32 or int64: row i has the entries indptr[i]..indptr[i+1]-1.

    Returns
    -------
    ndarray, shape (nnz + escapes,), uint8

    Raises
    ------
    TypeError   a wrong dtype.
    ValueError  the arrays are not a CSR matrix, or a row does not ascend.
    """
    checks.array("indices", indices, np.int32, 1)
    if not csr_validate(indices, indices, indptr, np.iinfo(np.int32).max):
        raise ValueError("indices: expected ascending columns without repetition inside each row")
    loops = _loops()
    if loops is None:
        return _deltas_numpy(indices, indptr)
    deltas = np.empty(loops.deltas_count(indices, indptr), np.uint8)
    loops.deltas_fill(indices, indptr, deltas)
    return deltas


def deltas_decode(deltas: np.ndarray, indptr: np.ndarray, columns: int) -> np.ndarray:
    """The columns that `deltas_encode` wrote.

    Parameters
    ----------
    deltas : ndarray, uint8, one axis.
    indptr : ndarray, shape (rows + 1,), int32 or int64, ascends from 0.
    columns : every column is below it; at most 2**31 - 1.

    Returns
    -------
    ndarray, shape (indptr[-1],), int32

    Raises
    ------
    FormatError deltas are not the bytes of so many entries, or a column is not below `columns`.
    TypeError   a wrong dtype. ValueError   indptr does not ascend from 0, columns out of bounds.
    """
    checks.array("deltas", deltas, np.uint8, 1)
    checks.integer("columns", columns, 0, np.iinfo(np.int32).max)
    entries = csr_pointers(indptr)
    if entries > deltas.size:  # known before memory is taken: an entry has one byte or more
        raise FormatError(f"deltas: {deltas.size} bytes are too few for {entries} entries")
    loops = _loops()
    if loops is None:
        indices, wrong = _columns_numpy(deltas, indptr, columns)
    else:
        indices = np.empty(entries, np.int32)
        wrong = loops.deltas_decode(deltas, indptr, columns, indices)
    if wrong == entries:
        raise FormatError(f"deltas: {deltas.size} bytes are more than {entries} entries have")
    if wrong >= 0:
        raise FormatError(f"deltas: entry {wrong} of {entries}: it has no end, or leaves {columns} columns")
    return indices


def bitmap_encode(mask: np.ndarray) -> bytes:
    """One bit per place, first place in the lowest bit of the first byte, padded with zeros; mask is 1-D bool."""
    return np.packbits(checks.array("mask", mask, np.bool_, 1), bitorder="little").tobytes()


def bitmap_decode(data: Any, size: int) -> np.ndarray:
    """The bool mask of `size` places that `bitmap_encode` wrote; `data` is bytes-like.

    Raises
    ------
    FormatError data is not ceil(size / 8) bytes, or a padding bit is set.
    TypeError   data is not bytes-like. ValueError   size is negative.
    """
    return np.unpackbits(_bitmap("data", data, size), count=size, bitorder="little").view(np.bool_)


def _bitmap(name: str, data: Any, size: int) -> np.ndarray:
    packed = checks.byte_view(name, data)
    checks.integer("size", size, 0)
    check_bitmap_bytes(packed.size, size)
    if size % 8 and packed[-1] >> size % 8:
        raise wrong_bits(None, 0)
    return packed


def check_bitmap_bytes(nbytes: int, size: int) -> None:
    """FormatError unless so many bytes hold a bit for each of `size` places."""
    if nbytes != -(-size // 8):
        raise FormatError(f"bitmap: {size} places need {-(-size // 8)} bytes, got {nbytes}")


def wrong_bits(wanted: int | None, values: int) -> FormatError:
    """For a bitmap that wants another number of values than there are, or has a bit too many (None)."""
    if wanted is None:
        return FormatError("bitmap: a bit after the last place is set")
    return FormatError(f"bitmap: {wanted} bits are set, for {values} values")


def gaps_expand(
    gaps: np.ndarray,
    values: np.ndarray,
    size: int,
    *,
    bits: int = 8,
    out: np.ndarray | None = None,
    cleared: bool = False,
) -> np.ndarray:
    """The dense array whose entries stand where `gaps_encode` said, without a list of positions.

    Parameters
    ----------
    gaps : ndarray, shape (entries,), uint8, as `gaps_encode` makes them.
    values : ndarray, shape (entries,), elements of 1, 2, 4 or 8 bytes; those of fillers are 0.
    size : places there are.
    bits : 4 or 8.
    out : ndarray, shape (size,), dtype of values, C-contiguous, optional; undefined after an error.
    cleared : whether `out` holds nothing but zeros already.

    Returns
    -------
    ndarray, shape (size,), dtype of values: values[k] at the position of entry k, 0 elsewhere

    Raises
    ------
    FormatError a gap needs more than `bits` bits, or a position is not below size.
    TypeError   gaps is not uint8, values have another width, or out is of another type.
    ValueError  shapes do not fit, or bits is not 4 or 8.
    """
    checks.array("gaps", gaps, np.uint8, 1)
    _check_values(values)
    if values.size != gaps.size:
        raise ValueError(f"values: expected one per gap, {gaps.size}, got {values.size}")
    _check_bits(bits)
    checks.integer("size", size, 0, MOST_PLACES)
    dense = checks.output("out", out, values.dtype, (size,), gaps=gaps, values=values)
    most = (1 << bits) - 1
    if runtime.backend() == "native":
        flat, clear = dense.view(np.uint8), not (cleared and out is not None)
        wrong = runtime.core.gaps_expand(
            gaps, most, values.view(np.uint8), values.itemsize, flat, clear, runtime.isa_index()
        )
        if wrong >= 0:
            raise wrong_gap(int(gaps[wrong]), wrong, gaps.size, size, bits)
    else:
        positions = gaps_decode(gaps, size, bits=bits, dtype=np.int64)
        dense[:] = 0
        dense[positions] = values
    return dense


def bitmap_expand(data: Any, values: np.ndarray, size: int, *, out: np.ndarray | None = None) -> np.ndarray:
    """The dense array whose elements that are not 0 stand where the bits of a bitmap are set.

    Parameters
    ----------
    data : bytes-like, as `bitmap_encode` writes it.
    values : ndarray, shape (n,), elements of 1, 2, 4 or 8 bytes.
    size : places there are.
    out : ndarray, shape (size,), dtype of values, C-contiguous, optional; undefined after an error.

    Returns
    -------
    ndarray, shape (size,), dtype of values: the next value at each set bit, 0 elsewhere

    Raises
    ------
    FormatError data is not ceil(size / 8) bytes, a padding bit is set, or n bits are not set.
    TypeError   data is not bytes-like, values have another width, or out is of another type.
    ValueError  shapes do not fit.
    """
    _check_values(values)
    packed = _bitmap("data", data, size)
    dense = checks.output("out", out, values.dtype, (size,), data=packed, values=values)
    if runtime.backend() == "native":
        wanted = runtime.core.bitmap_expand(
            packed, values.view(np.uint8), values.itemsize, dense.view(np.uint8), runtime.isa_index()
        )
    else:
        mask = bitmap_decode(packed, size)
        wanted = int(np.count_nonzero(mask))
        if wanted == values.size:
            dense[:] = 0
            dense[mask] = values
    if wanted != values.size:
        raise wrong_bits(wanted, values.size)
    return dense


def wrong_gap(gap: int, entry: int, entries: int, size: int, bits: int) -> FormatError:
    """For an entry whose gap needs more bits, or which does not stand within `size` places."""
    why = f"gap {gap} needs more than {bits} bits" if gap >> bits else f"it leaves {size} places"
    return FormatError(f"gaps: entry {entry} of {entries}: {why}")


def _check_values(values: Any) -> None:
    if not isinstance(values, np.ndarray) or values.dtype.itemsize not in (1, 2, 4, 8) or values.dtype.hasobject:
        raise TypeError(f"values: expected an array of elements of 1, 2, 4 or 8 bytes, got {checks.describe(values)}")
    checks.array("values", values, values.dtype, 1)


def _check_bits(bits: int) -> None:
    if not isinstance(bits, (int, np.integer)) or bits not in (4, 8):
        raise ValueError(f"bits: expected 4 or 8, got {checks.describe(bits)}")


def _position_dtype(dtype: Any) -> np.dtype[Any]:
    kind: np.dtype[Any] = np.dtype(dtype)
    if kind not in (np.dtype(np.uint32), np.dtype(np.int64)):
        raise TypeError(f"dtype: expected uint32 or int64, got {kind}")
    return kind


def _check_positions(positions: np.ndarray) -> None:
    if isinstance(positions, np.ndarray) and positions.dtype not in (np.dtype(np.uint32), np.dtype(np.int64)):
        raise TypeError(f"positions: expected uint32 or int64, got {checks.describe(positions)}")
    checks.array("positions", positions, getattr(positions, "dtype", np.int64), 1)


def _loops() -> Any | None:
    """The module whose loops run: Cython or Numba; None for whole-array NumPy."""
    if runtime.backend() == "numba":
        from accel.kernels import gaps_numba

        return gaps_numba
    return index()


def _encode_numpy(positions: np.ndarray, bits: int) -> tuple[np.ndarray, np.ndarray, int]:
    steps: np.ndarray = np.diff(positions.astype(np.int64), prepend=-1)
    if (steps < 1).any():
        return np.empty(0, np.uint8), np.empty(0, np.uint8), int(np.argmax(steps < 1))
    last = np.cumsum(((steps - 1) >> bits) + 1) - 1  # the entry of each position, behind its fillers
    gaps = np.full(int(last[-1]) + 1 if last.size else 0, (1 << bits) - 1, np.uint8)
    filler = np.ones(gaps.size, np.uint8)
    gaps[last] = (steps - 1) & ((1 << bits) - 1)
    filler[last] = 0
    return gaps, filler, -1


def _decode_numpy(gaps: np.ndarray, size: int, most: int, kind: np.dtype[Any]) -> tuple[np.ndarray, int]:
    positions = np.cumsum(gaps.astype(np.int64) + 1) - 1
    wrong = (gaps > most) | (positions >= size)
    return positions.astype(kind), int(np.argmax(wrong)) if wrong.any() else -1


def _deltas_numpy(indices: np.ndarray, indptr: np.ndarray) -> np.ndarray:
    steps: np.ndarray = np.diff(indices.astype(np.int64), prepend=-1) - 1
    filled = indptr[:-1][indptr[1:] > indptr[:-1]]
    steps[filled] = indices[filled]
    ends = np.cumsum(steps // ESCAPE + 1) - 1
    deltas = np.full(int(ends[-1]) + 1 if ends.size else 0, ESCAPE, np.uint8)
    deltas[ends] = steps % ESCAPE
    return deltas


def _columns_numpy(deltas: np.ndarray, indptr: np.ndarray, columns: int) -> tuple[np.ndarray, int]:
    ends = np.flatnonzero(deltas != ESCAPE)
    entries = int(indptr[-1])
    most = int(ends[entries - 1]) + 1 if entries and ends.size >= entries else 0
    known = ends[:entries]
    places = np.cumsum(deltas, dtype=np.int64)[known] + np.arange(known.size)  # as if all were one row
    before = np.concatenate([np.full(1, -1, np.int64), places])
    starts = np.minimum(indptr[:-1], known.size)
    found = places - np.repeat(before[starts] + 1, np.diff(np.minimum(indptr, known.size)))
    outside = found >= columns
    if outside.any():
        return found, int(np.argmax(outside))
    if known.size < entries:
        return found, known.size
    return found.astype(np.int32), -1 if most == deltas.size else entries
