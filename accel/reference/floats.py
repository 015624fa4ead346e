"""Floating-point numbers coded without loss, by the definition in docs/formats/floats.md: the oracle of
accel.kernels.floats."""

from __future__ import annotations

import itertools
from zlib import crc32

import numpy as np

from accel.reference import huffman_tree as trees
from accel.reference.huffman import Crc

MAGIC, VERSION = 0xAF, 1
BLOCK = trees.PART


def planes_of(bits: np.ndarray) -> np.ndarray:
    """(width, n) uint8: byte p of each number after rotating it left by one bit."""
    last = bits.dtype.type(8 * bits.itemsize - 1)
    rotated = bits << bits.dtype.type(1) | bits >> last
    little = rotated.astype(bits.dtype.newbyteorder("<")).reshape(-1, 1).view(np.uint8)
    return np.ascontiguousarray(little.T)


def from_planes(planes: np.ndarray, dtype: np.dtype[np.unsignedinteger]) -> np.ndarray:
    """The unsigned integers whose planes these are."""
    rotated = np.ascontiguousarray(planes.T).view(dtype.newbyteorder("<")).reshape(-1).astype(dtype)
    bits: np.ndarray = rotated >> dtype.type(1) | rotated << dtype.type(8 * dtype.itemsize - 1)
    return bits


def encode_block(bits: np.ndarray, crc: Crc = crc32) -> bytes:
    """Of n > 0 numbers, given as unsigned integers of their width."""
    planes = [trees.encode_block(plane, crc, choosy=True) for plane in planes_of(bits)]
    return b"".join([len(plane).to_bytes(4, "little") for plane in planes[:-1]] + planes)


def decode_block(block: bytes, n: int, dtype: np.dtype[np.unsignedinteger], crc: Crc = crc32) -> np.ndarray:
    """The n numbers as unsigned integers. ValueError says what is wrong."""
    width = dtype.itemsize
    sizes = np.frombuffer(block, "<u4", width - 1).tolist()
    ends = [*itertools.accumulate(sizes, initial=4 * (width - 1)), len(block)]
    planes = [trees.decode_block(block[a:b], n, crc) for a, b in itertools.pairwise(ends)]
    return from_planes(np.frombuffer(b"".join(planes), np.uint8).reshape(width, n), dtype)
