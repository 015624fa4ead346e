"""The container's page is complete: a reader written from it alone reads a file kept from version 1."""

from __future__ import annotations

import hashlib
import json
import math
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from accel.formats import container
from accel.reference import huffman
from accel.weights import dense

GOLDEN = Path(__file__).parent / "golden"


def read_by_the_page(data: bytes) -> tuple[Any, dict[str, np.ndarray]]:
    """docs/formats/accel.md as code, without accel.formats: the header and dense tensors."""
    magic, version, flags, packed, plain, total = struct.unpack_from("<8sHHIIQ", data)
    assert (magic, version, flags, total) == (bytes.fromhex("8941434345 4C0D0A"), 1, 0, len(data))
    assert hashlib.sha256(data[:-32]).digest() == data[-32:]
    text = zlib.decompress(data[28 : 28 + packed])
    assert len(text) == plain
    document = json.loads(text)
    at, tensors = 28 + packed, {}
    for tensor in document["tensors"]:
        parts = {}
        for part in tensor["parts"]:
            streams = []
            for method, symbols, nbytes in part["streams"]:
                stored = np.frombuffer(data[at : at + nbytes], np.uint8)
                streams.append(stored if method == "raw" else huffman.decode(stored.tobytes()))
                assert streams[-1].size == symbols
                at += nbytes
            parts[part["name"]] = join(part, streams)
        tensors[tensor["name"]] = dense_of(tensor, parts)
    assert at == len(data) - 32
    return document["header"], tensors


def join(part: dict[str, Any], streams: list[np.ndarray]) -> np.ndarray:
    dtype, n = np.dtype("<" + part["dtype"]), math.prod(part["shape"])
    if part["coding"] == "plain":
        flat = streams[0].tobytes()
    elif part["coding"] in ("planes", "delta"):
        numbers = [sum(int(plane[i]) << 8 * b for b, plane in enumerate(streams)) for i in range(n)]
        if part["coding"] == "delta":
            numbers = [sum(numbers[: i + 1]) % (1 << 8 * dtype.itemsize) for i in range(n)]
        flat = b"".join(number.to_bytes(dtype.itemsize, "little") for number in numbers)
    else:
        elements, first, second = bytearray(n), *streams
        if part["coding"] == "bitmap":
            places = [i for i in range(n) if first[i // 8] >> i % 8 & 1]
        else:
            places = (np.cumsum(first.astype(int) + 1) - 1).tolist()
        for place, value in zip(places, second.tolist(), strict=True):
            elements[place] = value
        flat = bytes(elements)
    assert zlib.crc32(flat) == part["crc32"]
    return np.frombuffer(flat, dtype).reshape(part["shape"])


def dense_of(tensor: dict[str, Any], parts: dict[str, np.ndarray]) -> np.ndarray:
    if tensor["kind"] == "codebook":
        return parts["codebook"][parts["codes"]]
    if tensor["kind"] == "csr":
        rows = tensor["fields"]["shape"][0]
        out = np.zeros((rows, math.prod(tensor["fields"]["shape"][1:])), np.float32)
        for row in range(rows):
            here = slice(parts["indptr"][row], parts["indptr"][row + 1])
            out[row, parts["indices"][here]] = parts["data"][here]
        return out.reshape(tensor["fields"]["shape"])
    return parts["array" if tensor["kind"] == "dense" else ""]


@pytest.fixture(scope="module")
def golden() -> tuple[bytes, dict[str, np.ndarray]]:
    with np.load(GOLDEN / "version1.npz", allow_pickle=False) as stored:
        return (GOLDEN / "version1.accel").read_bytes(), dict(stored)


def test_the_page_reads_the_file(golden: tuple[bytes, dict[str, np.ndarray]]) -> None:
    data, expected = golden
    header, tensors = read_by_the_page(data)
    assert header == {"graph": {"name": "golden"}} and list(tensors) == list(expected)
    for name, array in expected.items():
        assert tensors[name].dtype == array.dtype, name
        np.testing.assert_array_equal(tensors[name], array, err_msg=name)


def test_every_back_end_reads_the_file(golden: tuple[bytes, dict[str, np.ndarray]], backend: str) -> None:
    data, expected = golden
    _, tensors = container.read(data)
    for name, array in expected.items():
        np.testing.assert_array_equal(dense(tensors[name]), array, err_msg=name)


def test_the_file_has_every_coding_method_and_kind(golden: tuple[bytes, dict[str, np.ndarray]]) -> None:
    tensors = container.inspect(golden[0]).tensors
    parts = [part for tensor in tensors for part in tensor.parts]
    assert {tensor.kind for tensor in tensors} == {"array", "dense", "csr", "codebook"}
    assert {part.coding for part in parts} >= {"plain", "planes", "delta", "bitmap", "gaps8"}
    assert {stream.method for part in parts for stream in part.streams} == {"raw", "huffman"}


def test_todays_writer_writes_what_the_page_reads(golden: tuple[bytes, dict[str, np.ndarray]]) -> None:
    _, tensors = container.read(golden[0])
    _, found = read_by_the_page(container.encode({"graph": {}}, tensors))
    for name, array in golden[1].items():
        np.testing.assert_array_equal(found[name], array, err_msg=name)
