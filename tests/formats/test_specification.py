"""The container's page is complete: a reader written from it alone reads the files kept from version 1."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from accel.formats import container
from accel.reference import huffman, huffman_tree
from accel.weights import dense, weight_kinds

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
                streams.append(stored if method == "raw" else METHODS[method](stored.tobytes()))
                assert streams[-1].size == symbols
                at += nbytes
            parts[part["name"]] = join(part, streams)
        tensors[tensor["name"]] = dense_of(tensor, parts)
    assert at == len(data) - 32
    return document["header"], tensors


def floats_by_the_page(data: bytes) -> np.ndarray:
    """docs/formats/floats.md as code, but for the blocks of huffman.md: the bytes of the numbers."""
    assert tuple(data[:2]) == (0xAF, 1)
    width = (4, 2, 2)[data[2]]
    n, at = huffman.unpack_varint(data, 3)
    count = -(-n // 32768)
    sizes = np.frombuffer(data, "<u4", count, at).tolist()
    end = at + 4 * count
    assert zlib.crc32(data[:end]) == int.from_bytes(data[end : end + 4], "little")
    at, planes = end + 4, [b""] * width
    for k, size in enumerate(sizes):
        block, start = data[at : at + size], 4 * (width - 1)
        ends = [*np.cumsum(np.frombuffer(block, "<u4", width - 1)).tolist(), size - start]
        for p, (a, b) in enumerate(itertools.pairwise([0, *ends])):
            planes[p] += huffman_tree.decode_block(block[start + a : start + b], min(n - 32768 * k, 32768))
        at += size
    numbers = [int.from_bytes(bytes(number), "little") for number in zip(*planes, strict=True)]
    turned = [x >> 1 | (x & 1) << 8 * width - 1 for x in numbers]
    return np.frombuffer(b"".join(x.to_bytes(width, "little") for x in turned), np.uint8)


METHODS = {"huffman": huffman.decode, "float": floats_by_the_page}


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
        elements, first, second = np.zeros(n, dtype), streams[0], streams[1].view(dtype)
        if part["coding"] == "bitmap":
            places = [i for i in range(n) if first[i // 8] >> i % 8 & 1]
        else:
            places = (np.cumsum(first.astype(int) + 1) - 1).tolist()
        elements[places] = second
        flat = elements.tobytes()
    assert zlib.crc32(flat) == part["crc32"]
    return np.frombuffer(flat, dtype).reshape(part["shape"])


def dense_of(tensor: dict[str, Any], parts: dict[str, np.ndarray]) -> np.ndarray:
    if tensor["kind"] == "codebook":
        return shared_of(**parts)
    if tensor["kind"] == "product_quantized":
        rows = [np.concatenate([parts["centroids"][j, c] for j, c in enumerate(row)]) for row in parts["codes"]]
        return np.stack(rows)[:, : tensor["fields"]["inputs"]]
    if tensor["kind"] == "binary":
        return signs_of(tensor["fields"]["shape"], parts)
    if tensor["kind"] == "nm":
        return groups_of(parts["values"], parts["positions"], tensor["fields"]["m"])
    if tensor["kind"] in ("circulant", "block_circulant"):
        return circulant_of(tensor["fields"]["shape"], parts)
    if tensor["kind"] in ("csr", "csr_codebook", "bsr"):
        return rows_of(tensor["fields"], parts)
    if tensor["kind"] in ("fastfood", "hashed"):
        return (blocks_of if tensor["kind"] == "fastfood" else unhashed)(tensor["fields"], parts)
    return parts["array" if tensor["kind"] == "dense" else ""]


def shared_of(codes: np.ndarray, codebook: np.ndarray) -> np.ndarray:
    if codebook.ndim == 1:
        return codebook[codes]
    return np.stack([codebook[o * len(codebook) // len(codes)][row] for o, row in enumerate(codes)])


def hash64(x: int) -> int:
    x = (x + 0x9E3779B97F4A7C15) % 2**64
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9 % 2**64
    x = (x ^ x >> 27) * 0x94D049BB133111EB % 2**64
    return x ^ x >> 31


def blocks_of(fields: dict[str, Any], parts: dict[str, np.ndarray]) -> np.ndarray:
    (out, depth), start = fields["shape"], hash64(fields["seed"])
    blocks, n = parts["scale_s"].shape
    assert n >= depth > n // 2 and blocks == -(-out // n)
    h = np.array([[(-1) ** (i & j).bit_count() for j in range(n)] for i in range(n)]) / math.sqrt(n)
    rows = []
    for block in range(blocks):
        s, g, b = (np.diag(parts[name][block].astype(np.float64)) for name in ("scale_s", "gauss_g", "signs_b"))
        order = sorted(range(n), key=lambda p, first=block * n: hash64(start ^ (first + p)))  # type: ignore[misc]
        rows.append(s @ h @ g @ np.eye(n)[order] @ h @ b)
    return np.concatenate(rows)[:out, :depth].astype(np.float32)


def unhashed(fields: dict[str, Any], parts: dict[str, np.ndarray]) -> np.ndarray:
    (out, depth), start, values = fields["shape"], hash64(fields["seed"]), parts["values"]
    numbers = [hash64(start ^ i) for i in range(out * depth)]
    signed = [(-1) ** (u & 1) * values[(u >> 32) * values.size >> 32] for u in numbers]
    return np.array(signed, np.float32).reshape(out, depth)


def groups_of(values: np.ndarray, positions: np.ndarray, m: int) -> np.ndarray:
    out = np.zeros((*values.shape[:-2], values.shape[-2] * m), np.float32)
    for at in np.ndindex(values.shape):
        out[(*at[:-2], at[-2] * m + int(positions[at]))] = values[at]
    return np.moveaxis(out, -1, 1)


def signs_of(shape: list[int], parts: dict[str, np.ndarray]) -> np.ndarray:
    out = np.zeros((shape[0], *shape[2:], shape[1]), np.float32)
    scale = parts.get("scale", np.ones(shape[0], np.float32))
    for i, at in enumerate(np.ndindex(out.shape)):
        out[at] = scale[at[0]] if parts["bits"][i // 8] >> i % 8 & 1 else -scale[at[0]]
    return np.moveaxis(out, -1, 1)


def circulant_of(shape: list[int], parts: dict[str, np.ndarray]) -> np.ndarray:
    r, out = parts["r"], np.zeros(shape, np.float32)
    blocks = r[None, None] if r.ndim == 1 else r
    b = blocks.shape[2]
    for o, i in np.ndindex(*shape[:2]):
        sign = parts["signs"][i] if "signs" in parts else 1
        out[o, i] = blocks[o // b, i // b, (o - i) % b] * sign
    return out


def rows_of(fields: dict[str, Any], parts: dict[str, np.ndarray]) -> np.ndarray:
    shape, (r, c), indptr = fields["shape"], fields.get("block", (1, 1)), parts["indptr"].tolist()
    out = np.zeros((shape[0], math.prod(shape[1:])), np.float32)
    columns = parts["indices"].tolist() if "indices" in parts else columns_of(parts["deltas"].tolist(), indptr)
    for row in range(len(indptr) - 1):
        for p in range(indptr[row], indptr[row + 1]):
            out[row * r : row * r + r, columns[p] * c : columns[p] * c + c] = value_of(parts, p, row).reshape(r, c)
    return out.reshape(shape)


def columns_of(deltas: list[int], indptr: list[int]) -> list[int]:
    columns, bytes_left = [], iter(deltas)
    for row in range(len(indptr) - 1):
        now = -1
        for _ in range(indptr[row], indptr[row + 1]):
            while (byte := next(bytes_left)) == 255:
                now += 255
            now += byte + 1
            columns.append(now)
    assert not list(bytes_left)
    return columns


def value_of(parts: dict[str, np.ndarray], p: int, row: int) -> np.ndarray:
    if "codes" in parts:
        return parts["codebook"][parts["codes"][p]]
    value = parts["data"][p]
    if value.dtype == np.uint16:
        return np.array(int(value) << 16, np.uint32).view(np.float32)
    return value * parts["scale"][row] if value.dtype == np.int8 else value


Golden = tuple[bytes, dict[str, np.ndarray]]


@pytest.fixture(
    scope="module",
    params=[
        "version1",
        "version1_sparse",
        "version1_binary",
        "version1_circulant",
        "version1_fastfood",
        "version1_float",
        "version1_shared",
    ],
)
def golden(request: pytest.FixtureRequest) -> Golden:
    """A file and what is in it: the first of version 1, and those with weights and codings that came later."""
    with np.load(GOLDEN / f"{request.param}.npz", allow_pickle=False) as stored:
        return (GOLDEN / f"{request.param}.accel").read_bytes(), dict(stored)


def test_the_page_reads_the_file(golden: Golden) -> None:
    data, expected = golden
    header, tensors = read_by_the_page(data)
    assert header == {"graph": {"name": "golden"}} and list(tensors) == list(expected)
    for name, array in expected.items():
        assert tensors[name].dtype == array.dtype, name
        np.testing.assert_array_equal(tensors[name], array, err_msg=name)


def test_every_back_end_reads_the_file(golden: Golden, backend: str) -> None:
    data, expected = golden
    _, tensors = container.read(data)
    for name, array in expected.items():
        np.testing.assert_array_equal(dense(tensors[name]), array, err_msg=name)


def test_the_files_have_every_coding_method_and_kind() -> None:
    tensors = [t for path in sorted(GOLDEN.glob("*.accel")) for t in container.inspect(path).tensors]
    parts = [part for tensor in tensors for part in tensor.parts]
    assert {tensor.kind for tensor in tensors} == {"array", *weight_kinds()}
    assert {part.coding for part in parts} >= {"plain", "planes", "delta", "bitmap", "gaps8"}
    assert {stream.method for part in parts for stream in part.streams} == {"raw", "huffman", "float"}
    csr = {tuple((part.name, part.dtype) for part in tensor.parts) for tensor in tensors if tensor.kind == "csr"}
    rest = (("deltas", "u1"), ("indptr", "i4"))
    forms = {(("data", "f4"), *rest), (("data", "u2"), *rest), (("data", "i1"), *rest, ("scale", "f4"))}
    assert csr == {(("data", "f4"), ("indices", "i4"), ("indptr", "i4")), *forms}


def test_todays_writer_writes_what_the_page_reads(golden: Golden) -> None:
    _, tensors = container.read(golden[0])
    _, found = read_by_the_page(container.encode({"graph": {}}, tensors))
    for name, array in golden[1].items():
        np.testing.assert_array_equal(found[name], array, err_msg=name)
