"""Which values of a network hold +1 and -1 alone, and which layers multiply them by binary weights."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple

import numpy as np

from accel.graph.network import Constant, Network, Node
from accel.graph.thresholds import MOST_TERMS, Affine
from accel.weights import Binary

Lookup = Callable[[str], Constant | None]
"""The constant of a name."""

COMPARISONS = {"GreaterOrEqual": (False, 1), "Greater": (True, 1), "LessOrEqual": (False, -1), "Less": (True, -1)}
"""Whether equality fails, and the sign of x in x - c >= 0 or c - x >= 0."""

_KEEPS = frozenset(
    {"MaxPool", "Reshape", "Flatten", "Transpose", "Squeeze", "Unsqueeze", "Identity", "Slice", "Gather"}
)
"""Operators whose results are elements of their first input."""


class Product(NamedTuple):
    """A layer with binary weights: y = n * scale + bias, where n is an integer if the layer's input holds signs."""

    weight: Binary  # outputs first
    affine: Affine
    terms: int  # n is in -terms..terms
    step: int  # 2 where n is odd or even as `terms` is: no zero padding is counted in


def product(node: Node, constant: Lookup) -> Product | None:
    """A Conv, Gemm or MatMul with binary weights and a constant bias for each output, or none."""
    if node.op not in ("Conv", "Gemm", "MatMul") or node.attributes.get("transA", 0) or node.input(3):
        return None
    rows = node.op == "Conv" or bool(node.attributes.get("transB", 0))
    weight = binary(constant(node.input(1)), rows)
    if weight is None or (node.op != "Conv" and weight.ndim != 2):
        return None
    terms, bias = int(np.prod(weight.shape[1:])), np.zeros(1)
    if node.input(2):
        found = constant(node.input(2))
        if not isinstance(found, np.ndarray) or found.dtype != np.float32 or found.ndim > 2:
            return None
        if found.size not in (1, weight.shape[0]) or (found.ndim and found.shape[-1] != found.size):
            return None
        bias = found.ravel().astype(np.float64)
    alpha, beta = (np.float64(node.attributes.get(name, 1.0)) for name in ("alpha", "beta"))
    exact = np.frexp(alpha)[0] == 0.5 and abs(np.frexp(beta)[0]) == 0.5  # products with powers of two are not rounded
    if not exact or not 0 < terms < MOST_TERMS:
        return None
    scale = np.ones(1) if weight.scale is None else weight.scale.astype(np.float64)
    affine = Affine(scale * alpha, np.ones(1), bias * beta)
    padded = any(node.attributes.get("pads") or ()) or node.attributes.get("auto_pad", "NOTSET") not in (
        "NOTSET", "VALID"
    )  # fmt: skip
    return Product(weight, affine, terms, 1 if padded else 2)


def binary(weight: Constant | None, rows: bool) -> Binary | None:
    """A constant as a binary weight equal to it, None where there is none. `rows`: its first axis is the outputs."""
    if isinstance(weight, Binary):
        if rows:
            return weight
        if weight.ndim != 2 or weight.scale is not None:
            return None
        return Binary.from_signs(np.ascontiguousarray(weight.signs().T))
    if not isinstance(weight, np.ndarray) or weight.dtype != np.float32 or weight.ndim < 2:
        return None
    return Binary.exactly(weight if rows else weight.T) if rows or weight.ndim == 2 else None


def counts(node: Node, constant: Lookup) -> bool:
    """Whether a product of signs ends in n + bias that is never 0: weights of +-1, biases of k + 1/2."""
    found = product(node, constant)
    if found is None or (found.affine.scale != 1).any() or "activation" in node.attributes:
        return False
    shift = found.affine.shift
    return bool((np.abs(shift) < MOST_TERMS).all() and (shift - np.floor(shift) == 0.5).all())


def holds_signs(node: Node, signs: Collection[str], maker: Callable[[str], Node | None], constant: Lookup) -> bool:
    """Whether the first output of `node` holds +1 and -1 alone, given the values before it that do."""
    if node.op == "Sign" and node.attributes.get("zero", 0):
        return True
    if node.op == "Sign":
        made_by = maker(node.inputs[0])
        return made_by is not None and made_by.inputs[0] in signs and counts(made_by, constant)
    if node.op == "Where":
        return all(_all_signs(constant(name)) for name in node.inputs[1:])
    if node.op == "Concat":
        return all(name in signs for name in node.inputs)
    if node.op == "Pad":
        mode, value = node.attributes.get("mode", "constant"), constant(node.input(2))
        return node.inputs[0] in signs and (mode != "constant" or _all_signs(value))
    return node.op in _KEEPS and node.inputs[0] in signs


def _all_signs(value: Constant | None) -> bool:
    return (
        isinstance(value, np.ndarray) and value.dtype == np.float32 and bool(value.size and (np.abs(value) == 1).all())
    )


def sign_values(network: Network, assumed: Collection[str] = ()) -> set[str]:
    """Names of the values that hold +1 and -1 alone if the inputs `assumed` do."""
    constants: Mapping[str, Constant] = network.constants
    signs, makers = set(assumed), network.producers()
    for node in network.nodes:
        fused = node.attributes.get("activation") == "Sign"  # only where it is never 0
        if fused or holds_signs(node, signs, makers.get, constants.get):
            signs.add(node.outputs[0])
    return signs


def sign_inputs(network: Network) -> list[str]:
    """Inputs of the network that would be bits if they held +1 and -1 alone: binary weights multiply them."""
    names = {value.name for value in network.inputs if value.dtype == np.float32}
    source = {name: name for name in names}
    found: dict[str, None] = {}
    for node in network.nodes:
        name = source.get(node.inputs[0], "") if node.inputs else ""
        if name and node.op in _KEEPS:
            source[node.outputs[0]] = name
        elif name and _exact_in_floats(product(node, network.constants.get)):
            found[name] = None
    return list(found)


def _exact_in_floats(made: Product | None) -> bool:
    """Whether sums of floats are exact as well, so that rows of a batch do not depend on what others hold."""
    if made is None:
        return False
    twice = 2 * made.affine.shift
    return bool((made.affine.scale == 1).all() and (twice == np.rint(twice)).all())
