"""Binary weights found: arrays of +-alpha per output, as `Binary` weights."""

from __future__ import annotations

import numpy as np

from accel.graph.network import Constant, Network
from accel.graph.sparsify import weights_only
from accel.weights import Binary


def binarize(network: Network) -> Network:
    """The same function, bit by bit, with `Binary` weights for float32 arrays that equal one.

    Taken are constants that are nothing but weights of Conv and of Gemm with transB, whose first axis is the outputs.
    """
    changed: dict[str, Constant] = {}
    for name in weights_only(network):
        weight = network.constants[name]
        if isinstance(weight, np.ndarray) and weight.dtype == np.float32:
            found = Binary.exactly(weight)
            if found is not None and found.nbytes < weight.nbytes:
                changed[name] = found
    return network.with_constants(changed) if changed else network
