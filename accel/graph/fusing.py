"""Passes for the engine's plan: residual adds and activations join the Conv or Gemm before them."""

from __future__ import annotations

import math
from collections.abc import Container, Mapping

import numpy as np

from accel.graph.draft import FLOATS, Draft
from accel.graph.network import Dim, Network, Node
from accel.graph.shapes import same_shape

RESIDUAL = 3
"""Position of the residual among the inputs of a Conv."""

_HOSTS = ("Conv", "Gemm")

FUSED = frozenset(("activation", "activation_params", "pad_value", "zero"))
"""Attributes that only fused nodes have."""

GATES = {"Sigmoid": "Swish", "HardSigmoid": "HardSwish"}
"""x * gate(x) is the activation on the right; HardSigmoid with 1/6 and 1/2."""


def is_fused(node: Node) -> bool:
    """Whether a node means more than the ONNX operator of its name."""
    return node.op in (*_HOSTS, "Sign") and (not FUSED.isdisjoint(node.attributes) or bool(node.input(RESIDUAL)))


def _any_of(network: Network, ops: Container[str]) -> bool:
    """Whether there is a node to look at: a Draft of all of them takes longer than the rest of a pass."""
    return any(node.op in ops for node in network.nodes)


def fuse_gates(network: Network, activations: Container[str]) -> Network:
    """x * gate(x) becomes one activation where a Conv or Gemm makes x that can then take it in."""
    if not _any_of(network, GATES):
        return network
    draft = Draft(network)
    for node in draft.nodes:
        whole = GATES.get(node.op)
        if whole is None or whole not in activations or not _standard(node):
            continue
        source, product = node.inputs[0], draft.only_reader(node.outputs[0])
        maker = draft.maker(source)
        if product is None or product.op != "Mul" or maker is None or source in draft.outputs:
            continue
        if sorted(product.inputs) != sorted((source, node.outputs[0])) or len(draft.readers(source)) != 2:
            continue
        if maker.op in _HOSTS and "activation" not in maker.attributes:
            output = product.outputs[0]
            draft.remove(product)
            draft.set_output(node, 0, output)
            node.op, node.attributes = whole, {}
    return draft.finish()


def _standard(node: Node) -> bool:
    if node.op != "HardSigmoid":
        return True
    # A float32 attribute cannot hold 1/6.
    alpha, beta = node.attributes.get("alpha", 0.2), node.attributes.get("beta", 0.5)
    return math.isclose(alpha, 1 / 6, rel_tol=1e-7) and beta == 0.5


def fuse_residuals(network: Network, shapes: Mapping[str, tuple[Dim, ...] | None]) -> Network:
    """Conv followed by the Add of a value of equal shape takes that value as an input, and the place of the Add."""
    if not _any_of(network, ("Add",)):
        return network
    draft = Draft(network)
    for add in list(draft.nodes):
        if add.op != "Add" or not same_shape(*(shapes.get(name) for name in add.inputs)):
            continue
        # The later of two candidates stays where it is: what the other makes is there already.
        for value, other in sorted((add.inputs, add.inputs[::-1]), key=lambda pair: -draft.place(pair[0])):
            conv = draft.maker(value)
            if conv is not None and _takes_residual(draft, conv, value, add):
                draft.put_at(conv, add)
                draft.set_input(conv, RESIDUAL, other)
                break
    return draft.finish()


def _takes_residual(draft: Draft, conv: Node, value: str, add: Node) -> bool:
    free = conv.op == "Conv" and "activation" not in conv.attributes and not conv.input(RESIDUAL)
    return free and draft.only_reader(value) is add


def fuse_activations(network: Network, activations: Container[str]) -> Network:
    """An activation that alone reads the output of a Conv or Gemm becomes an attribute of it."""
    draft = Draft(network)
    for node in draft.nodes:
        if node.op not in _HOSTS or "activation" in node.attributes:
            continue
        tail = draft.only_reader(node.outputs[0])
        if tail is None or tail.op not in activations or tail.inputs[0] != node.outputs[0] or any(tail.outputs[1:]):
            continue
        parameters = _activation(draft, tail)
        if parameters is None:
            continue
        output = tail.outputs[0]
        draft.remove(tail)
        draft.set_output(node, 0, output)
        node.attributes.update(activation=tail.op, activation_params=parameters)
    return draft.finish()


def _activation(draft: Draft, node: Node) -> tuple[float, ...] | None:
    """The numbers of an activation, None when the node is not one that can be fused."""
    get = node.attributes.get
    if node.op in ("Relu", "Sigmoid", "Tanh", "HardSwish"):
        return ()
    if node.op == "Swish":
        return () if get("alpha", 1.0) == 1.0 else None
    if node.op == "LeakyRelu":
        return (float(get("alpha", 0.01)),)
    if node.op == "Elu":
        return (float(get("alpha", 1.0)),)
    if node.op == "HardSigmoid":
        return (float(get("alpha", 0.2)), float(get("beta", 0.5)))
    if node.op == "Clip":
        bounds = (_bound(draft, node.input(1), -math.inf), _bound(draft, node.input(2), math.inf))
        return None if None in bounds else tuple(bound for bound in bounds if bound is not None)
    return None


def _bound(draft: Draft, name: str, default: float) -> float | None:
    if not name:
        return default
    array = draft.array(name)
    if array is None or array.size != 1 or array.dtype not in FLOATS or np.isnan(array).any():
        return None
    return float(array.ravel()[0])
