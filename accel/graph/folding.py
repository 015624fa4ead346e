"""Passes that move arithmetic into weights: batch norm, scaling, bias and padding join the operator before them."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from accel.formats.pages import new_array
from accel.graph.draft import FLOATS, Draft
from accel.graph.facts import Fact
from accel.graph.network import Network, Node
from accel.graph.shapes import Facts


class Affine(NamedTuple):
    """y = scale * x + shift per channel, float64 vectors of one length or one element."""

    scale: np.ndarray
    shift: np.ndarray


def fold_affine(network: Network, *, consume: bool = False) -> Network:
    """Fold BatchNormalization and Add, Sub, Mul, Div by constants per channel into what makes their input.

    Into Conv, ConvTranspose, Gemm and BatchNormalization, when nothing else reads their output and their weight is a
    plain float array that nothing else reads. Computed in float64, rounded once. `consume` lets the given network
    forget each weight as soon as its successor is there.
    """
    draft = Draft(network, consume=consume)
    facts = draft.facts()
    with np.errstate(all="ignore"):
        for node in draft.nodes:
            target = _TARGETS.get(node.op)
            if target is not None and not draft.removed(node):
                _absorb(draft, facts, node, target)
    return draft.finish()


def _absorb(draft: Draft, facts: Facts, node: Node, target: Target) -> None:
    """Fold what follows `node` into it, as long as that goes."""
    while (tail := draft.only_reader(node.outputs[0])) is not None:
        affine = _affine(draft, tail, node.outputs[0], facts)
        if affine is None or not target(draft, node, affine):
            break
        _replace_tail(draft, node, tail)


def _replace_tail(draft: Draft, node: Node, tail: Node) -> None:
    output = tail.outputs[0]
    draft.remove(tail)
    draft.set_output(node, 0, output)


def _affine(draft: Draft, tail: Node, value: str, facts: Facts) -> Affine | None:
    """What `tail` does to `value`, if that is affine per channel."""
    fact = facts[value]
    rank = None if fact.shape is None else len(fact.shape)
    if rank is None or rank < 2 or fact.dtype not in FLOATS or any(tail.outputs[1:]):
        return None
    if tail.op == "BatchNormalization":
        return _batch_norm(draft, tail) if tail.inputs[0] == value else None
    if tail.op not in ("Add", "Sub", "Mul", "Div") or len(tail.inputs) != 2:
        return None
    first = tail.inputs[0] == value
    constant = draft.array(tail.inputs[1 if first else 0])
    if constant is None or constant.dtype != fact.dtype:
        return None
    vector = per_channel(constant, fact, rank)
    if vector is None:
        return None
    zero, one = np.zeros(1), np.ones(1)
    if tail.op == "Add":
        return Affine(one, vector)
    if tail.op == "Mul":
        return Affine(vector, zero)
    if tail.op == "Sub":
        return Affine(one, -vector) if first else Affine(-one, vector)
    return Affine(np.reciprocal(vector), zero) if first and np.all(vector != 0) else None


def per_channel(constant: np.ndarray, fact: Fact, rank: int) -> np.ndarray | None:
    """The constant as a float64 vector along axis 1, None when it varies along others or would widen the output."""
    if constant.ndim > rank or fact.shape is None:
        return None
    shape = (1,) * (rank - constant.ndim) + constant.shape
    if shape[1] not in (1, fact.shape[1]) or any(dim != 1 for dim in shape[:1] + shape[2:]):
        return None
    return constant.reshape(-1).astype(np.float64)


def _batch_norm(draft: Draft, node: Node) -> Affine | None:
    arrays = [draft.array(node.input(position)) for position in range(1, 5)]
    if node.attributes.get("training_mode", 0):
        return None
    vectors = [array.astype(np.float64) for array in arrays if array is not None and array.dtype in FLOATS]
    if len(vectors) != 4 or len({vector.shape for vector in vectors}) != 1 or vectors[0].ndim != 1:
        return None
    scale, shift, mean, variance = vectors
    factor = scale / np.sqrt(variance + node.attributes.get("epsilon", 1e-5))
    return Affine(factor, shift - mean * factor)


Target = Callable[[Draft, Node, Affine], bool]


def _into_conv(draft: Draft, node: Node, affine: Affine) -> bool:
    weight = draft.array(node.input(1))
    if weight is None or weight.ndim < 3:
        return False
    ones = (1,) * (weight.ndim - 2)
    if node.op == "Conv":
        return _rescale(draft, node, affine, weight, lambda scale: scale.reshape(-1, 1, *ones), weight.shape[0], 1.0)
    group = node.attributes.get("group", 1)
    if group < 1 or weight.shape[0] % group:
        return False

    def spread(scale: np.ndarray) -> np.ndarray:
        """Weights of a ConvTranspose are (in, out / group, ...), the inputs of one group after those of another."""
        rows = np.repeat(scale.reshape(group, -1), weight.shape[0] // group, axis=0)
        return rows.reshape(*rows.shape, *ones)

    return _rescale(draft, node, affine, weight, spread, weight.shape[1] * group, 1.0)


def _into_gemm(draft: Draft, node: Node, affine: Affine) -> bool:
    weight = draft.array(node.input(1))
    if weight is None or weight.ndim != 2:
        return False
    beta = float(node.attributes.get("beta", 1.0))
    rows = bool(node.attributes.get("transB"))
    channels = weight.shape[0 if rows else 1]
    if not _rescale(draft, node, affine, weight, lambda s: s[:, None] if rows else s, channels, beta):
        return False
    node.attributes.pop("beta", None)
    return True


def _rescale(
    draft: Draft,
    node: Node,
    affine: Affine,
    weight: np.ndarray,
    spread: Callable[[np.ndarray], np.ndarray],
    channels: int,
    beta: float,
) -> bool:
    """Put new weight and bias into a node with inputs (data, weight, bias); False when one is not ours to change.

    `spread` brings a vector of one number per output channel into a shape that broadcasts with the weight.
    """
    bias = np.zeros(1)
    if node.input(2):
        found = draft.array(node.input(2))
        if found is None or found.size not in (1, channels) or found.ndim > 2 or found.shape[:-1] not in ((), (1,)):
            return False
        bias = found.astype(np.float64).ravel() * beta
    if weight.dtype not in FLOATS or any(vector.size not in (1, channels) for vector in affine):
        return False
    scales = bool(np.any(affine.scale != 1))
    if scales and draft.only_reader(node.inputs[1]) is not node:
        return False
    shift = np.broadcast_to(bias * affine.scale + affine.shift, (channels,)).astype(weight.dtype)
    if scales:
        scale = np.broadcast_to(affine.scale, (channels,))
        changed = new_array(weight.shape, weight.dtype)
        np.multiply(weight, spread(scale), out=changed, dtype=np.float64, casting="same_kind")  # float64 in pieces
        old = node.inputs[1]
        draft.set_input(node, 1, draft.add_constant(old, changed))
        draft.drop_constant(old)
    if node.input(2) or np.any(shift != 0):
        draft.set_input(node, 2, draft.add_constant(node.input(2) or f"{node.outputs[0]}_bias", shift))
    return True


def _into_batch_norm(draft: Draft, node: Node, affine: Affine) -> bool:
    arrays = [draft.array(node.input(position)) for position in (1, 2)]
    if any(array is None or array.dtype not in FLOATS or array.ndim != 1 for array in arrays):
        return False
    if any(node.outputs[1:]) or node.attributes.get("training_mode", 0):
        return False
    scale, shift = (array for array in arrays if array is not None)
    if any(vector.size not in (1, scale.size) for vector in affine) or shift.shape != scale.shape:
        return False
    new = (scale * affine.scale, shift * affine.scale + affine.shift)
    for position, array in enumerate(new, 1):
        name = draft.add_constant(node.inputs[position], array.astype(scale.dtype))
        draft.set_input(node, position, name)
    return True


_TARGETS: dict[str, Target] = {
    "Conv": _into_conv,
    "ConvTranspose": _into_conv,
    "Gemm": _into_gemm,
    "BatchNormalization": _into_batch_norm,
}


def matmul_to_gemm(network: Network) -> Network:
    """MatMul of matrices followed by an Add of one row becomes Gemm."""
    draft = Draft(network)
    facts = draft.facts()
    for node in draft.nodes:
        if node.op != "MatMul" or [_rank(facts[name]) for name in node.inputs] != [2, 2]:
            continue
        tail = draft.only_reader(node.outputs[0])
        if tail is None or tail.op != "Add" or facts[node.outputs[0]].dtype not in FLOATS:
            continue
        other = tail.inputs[1 if tail.inputs[0] == node.outputs[0] else 0]
        bias, columns = draft.array(other), facts[node.outputs[0]].dims()[1]
        if bias is None or bias.dtype not in FLOATS or bias.shape not in ((), (1,), (1, 1), (columns,), (1, columns)):
            continue
        draft.set_input(node, 2, other)
        node.op = "Gemm"
        _replace_tail(draft, node, tail)
    return draft.finish()


def _rank(fact: Fact) -> int | None:
    return None if fact.shape is None else len(fact.shape)


def fold_pads(network: Network) -> Network:
    """Pad with zeros becomes the padding of the Conv, or of the AveragePool that counts padding, that reads it."""
    draft = Draft(network)
    for node in draft.nodes:
        if node.op != "Pad" or node.attributes.get("mode", "constant") != "constant":
            continue
        reader = draft.only_reader(node.outputs[0])
        pads = _zero_pads(draft, node)
        if reader is None or pads is None or reader.inputs[0] != node.outputs[0] or not _takes_pads(reader):
            continue
        old = reader.attributes.get("pads") or (0,) * len(pads)
        if len(old) != len(pads):
            continue
        reader.attributes.pop("auto_pad", None)
        reader.attributes["pads"] = tuple(a + b for a, b in zip(old, pads, strict=True))
        if reader.op == "AveragePool":
            reader.attributes["count_include_pad"] = 1
        draft.set_input(reader, 0, node.inputs[0])
        draft.remove(node)
    return draft.finish()


def _takes_pads(reader: Node) -> bool:
    get = reader.attributes.get
    explicit = get("auto_pad", "NOTSET") == "NOTSET" or (get("auto_pad") == "VALID" and not any(get("pads") or ()))
    if reader.op == "AveragePool":
        return explicit and not get("ceil_mode") and (bool(get("count_include_pad")) or not any(get("pads") or ()))
    return explicit and reader.op == "Conv"


def _zero_pads(draft: Draft, node: Node) -> tuple[int, ...] | None:
    """As `spatial_pads`, where it pads with zeros."""
    value = draft.array(node.input(2)) if node.input(2) else np.zeros(1)
    return None if value is None or np.any(value != 0) else spatial_pads(draft, node)


def spatial_pads(draft: Draft, node: Node) -> tuple[int, ...] | None:
    """Pads of the axes from 2 on, begins before ends; None unless it pads only them, by constants, with one value."""
    pads = draft.array(node.input(1))
    if node.attributes.get("mode", "constant") != "constant":
        return None
    if pads is None or node.input(3) or pads.size % 2 or pads.size < 6:
        return None
    begins, ends = pads.ravel().reshape(2, -1).tolist()
    if any(begins[:2] + ends[:2]) or min(begins + ends) < 0:
        return None
    return (*begins[2:], *ends[2:])
