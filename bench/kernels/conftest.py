"""Peers that are compiled when a bench wants them."""

from __future__ import annotations

import ctypes
import os
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest

LOOP = """
#include "fht.h"
void rows(float *x, int log_n, long count) { for (long i = 0; i < count; ++i) fht_float(x + (i << log_n), log_n); }
"""

Bind = Callable[[np.ndarray], Callable[[], object]]


@pytest.fixture(scope="session")
def ffht(tmp_path_factory: pytest.TempPathFactory) -> Bind:
    """For a float32 array, a call that transforms its rows in place by FFHT, whose sources are in ACCEL_FFHT."""
    folder = os.environ.get("ACCEL_FFHT")
    if not folder:
        pytest.skip("ACCEL_FFHT names no folder with the sources of FFHT")
    target = tmp_path_factory.mktemp("ffht")
    (target / "rows.c").write_text(LOOP)
    library = target / "libffht.so"
    flags = ["-O3", "-march=native", "-std=c99", "-shared", "-fPIC", f"-I{folder}"]
    sources = [str(target / "rows.c"), *(str(Path(folder) / name) for name in ("fht.c", "fast_copy.c"))]
    subprocess.run([os.environ.get("CC", "cc"), *flags, *sources, "-o", str(library)], check=True)
    rows = ctypes.CDLL(str(library)).rows
    rows.argtypes, rows.restype = [ctypes.c_void_p, ctypes.c_int, ctypes.c_long], None
    return lambda x: partial(rows, x.ctypes.data, x.shape[-1].bit_length() - 1, x.size // x.shape[-1])
