"""Large files, which are read as they are decoded: the same tensors, in the system's own portions, and clear errors."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import accel
from accel.errors import FormatError
from accel.formats import container, files
from accel.formats.opened import OpenFile
from accel.kernels import _file_part, huffman, runtime
from accel.kernels._coded import Coded, decode_trees, open_trees
from accel.kernels._file_part import FilePart

native = pytest.mark.skipif(runtime.core is None, reason="only the native back end reads as it decodes")
SIZE = 3 << 20
"""Codes: three blocks of a stream, and coded more than one window of each."""


def codes(share: float) -> np.ndarray:
    """Not 0 but for a share of them."""
    rng = np.random.default_rng(int(100 * share))
    found = np.clip(np.rint(rng.standard_normal(SIZE) * 1.5 + 8), 1, 15).astype(np.uint8)
    found[rng.random(SIZE) < share] = 0
    return found


@pytest.fixture(scope="module")
def tensors() -> dict[str, np.ndarray]:
    noise = np.random.default_rng(0).integers(0, 256, 3 << 17).astype(np.uint8)  # raw
    small = {"scalar": np.array(3, np.float32), "bias": np.arange(9, dtype=np.float32)}
    return {"dense": codes(0), "half": codes(0.6), "few": codes(0.93), "noise": noise, **small}


@pytest.fixture(scope="module")
def whole(tensors: dict[str, np.ndarray]) -> bytes:
    return container.encode({"graph": {}}, tensors)


@pytest.fixture
def path(tmp_path: Path, whole: bytes) -> Path:
    path = tmp_path / "large.accel"
    path.write_bytes(whole)
    assert path.stat().st_size >= files.LARGE
    return path


def check_same(found: Mapping[str, Any], tensors: Mapping[str, np.ndarray]) -> None:
    assert list(found) == list(tensors)
    for name, tensor in tensors.items():
        np.testing.assert_array_equal(found[name], tensor)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("isa", runtime.isa_info()["supported"] or ["none"])
@native
def test_large_files_hold_what_their_bytes_do(
    path: Path, tensors: dict[str, np.ndarray], isa: str, threads: int
) -> None:
    entries = {entry.name: entry for entry in container.inspect(path).tensors}
    assert [entries[name].parts[0].coding for name in ("dense", "half", "few")] == ["plain", "bitmap", "gaps8"]
    with accel.using(isa=isa, threads=threads):
        check_same(container.read(path)[1], tensors)
        with OpenFile(path) as opened:
            check_same(dict(opened), tensors)


def test_other_back_ends_read_them_too(path: Path, tensors: dict[str, np.ndarray]) -> None:
    with accel.using(backend="numpy"), OpenFile(path) as opened:
        names = "noise", "bias"
        check_same({name: opened[name] for name in names}, {name: tensors[name] for name in names})


def test_damage_is_named(path: Path, tensors: dict[str, np.ndarray]) -> None:
    """One byte of each tensor, in its last block."""
    data = bytearray(path.read_bytes())
    contents = container.inspect(path)
    at = len(data) - 32 - contents.tensor_bytes
    for entry in contents.tensors:
        at += entry.stored
        data[at - 2] ^= 1
    path.write_bytes(data)
    with OpenFile(path) as opened:
        for name in tensors:
            with pytest.raises(FormatError, match=f"tensor '{name}': "):
                opened[name]


@pytest.mark.parametrize("cut", [1, 1000, 300_000, SIZE // 2])
def test_a_file_that_shrinks_meanwhile_is_truncated(path: Path, whole: bytes, cut: int) -> None:
    with OpenFile(path) as opened:
        path.write_bytes(whole[: len(whole) - 32 - cut])  # the same file: it is not replaced
        with pytest.raises(FormatError, match=r"tensor '.*': truncated: expected [0-9]+ bytes, got [0-9]+"):
            dict(opened)


def test_a_file_that_changes_meanwhile_is_refused(path: Path, whole: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    original = container.decode_tensor

    def changing(entry: container.TensorEntry, *rest: Any) -> container.Tensor:
        found = original(entry, *rest)
        if entry.name == "bias":  # the last: all were read
            path.write_bytes(whole)
            os.utime(path, (1, 1))
        return found

    monkeypatch.setattr(container, "decode_tensor", changing)
    with pytest.raises(FormatError, match="the file has changed while it was read"):
        container.read(path)


def portions(most: int) -> Callable[..., int]:
    """preadv that gives a few bytes at a time."""
    original = os.preadv

    def preadv(file: int, buffers: list[memoryview], at: int) -> int:
        return original(file, [buffers[0][:most]], at)

    return preadv


def test_a_part_of_a_file_is_read_in_the_system_s_portions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "bytes"
    path.write_bytes(bytes(range(200)))
    monkeypatch.setattr(_file_part.os, "preadv", portions(7))
    with path.open("rb") as file:
        part = FilePart(file.fileno(), 10, 180)[5:-15]
        assert (len(part), part.at, len(part[200:])) == (160, 15, 0)
        assert part.read(np.empty(160, np.uint8)).tobytes() == bytes(range(15, 175))
        with pytest.raises(FormatError, match="truncated: expected 90 bytes, got 50"):
            FilePart(file.fileno(), 150, 90).read(np.empty(90, np.uint8))


def test_a_file_that_cannot_be_read_is_an_os_error(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(file: int, buffers: list[memoryview], at: int) -> int:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with OpenFile(path) as opened:
        monkeypatch.setattr(_file_part.os, "preadv", fails)
        for name in ("dense", "few", "bias"):
            with pytest.raises(OSError, match=os.strerror(errno.EIO)):
                opened[name]


def stream_in(path: Path, stream: bytes, file: int, symbols: int) -> Coded:
    path.write_bytes(b"front" + stream)
    found = open_trees(FilePart(file, 5, len(stream)), symbols)
    assert found is not None
    return found


@native
def test_streams_in_files_are_refused_as_those_in_memory(tmp_path: Path) -> None:
    symbols = np.minimum(np.random.default_rng(1).geometric(0.4, 3000), 15).astype(np.uint8)
    stream = huffman.huffman_encode(symbols, format="ht")
    path = tmp_path / "stream"
    path.write_bytes(b"")
    out = np.empty_like(symbols)
    with path.open("rb") as file:
        decode_trees(stream_in(path, stream, file.fileno(), symbols.size), out)
        np.testing.assert_array_equal(out, symbols)
        with pytest.raises(FormatError, match="it holds 3000 symbols, expected 2999"):
            stream_in(path, stream, file.fileno(), 2999)
        with pytest.raises(FormatError, match=r"its header says [0-9]+ bytes of blocks, [0-9]+ are there"):
            stream_in(path, stream[:-1], file.fileno(), 3000)
        for bit in range(0, 8 * len(stream), 7):
            damaged = bytearray(stream)
            damaged[bit // 8] ^= 1 << bit % 8
            with pytest.raises((FormatError, AssertionError)):  # the latter: of another format
                decode_trees(stream_in(path, bytes(damaged), file.fileno(), symbols.size), out)
        opened = stream_in(path, stream, file.fileno(), symbols.size)
        for size in range(5, 5 + len(stream), 50):
            path.write_bytes((b"front" + stream)[:size])
            with pytest.raises(FormatError, match="truncated: expected"):
                decode_trees(opened, out)
        with pytest.raises(OSError, match=os.strerror(errno.EBADF)):
            decode_trees(opened._replace(file=FilePart(1 << 20, 5, len(stream))), out)
