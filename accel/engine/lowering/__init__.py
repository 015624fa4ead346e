"""How each operator becomes steps of a plan: native kernels where time is spent, NumPy for the rest."""

from accel.engine.builder import PlanBuilder
from accel.engine.lowering import (
    binary,
    circulant,
    codebook,
    convolution,
    elementwise,
    fastfood,
    hashed,
    layout,
    matrix,
    movement,
    pooling,
    resizing,
    softmax,
)
from accel.engine.lowering.convolution import conv_halo, makes_bands, pools_at_once
from accel.engine.lowering.table import lower
from accel.graph.network import Node

__all__ = [
    "binary",
    "circulant",
    "codebook",
    "conv_halo",
    "convolution",
    "elementwise",
    "fastfood",
    "hashed",
    "layout",
    "lower",
    "makes_bands",
    "makes_blocks",
    "makes_planes",
    "matrix",
    "movement",
    "pooling",
    "pools_at_once",
    "resizing",
    "softmax",
]


def makes_blocks(builder: PlanBuilder, node: Node) -> bool:
    """Whether the lowering of `node` writes its output in channel blocks."""
    return any(part.makes_blocks(builder, node) for part in (convolution, pooling, resizing))


def makes_planes(builder: PlanBuilder, node: Node) -> bool:
    """Whether the lowering of `node` writes its output in planes, and the next would like them there."""
    return convolution.makes_planes(builder, node) or pooling.keeps_planes(builder, node)
