"""How much a file may ask for. Everything is checked before it is allocated."""

from __future__ import annotations

from dataclasses import dataclass

from accel.errors import FormatError


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on untrusted files, in bytes unless the name says otherwise.

    `max_ratio`: decoded bytes of a part per stored byte. Weights reach 30 to 60; a bomb reaches thousands.
    """

    max_file: int = 2 << 30
    max_header: int = 64 << 20
    max_tensor: int = 2 << 30
    max_total: int = 4 << 30
    max_ratio: int = 1000
    max_tensors: int = 100_000


DEFAULT = Limits()


def check(what: str, value: int, limit: int, name: str) -> None:
    """Raise FormatError when `value` exceeds the limit `name`."""
    if value > limit:
        raise FormatError(f"{what}: {value} exceeds the limit {name}={limit}")


RATIO_FREE = 1 << 16
"""Up to this many bytes a part is not held to Limits.max_ratio: it cannot be a bomb."""


def check_ratio(what: str, nbytes: int, stored: int, limits: Limits) -> None:
    """Raise FormatError when `nbytes` from `stored` bytes are more than any honest file has."""
    if nbytes > max(RATIO_FREE, limits.max_ratio * stored):
        raise FormatError(f"{what}: {nbytes} bytes from {stored} exceed the limit max_ratio={limits.max_ratio}")
