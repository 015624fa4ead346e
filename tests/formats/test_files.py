"""Reading whole files that may be anything."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from accel.errors import FormatError
from accel.formats.files import read_bytes
from accel.formats.limits import Limits


def test_paths_and_bytes(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"abc")
    for source in (path, str(path), b"abc", bytearray(b"abc"), memoryview(b"abc")):
        assert bytes(read_bytes(source, Limits())) == b"abc"


def test_strided_bytes_are_named() -> None:
    with pytest.raises(ValueError, match="source: expected contiguous memory, got a strided view"):
        read_bytes(memoryview(b"abcdef")[::2], Limits())


def test_size_is_known_before_anything_is_read(tmp_path: Path) -> None:
    path = tmp_path / "sparse"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(FormatError, match=f"file: {1 << 40} exceeds the limit max_file=100"):
        read_bytes(path, Limits(max_file=100))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_pipes_and_devices_are_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(FormatError, match="not a regular file"):
            read_bytes(path, Limits())


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="open files are counted there")
def test_what_is_refused_is_not_left_open(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "large").write_bytes(b"large")
    before = len(os.listdir("/proc/self/fd"))
    for name in ("folder", "large"):
        with pytest.raises((FormatError, IsADirectoryError), match=r"folder|max_file=2"):
            read_bytes(tmp_path / name, Limits(max_file=2))
    assert len(os.listdir("/proc/self/fd")) == before
