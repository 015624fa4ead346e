from __future__ import annotations

import pytest

from accel.report import Table, format_bytes, format_seconds
from accel.report.tables import format_cell


def example() -> Table:
    table = Table(["name", "count"], title="Things")
    table.add("a|b", 12345)
    table.add("c", 7)
    return table


def test_text_aligns_numbers_right_and_words_left() -> None:
    assert example().text() == "Things\nname   count\n----  ------\na|b   12,345\nc          7"


def test_markdown_escapes_bars_and_marks_number_columns() -> None:
    assert example().markdown() == "**Things**\n\n| name | count |\n| --- | ---: |\n| a\\|b | 12,345 |\n| c | 7 |"


def test_names_that_start_with_a_digit_and_shapes_are_no_numbers() -> None:
    table = Table(["name", "shape", "size"])
    table.add("0_weight", "16 x 3", "1.5 kB")
    table.add("1", "8", "70 B")
    assert table.markdown().splitlines()[1] == "| --- | --- | ---: |"


def test_a_table_without_rows_has_its_heads() -> None:
    assert Table(["a", "bc"]).text() == "a  bc\n-  --"


def test_a_row_of_the_wrong_length_is_refused() -> None:
    with pytest.raises(ValueError, match="cells: expected 2, one per column, got 1"):
        example().add("x")


@pytest.mark.parametrize(
    ("cell", "text"),
    [(None, ""), (True, "yes"), (False, "no"), (1234567, "1,234,567"), (0.123456, "0.1235"), ("x", "x")],
)
def test_cells(cell: object, text: str) -> None:
    assert format_cell(cell) == text


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (4512, "4,512 B"), (675_763, "675.8 kB"), (4_996_000, "4.996 MB"), (2e10, "20 GB")]
)
def test_bytes(count: float, text: str) -> None:
    assert format_bytes(count) == text


@pytest.mark.parametrize(("seconds", "text"), [(4.314e-6, "4.31 us"), (0.0125, "12.5 ms"), (1.75, "1.75 s")])
def test_seconds(seconds: float, text: str) -> None:
    assert format_seconds(seconds) == text
