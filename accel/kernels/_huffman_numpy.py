"""Single Huffman streams by whole-array NumPy operations; same functions as huffman_numba."""

from __future__ import annotations

import numpy as np

from accel.reference.huffman import MAX_BITS


def lsb_first(lengths: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """The codes with their first bit lowest, uint16."""
    flipped = np.zeros(256, np.uint16)
    for k in range(MAX_BITS):
        flipped |= np.where(k < lengths, (codes >> k & 1) << np.maximum(lengths.astype(np.int16) - 1 - k, 0), 0).astype(
            np.uint16
        )
    return flipped


def lookup_table(lengths: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Entry w = symbol << 8 | length of the code in the low bits of w, uint16 of 2048."""
    table = np.zeros(1 << MAX_BITS, np.uint16)
    flipped = lsb_first(lengths, codes)
    for symbol in np.flatnonzero(lengths):
        table[flipped[symbol] :: 1 << int(lengths[symbol])] = symbol << 8 | int(lengths[symbol])
    return table


def pack_stream(symbols: bytes, lengths: np.ndarray, codes: np.ndarray) -> bytes:
    data = np.frombuffer(symbols, np.uint8)
    length = lengths[data].astype(np.int64)
    ends = np.cumsum(length)
    place = np.arange(int(ends[-1]) if data.size else 0) - np.repeat(ends - length, length)
    bits = np.repeat(lsb_first(lengths, codes)[data], length) >> place.astype(np.uint16) & 1
    return np.packbits(bits.astype(np.uint8), bitorder="little").tobytes()


def unpack_stream(data: bytes, n: int, lengths: np.ndarray, codes: np.ndarray) -> bytes:
    """Looks up the code at every bit, then follows the chain of code starts by doubling: positions 0..2^k-1, and where
    2^k codes further is from any bit, give positions 0..2^(k+1)-1."""
    bits = np.unpackbits(np.frombuffer(data, np.uint8), bitorder="little")
    padded = np.concatenate([bits, np.zeros(MAX_BITS, np.uint8)])
    window = np.zeros(bits.size + 1, np.uint16)
    for k in range(MAX_BITS):
        window |= padded[k : k + bits.size + 1].astype(np.uint16) << k
    entry = lookup_table(lengths, codes)[window]
    cut_off = bits.size + 1  # one place behind the end: where a code leads that the stream cuts off
    jump = np.append(np.minimum(np.arange(bits.size + 1) + (entry & 255), cut_off), cut_off)
    jump[bits.size] = cut_off
    starts = np.zeros(1, np.int64)
    while starts.size <= n:
        starts = np.concatenate([starts, jump[starts]])
        jump = jump[jump]
    end = int(starts[n])
    if end == cut_off:
        raise ValueError("a stream ends inside a symbol")
    if len(data) != -(-end // 8) or bits[end:].any():
        raise ValueError("a stream has bytes or bits left over")
    return (entry[starts[:n]] >> 8).astype(np.uint8).tobytes()
