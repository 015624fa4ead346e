"""The .accel container: what is written comes back, and whatever is damaged or lies is refused."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accel.errors import FormatError, SaveError
from accel.formats import container
from accel.formats.limits import Limits
from accel.weights import NM, Bsr, Codebook, Csr, CsrCodebook, Dense

HEAD = struct.Struct("<8sHHIIQ")
HEADER = {"graph": {"nodes": ["Conv", "Relu"], "ü": 1.5, "none": None}}


def small_tensors() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    w = rng.standard_normal((8, 16)).astype(np.float32)
    w[np.abs(w) < 0.7] = 0
    return {
        "codes": Codebook.fit(w, 3),
        "rows": Csr.from_dense(w[:3]),
        "halves": Csr.from_dense(w[:3], "bfloat16"),
        "bytes": Csr.from_dense(w[:3], "int8"),
        "shared": CsrCodebook.fit(w[:3], 3),
        "blocks": Bsr.from_dense(w[:4], (2, 1)),
        "2:4": NM.from_dense(w[:2], 2, 4, prune=True),
        "dense": Dense(w[:2].copy()),
        "bias": np.arange(3, dtype=np.float32),
        "shape": np.array([1, -1], np.int64),
        "scalar": np.array(2.5, np.float64),
        "flags": np.array([True, False]),
        "empty": np.zeros((0, 3), np.int8),
        "half": np.array([1, 2], np.float16),
    }


def same(left: Any, right: Any) -> bool:
    if type(left) is not type(right):
        return False
    if isinstance(left, np.ndarray):
        return left.dtype == right.dtype and left.shape == right.shape and left.tobytes() == right.tobytes()
    a, b = left.state(), right.state()
    return a[1] == b[1] and a[0].keys() == b[0].keys() and all(same(a[0][key], b[0][key]) for key in a[0])


def same_all(left: dict[str, Any], right: dict[str, Any]) -> bool:
    return list(left) == list(right) and all(same(left[name], right[name]) for name in left)


def test_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "a.accel"
    container.write(path, HEADER, small_tensors())
    for source in (path, str(path), path.read_bytes(), bytearray(path.read_bytes())):
        header, tensors = container.read(source)
        assert header == HEADER and same_all(tensors, small_tensors())
    assert container.verify(path) == []
    assert path.read_bytes() == container.encode(HEADER, small_tensors())


def test_arrays_that_come_back_are_read_only() -> None:
    _, tensors = container.read(container.encode({}, small_tensors()))
    assert not any(value.flags.writeable for value in tensors.values() if isinstance(value, np.ndarray))


def test_byte_order_and_layout_do_not_show() -> None:
    array = np.arange(6, dtype=np.int32).reshape(2, 3)
    plain = container.encode({}, {"x": array})
    assert container.encode({}, {"x": array.astype(">i4")}) == plain
    assert container.encode({}, {"x": np.asfortranarray(array)}) == plain


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([(3, 5), (40, 7, 3, 3), (300, 40)]),
    st.floats(0, 1),
    st.integers(1, 8),
)
def test_codebooks_round_trip(seed: int, shape: tuple[int, ...], zeros: float, bits: int) -> None:
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 1 << bits, shape, np.uint8)
    codes[rng.random(shape) < zeros] = 0
    weight = Codebook(codes, rng.standard_normal(1 << bits).astype(np.float32))
    _, tensors = container.read(container.encode({}, {"w": weight}))
    assert same(tensors["w"], weight)


# --- damage ---


def test_every_single_bit_flip_is_refused() -> None:
    """With the digest all of them are; without it those that change nothing are not: of the digest itself, and of the
    bits that fill up the packed header's last byte."""
    tensors = small_tensors()
    blob, passed = container.encode(HEADER, tensors), 0
    for bit in range(8 * len(blob)):
        damaged = bytearray(blob)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(FormatError):
            container.read(bytes(damaged), digest=True)
        try:
            header, found = container.read(bytes(damaged))
        except FormatError:
            continue
        assert header == HEADER and same_all(found, tensors), f"bit {bit}"
        passed += 1
    assert passed < 8 * (32 + 1)


def signed(body: bytes) -> bytes:
    return body + hashlib.sha256(body).digest()


def test_every_truncation_and_extension_is_refused() -> None:
    blob = container.encode(HEADER, small_tensors())
    for size in range(len(blob)):
        with pytest.raises(FormatError):
            container.read(blob[:size])
    with pytest.raises(FormatError, match=f"trailing bytes: expected {len(blob)} bytes, got {len(blob) + 1}"):
        container.read(blob + b"\0")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not an .accel file: empty file"),
        (b"PK\x03\x04 a zip", "not an .accel file: it starts with"),
        (container.MAGIC, "truncated: 8 bytes"),
        (container.MAGIC.replace(b"\r\n", b"\n\n") + bytes(99), "not an .accel file"),
    ],
)
def test_foreign_and_empty_files(data: bytes, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        container.read(data)
    assert message.split(":")[0] in container.verify(data)[0]


def test_newer_versions_say_so() -> None:
    blob = bytearray(container.encode({}, {}))
    blob[8] = 2
    with pytest.raises(FormatError, match="format version 2 is newer than 1, which this accel reads: update accel"):
        container.read(blob)


def test_verify_names_the_damaged_tensor() -> None:
    tensors = small_tensors()
    blob = bytearray(container.encode(HEADER, tensors))
    start = len(blob) - 32 - container.inspect(bytes(blob)).tensor_bytes
    assert container.verify(blob) == []
    blob[start] ^= 1  # inside the codes of the first tensor
    problems = container.verify(blob)
    assert len(problems) == 2
    assert "the digest of the file" in problems[0] and "tensor 'codes'" in problems[1]


# --- lies: documents that are signed but wrong ---


def rewritten(change: Callable[[dict[str, Any]], Any], tensors: dict[str, Any] | None = None) -> bytes:
    """A file whose JSON document was changed, everything around it made to fit again."""
    blob = container.encode({}, tensors or {"w": small_tensors()["codes"], "b": np.ones(40, np.float32)})
    _, version, flags, packed, _, _ = HEAD.unpack_from(blob)
    document = json.loads(zlib.decompress(blob[HEAD.size : HEAD.size + packed]))
    replaced = change(document)
    text = replaced if isinstance(replaced, bytes) else json.dumps(document).encode()
    new = zlib.compress(text)
    payload = blob[HEAD.size + packed : -32]
    total = HEAD.size + len(new) + len(payload) + 32
    return signed(HEAD.pack(container.MAGIC, version, flags, len(new), len(text), total) + new + payload)


def setter(*path: Any, to: Any) -> Callable[[dict[str, Any]], None]:
    def change(document: Any) -> None:
        for key in path[:-1]:
            document = document[key]
        document[path[-1]] = to

    return change


T, P = ("tensors", 0), ("tensors", 0, "parts", 0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (setter("tensors", to={}), "expected an object with header and tensors"),
        (setter("header", to=[]), "expected an object with header and tensors"),
        (setter("more", to=1), "expected an object with header and tensors"),
        (setter(*T, to=[]), "tensor 0: expected an object with name, kind, fields, parts"),
        (setter(*T, "name", to=3), "tensor 0, name: expected a string, got 3"),
        (setter(*T, "name", to="b"), "the name 'b' occurs twice"),
        (setter(*T, "kind", to="circus"), "expected a kind of array, .*codebook.*, got 'circus'"),
        (setter(*T, "kind", to="array"), "an array has one part without a name"),
        (setter(*T, "fields", to=[]), "expected an object of fields"),
        (setter(*T, "fields", to={"x": 1}), "expected the fields"),
        (setter(*T, "parts", to=[]), "claims .* bytes, the file has"),
        (setter(*T, "parts", 1, "name", to="codes"), "the name 'codes' occurs twice"),
        (setter(*T, "parts", 1, "name", to="other"), "expected the arrays"),
        (setter(*P, "dtype", to="O"), "expected a dtype of"),
        (setter(*P, "dtype", to=">i4"), "expected a dtype of"),
        (setter(*P, "dtype", to="i1"), "codes as uint8"),
        (setter(*P, "shape", to=[8, 17]), "symbols|checksum|places"),
        (setter(*P, "shape", to=[16, 8]), None),
        (setter(*P, "shape", to=[-8, -16]), "expected an integer in 0"),
        (setter(*P, "shape", to=[8.0, 16]), "expected an integer in 0"),
        (setter(*P, "shape", to=[True, 128]), "expected an integer in 0"),
        (setter(*P, "shape", to=[1] * 33), "at most 32 axes, got 33"),
        (setter(*P, "shape", to=[2**62, 4]), "exceeds the limit max_tensor"),
        (setter(*P, "shape", to=[2**31 - 1]), "max_ratio"),
        (setter(*P, "shape", to=[2**200]), "expected an integer in 0"),
        (setter(*P, "coding", to="zip"), "coding: expected one of plain"),
        (setter(*P, "streams", to=7), "expected a list"),
        (setter(*P, "streams", 0, to=["raw", 1]), "expected a list of 3"),
        (setter(*P, "streams", 0, 0, to="lzma"), "stream method"),
        (setter(*P, "streams", 0, 1, to=10**9), "max_ratio"),
        (setter(*P, "streams", 0, 2, to=1), "claims .* bytes, the file has"),
        (setter(*P, "streams", 0, 2, to=10**12), "claims .* bytes, the file has"),
        (setter(*P, "crc32", to=1), "tensor 'w': damaged: its checksum does not match"),
        (lambda _: b"[]", "expected an object with header and tensors"),
        (lambda _: b"\xff\xfe", "header: damaged"),
        (lambda _: b'{"header": {}, "tensors": [}', "header: damaged"),
        (lambda _: b'{"header": {}, "header": {}, "tensors": []}', "names a key twice"),
        (lambda _: b'{"header": {"x": NaN}, "tensors": []}', "NaN is not JSON"),
        (lambda _: b'{"header": {"x": ' + b"9" * 5000 + b'}, "tensors": []}', "header: damaged"),
        (lambda _: b"[" * 200_000, "header: damaged"),
    ],
)
def test_documents_that_lie_are_refused(change: Callable[[dict[str, Any]], Any], message: str | None) -> None:
    blob = rewritten(change)
    if message is None:  # another shape of the same size is another network, not damage
        assert container.verify(blob) == []
        return
    with pytest.raises(FormatError, match=message):
        container.read(blob)
    assert container.verify(blob)


NASTY = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from([-1, 0, 1, 7, 2**31 - 1, 2**31, 2**32, 2**62, 2**63 - 1, 2**63, 2**70, 0.5, 1e300]),
    st.sampled_from(["", "raw", "huffman", "gaps4", "bitmap", "csr", "array", "u1", "f4", "\ud800"[:0]]),
    st.lists(st.integers(0, 5), max_size=3),
    st.just({}),
)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_any_change_of_the_document_is_a_format_error_or_a_network(data: st.DataObject) -> None:
    def change(document: Any) -> None:
        for _ in range(data.draw(st.integers(1, 3))):
            here, path = document["tensors"], []
            while isinstance(here, (list, dict)) and here:
                keys = sorted(here) if isinstance(here, dict) else range(len(here))
                path.append((here, data.draw(st.sampled_from(list(keys)))))
                here = path[-1][0][path[-1][1]]
                if data.draw(st.integers(0, 4)) == 0:
                    break
            if path:
                path[-1][0][path[-1][1]] = data.draw(NASTY)

    with contextlib.suppress(FormatError):
        container.read(rewritten(change, small_tensors()))


def test_header_bombs_are_refused_before_they_unfold() -> None:
    text = b'{"header": {"x": "' + b" " * (8 << 20) + b'"}, "tensors": []}'
    blob = rewritten(lambda _: text, {})
    with pytest.raises(FormatError, match=r"header: \d+ exceeds the limit max_header=1000"):
        container.read(blob, Limits(max_header=1000))
    lying = bytearray(blob[:-32])
    struct.pack_into("<I", lying, 16, 50)
    with pytest.raises(FormatError, match="does not unpack to the 50 bytes it claims"):
        container.read(signed(bytes(lying)))


def empty_rows(shape: tuple[int, int]) -> Csr:
    return Csr(np.zeros(0, np.float32), np.zeros(0, np.int32), np.zeros(shape[0] + 1, np.int32), shape)


@pytest.mark.parametrize(
    ("shape", "message"),
    [((1, 2**31 - 1), "dense form: 8589934588 exceeds the limit max_tensor"), ((1, 10**7), "dense form: .* max_ratio")],
)
def test_sparse_bombs_are_refused(shape: tuple[int, int], message: str) -> None:
    """A few stored bytes that stand for gigabytes of dense weights: not read, and so not written either."""

    def larger(document: Any) -> None:
        document["tensors"][0]["fields"]["shape"] = list(shape)

    with pytest.raises(FormatError, match=message):
        container.read(rewritten(larger, {"w": empty_rows((1, 5))}))
    with pytest.raises(FormatError, match=f"tensor 'w': {message}"):
        container.encode({}, {"w": empty_rows(shape)})


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        (Limits(max_file=10), "file: .* exceeds the limit max_file=10"),
        (Limits(max_header=10), "max_header=10"),
        (Limits(max_tensor=10), "max_tensor=10"),
        (Limits(max_total=10), "max_total=10"),
        (Limits(max_tensors=1), "max_tensors=1"),
    ],
)
def test_limits(tmp_path: Path, limits: Limits, message: str) -> None:
    path = tmp_path / "x"
    container.write(path, HEADER, small_tensors())
    for source in (path, path.read_bytes()):
        with pytest.raises(FormatError, match=message):
            container.read(source, limits)


# --- writing ---


@pytest.mark.parametrize("header", [{"x": float("nan")}, {"x": object()}, {"x": b"bytes"}])
def test_headers_that_are_not_json_are_refused(header: dict[str, Any]) -> None:
    with pytest.raises(FormatError, match="header: cannot be written as JSON"):
        container.encode(header, {})


def test_a_header_that_contains_itself_is_refused() -> None:
    loop: dict[str, Any] = {}
    loop["x"] = loop
    with pytest.raises(FormatError, match="header: cannot be written as JSON"):
        container.encode(loop, {})


@pytest.mark.parametrize(
    ("tensor", "message"),
    [
        (np.array(["a"]), "tensor 't': expected a dtype of"),
        (np.array([object()]), "tensor 't': expected a dtype of"),
        (np.zeros(2, np.complex64), "tensor 't': expected a dtype of"),
        ([1, 2], "tensor 't': expected an array or a Weight, got list"),
    ],
)
def test_tensors_without_a_place_in_the_format_are_refused(tensor: Any, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        container.encode({}, {"t": tensor})


def test_a_full_disk_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.accel"
    container.write(path, HEADER, small_tensors())
    old = path.read_bytes()

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(SaveError, match="No space left on device"):
        container.write(path, {}, {})
    assert path.read_bytes() == old and os.listdir(tmp_path) == ["x.accel"]


def test_inspect_tells_where_the_bytes_are(tmp_path: Path) -> None:
    path = tmp_path / "x.accel"
    container.write(path, HEADER, small_tensors())
    contents = container.inspect(path)
    assert contents.version == 1 and contents.header == HEADER
    assert contents.file_bytes == path.stat().st_size
    assert contents.file_bytes == HEAD.size + contents.header_bytes + contents.tensor_bytes + 32
    assert [tensor.name for tensor in contents.tensors] == list(small_tensors())
    codes = contents.tensors[0]
    assert codes.kind == "codebook" and [part.name for part in codes.parts] == ["codes", "codebook"]
    assert codes.nbytes == 8 * 16 + 4 * 8 and codes.parts[0].shape == (8, 16)


def test_what_is_not_a_regular_file_is_refused(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(FormatError, match="not a regular file"):
        container.read(pipe)
    with pytest.raises(OSError):
        container.read(tmp_path)
    with pytest.raises(FileNotFoundError):
        container.read(tmp_path / "none")


def test_a_tensor_does_not_hold_on_to_the_bytes_of_the_file(tmp_path: Path) -> None:
    container.write(tmp_path / "m", {}, {"bias": np.arange(40, dtype=np.float32), "empty": np.zeros((0, 3))})
    data = (tmp_path / "m").read_bytes()
    _, tensors = container.read(data)
    for array in tensors.values():
        assert isinstance(array, np.ndarray) and array.flags.aligned
        assert not np.shares_memory(array, np.frombuffer(data, np.uint8))
