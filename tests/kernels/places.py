"""Where arrays lie, and how much of them the system holds."""

from __future__ import annotations

import numpy as np
import pytest


def address(array: np.ndarray) -> int:
    return int(array.ctypes.data)


def resident() -> int:
    """Bytes of this process; the test is skipped where the system does not say."""
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * 4096
    except OSError:
        pytest.skip("/proc/self/statm cannot be read: only Linux says how much is resident")
