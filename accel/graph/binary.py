"""Binary layers: batch norm and sign behind a product of signs become an integer threshold."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, NamedTuple

import numpy as np

from accel.graph import signs as known
from accel.graph import thresholds
from accel.graph.draft import FLOATS, Draft
from accel.graph.facts import Fact
from accel.graph.folding import per_channel, spatial_pads
from accel.graph.network import Constant, Network, Node
from accel.graph.shapes import Facts
from accel.graph.thresholds import Affine, Chain, Norm, Sign, Thresholds
from accel.weights import Binary


class _Tail(NamedTuple):
    """What follows a product until a sign."""

    chain: Chain
    nodes: list[Node]  # between the product and the last node, which makes the signs
    pool: Node | None  # of `nodes`, if any
    last: Node
    rule: Sign


def fold_thresholds(network: Network, *, assumed: Collection[str] = (), packed: bool = False) -> Network:
    """Products of signs by binary weights, followed by a sign, become n + bias with biases of k + 1/2, then Sign.

    What lies between (BatchNormalization, Add, Sub, Mul, Div by constants per channel, Clip or Tanh around 0, MaxPool
    where every channel grows) and the scales of the weights go into the integer threshold k; channels whose sign
    falls as n grows get their weights turned around. The signs are those of exact arithmetic over the file's numbers,
    so a Sign is taken only where 0 cannot occur.

    Parameters
    ----------
    assumed : inputs of the network that hold +1 and -1 alone.
    packed : changed weights become `Binary`; else arrays.
    """
    if not _makes_signs(network):
        return network
    draft = Draft(network)
    facts = draft.facts()
    signs = set(assumed)
    for node in draft.nodes:
        if draft.removed(node):
            continue
        if node.inputs and node.inputs[0] in signs:
            _fold(draft, facts, node, packed)
        if known.holds_signs(node, signs, draft.maker, draft.constants.get):
            signs.add(node.outputs[0])
    return draft.finish()


def _makes_signs(network: Network) -> bool:
    return any(node.op in ("Sign", "Where") for node in network.nodes)


def _fold(draft: Draft, facts: Facts, node: Node, packed: bool) -> None:
    product = known.product(node, draft.constants.get)
    if product is None or "activation" in node.attributes:
        return
    tail = _tail(draft, facts, node, product)
    if tail is None or (not tail.nodes and tail.last.op == "Sign" and known.counts(node, draft.constants.get)):
        return
    found = thresholds.find(tail.chain, product.terms, tail.rule, product.step)
    if found is None or (tail.pool is not None and found.flipped.any()):
        return
    if node.op == "MatMul" and len(facts[node.inputs[0]].shape or ()) != 2:
        return
    _rewrite(draft, node, tail, product, found, packed)


def _tail(draft: Draft, facts: Facts, node: Node, product: known.Product) -> _Tail | None:
    """The steps from a product to a sign, each read by the next alone; None where there are others."""
    chain, pool = Chain(product.weight.shape[0]), None
    nodes: list[Node] = []
    if not chain.then(product.affine):
        return None
    value, around_zero = node.outputs[0], False
    while (reader := draft.only_reader(value)) is not None:
        sign = _sign(draft, facts, reader, value)
        if sign is not None:
            last, rule, shift = sign
            if around_zero and shift is not None:
                return None
            fits = shift is None or chain.then(shift)
            return _Tail(chain, nodes if last is reader else [*nodes, reader], pool, last, rule) if fits else None
        if reader.op == "MaxPool" and pool is None and not any(reader.outputs[1:]):
            pool = reader
            if (chain.direction() < 0).any():
                return None
        elif _keeps_sign(draft, reader, value):
            around_zero = True
        else:
            step = None if around_zero else _step(draft, facts, reader, value)
            if step is None or not chain.then(step):
                return None
        nodes.append(reader)
        value = reader.outputs[0]
    return None


def _keeps_sign(draft: Draft, node: Node, value: str) -> bool:
    """Whether `node` leaves signs and zeros as they are: Tanh, or Clip with bounds on either side of 0."""
    if node.op != "Clip":
        return node.op in ("Tanh", "Identity")
    bounds = [draft.array(node.input(i)) if node.input(i) else np.array([side]) for i, side in ((1, -1.0), (2, 1.0))]
    low, high = (None if b is None or b.size != 1 else float(b.ravel()[0]) for b in bounds)
    return node.inputs[0] == value and low is not None and high is not None and low < 0 < high


def _step(draft: Draft, facts: Facts, node: Node, value: str) -> Affine | Norm | None:
    fact, one, zero = facts[value], np.ones(1), np.zeros(1)
    if fact.dtype != np.float32 or any(node.outputs[1:]):
        return None
    if node.op == "BatchNormalization":
        return _norm(draft, node) if node.inputs[0] == value else None
    if node.op not in ("Add", "Sub", "Mul", "Div"):
        return None
    first = node.inputs[0] == value
    vector = _vector(draft, node.inputs[1 if first else 0], fact)
    if vector is None or (node.op == "Div" and not first):
        return None
    if node.op == "Add":
        return Affine(one, one, vector)
    if node.op == "Sub":
        return Affine(one, one, -vector) if first else Affine(-one, one, vector)
    return Affine(vector, one, zero) if node.op == "Mul" else Affine(one, vector, zero)


def _vector(draft: Draft, name: str, fact: Fact) -> np.ndarray | None:
    """A constant of one number a channel, or one for all."""
    constant = draft.array(name)
    if constant is None or constant.dtype != np.float32 or fact.shape is None or len(fact.shape) < 2:
        return None
    return per_channel(constant, fact, len(fact.shape))


def _norm(draft: Draft, node: Node) -> Norm | None:
    arrays = [draft.array(node.input(position)) for position in range(1, 5)]
    vectors = [a.astype(np.float64) for a in arrays if a is not None and a.dtype in FLOATS and a.ndim == 1]
    if len(vectors) != 4 or len({v.size for v in vectors}) != 1 or node.attributes.get("training_mode", 0):
        return None
    gamma, beta, mean, variance = vectors
    return Norm(gamma, beta, mean, variance, float(node.attributes.get("epsilon", 1e-5)))


def _sign(draft: Draft, facts: Facts, node: Node, value: str) -> tuple[Node, Sign, Affine | None] | None:
    """The node that makes +1 and -1 of `value`, by which rule, and of which affine function of the value.

    Either ONNX's Sign, or Where of a comparison with a constant, of which `node` is the comparison.
    """
    if node.op == "Sign":
        return (node, Sign(strict=True, zero=True), None) if not node.attributes else None
    where = draft.only_reader(node.outputs[0]) if node.op in known.COMPARISONS else None
    if where is None or where.op != "Where" or where.inputs[0] != node.outputs[0]:
        return None
    levels = [draft.array(name) for name in where.inputs[1:]]
    if any(level is None or level.dtype != np.float32 or level.size != 1 for level in levels):
        return None
    yes, no = (float(level.ravel()[0]) for level in levels if level is not None)
    first = node.inputs[0] == value
    constant = _vector(draft, node.inputs[1 if first else 0], facts[value])
    if constant is None or (yes, no) not in ((1, -1), (-1, 1)) or facts[where.outputs[0]].shape != facts[value].shape:
        return None
    strict, side = known.COMPARISONS[node.op]
    side = side if first else -side
    shift = None if side > 0 and not constant.any() else Affine(np.array([float(side)]), np.ones(1), -side * constant)
    return where, Sign(strict, inverted=yes < 0), shift


def _rewrite(draft: Draft, node: Node, tail: _Tail, product: known.Product, found: Thresholds, packed: bool) -> None:
    """The product with turned weights and half-integer biases, a Sign, then the pooling if there is one."""
    weight = product.weight
    if weight.scale is not None or found.flipped.any() or node.op == "MatMul":
        signs = Binary(weight.bits, weight.shape).flipped(found.flipped)
        made: Constant = signs if packed else signs.dense()
        draft.set_input(node, 1, draft.add_constant(f"{node.outputs[0]}_signs", made))
        if node.op != "Conv":
            node.attributes["transB"] = 1
    if node.op == "MatMul":
        node.op = "Gemm"
    for name in ("alpha", "beta"):
        node.attributes.pop(name, None)
    bias = (0.5 - found.at).astype(np.float32)
    draft.set_input(node, 2, draft.add_constant(f"{node.outputs[0]}_threshold", bias))
    chain = [*tail.nodes, tail.last]
    for between in chain[1:-1] if tail.pool is not None else chain[:-1]:
        draft.remove(between)
    if tail.pool is None:
        _become(draft, tail.last, "Sign", node.outputs[0], {})
        return
    attributes = dict(tail.pool.attributes)
    _become(draft, chain[0], "Sign", node.outputs[0], {})
    _become(draft, tail.last, "MaxPool", chain[0].outputs[0], attributes)


def _become(draft: Draft, node: Node, op: str, source: str, attributes: dict[str, Any]) -> None:
    node.op, node.attributes = op, attributes
    draft.set_input(node, 0, source)
    for position in range(1, len(node.inputs)):
        draft.set_input(node, position, "")


def fuse_signs(network: Network, assumed: Collection[str] = ()) -> Network:
    """What the engine computes on bits, in a network whose thresholds are folded.

    Where(x >= 0, 1, -1) becomes Sign with the attribute `zero`, and takes in batch norm and the like before it as two
    more inputs, per channel: the threshold, and whether the sign is +1 below it. A Sign that alone reads a product of
    signs becomes its `activation`, a Pad of signs by +1 or -1 the `pad_value` of the Conv that alone reads it.
    """
    if not _makes_signs(network):
        return network
    draft = Draft(network)
    facts, signs = draft.facts(), known.sign_values(network, assumed)
    for node in draft.nodes:
        if draft.removed(node):
            continue
        if node.op == "Where":
            _fuse_where(draft, facts, node)
        elif node.op == "Pad" and node.inputs[0] in signs:
            _fuse_pad(draft, node)
        elif node.op == "Sign" and node.outputs[0] in signs and not node.attributes:
            maker = draft.maker(node.inputs[0])
            if maker is not None and draft.only_reader(node.inputs[0]) is node and maker.op in ("Conv", "Gemm"):
                output = node.outputs[0]
                draft.remove(node)
                draft.set_output(maker, 0, output)
                maker.attributes.update(activation="Sign", activation_params=())
    return draft.finish()


def _fuse_where(draft: Draft, facts: Facts, node: Node) -> None:
    condition = draft.maker(node.inputs[0])
    if condition is None or condition.op != "GreaterOrEqual" or draft.only_reader(node.inputs[0]) is not node:
        return
    x, level = condition.inputs
    wanted = zip((level, *node.inputs[1:]), (0, 1, -1), strict=True)
    if x not in draft.constants and all(_is_scalar(draft.array(name), number) for name, number in wanted):
        draft.remove(condition)
        _become(draft, node, "Sign", x, {"zero": 1})
        _fuse_affine(draft, facts, node)


def _fuse_affine(draft: Draft, facts: Facts, node: Node) -> None:
    """What is done to each channel of an image before a Sign with `zero` becomes its threshold, in exact arithmetic."""
    value, steps, nodes = node.inputs[0], list[Affine | Norm](), list[Node]()
    reader, shape = node, facts[node.inputs[0]].shape
    if shape is None or len(shape) != 4 or not isinstance(shape[1], int):
        return
    while (maker := draft.maker(value)) is not None and draft.only_reader(value) is reader:
        sources = [name for name in maker.inputs[:2] if name not in draft.constants]
        step = _step(draft, facts, maker, sources[0]) if len(sources) == 1 else None
        if step is None or facts[sources[0]].shape != shape:
            break
        value, reader = sources[0], maker
        steps.insert(0, step)
        nodes.append(maker)
    chain = Chain(shape[1])
    if not steps or not all(chain.then(step) for step in steps):
        return
    found = thresholds.find_real(chain)
    for maker in nodes:
        draft.remove(maker)
    draft.set_input(node, 0, value)
    for position, vector in enumerate(found, 1):
        draft.set_input(node, position, draft.add_constant(f"{node.outputs[0]}_threshold", vector))


def _is_scalar(array: np.ndarray | None, number: int) -> bool:
    return (
        array is not None and array.dtype == np.float32 and array.shape in ((), (1,)) and float(array.item()) == number
    )


def _fuse_pad(draft: Draft, node: Node) -> None:
    reader, value = draft.only_reader(node.outputs[0]), draft.array(node.input(2))
    pads = spatial_pads(draft, node)
    free = reader is not None and reader.op == "Conv" and reader.inputs[0] == node.outputs[0]
    if reader is None or not free or value is None or pads is None or any(reader.attributes.get("pads") or ()):
        return
    if reader.attributes.get("auto_pad", "NOTSET") not in ("NOTSET", "VALID") or "pad_value" in reader.attributes:
        return
    if known.product(reader, draft.constants.get) is None and "activation" not in reader.attributes:
        return
    reader.attributes.pop("auto_pad", None)
    reader.attributes.update(pads=pads, pad_value=int(value.item()))
    draft.set_input(reader, 0, node.inputs[0])
    draft.remove(node)
