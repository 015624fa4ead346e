"""Limits on what an untrusted model may ask for, checked before anything is allocated."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from accel.errors import shown

_GIB = 1 << 30


def available_bytes() -> int:
    """Three quarters of the memory this process may use: the machine's, or its control group's when that is less."""
    try:
        total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        total = 8 * _GIB
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            with open(path, "rb", buffering=0) as file:  # at every load: as text it takes three times as long
                text = file.read().strip()
        except OSError:
            continue
        if text.isdigit():
            total = min(total, int(text))
    return total * 3 // 4


@dataclass(frozen=True, slots=True)
class Limits:
    """What a model may cost to load. Every refusal names the field that was exceeded.

    `max_nodes` counts nodes after functions are expanded, `max_depth` is the depth of functions that call functions,
    `max_tensor_bytes` and `max_total_bytes` bound one constant and all of them, folded ones included.
    """

    max_file: int = 2 * _GIB
    max_nodes: int = 100_000
    max_depth: int = 64
    max_tensor_bytes: int = 2 * _GIB
    max_total_bytes: int = field(default_factory=available_bytes)

    def __post_init__(self) -> None:
        for name in self.__slots__:
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 0:
                raise ValueError(f"Limits.{name}: expected an integer >= 0, got {shown(value)}")
