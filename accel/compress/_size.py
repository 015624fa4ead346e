"""Bytes of a network: as a file, and as plain arrays."""

from __future__ import annotations

import math

import numpy as np

from accel.formats import container
from accel.graph.network import Network
from accel.kernels.gaps import gaps_encode
from accel.weights import Codebook, Csr, CsrCodebook, Weight


def file_bytes(network: Network) -> int:
    """Bytes of the `.accel` file of this network: graph, table, tensors and digest."""
    from accel.graph.serialize import network_to_dict

    return len(container.encode({"graph": network_to_dict(network)}, network.constants))


def plain_bytes(network: Network) -> int:
    """Bytes of all constants as plain dense arrays: a float32 file without any header."""
    return sum(_plain(value) for value in network.constants.values())


def _plain(value: np.ndarray | Weight) -> int:
    return 4 * math.prod(value.shape) if isinstance(value, Weight) else value.nbytes


def tensor_stages(value: np.ndarray | Weight) -> dict[str, int]:
    """Bytes of one tensor after the stages of Deep Compression that come before coding.

    "float32": of the dense form. "pruned": 32 bits a weight that is left, and where they are. "shared":
    ceil(log2 k) bits instead of 32, and the codebook of k values. Positions are relative indices of 4 or 8 bits,
    fillers included, or a bitmap, or nothing where storing zeros is cheapest. Of other tensors and weights, which have
    no such stages, the last two are the numbers that are stored.
    """
    whole = _plain(value)
    if not isinstance(value, (Codebook, Csr, CsrCodebook)):
        stored = value.nbytes if isinstance(value, np.ndarray) else sum(a.nbytes for a in value.state()[0].values())
        return {"float32": whole, "pruned": stored, "shared": stored}
    live = np.flatnonzero(value.dense())
    size = math.prod(value.shape)
    pruned = shared = _indexed(live, size, 32)
    if not isinstance(value, Csr):
        bits = max(1, math.ceil(math.log2(value.codebook.shape[-1])))
        shared = _indexed(live, size, bits) + value.codebook.nbytes
    return {"float32": whole, "pruned": pruned, "shared": shared}


def _indexed(live: np.ndarray, size: int, bits: int) -> int:
    """Bytes of the weights at `live`, of so many bits each, the cheapest way to say where they are."""
    positions = live.astype(np.int64, copy=False)
    entries = {width: gaps_encode(positions, width)[0].size for width in (4, 8)}
    ways = [size * bits, size + live.size * bits, *(count * (bits + width) for width, count in entries.items())]
    return -(-min(ways) // 8)
