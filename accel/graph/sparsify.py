"""Zeros found: weights that are half zeros or more, as sparse weights."""

from __future__ import annotations

import numpy as np

from accel.graph.network import Constant, Network, Node
from accel.weights import Codebook, Csr, CsrCodebook

SHARE = 0.5
"""From this share of zeros on a weight becomes sparse: about where it takes less memory in every form."""

SAMPLE = 4096
"""Elements looked at before all are counted: of most weights they tell, and dense ones are the most there are."""

_MARGIN = 0.05
"""Where a sample this far from SHARE is believed: six standard deviations of a random pattern."""


def sparsify(network: Network) -> Network:
    """The same function with `Csr` and `CsrCodebook` weights for float32 arrays and `Codebook`s of many zeros.

    Taken are constants that are nothing but weights of Conv and of Gemm with transB, whose first axis is the outputs.
    Weights stored as (in, out), those of MatMul and of Gemm without transB, stay: their rows are inputs. Values are
    the same bit by bit but for -0.0.
    """
    changed: dict[str, Constant] = {}
    for name in weights_only(network):
        weight = network.constants[name]
        if isinstance(weight, Codebook):
            if weight.codebook.ndim == 1 and _is_sparse(weight.codes, (weight.codebook == 0)):
                changed[name] = CsrCodebook.from_codebook(weight)
        elif isinstance(weight, np.ndarray) and weight.dtype == np.float32 and weight.ndim >= 2 and _is_sparse(weight):
            changed[name] = Csr.from_dense(np.ascontiguousarray(weight))
    return network.with_constants(changed) if changed else network


def weights_only(network: Network) -> list[str]:
    """Constants that are read as weights with the outputs first, and as nothing else."""
    weights: dict[str, None] = {}
    others = {value.name for value in network.outputs}
    for node in network.nodes:
        for at, name in enumerate(node.inputs):
            if name not in network.constants:
                continue
            if at == 1 and _outputs_first(node):
                weights[name] = None
            else:
                others.add(name)
    return [name for name in weights if name not in others]


def _outputs_first(node: Node) -> bool:
    return node.op == "Conv" or (node.op == "Gemm" and bool(node.attributes.get("transB", 0)))


def _is_sparse(array: np.ndarray, zero: np.ndarray | None = None) -> bool:
    """Whether SHARE of the elements are zero, or codes of which `zero` is true."""

    def share(elements: np.ndarray) -> float:
        zeros = np.count_nonzero(elements == 0 if zero is None else zero[elements])
        return zeros / elements.size

    flat = array.reshape(-1)
    step = flat.size // SAMPLE | 1  # odd: it does not keep to the columns of one block pattern
    if not flat.size:
        return False
    about = share(flat[::step])
    return about >= SHARE if abs(about - SHARE) > _MARGIN else share(flat) >= SHARE
