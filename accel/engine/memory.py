"""Where everything lies in the one arena of a plan."""

from __future__ import annotations

from bisect import insort
from collections.abc import Sequence
from dataclasses import dataclass, field
from operator import attrgetter

ALIGNMENT = 64


@dataclass(slots=True, eq=False)
class Storage:
    """A piece of memory that a plan needs: in the arena, or (`external`) an array of the caller's."""

    nbytes: int
    external: bool = False
    slot: int = -1
    offset: int = 0
    first: int = -1
    last: int = -1
    values: set[str] = field(default_factory=set)

    def touch(self, step: int) -> None:
        """Step number `step` reads or writes it."""
        if self.first < 0:
            self.first = step
        self.last = step


def assign_offsets(storages: Sequence[Storage]) -> int:
    """Give every storage an offset so that no two that live at the same step overlap; returns the arena's size.

    Largest first, each at the lowest free place: within a few percent of the optimum for networks that are mostly
    chains (Pisarchyk and Lee, Efficient Memory Management for Deep Neural Net Inference, 2020).
    """
    placed: list[Storage] = []
    total = 0
    by_offset = attrgetter("offset")
    for storage in sorted(storages, key=lambda s: -s.nbytes):
        size = _rounded(storage.nbytes)
        offset = 0
        for other in placed:  # in order of offset
            if other.last < storage.first or other.first > storage.last:
                continue
            if offset + size <= other.offset:
                break
            offset = max(offset, other.offset + _rounded(other.nbytes))
        storage.offset = offset
        total = max(total, offset + size)
        insort(placed, storage, key=by_offset)
    return total


def _rounded(nbytes: int) -> int:
    return -(-nbytes // ALIGNMENT) * ALIGNMENT
