"""Read a whole file without trusting what the path is or how large it claims to be."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader

from accel.errors import FormatError
from accel.formats.limits import Limits, check
from accel.kernels._file_part import FilePart

LARGE = 1 << 20
"""Bytes from which a file is read where it is decoded: below, a call for each tensor takes longer than is saved."""

Source = str | os.PathLike[str] | bytes | bytearray | memoryview


def read_bytes(source: Source, limits: Limits) -> memoryview:
    """The bytes of a regular file, or of what is bytes already, up to `limits.max_file`.

    Raises
    ------
    OSError      the file cannot be opened or read.
    ValueError   bytes that are not one after the other.
    FormatError  it is not a regular file, or larger than the limit, or the path makes no sense: known before anything
        is read.
    """
    if isinstance(source, (bytes, bytearray, memoryview)):
        data = memoryview(source)
        if not data.c_contiguous:
            raise ValueError("source: expected contiguous memory, got a strided view")
        data = data.cast("B")
        check("file", len(data), limits.max_file, "max_file")
        return data
    with open_regular(source, limits) as (file, size):
        return memoryview(file.read(size))


@contextmanager
def open_bytes(source: Source, limits: Limits) -> Iterator[memoryview | FilePart]:
    """The bytes of `read_bytes`; those of a large file are not read yet. Errors as there; and FormatError at the end
    where such a file has changed meanwhile."""
    if isinstance(source, (bytes, bytearray, memoryview)):
        yield read_bytes(source, limits)
        return
    with open_regular(source, limits) as (file, size):
        if size < LARGE:
            yield memoryview(file.read(size))
            return
        before = os.fstat(file.fileno())
        yield FilePart(file.fileno(), 0, size)
        after = os.fstat(file.fileno())
        if (size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
            raise FormatError("the file has changed while it was read")


@contextmanager
def open_regular(path: str | os.PathLike[str], limits: Limits) -> Iterator[tuple[BufferedReader, int]]:
    """A regular file open for reading, and its size, at most `limits.max_file`. Errors as in `read_bytes`."""
    try:
        # O_NONBLOCK: opening a pipe must not wait for its writer.
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except ValueError as why:  # a NUL byte in it
        raise FormatError(f"cannot be read: {why}") from why
    try:
        found = os.fstat(handle)
        if stat.S_ISDIR(found.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
        if not stat.S_ISREG(found.st_mode):
            raise FormatError("not a regular file")
        file = os.fdopen(handle, "rb")
    except BaseException:
        os.close(handle)
        raise
    with file:
        check("file", found.st_size, limits.max_file, "max_file")
        yield file, found.st_size
