"""docs/operators.md lists what the table holds. After adding an operator, write the list anew with

ACCEL_UPDATE_DOCS=1 python -m pytest tests/layers/operators/test_documentation.py
"""

from __future__ import annotations

import os
from pathlib import Path

from accel.layers.operators import Operator, registry

PAGE = Path(__file__).parents[3] / "docs" / "operators.md"
BEGIN, END = "<!-- table of operators: begin -->\n", "<!-- table of operators: end -->\n"


def _row(operator: Operator) -> str:
    contract = operator.contract
    names = [name if i < contract.required else f"[{name}]" for i, name in enumerate(contract.names)]
    attributes = [name if name in contract.needed else f"[{name}]" for name in contract.kinds]
    inputs = ", ".join([*names, "..."] if contract.variadic else names)
    shape = "data" if operator.dynamic else ", ".join(map(str, operator.shape_inputs))
    module = operator.function.__module__.rpartition(".")[2]
    return f"| {operator.name} | {module} | {inputs} | {', '.join(attributes)} | {shape} |\n"


def _table() -> str:
    head = "| operator | module | inputs | attributes | shape from |\n|---|---|---|---|---|\n"
    return head + "".join(_row(registry()[name]) for name in sorted(registry()))


def test_the_page_lists_every_operator():
    before, _, rest = PAGE.read_text().partition(BEGIN)
    listed, _, after = rest.partition(END)
    if os.environ.get("ACCEL_UPDATE_DOCS"):
        PAGE.write_text(before + BEGIN + _table() + END + after)
        listed = _table()
    assert listed == _table(), "the table is out of date: set ACCEL_UPDATE_DOCS=1 to write it anew"
