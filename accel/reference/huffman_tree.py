"""Format HT of the Huffman stream by its definition: symbols sorted into the nodes of their code's tree.

Format in docs/formats/huffman.md. Everything wrong with a block is a ValueError here; frames, code-length tables, raw
and run blocks are those of accel.reference.huffman.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from accel.reference import huffman
from accel.reference.huffman import MAX_BITS, Crc, crc32

FORMAT_HT, TREES = 1, 4
BLOCK = 1 << 20  # symbols under one code
PART = 1 << 15  # symbols that are merged together
SAMPLED_FROM = 65_536
PER_BIT, PER_BIT_LONG = 50, 200  # merges that are worth one bit where runs are cut; if that gives too long a code
PER_BIT_CHOSEN = 20  # where codes are weighed against each other
WEIGHED_SYMBOLS = 64  # up to here the shortest code, and those of one run, are


# ---- the writer's choice of lengths; same integers as csrc/kernels/huffman/tree_lengths.cpp -------------------------


def count_symbols(symbols: np.ndarray) -> np.ndarray:
    """256 counts: of a quarter of the symbols, four times, and exact ones of the symbols that it does not hold."""
    exact = np.bincount(symbols, minlength=256)
    if symbols.size < SAMPLED_FROM:
        return exact
    starts = np.arange(0, symbols.size - 511, 2048)
    sampled = 4 * np.bincount(symbols[(starts[:, None] + np.arange(512)).reshape(-1)], minlength=256)
    return np.where(sampled > 0, sampled, exact)


def _log2(x: int) -> int:
    """In units of 2**-16, within 0.01."""
    whole = x.bit_length() - 1
    part = ((x << 16) >> whole) & 0xFFFF
    return (whole << 16) + part + (((part * (65536 - part)) >> 16) * 22708 >> 16)


def _cut_runs(counts: list[int], per_bit: int) -> list[tuple[int, int, int]]:
    """(weight, first, k): ascending counts cut into runs of 2**k, cheapest by bits and merges; ascending."""
    total = sum(counts)
    sums = [0, *np.cumsum(counts).tolist()]
    best, pick = [0], [0]
    for i in range(1, len(counts) + 1):
        options = []
        for k in range(i.bit_length()):
            weight = sums[i] - sums[i - (1 << k)]
            depth = _log2(total) - _log2(weight)
            cost = best[i - (1 << k)] + per_bit * weight * ((k << 16) + depth)
            options.append((cost + weight * (depth + (int(k > 0) << 16)) + (total << 16) // 10, k))
        cost, k = min(options)
        best.append(cost)
        pick.append(k)
    runs, i = [], len(counts)
    while i:
        first = i - (1 << pick[i])
        runs.append((sums[i] - sums[first], first, pick[i]))
        i = first
    return sorted(runs)


def _package_merge(runs: list[tuple[int, int, int]]) -> list[int]:
    """Depths of the runs, of a run of 2**k at most MAX_BITS - k, so that weight times depth is least."""
    merged: list[tuple[int, tuple[int, ...]]] = []
    for level in range(MAX_BITS, 0, -1):
        items = [(weight, (r,)) for r, (weight, _, k) in enumerate(runs) if MAX_BITS - k >= level]
        pairs = [(a[0] + b[0], a[1] + b[1]) for a, b in zip(merged[::2], merged[1::2], strict=False)]
        merged = sorted(items + pairs, key=lambda item: item[0])  # stable: runs stay before pairs
    depths = [0] * len(runs)
    for _, members in merged[: 2 * len(runs) - 2]:
        for r in members:
            depths[r] += 1
    return depths


def _runs_of(lengths: np.ndarray) -> list[tuple[int, int, np.ndarray]]:
    """(depth, k, 2**k symbols): symbols of equal length in ascending order, the largest runs first, by depth."""
    runs = []
    for length in range(1, MAX_BITS + 1):
        symbols = np.flatnonzero(lengths == length)
        while symbols.size:
            k = int(symbols.size).bit_length() - 1
            runs.append((length - k, k, symbols[: 1 << k]))
            symbols = symbols[1 << k :]
    return sorted(runs, key=lambda run: run[0])


def _true_cost(counts: np.ndarray, lengths: np.ndarray) -> int:
    runs = _runs_of(lengths)
    cost = sum(int(counts[s].sum()) * (PER_BIT_CHOSEN * (d + k) + d + (k > 0)) for d, k, s in runs)
    return cost + (2 * len(runs) - 1) * int(counts.sum()) // 20


def code_lengths(counts: np.ndarray) -> np.ndarray:
    """Lengths for symbols that occur `counts` times, two at least: shortest but for what fewer merges are worth."""
    order = sorted((int(c), s) for s, c in enumerate(counts) if c)
    ascending = [c for c, _ in order]

    def assigned(runs: list[tuple[int, int, int]]) -> np.ndarray:
        lengths = np.zeros(256, np.uint8)
        for (_, first, k), depth in zip(runs, _package_merge(runs), strict=True):
            for _, symbol in order[first : first + (1 << k)]:
                lengths[symbol] = depth + k
        return lengths

    def tail_run(k: int) -> np.ndarray:
        singles = [(c, i, 0) for i, c in enumerate(ascending)][1 << k :]
        return assigned(sorted([(sum(ascending[: 1 << k]), 0, k), *singles]))

    most = 1007 * int(counts @ tail_run(0))
    for per_bit in (PER_BIT, PER_BIT_LONG):
        lengths = assigned(_cut_runs(ascending, per_bit))
        if 1000 * int(counts @ lengths) <= most:
            break
    if len(order) > WEIGHED_SYMBOLS:
        return lengths
    for k in range(len(order).bit_length()):
        other = tail_run(k)
        if _true_cost(counts, other) <= _true_cost(counts, lengths) and 1000 * int(counts @ other) <= most:
            lengths = other
    return lengths


# ---- the tree -------------------------------------------------------------------------------------------------------


@dataclass
class Node:
    """A run of 2**bits symbols, or two children and the node's place in the part's head."""

    symbols: np.ndarray  # all that are below
    bits: int = 0
    number: int = 0
    children: list[Node] = field(default_factory=list)


def build_tree(lengths: np.ndarray) -> tuple[Node, int]:
    """The root, and how many inner nodes there are. The code is complete, of two symbols at least."""
    runs = _runs_of(lengths)[::-1]  # the next last
    inner = 0

    def node(depth: int) -> Node:
        nonlocal inner
        if runs[-1][0] == depth:
            _, bits, symbols = runs.pop()
            return Node(symbols, bits)
        number, inner = inner, inner + 1
        children = [node(depth + 1), node(depth + 1)]
        return Node(np.concatenate([c.symbols for c in children]), 1, number, children)

    root = node(0)
    return root, inner


# ---- parts ----------------------------------------------------------------------------------------------------------


def _fields(values: np.ndarray, bits: int) -> bytes:
    """Each value in `bits` bits, lowest first, padded to a byte."""
    return np.packbits(values[:, None] >> np.arange(bits, dtype=np.uint8) & 1, bitorder="little").tobytes()


def encode_part(symbols: np.ndarray, root: Node, inner: int) -> bytes:
    counts = np.zeros(inner, "<u2")
    payload = []

    def node(x: Node, reach: np.ndarray) -> None:
        if not reach.size or x.symbols.size == 1:
            return
        place = np.zeros(256, np.uint8)
        if not x.children:
            place[x.symbols] = np.arange(x.symbols.size)
            payload.append(_fields(place[reach], x.bits))
            return
        place[x.children[1].symbols] = 1
        right = place[reach].astype(bool)
        counts[x.number] = np.count_nonzero(right)
        payload.append(_fields(right.view(np.uint8), 1))
        node(x.children[0], reach[~right])
        node(x.children[1], reach[right])

    node(root, symbols)
    return counts.tobytes() + b"".join(payload)


def decode_part(part: bytes, n: int, root: Node, inner: int) -> np.ndarray:
    if len(part) < 2 * inner:
        raise ValueError("a block is cut off")
    counts = np.frombuffer(part, "<u2", inner)
    at = 2 * inner

    def values(n: int, bits: int) -> np.ndarray:
        nonlocal at
        size = -(-n * bits // 8)
        if len(part) - at < size:
            raise ValueError("a stream ends inside a symbol")
        flat = np.unpackbits(np.frombuffer(part, np.uint8, size, at), bitorder="little")
        if flat[n * bits :].any():
            raise ValueError("a stream has bytes or bits left over")
        at += size
        fields: np.ndarray = flat[: n * bits].reshape(n, bits) << np.arange(bits, dtype=np.uint8)
        return np.asarray(fields.sum(axis=1, dtype=np.uint8))

    def node(x: Node, n: int) -> np.ndarray:
        if x.symbols.size == 1:
            return np.full(n, x.symbols[0], np.uint8)
        if not x.children:
            return np.asarray(x.symbols[values(n, x.bits)], np.uint8)
        ones = int(counts[x.number])
        right = values(n, 1).astype(bool)
        if np.count_nonzero(right) != ones:
            raise ValueError("a node's bitmap does not have as many set bits as its count")
        out = np.empty(n, np.uint8)
        out[~right] = node(x.children[0], n - ones)
        out[right] = node(x.children[1], ones)
        return out

    out = node(root, n)
    if at != len(part):
        raise ValueError("a stream has bytes or bits left over")
    return out


# ---- blocks ---------------------------------------------------------------------------------------------------------


def encode_block(symbols: np.ndarray, crc: Crc = crc32, *, choosy: bool = False) -> bytes:
    """`choosy`: stored raw where a code would save about less than a byte in 64."""
    if choosy and _near_uniform(symbols):
        return _raw(symbols, crc)
    counts = count_symbols(symbols)
    if np.count_nonzero(counts) == 1:
        head = bytes([huffman.RUN, symbols[0]])
        return head + crc(symbols.tobytes(), crc(head, 0)).to_bytes(4, "little")
    lengths = code_lengths(counts)
    root, inner = build_tree(lengths)
    parts = [encode_part(symbols[k : k + PART], root, inner) for k in range(0, symbols.size, PART)]
    parts = [crc(part, 0).to_bytes(4, "little") + part for part in parts]
    head = bytes([TREES]) + huffman.pack_lengths(lengths) + b"".join(len(p).to_bytes(2, "little") for p in parts)
    block = head + crc(head, 0).to_bytes(4, "little") + b"".join(parts)
    return block if len(block) < symbols.size + 5 else _raw(symbols, crc)


def _near_uniform(symbols: np.ndarray) -> bool:
    """Whether two symbols drawn at random are equal less than 7/6 as often as if all 256 were as likely: by a sample of
    512 in 4096."""
    sample = np.concatenate([symbols[at : at + 512] for at in range(0, symbols.size, 4096)])
    counts = np.bincount(sample, minlength=256)
    return bool(6 * 256 * int((counts * (counts - 1)).sum()) < 7 * sample.size * (sample.size - 1))


def _raw(symbols: np.ndarray, crc: Crc) -> bytes:
    head = bytes([huffman.RAW])
    return head + crc(symbols.tobytes(), crc(head, 0)).to_bytes(4, "little") + symbols.tobytes()


def decode_block(block: bytes, n: int, crc: Crc = crc32) -> bytes:
    if len(block) < 5:
        raise ValueError("a block is cut off")
    if block[0] <= huffman.RUN:
        return huffman.decode_block(block, n, crc=crc)
    if block[0] != TREES:
        raise ValueError("a block is of an unknown kind")
    lengths, taken = huffman.unpack_lengths(block[1:])
    head = 1 + taken + 2 * -(-n // PART)
    if len(block) < head + 4:
        raise ValueError("a block is cut off")
    if block[head : head + 4] != crc(block[:head], 0).to_bytes(4, "little"):
        raise ValueError("a block's checksum does not match")
    root, inner = build_tree(lengths)
    out, at = [], head + 4
    for k, size in enumerate(np.frombuffer(block[1 + taken : head], "<u2").tolist()):
        if size < 4:
            raise ValueError("a block is cut off")
        if size > len(block) - at:
            raise ValueError("a stream is longer than its block")
        part = block[at + 4 : at + size]
        if block[at : at + 4] != crc(part, 0).to_bytes(4, "little"):
            raise ValueError("a block's checksum does not match")
        out.append(decode_part(part, min(PART, n - k * PART), root, inner))
        at += size
    if at != len(block):
        raise ValueError("a stream has bytes or bits left over")
    return b"".join(part.tobytes() for part in out)
