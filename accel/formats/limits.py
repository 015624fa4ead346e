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
