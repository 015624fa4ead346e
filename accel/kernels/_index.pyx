# SPDX-License-Identifier: BSD-3-Clause
"""Index-bound loops: Huffman tables, gap coding, CSR. Called by accel.kernels, which checks the arguments."""

import numpy as np

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t

cdef enum:
    SYMBOLS = 256
    TABLE_BYTES = 128  # a nibble for each of 256 symbols
    MOST_ROUNDS = 15
    ZEROS = 12
    MORE_ZEROS = 13
    REPEAT = 14
    ESCAPE = 255  # a delta byte: advance so many columns, more follows

ctypedef fused value_t:
    float
    double
    int32_t

ctypedef fused pointer_t:
    int32_t
    int64_t

ctypedef fused position_t:
    uint32_t
    int64_t


# ---- Huffman tables; definitions in accel/reference/huffman.py ------------------------------------------------------

cdef int _sorted_symbols(const uint32_t* counts, uint64_t* keys) noexcept nogil:
    """Keys count << 8 | symbol of the symbols that occur, ascending."""
    cdef int n = 0, s, i, j, k, step
    cdef int[5] steps = [57, 23, 10, 4, 1]
    cdef uint64_t key
    for s in range(SYMBOLS):
        if counts[s]:
            keys[n] = <uint64_t>counts[s] << 8 | <uint64_t>s
            n += 1
    for k in range(5):  # shell sort, Ciura's steps
        step = steps[k]
        for i in range(step, n):
            key = keys[i]
            j = i
            while j >= step and keys[j - step] > key:
                keys[j] = keys[j - step]
                j -= step
            keys[j] = key
    return n


cdef void _package_merge(const uint64_t* keys, int n, int limit, uint8_t* lengths) noexcept nogil:
    cdef uint64_t weights[2][2 * SYMBOLS]
    cdef uint8_t is_symbol[MOST_ROUNDS][2 * SYMBOLS]
    cdef uint64_t* before
    cdef uint64_t* now
    cdef uint64_t pair
    cdef int r, i, p, pairs, count = 0, take, symbols
    for r in range(limit):
        before = weights[(r + 1) & 1]
        now = weights[r & 1]
        pairs = count // 2
        count = i = p = 0
        while i < n or p < pairs:
            pair = before[2 * p] + before[2 * p + 1] if p < pairs else 0
            if p >= pairs or (i < n and (keys[i] >> 8) <= pair):
                now[count] = keys[i] >> 8
                is_symbol[r][count] = 1
                i += 1
            else:
                now[count] = pair
                is_symbol[r][count] = 0
                p += 1
            count += 1
    take = 2 * n - 2
    for r in range(limit - 1, -1, -1):
        symbols = 0
        for i in range(take):
            symbols += is_symbol[r][i]
        for i in range(symbols):
            lengths[keys[i] & 255] += 1
        take = 2 * (take - symbols)


cdef int _pack_lengths(const uint8_t* lengths, uint8_t* table) noexcept nogil:
    cdef uint8_t nibbles[2 * SYMBOLS]
    cdef int end = SYMBOLS, at = 0, count = 0, run
    cdef uint8_t length
    while lengths[end - 1] == 0:
        end -= 1
    while at < end:
        length = lengths[at]
        run = 1
        while at + run < end and lengths[at + run] == length:
            run += 1
        nibbles[count] = length
        if length == 0 and run >= 19:
            nibbles[count] = MORE_ZEROS
            nibbles[count + 1] = (run - 19) & 15
            nibbles[count + 2] = (run - 19) >> 4
            count += 3
        elif length == 0 and run >= 3:
            nibbles[count] = ZEROS
            nibbles[count + 1] = run - 3
            count += 2
        elif length and run >= 4:
            run = min(run, 19)
            nibbles[count + 1] = REPEAT
            nibbles[count + 2] = run - 4
            count += 3
        else:
            run = 1
            count += 1
        at += run
    nibbles[count] = 0
    for at in range((count + 1) // 2):
        table[at] = nibbles[2 * at] | nibbles[2 * at + 1] << 4
    return (count + 1) // 2


def huffman_plans(const uint32_t[:, ::1] counts, int limit):
    """(lengths, tables, table_bytes) for each row of counts; a row with fewer than two symbols keeps zeros."""
    cdef Py_ssize_t blocks = counts.shape[0], k
    cdef int n
    cdef uint64_t keys[SYMBOLS]
    lengths_array = np.zeros((blocks, SYMBOLS), np.uint8)
    tables_array = np.zeros((blocks, TABLE_BYTES), np.uint8)
    sizes_array = np.zeros(blocks, np.int64)
    cdef uint8_t[:, ::1] lengths = lengths_array
    cdef uint8_t[:, ::1] tables = tables_array
    cdef int64_t[::1] sizes = sizes_array
    if counts.shape[1] != SYMBOLS or not 8 <= limit <= MOST_ROUNDS:
        raise ValueError("huffman_plans: expected 256 counts a row and a limit in 8..15")
    with nogil:
        for k in range(blocks):
            n = _sorted_symbols(&counts[k, 0], keys)
            if n >= 2:
                _package_merge(keys, n, limit, &lengths[k, 0])
                sizes[k] = _pack_lengths(&lengths[k, 0], &tables[k, 0])
    return lengths_array, tables_array, sizes_array


# ---- gap coding -----------------------------------------------------------------------------------------------------

def gaps_count(const position_t[::1] positions, int bits):
    """How many entries gap coding needs, or -1 - k when position k is not above the one before."""
    cdef Py_ssize_t k
    cdef int64_t entries = 0, before = -1, now
    with nogil:
        for k in range(positions.shape[0]):
            now = <int64_t>positions[k]
            if now <= before:
                entries = -1 - k
                break
            entries += ((now - before - 1) >> bits) + 1
            before = now
    return entries


def gaps_fill(const position_t[::1] positions, int bits, uint8_t[::1] gaps, uint8_t[::1] filler):
    """Writes the gaps_count() entries; `filler` is zero on entry."""
    cdef Py_ssize_t k, at = 0
    cdef int64_t before = -1, gap, reach = <int64_t>1 << bits
    with nogil:
        for k in range(positions.shape[0]):
            gap = <int64_t>positions[k] - before - 1
            while gap >= reach and at < gaps.shape[0] - 1:
                gaps[at] = <uint8_t>(reach - 1)
                filler[at] = 1
                at += 1
                gap -= reach
            if at >= gaps.shape[0]:
                break
            gaps[at] = <uint8_t>gap
            at += 1
            before = <int64_t>positions[k]


def gaps_decode(const uint8_t[::1] gaps, int64_t size, int most, position_t[::1] positions):
    """Writes the position of every entry; the index of the first entry that is wrong, or -1."""
    cdef Py_ssize_t k
    cdef int64_t now = -1
    with nogil:
        for k in range(gaps.shape[0]):
            now += <int64_t>gaps[k] + 1
            if gaps[k] > most or now >= size:
                break
            positions[k] = <position_t>now
        else:
            k = -1
    return k


def deltas_count(const int32_t[::1] indices, const pointer_t[::1] indptr):
    """Bytes that the columns of CSR rows take; rows ascend and indices lie inside, as csr_ordered and others found."""
    cdef Py_ssize_t i
    cdef int64_t p, count = indices.shape[0], before
    with nogil:
        for i in range(indptr.shape[0] - 1):
            before = -1
            for p in range(indptr[i], indptr[i + 1]):
                count += (indices[p] - before - 1) // ESCAPE
                before = indices[p]
    return count


def deltas_fill(const int32_t[::1] indices, const pointer_t[::1] indptr, uint8_t[::1] deltas):
    """Writes the deltas_count() bytes."""
    cdef Py_ssize_t i, at = 0, room = deltas.shape[0]
    cdef int64_t p, before, step
    with nogil:
        for i in range(indptr.shape[0] - 1):
            before = -1
            for p in range(indptr[i], indptr[i + 1]):
                step = indices[p] - before - 1
                before = indices[p]
                while step >= ESCAPE and at < room:
                    deltas[at] = ESCAPE
                    at += 1
                    step -= ESCAPE
                if at >= room:
                    break
                deltas[at] = <uint8_t>step
                at += 1


def deltas_decode(const uint8_t[::1] deltas, const pointer_t[::1] indptr, int64_t columns, int32_t[::1] indices):
    """Writes the column of every entry; the first entry that is wrong, their number when bytes are left, or -1.

    indptr ascends from 0 to the length of indices, as csr_pointers found.
    """
    cdef Py_ssize_t i, at = 0, size = deltas.shape[0]
    cdef int64_t p, now, wrong = -1
    with nogil:
        for i in range(indptr.shape[0] - 1):
            now = -1
            for p in range(indptr[i], indptr[i + 1]):
                while at < size and deltas[at] == ESCAPE:
                    now += ESCAPE
                    at += 1
                if at < size:
                    now += deltas[at] + 1
                    at += 1
                else:
                    now = columns
                if now >= columns:
                    wrong = p
                    break
                indices[p] = <int32_t>now
            if wrong >= 0:
                break
    return wrong if wrong >= 0 or at == size else indices.shape[0]


# ---- CSR ------------------------------------------------------------------------------------------------------------

def csr_count(const value_t[:, ::1] w, int64_t[::1] indptr):
    """Running count of the values that are not zero; indptr has one entry more than w has rows."""
    cdef Py_ssize_t i, j
    cdef int64_t count = 0
    with nogil:
        indptr[0] = 0
        for i in range(w.shape[0]):
            for j in range(w.shape[1]):
                count += w[i, j] != 0
            indptr[i + 1] = count


def csr_fill(const value_t[:, ::1] w, value_t[::1] data, int32_t[::1] indices):
    """Writes the values that csr_count counted; no more than there is room for, should w have changed since."""
    cdef Py_ssize_t i, j, at = 0, room = min(data.shape[0], indices.shape[0]), columns = w.shape[1]
    cdef value_t value
    with nogil:
        for i in range(w.shape[0]):
            if at + columns <= room:  # no branch on the value: at a tenth taken, one in ten would be predicted wrong
                for j in range(columns):
                    value = w[i, j]
                    data[at] = value
                    indices[at] = <int32_t>j
                    at += value != 0
                continue
            for j in range(columns):
                if w[i, j] != 0 and at < room:
                    data[at] = w[i, j]
                    indices[at] = <int32_t>j
                    at += 1


def csr_pointers(const pointer_t[::1] indptr, int64_t nnz):
    """Where indptr does not ascend from 0 to nnz, or -1."""
    cdef Py_ssize_t i, rows = indptr.shape[0] - 1, where = -1
    if indptr[0] != 0:
        return 0
    if indptr[rows] != nnz:
        return rows
    with nogil:
        for i in range(rows):
            if indptr[i + 1] < indptr[i]:
                where = i + 1
                break
    return where


def csr_outside(const int32_t[::1] indices, int64_t columns):
    """The first place whose index is not in 0..columns-1, or -1."""
    cdef Py_ssize_t p, nnz = indices.shape[0]
    cdef uint32_t limit = <uint32_t>columns, bad = 0
    with nogil:
        for p in range(nnz):  # no way out inside: the compiler makes vectors of it
            bad |= <uint32_t>indices[p] >= limit
        p = -1
        if bad:
            p = 0
            while <uint32_t>indices[p] < limit and p < nnz - 1:
                p += 1
    return p


def csr_ordered(const int32_t[::1] indices, const pointer_t[::1] indptr):
    """Whether every row ascends strictly."""
    cdef Py_ssize_t i
    cdef int64_t p
    cdef bint ordered = True
    with nogil:
        for i in range(indptr.shape[0] - 1):
            for p in range(indptr[i] + 1, indptr[i + 1]):
                if indices[p] <= indices[p - 1]:
                    ordered = False
                    break
            if not ordered:
                break
    return ordered


def csr_sum_duplicates(value_t[::1] data, int32_t[::1] indices, int64_t[::1] indptr):
    """In place, for rows already sorted: adds up equal indices, in order; the entries that remain."""
    cdef Py_ssize_t i, rows = indptr.shape[0] - 1
    cdef int64_t p, at = 0, row_start
    cdef int64_t begin = 0, end
    with nogil:
        for i in range(rows):
            end = indptr[i + 1]
            row_start = at
            for p in range(begin, end):
                if at > row_start and indices[at - 1] == indices[p]:
                    data[at - 1] = data[at - 1] + data[p]
                else:
                    indices[at] = indices[p]
                    data[at] = data[p]
                    at += 1
            indptr[i + 1] = at
            begin = end
    return at


def csr_matmul(
    const value_t[::1] data,
    const int32_t[::1] indices,
    const pointer_t[::1] indptr,
    const value_t[:, ::1] x,
    value_t[:, ::1] y,
):
    """y[b, i] = sum over row i of data[p] * x[b, indices[p]], added up in order in float64 or modulo 2**64."""
    cdef Py_ssize_t b = 0, batch = x.shape[0]
    with nogil:
        while b + 4 <= batch:  # four sums at a time: one alone waits for its own additions
            _csr_rows4(data, indices, indptr, x, y, b)
            b += 4
        while b < batch:
            _csr_row(data, indices, indptr, x, y, b)
            b += 1


cdef inline void _csr_row(
    const value_t[::1] data,
    const int32_t[::1] indices,
    const pointer_t[::1] indptr,
    const value_t[:, ::1] x,
    value_t[:, ::1] y,
    Py_ssize_t b,
) noexcept nogil:
    cdef Py_ssize_t i
    cdef int64_t p
    cdef double total
    cdef uint64_t whole
    for i in range(indptr.shape[0] - 1):
        if value_t is int32_t:
            whole = 0
            for p in range(indptr[i], indptr[i + 1]):
                whole = whole + <uint64_t>(<int64_t>data[p] * <int64_t>x[b, indices[p]])
            y[b, i] = <int32_t>whole
        else:
            total = 0.0
            for p in range(indptr[i], indptr[i + 1]):
                total = total + <double>data[p] * <double>x[b, indices[p]]
            y[b, i] = <value_t>total


cdef inline void _csr_rows4(
    const value_t[::1] data,
    const int32_t[::1] indices,
    const pointer_t[::1] indptr,
    const value_t[:, ::1] x,
    value_t[:, ::1] y,
    Py_ssize_t b,
) noexcept nogil:
    cdef Py_ssize_t i, j
    cdef int64_t p
    cdef double t0, t1, t2, t3, w
    if value_t is int32_t:
        for i in range(4):
            _csr_row(data, indices, indptr, x, y, b + i)
    else:
        for i in range(indptr.shape[0] - 1):
            t0 = t1 = t2 = t3 = 0.0
            for p in range(indptr[i], indptr[i + 1]):
                w = <double>data[p]
                j = indices[p]
                t0 = t0 + w * <double>x[b, j]
                t1 = t1 + w * <double>x[b + 1, j]
                t2 = t2 + w * <double>x[b + 2, j]
                t3 = t3 + w * <double>x[b + 3, j]
            y[b, i] = <value_t>t0
            y[b + 1, i] = <value_t>t1
            y[b + 2, i] = <value_t>t2
            y[b + 3, i] = <value_t>t3
