"""Passes that take out what does nothing: constants that can be computed, operators without effect, unused parts."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from accel.errors import ModelError
from accel.graph.draft import FLOATS, Draft
from accel.graph.facts import Fact, Shape
from accel.graph.limits import Limits
from accel.graph.network import Constant, Network, Node
from accel.graph.shapes import Facts, infer, known_facts
from accel.layers.operators import Operator, registry

FOLD_BYTES = 1 << 20
"""Folding may always make a constant of this size, a larger one only when it is no larger than what it is made of."""

_SPARE_BYTES = 64 << 20
"""All folding together may add this to the size of the constants the network came with."""

# Only these are folded: cheap for the size of their output, which shape inference knows before it is made.
_FOLDED = frozenset(
    """
    Abs Acos Acosh Add And ArgMax ArgMin Asin Asinh Atan Atanh BitwiseAnd BitwiseOr BitwiseXor Cast Ceil Celu Clip
    Concat ConstantOfShape Cos Cosh CumSum Div Elu Equal Erf Exp Expand Flatten Floor Gather Greater GreaterOrEqual
    HardSigmoid HardSwish Identity IsInf IsNaN LeakyRelu Less LessOrEqual Log Max Mean Min Mod Mul Neg Not Or Pad Pow
    Range Reciprocal ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd
    ReduceSum ReduceSumSquare Relu Reshape Round ScatterElements ScatterND Sigmoid Sign Sin Sinh Slice Softmax
    Softplus Softsign Split Sqrt Squeeze Sub Sum Tan Tanh Tile Transpose Trilu Unsqueeze Where Xor
    """.split()  # noqa: SIM905  a literal list would take a line per name
)


_OPTIONAL_OUTPUTS = frozenset(("BatchNormalization", "Dropout", "LayerNormalization", "MaxPool"))
"""Operators whose outputs after the first may be left out."""


def eliminate_dead(network: Network) -> Network:
    """Take out nodes, constants and optional outputs that no output of the network needs."""
    needed = {value.name for value in network.outputs}
    nodes = []
    for node in reversed(network.nodes):
        if not any(name and name in needed for name in node.outputs):
            continue
        if node.op in _OPTIONAL_OUTPUTS and not needed.intersection(node.outputs[1:]) and len(node.outputs) > 1:
            node = node.copy()
            del node.outputs[1:]
        needed.update(node.inputs)
        nodes.append(node)
    constants = {name: value for name, value in network.constants.items() if name in needed}
    return network.replace(nodes=nodes[::-1], constants=constants)


def fold_constants(network: Network, limits: Limits | None = None) -> Network:
    """Compute every node whose inputs are all constants, and Shape and Size of values of known shape.

    Raises
    ------
    ModelError  a node fails on its constants, or a weight it stands for exceeds `limits`.
    """
    limits = limits or Limits()
    table = registry()
    constants = dict(network.constants)
    facts = known_facts(network.inputs, constants)
    total = sum(constant.nbytes for constant in constants.values())
    budget = _Budget(limits, limits.max_total_bytes - total, _SPARE_BYTES + total)
    nodes = []
    for node in network.nodes:
        inferred = infer(node, [facts[name] for name in node.inputs])
        arrays = _folded(node, table.get(node.op), inferred, constants, budget)
        if arrays is None:
            nodes.append(node)
            facts.note(node, inferred)
            continue
        for name, array in zip(node.outputs, arrays, strict=False):
            constants[name] = array
            facts.add_constant(name, array)
    return network.replace(nodes=nodes, constants=constants)


@dataclass(slots=True)
class _Budget:
    """Bytes that are left: in all, and for what only saves time."""

    limits: Limits
    total: int
    spare: int

    def allows(self, node: Node, size: int, source: int) -> bool:
        """Take `size` bytes made of `source` bytes, if there are as many."""
        if node.op == "ConstantOfShape":
            # It stands for a weight or bias that the file need not hold; leaving it to run would not make it smaller.
            limit = "max_tensor_bytes" if size > self.limits.max_tensor_bytes else "max_total_bytes"
            if size > min(self.limits.max_tensor_bytes, self.total):
                allowed = getattr(self.limits, limit)
                raise ModelError(f"{node}: asks for {size} bytes, Limits.{limit} = {allowed} leaves fewer")
        elif size > min(self.total, self.spare, max(FOLD_BYTES, source)):
            return False
        else:
            self.spare -= size
        self.total -= size
        return True


def _folded(
    node: Node, operator: Operator | None, inferred: list[Fact], constants: dict[str, Constant], budget: _Budget
) -> list[np.ndarray] | None:
    """Outputs of a node that is constant, None for one that is not or that is better left to run."""
    if node.op in ("Shape", "Size") and inferred and inferred[0].value is not None:
        return [inferred[0].value]
    if operator is None or operator.dynamic or node.op not in _FOLDED:
        return None
    inputs = [constants.get(name) for name in node.inputs]
    if any(name and not isinstance(array, np.ndarray) for name, array in zip(node.inputs, inputs, strict=True)):
        return None
    size = _output_bytes(node, inferred)
    if size is None or not budget.allows(node, size, sum(array.nbytes for array in inputs if array is not None)):
        return None
    return _evaluate(node, operator, inputs)


def _output_bytes(node: Node, inferred: list[Fact]) -> int | None:
    """Bytes of all outputs, None when any is unknown."""
    if len(inferred) < len(node.outputs):
        return None
    sizes = [_bytes(fact) for fact in inferred[: len(node.outputs)]]
    return None if None in sizes else sum(size for size in sizes if size is not None)


def _bytes(fact: Fact) -> int | None:
    shape = fact.shape
    if shape is None or fact.dtype is None or not all(isinstance(dim, int) for dim in shape):
        return None
    return fact.dtype.itemsize * math.prod(dim for dim in shape if isinstance(dim, int))


def _evaluate(node: Node, operator: Operator, inputs: list[Any]) -> list[np.ndarray]:
    try:
        results = operator(inputs, node.attributes, len(node.outputs))
    except ModelError as error:
        raise type(error)(f"{node}: fails on its constant inputs: {error}") from None
    # A result may be a view, strided or of a whole larger array; a constant owns its memory.
    return [np.array(result, order="C") if result.base is not None else result for result in results]


def remove_no_ops(network: Network) -> Network:
    """Take out operators that give back their input."""
    draft = Draft(network)
    facts = draft.facts()
    for node in draft.nodes:
        test = _NO_OPS.get(node.op)
        if test is not None and not any(node.outputs[1:]) and test(draft, facts, node):
            draft.bypass(node, node.inputs[0])
    return draft.finish()


def _always(draft: Draft, facts: Facts, node: Node) -> bool:
    return True


def _dropout(draft: Draft, facts: Facts, node: Node) -> bool:
    mode = node.input(2)
    training = draft.array(mode) if mode else np.False_
    return training is not None and not np.any(training)


def _single(draft: Draft, facts: Facts, node: Node) -> bool:
    return len(node.inputs) == 1


def _cast(draft: Draft, facts: Facts, node: Node) -> bool:
    before, after = facts[node.inputs[0]].dtype, facts[node.outputs[0]].dtype
    return before is not None and before == after


def _same_shape(draft: Draft, facts: Facts, node: Node) -> bool:
    """A new shape that is the old one: at most one dim need be unknown, all others then fix it."""
    before, after = facts[node.inputs[0]].shape, facts[node.outputs[0]].shape
    return _equal(before, after) or (node.op == "Reshape" and _keeps_shape(draft, node, before))


def _equal(before: Shape, after: Shape) -> bool:
    return before is not None and before == after and before.count(None) == 0


def _keeps_shape(draft: Draft, node: Node, before: Shape) -> bool:
    target = draft.array(node.input(1))
    if target is None or before is None or len(before) != target.size or node.attributes.get("allowzero"):
        return False
    fixed = [size == 0 or (size > 0 and size == dim) for size, dim in zip(target.tolist(), before, strict=True)]
    return fixed.count(False) == 0 or (fixed.count(False) == 1 and -1 in target and 0 not in before)


def _pad(draft: Draft, facts: Facts, node: Node) -> bool:
    pads = draft.array(node.input(1))
    return pads is not None and not np.any(pads)


def _transpose(draft: Draft, facts: Facts, node: Node) -> bool:
    order = node.attributes.get("perm")
    return order is not None and tuple(order) == tuple(range(len(order)))


_NO_OPS = {
    "Identity": _always,
    "Dropout": _dropout,
    "Sum": _single,
    "Max": _single,
    "Min": _single,
    "Mean": _single,
    "Concat": _single,
    "Cast": _cast,
    "Reshape": _same_shape,
    "Flatten": _same_shape,
    "Expand": _same_shape,
    "Pad": _pad,
    "Transpose": _transpose,
}


def use_plain_names(network: Network) -> Network:
    """Say the same with fewer operators: a Sum of two is an Add."""
    nodes = [
        Node("Add", node.inputs, node.outputs, {}, node.name) if node.op == "Sum" and len(node.inputs) == 2 else node
        for node in network.nodes
    ]
    return network.replace(nodes=nodes)


_CHUNK = 1 << 18
"""Numbers looked at together, so that what is made of them stays in the cache."""


def flush_denormals(network: Network) -> Network:
    """Set denormal numbers in weights to zero: they cost time and change no result that a weight can change."""
    changed: dict[str, np.ndarray] = {}
    for node in network.nodes:
        if node.op not in ("Conv", "ConvTranspose", "Gemm", "MatMul", "BatchNormalization"):
            continue
        for name in node.inputs:
            array = network.constants.get(name)
            if isinstance(array, np.ndarray) and array.dtype in FLOATS and name not in changed:
                flat = array.reshape(-1)
                if any(_denormal(flat[at : at + _CHUNK]).any() for at in range(0, flat.size, _CHUNK)):
                    changed[name] = np.where(_denormal(array), np.zeros((), array.dtype), array)
                    changed[name].setflags(write=False)
    return network.with_constants({**changed}) if changed else network


def _denormal(array: np.ndarray) -> np.ndarray:
    """Where an array is neither zero nor normal: its magnitude as an integer, less one, is below the least normal."""
    bits = array.view(f"u{array.itemsize}")
    sign, smallest = bits.dtype.type(1 << (8 * array.itemsize - 1)), np.finfo(array.dtype).smallest_normal
    found: np.ndarray = (bits & ~sign) - bits.dtype.type(1) < smallest.view(bits.dtype) - bits.dtype.type(1)
    return found


def _sample(array: np.ndarray) -> bytes:
    """A few of the numbers: most arrays that differ, differ there, and need no digest."""
    flat = array.reshape(-1)
    return flat[:: max(flat.size // 16, 1)].tobytes()


def share_constants(network: Network) -> Network:
    """Keep one of several equal constants."""
    alike: dict[tuple[Any, ...], dict[str, np.ndarray]] = {}
    for name, constant in network.constants.items():
        if isinstance(constant, np.ndarray):
            alike.setdefault((constant.dtype, constant.shape, _sample(constant)), {})[name] = constant
    replaced: dict[str, str] = {}
    for group in alike.values():
        kept: dict[bytes, str] = {}
        for name, array in group.items() if len(group) > 1 else ():
            first = kept.setdefault(hashlib.sha256(np.ascontiguousarray(array).data).digest(), name)
            if first != name:
                replaced[name] = first
    if not replaced:
        return network
    nodes = [node.copy() for node in network.nodes]
    for node in nodes:
        node.inputs = [replaced.get(name, name) for name in node.inputs]
    outputs = {value.name for value in network.outputs}
    constants = {n: c for n, c in network.constants.items() if n not in replaced or n in outputs}
    return network.replace(nodes=nodes, constants=constants)
