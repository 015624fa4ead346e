"""Single Huffman streams by compiled loops; same functions as _huffman_numpy."""

from __future__ import annotations

import numpy as np

from accel.kernels._huffman_numpy import lookup_table, lsb_first
from accel.kernels.jit import njit
from accel.reference.huffman import MAX_BITS

_MASK = (1 << MAX_BITS) - 1
_OK, _CUT_OFF, _LEFT_OVER = range(3)


@njit
def _pack(symbols: np.ndarray, lengths: np.ndarray, codes: np.ndarray, out: np.ndarray) -> int:
    bits, count, at = np.uint64(0), 0, 0
    for symbol in symbols:
        bits |= np.uint64(codes[symbol]) << np.uint64(count)
        count += lengths[symbol]
        while count >= 8:
            out[at] = bits & np.uint64(255)
            bits >>= np.uint64(8)
            count -= 8
            at += 1
    if count:
        out[at] = bits
        at += 1
    return at


@njit
def _unpack(data: np.ndarray, table: np.ndarray, out: np.ndarray) -> int:
    bits, count, at = np.uint64(0), 0, 0
    for k in range(out.size):
        while count < MAX_BITS and at < data.size:
            bits |= np.uint64(data[at]) << np.uint64(count)
            count += 8
            at += 1
        entry = table[np.int64(bits & np.uint64(_MASK))]
        length = entry & 255
        if length > count:
            return _CUT_OFF
        out[k] = entry >> 8
        bits >>= np.uint64(length)
        count -= length
    return _OK if at == data.size and count < 8 and bits == 0 else _LEFT_OVER


def pack_stream(symbols: bytes, lengths: np.ndarray, codes: np.ndarray) -> bytes:
    out = np.empty(len(symbols) * MAX_BITS // 8 + 1, np.uint8)
    size = _pack(np.frombuffer(symbols, np.uint8), lengths, lsb_first(lengths, codes), out)
    return out[:size].tobytes()


def unpack_stream(data: bytes, n: int, lengths: np.ndarray, codes: np.ndarray) -> bytes:
    out = np.empty(n, np.uint8)
    status = _unpack(np.frombuffer(data, np.uint8), lookup_table(lengths, codes), out)
    if status == _CUT_OFF:
        raise ValueError("a stream ends inside a symbol")
    if status == _LEFT_OVER:
        raise ValueError("a stream has bytes or bits left over")
    return out.tobytes()
