"""Resize and Upsample of images over height and width, on channel blocks."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from accel.engine.builder import PlanBuilder
from accel.engine.lowering.table import lowers
from accel.graph.network import Node
from accel.layers.operators import resize

MOST_TAPS = 16
"""Cells that an output may be the sum of; more come from antialiasing, for which NumPy's pass per axis is faster."""


class _Table(NamedTuple):
    """Along one axis: the cells of each place of the output, and their weights, none for one cell."""

    cells: list[int]
    weights: list[float]
    taps: int = 1


def makes_blocks(builder: PlanBuilder, node: Node) -> bool:
    """Whether `node` is a resampling that the native kernel runs."""
    return node.op in ("Resize", "Upsample") and _tables(builder, node) is not None


def _tables(builder: PlanBuilder, node: Node) -> tuple[_Table, _Table] | None:
    """For height and width; None where the kernel does not take the node."""
    if not builder.is_float_image(node.inputs[0]) or not builder.is_float_image(node.outputs[0]):
        return None
    names = [node.input(i) for i in ((2, 1, 3) if node.op == "Upsample" else (1, 2, 3))]  # roi, scales, sizes
    rest = [builder.constant(name) if name else None for name in names]
    if any(name and value is None for name, value in zip(names, rest, strict=True)):
        return None
    shape = builder.spec(node.inputs[0]).shape
    samplings = resize.samplings(node.op, shape, rest, node.attributes)
    if samplings is None or not {s.axis for s in samplings} <= {2, 3}:
        return None
    tables = {axis: _Table(list(range(shape[axis])), []) for axis in (2, 3)}
    for s in samplings:
        weights = [] if s.weights is None else s.weights.astype(np.float32).ravel().tolist()
        tables[s.axis] = _Table(s.cells.ravel().tolist(), weights, s.cells.shape[1])
    return (tables[2], tables[3]) if tables[2].taps * tables[3].taps <= MOST_TAPS else None


@lowers("Resize", "Upsample")
def _resize(builder: PlanBuilder, node: Node) -> bool:
    tables = _tables(builder, node)
    if tables is None:
        return False
    x, y = builder.blocked(node.inputs[0]), builder.new_blocked(node.outputs[0])
    h, w = tables
    builder.native_step(
        "resize", str(node), [x], [y],
        lambda p, at: p.resize(x.map, at(x), y.map, at(y), h.cells, h.weights, w.cells, w.weights),
    )  # fmt: skip
    return True
