"""New value names that clash with nothing."""

from __future__ import annotations

from collections.abc import Iterable

_LONGEST = 64
"""A base is cut to this, so names made from a file's names cannot grow without bound."""


class Names:
    """The names in use."""

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self._taken = {""}
        self._taken.update(taken)
        self._next: dict[str, int] = {}

    def fresh(self, base: str) -> str:
        """`base`, or `base` with a number when it is in use; it is in use from now on."""
        base = base[-_LONGEST:]
        name, count = base, self._next.get(base, 0)
        while name in self._taken:
            count += 1
            name = f"{base}_{count}"
        self._next[base] = count
        self._taken.add(name)
        return name
