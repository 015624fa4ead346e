"""Reader of trained binary multilayer perceptrons as integers: BNN-PYNQ's networks in a NumPy archive.

Specified in docs/formats/bnn_pynq.md.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator, Mapping

import numpy as np

from accel.errors import FormatError
from accel.formats.files import Source, read_bytes
from accel.formats.limits import DEFAULT, Limits
from accel.graph.network import Constant, Network, Node, Value
from accel.kernels.checks import describe
from accel.weights.binary import Binary

MOST_LAYERS = 1000


def read(source: Source, limits: Limits = DEFAULT) -> Network:
    """A network of Gemm and Sign with `Binary` weights, from signs and integer thresholds.

    Parameters
    ----------
    source : path or bytes of an .npz archive with the arrays of docs/formats/bnn_pynq.md.

    Returns
    -------
    Network: `input` (N, in) of +1 and -1, float32, to `scores` (N, out): the integer sums of the last layer.

    Raises
    ------
    OSError      the file cannot be opened or read.
    FormatError  it is no archive, lacks an array, or one has another type or shape than the format says.
    """
    layers = list(_layers(_arrays(bytes(read_bytes(source, limits)), limits)))
    nodes: list[Node] = []
    constants: dict[str, Constant] = {}
    value = "input"
    for k, (weight, threshold) in enumerate(layers):
        last = k == len(layers) - 1
        constants[f"L{k}.weight"] = weight
        inputs = [value, f"L{k}.weight"]
        if not last:  # n > t is n - (t + 1/2) > 0, and never 0
            constants[f"L{k}.bias"] = -0.5 - threshold.astype(np.float32)
            inputs.append(f"L{k}.bias")
        value = "scores" if last else f"L{k}.sum"
        nodes.append(Node("Gemm", inputs, [value], {"transB": 1}, f"L{k}"))
        if not last:
            nodes.append(Node("Sign", [value], [f"L{k}.sign"]))
            value = f"L{k}.sign"
    widths, float32 = (layers[0][0].shape[1], layers[-1][0].shape[0]), np.dtype(np.float32)
    ends = [[Value(name, float32, ("N", width))] for name, width in zip(("input", "scores"), widths, strict=True)]
    return Network("bnn_pynq", ends[0], ends[1], nodes, constants)


def _layers(arrays: Mapping[str, np.ndarray]) -> Iterator[tuple[Binary, np.ndarray]]:
    width = None
    count = sum(name.endswith(".weight") for name in arrays)
    if not 0 < count <= MOST_LAYERS:
        raise FormatError(f"expected 1 to {MOST_LAYERS} layers, got {count}")
    for k in range(count):
        found = [arrays.get(f"L{k}.{part}") for part in ("weight", "threshold_sum")]
        signs, threshold = found
        if signs is None or threshold is None:
            raise FormatError(f"layer {k}: expected the arrays L{k}.weight and L{k}.threshold_sum")
        if signs.dtype != np.int8 or signs.ndim != 2 or 0 in signs.shape or signs.shape[1] != (width or signs.shape[1]):
            raise FormatError(f"L{k}.weight: expected int8 (out, {width or 'in'}), got {describe(signs)}")
        if threshold.dtype != np.int32 or threshold.shape != signs.shape[:1] or _beyond(threshold, 1 << 22):
            raise FormatError(f"L{k}.threshold_sum: expected int32 ({len(signs)},), got {describe(threshold)}")
        try:
            yield Binary.from_signs(np.ascontiguousarray(signs)), threshold
        except ValueError as error:
            raise FormatError(f"L{k}.weight: {error}") from None
        width = signs.shape[0]


def _beyond(values: np.ndarray, bound: int) -> bool:
    """Whether one is outside -bound..bound; abs would leave the least int32 as it is."""
    return bool(((values > bound) | (values < -bound)).any())


def _arrays(data: bytes, limits: Limits) -> dict[str, np.ndarray]:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            size = sum(member.file_size for member in archive.infolist())
        if size > limits.max_total:
            raise FormatError(f"archive: {size} bytes unpacked, more than Limits.max_total = {limits.max_total}")
        with np.load(io.BytesIO(data), allow_pickle=False) as stored:
            wanted = (".weight", ".threshold_sum")
            arrays = {name: stored[name] for name in stored.files if name.endswith(wanted)}
        for name, value in arrays.items():  # NumPy gives a member that does not begin as an array does as its bytes
            if not isinstance(value, np.ndarray):
                raise FormatError(f"{name}: expected an array, got {describe(value)}")
        return arrays
    except FormatError:
        raise
    except Exception as error:  # zipfile, zlib and numpy have many ways to say that a file is damaged
        raise FormatError(f"not a NumPy archive, or damaged: {error}") from None
