"""The layer that a convolution is, and where the values around it lie: in planes or in channel blocks."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from accel.engine.builder import PlanBuilder
from accel.engine.shapes import Known, Spec, Window, window
from accel.engine.tuning import Choice, Layer
from accel.errors import ModelError
from accel.graph.network import Constant, Node
from accel.kernels._conv_cost import sparse_cycles
from accel.kernels.conv_native import Method
from accel.weights.zeros import few_values

_SURELY = 0.6  # of the dense cycles: what is measured is up to 1.3 times what is predicted


class Planned(NamedTuple):
    """A convolution that a native kernel runs: its geometry, and what computes it."""

    geometry: Window
    group: int
    output: tuple[int, int]
    choice: Choice

    @property
    def method(self) -> Method:
        return self.choice.method


def native_conv(known: Mapping[str, Known], node: Node) -> tuple[Constant, Layer] | None:
    """Weights and layer of a convolution that native kernels take."""
    x, w = known.get(node.inputs[0]), known.get(node.inputs[1])
    if not isinstance(x, Spec) or w is None or isinstance(w, Spec) or w.dtype != np.float32 or x.dtype != np.float32:
        return None
    if len(x.shape) != 4 or 0 in x.shape or 0 in w.shape or isinstance(known.get(node.input(2)), Spec):
        return None
    group = node.attributes.get("group", 1)
    if len(w.shape) != 4 or group < 1 or w.shape[0] % group or x.shape[1] != w.shape[1] * group:
        raise ModelError(f"weights of shape {w.shape} in {group} groups do not fit an input of shape {x.shape}")
    geometry = window(node.attributes, w.shape[2:], x.shape[2:])
    strides, pads, dilations = geometry.strides, geometry.pads, geometry.dilations
    return w, Layer(x.shape[1], (x.shape[2], x.shape[3]), w.shape, strides, pads, dilations, group)


def read_by_sparse(builder: PlanBuilder, node: Node) -> bool:
    """Whether only convolutions with few values read the result: they want planes, and blocks would be copied."""
    readers = builder.readers.get(node.outputs[0], [])
    weights = [builder.known.get(reader.inputs[1]) if reader.op == "Conv" else None for reader in readers]
    return all(w is not None and not isinstance(w, Spec) and few_values(w) is not None for w in weights)


def moved_behind(builder: PlanBuilder, node: Node) -> int:
    """Floats of an image that are moved where the result, in planes, is concatenated with others in blocks: these
    become planes, then the whole is put together and, unless its readers want planes, brought into blocks again."""
    readers = builder.readers.get(node.outputs[0], [])
    if len(readers) != 1 or readers[0].op != "Concat" or not builder.is_float_image(readers[0].outputs[0]):
        return 0
    whole = readers[0].outputs[0]
    others = [name for name in readers[0].inputs if name != node.outputs[0] and isinstance(builder.known[name], Spec)]
    moved = sum(_floats(builder, name) for name in others if not _lies_in_planes(builder, name))
    if moved == 0 or all(_lies_in_planes(builder, n.outputs[0]) for n in builder.readers.get(whole, [])):
        return moved
    return moved + 2 * _floats(builder, whole)


def _floats(builder: PlanBuilder, name: str) -> int:
    """Of one image."""
    return math.prod(builder.spec(name).shape[1:])


def _lies_in_planes(builder: PlanBuilder, name: str) -> bool:
    """Whether a value is in planes or, of a convolution that is not decided yet, surely will be."""
    maker = builder.makers.get(name)
    if name in builder.planes or maker is None or maker.op != "Conv" or name in builder.convolutions:
        return name in builder.planes
    found = native_conv(builder.known, maker)
    values = None if found is None else few_values(found[0])
    if found is None or values is None:
        return False
    layer = found[1]
    return sparse_cycles(layer.w_shape, layer.output, values) < _SURELY * layer.promising(1.0)[0][1]
