"""Tables of text: aligned for a terminal, or as Markdown for a document."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

NUMBER = re.compile(r"([-+]?[\d.,]+(e[-+]?\d+)?( ?(%|[A-Za-z]+))?)?")
"""A number with its unit, or nothing."""


@dataclass
class Table:
    """Column heads and rows of values. A column of numbers, with or without units, is right-aligned."""

    heads: Sequence[str]
    rows: list[Sequence[Any]] = field(default_factory=list)
    title: str = ""

    def add(self, *cells: Any) -> None:
        """Append a row with one cell per column head."""
        if len(cells) != len(self.heads):
            raise ValueError(f"cells: expected {len(self.heads)}, one per column, got {len(cells)}")
        self.rows.append(cells)

    def text(self) -> str:
        """Aligned columns, two spaces apart, heads underlined."""
        cells, numeric = self._cells(), self._numeric()
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        lines = ["  ".join(map(_pad, row, widths, numeric)).rstrip() for row in cells]
        lines.insert(1, "  ".join("-" * width for width in widths))
        return "\n".join([self.title, *lines] if self.title else lines)

    def markdown(self) -> str:
        """A GitHub-flavoured Markdown table."""
        cells = [[cell.replace("|", "\\|") for cell in row] for row in self._cells()]
        rule = ["---:" if right else "---" for right in self._numeric()]
        lines = ["| " + " | ".join(row) + " |" for row in [cells[0], rule, *cells[1:]]]
        return "\n".join([f"**{self.title}**", "", *lines] if self.title else lines)

    def _cells(self) -> list[list[str]]:
        return [list(self.heads), *([format_cell(cell) for cell in row] for row in self.rows)]

    def _numeric(self) -> list[bool]:
        columns = zip(*self.rows, strict=True) if self.rows else [()] * len(self.heads)
        return [bool(column) and all(_is_number(cell) for cell in column) for column in columns]


def _pad(text: str, width: int, right: bool) -> str:
    return text.rjust(width) if right else text.ljust(width)


def _is_number(cell: Any) -> bool:
    return NUMBER.fullmatch(format_cell(cell)) is not None


def format_cell(cell: Any) -> str:
    """Text of one value: integers with thousands separators, floats with four significant digits, None as nothing."""
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    if isinstance(cell, int):
        return f"{cell:,}"
    if isinstance(cell, float):
        return f"{cell:.4g}"
    return str(cell)


def format_bytes(count: float) -> str:
    """Bytes with a decimal unit: 4,512 B, 675.8 kB, 4.996 MB."""
    if count < 10_000:
        return f"{count:,.0f} B"
    for unit, size in (("kB", 1e3), ("MB", 1e6)):
        if count < 1000 * size:
            return f"{count / size:.4g} {unit}"
    return f"{count / 1e9:.4g} GB"


def format_seconds(seconds: float) -> str:
    """A duration with its unit: 4.31 us, 12.5 ms, 1.75 s."""
    for unit, size in (("us", 1e-6), ("ms", 1e-3)):
        if seconds < 1000 * size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.3g} s"
