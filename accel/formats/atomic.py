"""Save a file so that the path holds the old content or the new one, never half of either."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterable
from pathlib import Path

from accel.errors import SaveError


def replace_file(path: str | os.PathLike[str], chunks: Iterable[bytes]) -> None:
    """Write `chunks` beside `path`, flush them to the disk, then rename over `path`.

    Raises
    ------
    SaveError  the path is a directory, link or device, or the system refuses (no space, no permission). It is an
        OSError with errno and filename, the original error is its cause, and what was at `path` is untouched.
    """
    target = Path(path)
    if not target.name or "\0" in os.fspath(target):
        raise SaveError(errno.EINVAL, "cannot save, nothing was changed: not the name of a file", os.fspath(target))
    temporary = target.with_name(f".{target.name[:100]}.{os.urandom(8).hex()}.tmp")
    try:
        mode = _mode_of_old(target)
        # O_EXCL: an unpredictable name that nobody prepared; 0o666 is narrowed by the umask as for any new file.
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
        try:
            _fill(handle, chunks, mode)
            os.replace(temporary, target)
        finally:
            # After the rename the name is gone; in every other case, Ctrl-C included, it is ours to remove.
            with contextlib.suppress(OSError):
                os.unlink(temporary)
    except OSError as error:
        reason = error.strerror or str(error)
        raise SaveError(error.errno, f"cannot save, nothing was changed: {reason}", os.fspath(target)) from error
    _sync_directory(target.parent)


def _mode_of_old(target: Path) -> int | None:
    """Permissions of the file to be replaced, None when there is none."""
    try:
        found = os.lstat(target)
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "the path exists and is not a regular file")
    return stat.S_IMODE(found.st_mode)


def _fill(handle: int, chunks: Iterable[bytes], mode: int | None) -> None:
    with os.fdopen(handle, "wb") as file:
        for chunk in chunks:
            file.write(chunk)
        file.flush()
        os.fsync(handle)
        if mode is not None:
            os.fchmod(handle, mode)


def _sync_directory(folder: Path) -> None:
    """Make the rename itself durable where the system allows it; the content is safe either way."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
