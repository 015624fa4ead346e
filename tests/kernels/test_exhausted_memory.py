"""Threads for which there is no memory at all: parts are computed all the same, and the process goes on."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from accel.kernels import runtime

COMPILER = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")

NONE_FOR_THREADS = """
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>
void* __libc_malloc(size_t);
void* __libc_calloc(size_t, size_t);
int deny = 0, denied = 0;
static int refused(void) { return deny && syscall(SYS_gettid) != getpid() && ++denied; }
void* malloc(size_t size) { return refused() ? NULL : __libc_malloc(size); }
void* calloc(size_t count, size_t size) { return refused() ? NULL : __libc_calloc(count, size); }
"""

PROGRAM = """
import ctypes
import numpy as np
import accel
from accel import kernels as k

x, w = np.ones((4, 16, 32, 32), np.float32), np.ones((16, 8, 3, 3), np.float32)
with accel.using(threads=1):
    expected = k.conv2d(x, w, group=2, pads=1)
allocator = ctypes.CDLL(None)
ctypes.c_int.in_dll(allocator, "deny").value = 1
with accel.using(threads=3):
    for _ in range(100):
        assert (k.conv2d(x, w, group=2, pads=1) == expected).all()
print("done", ctypes.c_int.in_dll(allocator, "denied").value)
"""


@pytest.mark.skipif(runtime.core is None, reason="the native kernels are not built")
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="of glibc")
@pytest.mark.skipif(COMPILER is None, reason="no C compiler")
@pytest.mark.skipif("LD_PRELOAD" in os.environ, reason="another allocator is in force")
def test_workers_without_memory(tmp_path: Path) -> None:
    """glibc ends a process, with exit code 127, whose thread finds no memory for what is thread_local in a library."""
    (tmp_path / "none.c").write_text(NONE_FOR_THREADS)
    library = tmp_path / "none.so"
    subprocess.run([COMPILER or "", "-shared", "-fPIC", "-O1", "-o", library, tmp_path / "none.c"], check=True)
    environment = {**os.environ, "LD_PRELOAD": str(library)}
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "done 0\n"  # workers ask for none
