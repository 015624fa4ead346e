"""Bytes of a network: as a file, and as plain arrays."""

from __future__ import annotations

import math

import numpy as np

from accel.formats import container
from accel.graph.network import Network
from accel.weights import Weight


def file_bytes(network: Network) -> int:
    """Bytes of the `.accel` file of this network: graph, table, tensors and digest."""
    from accel.graph.serialize import network_to_dict

    return len(container.encode({"graph": network_to_dict(network)}, network.constants))


def plain_bytes(network: Network) -> int:
    """Bytes of all constants as plain dense arrays: a float32 file without any header."""
    return sum(_plain(value) for value in network.constants.values())


def _plain(value: np.ndarray | Weight) -> int:
    return 4 * math.prod(value.shape) if isinstance(value, Weight) else value.nbytes
