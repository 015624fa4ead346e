"""Frames of streams of blocks, Huffman's and the floats': behind the start the number of elements, the size of each
block, a CRC-32, then the blocks."""

from __future__ import annotations

import itertools
import zlib
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from accel.errors import FormatError
from accel.reference import huffman as reference
from accel.reference.huffman import RAW, RUN


@dataclass(frozen=True)
class Blocks:
    """`n` elements in `payload`; block k ends at `ends[k]`."""

    n: int
    payload: np.ndarray
    ends: list[int]

    def each(self) -> list[np.ndarray]:
        return [self.payload[start:end] for start, end in itertools.pairwise([0, *self.ends])]


class Corrupt(Protocol):
    def __call__(self, why: str, block: int | None = None) -> FormatError: ...


def read_blocks(data: np.ndarray, block: int, most: int, what: str, corrupt: Corrupt) -> Blocks:
    """The frame behind its three first bytes. `block` elements a block, at most `most` (names: `what`) in all."""
    view = data.data
    sizes: list[int] = []
    try:
        n, at = reference.unpack_varint(view, 3)
        if n > most:
            raise corrupt(f"it holds {n} {what}, more than max_{what}={most}")
        while len(sizes) * block < n:
            size, at = reference.unpack_varint(view, at)
            sizes.append(size)
    except FormatError:
        raise
    except ValueError as why:
        raise corrupt(f"the header is corrupt: {why}") from None
    if bytes(view[at : at + 4]) != zlib.crc32(view[:at]).to_bytes(4, "little"):
        raise corrupt("the header's checksum does not match")
    payload = data[at + 4 :]
    if sum(sizes) != payload.size:
        raise corrupt(f"its header says {sum(sizes)} bytes of blocks, {payload.size} are there")
    return Blocks(n, payload, list(itertools.accumulate(sizes)))


def misfit(block: np.ndarray, symbols: int) -> str:
    """Why a block cannot hold so many symbols, from its kind and its size; empty when it may."""
    size = block.size
    if size < 5:
        return "a block is cut off"
    kind = block[0]
    fits = size == symbols + 5 if kind == RAW else size == 6 if kind == RUN else symbols <= 8 * size
    return "" if fits else f"{symbols} symbols do not fit in {size} bytes of kind {kind}"
