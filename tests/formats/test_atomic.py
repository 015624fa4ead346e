"""Saving: the old file or the new one, whatever goes wrong."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from accel.errors import AccelError, SaveError
from accel.formats.atomic import replace_file

OLD = b"the old content"


@pytest.fixture
def target(tmp_path: Path) -> Path:
    path = tmp_path / "model.accel"
    path.write_bytes(OLD)
    return path


def untouched(path: Path) -> bool:
    return path.read_bytes() == OLD and os.listdir(path.parent) == [path.name]


def test_new_and_replaced_files(tmp_path: Path) -> None:
    path = tmp_path / "new"
    replace_file(path, [b"a", b"bc"])
    assert path.read_bytes() == b"abc"
    replace_file(str(path), [b"x"])
    assert path.read_bytes() == b"x" and os.listdir(tmp_path) == ["new"]


def test_permissions_are_those_of_the_old_file_or_the_umask(target: Path, tmp_path: Path) -> None:
    target.chmod(0o640)
    replace_file(target, [b"x"])
    assert target.stat().st_mode & 0o777 == 0o640
    umask = os.umask(0o027)
    try:
        replace_file(tmp_path / "fresh", [b"x"])
    finally:
        os.umask(umask)
    assert (tmp_path / "fresh").stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("call", ["fsync", "replace", "fchmod"])
def test_a_system_call_that_fails_leaves_the_old_file(target: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(SaveError, match="nothing was changed: No space left on device") as caught:
        replace_file(target, [b"new"])
    assert untouched(target)
    assert caught.value.errno == errno.ENOSPC and caught.value.filename == str(target)
    assert isinstance(caught.value, OSError) and isinstance(caught.value, AccelError)
    assert isinstance(caught.value.__cause__, OSError)


FULL_DISK = """
import resource, signal, sys
from accel.formats.atomic import replace_file
from accel.errors import SaveError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    replace_file(sys.argv[1], [bytes(100)] * 100)
except SaveError as error:
    print(error.errno)
"""


def test_a_file_size_limit_acts_like_a_full_disk(target: Path) -> None:
    run = [sys.executable, "-c", FULL_DISK, str(target)]
    done = subprocess.run(run, capture_output=True, text=True, cwd=Path(__file__).parents[2], timeout=60)
    assert done.stdout.strip() == str(errno.EFBIG), done.stderr
    assert untouched(target)


def test_an_interrupt_leaves_the_old_file(target: Path) -> None:
    def chunks() -> Iterator[bytes]:
        yield b"half"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        replace_file(target, chunks())
    assert untouched(target)


KILLED = """
import os, signal, sys
from accel.formats.atomic import replace_file
def chunks():
    yield b"half" * 100_000
    os.kill(os.getpid(), signal.SIGKILL)
replace_file(sys.argv[1], chunks())
"""


def test_a_killed_process_leaves_the_old_file(target: Path) -> None:
    run = [sys.executable, "-c", KILLED, str(target)]
    assert subprocess.run(run, cwd=Path(__file__).parents[2], timeout=60).returncode < 0
    assert target.read_bytes() == OLD


def test_what_is_not_a_file_is_not_replaced(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "elsewhere")
    for path in (folder, link):
        with pytest.raises(SaveError, match="not a regular file"):
            replace_file(path, [b"x"])
    assert folder.is_dir() and link.is_symlink() and not (tmp_path / "elsewhere").exists()


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(SaveError, match="No such file") as caught:
        replace_file(tmp_path / "none" / "x", [b""])
    assert caught.value.errno == errno.ENOENT


@pytest.mark.parametrize("name", ["", ".", "/", "a\0b"])
def test_what_is_no_file_name_is_refused(name: str) -> None:
    with pytest.raises(SaveError, match="not the name of a file") as caught:
        replace_file(name, [b"x"])
    assert caught.value.errno == errno.EINVAL
