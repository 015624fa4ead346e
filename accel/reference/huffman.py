"""The Huffman stream by its definition, symbol by symbol and bit by bit: the oracle of accel.kernels.huffman.

Format in docs/formats/huffman.md. Everything wrong with a stream is a ValueError here.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

# (symbols, lengths, codes) -> bytes of the stream; (bytes, symbols in it, lengths, codes) -> symbols; zlib.crc32.
PackStream = Callable[[bytes, np.ndarray, np.ndarray], bytes]
UnpackStream = Callable[[bytes, int, np.ndarray, np.ndarray], bytes]
Crc = Callable[[bytes, int], int]

MAGIC, VERSION, FORMAT_H4 = 0xAC, 1, 0
BLOCK = 8 * 32_704  # symbols; 8 outputs a power of two apart would fall into one cache set
MAX_BITS = 11
STREAMS = 8
STREAMS_FROM = 16_384  # symbols from which eight streams are worth their 14 bytes of sizes
RAW, RUN, ONE_STREAM, EIGHT_STREAMS = range(4)  # kinds of block
ZEROS, MORE_ZEROS, REPEAT = 12, 13, 14  # nibbles of the code-length table that are not lengths


def code_lengths(counts: np.ndarray, limit: int = MAX_BITS) -> np.ndarray:
    """Optimal code lengths of at most `limit` bits for symbols that occur `counts` times; 0 where a count is 0.

    Package-merge: `limit` rounds, each merges the symbols with the pairs of the round before; of the last round's
    list the 2n-2 cheapest are taken, and a symbol's length is how often it was taken. Ties: by symbol, symbols before
    pairs. A single symbol gets length 0.

    References
    ----------
    .. [1] Larmore & Hirschberg, "A fast algorithm for optimal length-limited Huffman codes", J. ACM 37, 1990.
    """
    symbols = sorted((int(c), s) for s, c in enumerate(counts) if c > 0)
    lengths = np.zeros(len(counts), np.uint8)
    if len(symbols) < 2:
        return lengths
    if len(symbols) > 1 << limit:
        raise ValueError(f"limit: {len(symbols)} symbols do not fit in codes of {limit} bits")
    leaves: list[tuple[int, tuple[int, ...]]] = [(count, (symbol,)) for count, symbol in symbols]
    merged = leaves
    for _ in range(limit - 1):
        pairs = [(a[0] + b[0], a[1] + b[1]) for a, b in zip(merged[::2], merged[1::2], strict=False)]
        merged = sorted(leaves + pairs, key=lambda item: item[0])  # stable: symbols stay before pairs
    for _, members in merged[: 2 * len(symbols) - 2]:
        for symbol in members:
            lengths[symbol] += 1
    return lengths


def canonical_codes(lengths: np.ndarray) -> np.ndarray:
    """Codes as integers, first bit highest: shorter codes first, equal lengths in symbol order."""
    codes = np.zeros(len(lengths), np.uint16)
    code, previous = 0, 0
    for length, symbol in sorted((int(n), s) for s, n in enumerate(lengths) if n):
        code <<= length - previous
        codes[symbol] = code
        code, previous = code + 1, length
    return codes


def pack_lengths(lengths: np.ndarray) -> bytes:
    """The code-length table: one nibble per symbol, runs shortened, ends after the last symbol that has a code."""
    nibbles: list[int] = []
    end = int(np.flatnonzero(lengths)[-1]) + 1
    at = 0
    while at < end:
        length = int(lengths[at])
        run = 1
        while at + run < end and lengths[at + run] == length:
            run += 1
        if length == 0 and run >= 19:
            run = min(run, 274)
            nibbles += [MORE_ZEROS, (run - 19) & 15, (run - 19) >> 4]
        elif length == 0 and run >= 3:
            nibbles += [ZEROS, run - 3]
        elif length and run >= 4:
            run = min(run, 19)
            nibbles += [length, REPEAT, run - 4]
        else:
            run = 1
            nibbles += [length]
        at += run
    nibbles += [0] * (len(nibbles) % 2)
    return bytes(low | high << 4 for low, high in zip(nibbles[::2], nibbles[1::2], strict=True))


def unpack_lengths(data: bytes) -> tuple[np.ndarray, int]:
    """Code lengths from the front of `data`, and how many bytes they took. The table ends when the code is complete."""
    nibbles = [value for byte in data[:129] for value in (byte & 15, byte >> 4)]
    lengths: list[int] = []
    at = 0

    def take() -> int:
        nonlocal at
        if at >= len(nibbles):
            raise ValueError("the code-length table is cut off")
        at += 1
        return nibbles[at - 1]

    kraft = 0
    while kraft < 1 << MAX_BITS:
        value = take()
        if value <= MAX_BITS:
            length, run = value, 1
        elif value == ZEROS:
            length, run = 0, take() + 3
        elif value == MORE_ZEROS:
            length, run = 0, take() + 16 * take() + 19
        elif value == REPEAT and lengths and lengths[-1]:
            length, run = lengths[-1], take() + 3
        else:
            raise ValueError("the code-length table holds a reserved value")
        lengths += [length] * run
        kraft += run << (MAX_BITS - length) if length else 0
        if kraft > 1 << MAX_BITS or len(lengths) > 256:
            raise ValueError("the code lengths are not a complete code")
    if at % 2 and take():
        raise ValueError("the code-length table has padding that is not zero")
    return np.array(lengths + [0] * (256 - len(lengths)), np.uint8), at // 2


def crc32(data: bytes, crc: int = 0) -> int:
    """CRC-32 of zlib and PNG: division by the polynomial 0xEDB88320, lowest bit first, all ones before and after."""
    crc ^= 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0xEDB88320 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def pack_varint(value: int) -> bytes:
    """Seven bits a byte, lowest first; the top bit says that more follow."""
    out = bytearray()
    while value >= 128:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def unpack_varint(data: bytes | memoryview, at: int) -> tuple[int, int]:
    value = 0
    for k in range(9):
        if at + k >= len(data):
            break
        value |= (data[at + k] & 127) << 7 * k
        if data[at + k] < 128:
            if k and data[at + k] == 0:
                raise ValueError("a number is longer than needed")
            return value, at + k + 1
    raise ValueError("a number is cut off or too long")


def stream_bounds(n: int, streams: int) -> list[tuple[int, int]]:
    """The symbols of a block that each stream holds."""
    q = -(-n // streams)
    return [(min(s * q, n), min(s * q + q, n)) for s in range(streams)]


def pack_stream(symbols: bytes, lengths: np.ndarray, codes: np.ndarray) -> bytes:
    bits = "".join(format(codes[s], f"0{lengths[s]}b") for s in symbols)
    bits += "0" * (-len(bits) % 8)
    return bytes(int(bits[k : k + 8][::-1], 2) for k in range(0, len(bits), 8))


def unpack_stream(data: bytes, n: int, lengths: np.ndarray, codes: np.ndarray) -> bytes:
    symbol_of = {(int(lengths[s]), int(codes[s])): s for s in range(256) if lengths[s]}
    bits = [byte >> k & 1 for byte in data for k in range(8)]
    out = bytearray()
    at = 0
    for _ in range(n):
        code, length = 0, 0
        while (length, code) not in symbol_of:
            if at >= len(bits):
                raise ValueError("a stream ends inside a symbol")
            code, length, at = code << 1 | bits[at], length + 1, at + 1
        out.append(symbol_of[length, code])
    if len(data) != -(-at // 8) or any(bits[at:]):
        raise ValueError("a stream has bytes or bits left over")
    return bytes(out)


def encode_block(symbols: bytes, pack: PackStream = pack_stream, crc: Crc = crc32) -> bytes:
    counts = np.bincount(np.frombuffer(symbols, np.uint8), minlength=256)
    lengths = code_lengths(counts)
    if not lengths.any():
        head, payload = bytes([RUN, symbols[0]]), b""
    else:
        kind = EIGHT_STREAMS if len(symbols) >= STREAMS_FROM else ONE_STREAM
        bounds = stream_bounds(len(symbols), STREAMS if kind == EIGHT_STREAMS else 1)
        table = pack_lengths(lengths)
        bits = int(counts @ lengths)
        overhead = 5 + len(table) + (2 * (STREAMS - 1) + STREAMS if kind == EIGHT_STREAMS else 0)
        if overhead + -(-bits // 8) >= 5 + len(symbols):
            head, payload = bytes([RAW]), symbols
        else:
            codes = canonical_codes(lengths)
            streams = [pack(symbols[a:b], lengths, codes) for a, b in bounds]
            sizes = b"".join(len(s).to_bytes(2, "little") for s in streams[:-1])
            head, payload = bytes([kind]) + table + sizes, b"".join(streams)
    return head + crc(symbols, crc(head, 0)).to_bytes(4, "little") + payload


def _decode_plain(block: bytes, n: int) -> tuple[bytes, bytes]:
    """(head, symbols) of a raw or run block."""
    if block[0] == RAW:
        if len(block) != 5 + n:
            raise ValueError("a raw block has another size than its symbols")
        return block[:1], block[5:]
    if len(block) != 6:
        raise ValueError("a run block has another size than 6 bytes")
    return block[:2], block[1:2] * n


def _decode_coded(block: bytes, n: int, unpack: UnpackStream) -> tuple[bytes, bytes]:
    """(head, symbols) of a block of one or eight streams."""
    streams = STREAMS if block[0] == EIGHT_STREAMS else 1
    lengths, taken = unpack_lengths(block[1:])
    at = 1 + taken + 2 * (streams - 1)
    if len(block) < at + 4:
        raise ValueError("a block is cut off")
    sizes = [int.from_bytes(block[k : k + 2], "little") for k in range(1 + taken, at, 2)]
    payload = block[at + 4 :]
    if sum(sizes) > len(payload):
        raise ValueError("a stream is longer than its block")
    sizes.append(len(payload) - sum(sizes))
    codes = canonical_codes(lengths)
    parts, start = [], 0
    for size, (a, b) in zip(sizes, stream_bounds(n, streams), strict=True):
        parts.append(unpack(payload[start : start + size], b - a, lengths, codes))
        start += size
    return block[:at], b"".join(parts)


def decode_block(block: bytes, n: int, unpack: UnpackStream = unpack_stream, crc: Crc = crc32) -> bytes:
    if len(block) < 5:
        raise ValueError("a block is cut off")
    if block[0] > EIGHT_STREAMS:
        raise ValueError("a block is of an unknown kind")
    head, symbols = _decode_coded(block, n, unpack) if block[0] >= ONE_STREAM else _decode_plain(block, n)
    if block[len(head) : len(head) + 4] != crc(symbols, crc(head, 0)).to_bytes(4, "little"):
        raise ValueError("a block's checksum does not match")
    return symbols


def encode(symbols: np.ndarray) -> bytes:
    """The stream of a uint8 array."""
    data = symbols.tobytes()
    blocks = [encode_block(data[k : k + BLOCK]) for k in range(0, len(data), BLOCK)]
    header = bytes([MAGIC, VERSION, FORMAT_H4]) + pack_varint(len(data))
    header += b"".join(pack_varint(len(block)) for block in blocks)
    return header + crc32(header).to_bytes(4, "little") + b"".join(blocks)


def decode(blob: bytes) -> np.ndarray:
    """The uint8 array of a stream; ValueError when anything in it is not as `encode` may write it."""
    if len(blob) < 3 or tuple(blob[:3]) != (MAGIC, VERSION, FORMAT_H4):
        raise ValueError("not a Huffman stream of this version")
    n, at = unpack_varint(blob, 3)
    sizes = []
    for _ in range(-(-n // BLOCK)):
        size, at = unpack_varint(blob, at)
        sizes.append(size)
    if blob[at : at + 4] != crc32(blob[:at]).to_bytes(4, "little"):
        raise ValueError("the header's checksum does not match")
    at += 4
    if len(blob) != at + sum(sizes):
        raise ValueError("the stream is longer or shorter than its header says")
    parts = []
    for k, size in enumerate(sizes):
        parts.append(decode_block(blob[at : at + size], min(BLOCK, n - k * BLOCK)))
        at += size
    return np.frombuffer(b"".join(parts), np.uint8)
