"""The rewrites of a network: `simplify` when it is loaded, `fuse` when the engine makes a plan."""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Mapping
from functools import partial

from accel.graph.binary import fold_thresholds, fuse_signs
from accel.graph.cleaning import (
    eliminate_dead,
    flush_denormals,
    fold_constants,
    remove_no_ops,
    share_constants,
    use_plain_names,
)
from accel.graph.early_signs import move_signs_up
from accel.graph.folding import fold_affine, fold_pads, matmul_to_gemm
from accel.graph.fusing import fuse_activations, fuse_gates, fuse_residuals
from accel.graph.limits import Limits
from accel.graph.network import Dim, Network
from accel.graph.shapes import infer_shapes, with_input_shapes

ACTIVATIONS = frozenset({"Relu", "Clip", "LeakyRelu", "Sigmoid", "HardSwish", "HardSigmoid", "Tanh", "Elu", "Swish"})
"""What `fuse` can make an attribute of a Conv or Gemm."""

_REWRITES: tuple[Callable[[Network], Network], ...] = (
    remove_no_ops,
    use_plain_names,
    move_signs_up,
    fold_thresholds,  # before others round what it follows exactly
    matmul_to_gemm,
    fold_pads,
    partial(fold_affine, consume=True),  # what is rewritten here is ours alone
    eliminate_dead,
)
_ROUNDS = 4
"""One pass can open the way for another. Real networks need two rounds; the bound keeps hostile ones from more."""


def simplify(network: Network, limits: Limits | None = None, *, consume: bool = False) -> Network:
    """The same function with fewer nodes, for good: outputs equal up to the rounding of folded weights.

    Parameters
    ----------
    network : Network, valid.
    limits : what folding may cost, see Limits.
    consume : the given network is of no use afterwards: its constants are let go as soon as others replace them.

    Raises
    ------
    ModelError  a node fails on its constants, or what it makes exceeds a limit.
    """
    given, network = network, eliminate_dead(network)
    if consume:
        given.constants.clear()
    for _ in range(_ROUNDS):
        count = len(network.nodes)
        network = fold_constants(network, limits)
        for rewrite in _REWRITES:
            network = rewrite(network)
        if len(network.nodes) == count:
            break
    return share_constants(flush_denormals(network))


def specialize(network: Network, shapes: Mapping[str, tuple[Dim, ...]]) -> Network:
    """The simplified network for inputs of the given shapes, whose computations of shapes are then constants."""
    return simplify(with_input_shapes(network, shapes))


def fuse(
    network: Network,
    shapes: Mapping[str, tuple[Dim, ...] | None] | None = None,
    *,
    activations: Container[str] = ACTIVATIONS,
    assumed: Collection[str] = (),
) -> Network:
    """Join operators into Conv and Gemm nodes that only the engine understands.

    A fused node has the attributes `activation`, the name of an operator, and `activation_params`, its numbers: Clip
    (min, max), LeakyRelu and Elu (alpha,), HardSigmoid (alpha, beta), others none. Swish is x * sigmoid(x). Conv
    may have a fourth input of its output's shape, added after the bias and before the activation. Binary layers:
    see `accel.graph.binary.fuse_signs`; their activation may be Sign.

    Parameters
    ----------
    network : Network, simplified.
    shapes : shape of each value, where known; None infers them. Without equal shapes a residual is not fused.
    activations : those that may be fused.
    assumed : inputs that hold +1 and -1 alone.
    """
    if shapes is None:
        shapes = infer_shapes(network)
    network = fuse_signs(fold_thresholds(network, assumed=assumed, packed=True), assumed)
    network = fuse_gates(network, activations)
    return eliminate_dead(fuse_activations(fuse_residuals(network, shapes), activations))
