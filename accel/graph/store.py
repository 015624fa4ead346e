"""Networks in files: `load` tells by the content what a file is, `save` writes the `.accel` container."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from accel.errors import FormatError, shown
from accel.graph.binarize import binarize
from accel.graph.limits import Limits
from accel.graph.network import Network
from accel.graph.onnx_wire import BytesWire, FileWire
from accel.graph.passes import simplify as simplified
from accel.graph.serialize import network_from_dict, network_to_dict
from accel.graph.sparsify import sparsify

if TYPE_CHECKING:
    import onnx

    from accel.formats.files import Source

FOUND = ("auto", "keep")
"""What `load` may be told of weights that have a smaller form."""


def load(
    source: str | os.PathLike[str] | bytes | Network | onnx.ModelProto,
    *,
    limits: Limits | None = None,
    simplify: bool = True,
    sparse: str = "keep",
    binary: str = "keep",
) -> Network:
    """Read a network.

    Parameters
    ----------
    source : path or bytes of an `.accel` or ONNX file, told apart by their content, a parsed ONNX model, or a
        Network. External data of an ONNX model is read only for a path, and only below the model's folder.
    limits : what the model may cost, see Limits.
    simplify : fold constants, batch norm and the like (graph/passes.py). An `.accel` file holds what was saved and
        is given as it is.
    sparse : "keep" gives constants as they are. "auto" makes weights of which half or more is zero sparse, see
        graph/sparsify.py: `Csr` instead of an array, `CsrCodebook` instead of a `Codebook`.
    binary : "keep" gives constants as they are. "auto" makes weights of one magnitude for each output `Binary`.

    Returns
    -------
    Network

    Raises
    ------
    FormatError  not a model file, damaged, or not readable.
    UnsupportedError  the model needs operators, attributes or types that accel does not run; all are named.
    ModelError  the model makes no sense or exceeds a limit.
    MissingExtraError  an ONNX model, and the package onnx is not installed.
    TypeError   source or limits is of another type.
    ValueError  `sparse` or `binary` is neither "auto" nor "keep".
    """
    for name, value in (("sparse", sparse), ("binary", binary)):
        if value not in FOUND:
            raise ValueError(f"{name}: expected {' or '.join(FOUND)}, got {shown(value)}")
    if limits is not None and not isinstance(limits, Limits):
        raise TypeError(f"limits: expected accel.graph.limits.Limits, got {shown(limits)}")
    network = _load(source, limits or Limits(), simplify)
    network = binarize(network) if binary == "auto" else network
    return sparsify(network) if sparse == "auto" else network


def _load(source: Any, limits: Limits, simplify: bool) -> Network:
    if isinstance(source, Network):
        source.validate()
        return simplified(source, limits) if simplify else source
    try:
        network, is_container = _read(source, limits)
    except (FormatError, OSError) as error:
        reason = error if isinstance(error, FormatError) else f"cannot be read: {error.strerror or error}"
        where = f"{os.fspath(source)!r}: " if isinstance(source, (str, os.PathLike)) else ""
        raise FormatError(f"{where}{reason}") from error
    return network if is_container or not simplify else simplified(network, limits, consume=True)


def _read(source: Any, limits: Limits) -> tuple[Network, bool]:
    """The network as written, and whether an `.accel` file holds it."""
    from accel.formats.files import open_regular, read_bytes
    from accel.formats.limits import Limits as FileLimits

    bounds = FileLimits(max_file=limits.max_file)
    if isinstance(source, (str, os.PathLike)):
        with open_regular(source, bounds) as (file, size):
            return _read_wire(FileWire(file, size), source, limits, Path(source).absolute().parent)
    if isinstance(source, (bytes, bytearray, memoryview)):
        view = read_bytes(source, bounds)
        whole = view.obj  # of which the view may be a part
        data = whole if isinstance(whole, bytes) and len(whole) == len(view) else bytes(view)
        return _read_wire(BytesWire(data), data, limits, None)
    return _read_onnx(source, limits), False


def _read_wire(wire: BytesWire | FileWire, source: Source, limits: Limits, folder: Path | None) -> tuple[Network, bool]:
    from accel.formats.container import MAGIC

    if wire.read(0, len(MAGIC)) == MAGIC:
        return _from_container(source, limits), True
    return _read_onnx(wire, limits, folder), False


def _read_onnx(source: Any, limits: Limits, folder: Path | None = None) -> Network:
    from accel.graph.onnx_reader import read_onnx  # only now: a session of an `.accel` file starts without it

    return read_onnx(source, limits, folder=folder)


def save(network: Network, path: str | os.PathLike[str]) -> None:
    """Write a network as one `.accel` file; an old file is replaced only when the new one is complete.

    Raises
    ------
    ModelError  the network is not valid, or fused.
    SaveError  the file cannot be written; what was at `path` is unchanged.
    """
    from accel.formats import container

    container.write(path, {"graph": network_to_dict(network)}, network.constants)


def _from_container(source: Source, limits: Limits) -> Network:
    from accel.formats import container
    from accel.formats.limits import Limits as FileLimits

    bounds = FileLimits(max_file=limits.max_file, max_tensor=limits.max_tensor_bytes, max_total=limits.max_total_bytes)
    header, tensors = container.read(source, bounds)
    if set(header) != {"graph"}:
        raise FormatError(f"header: expected a graph and nothing else, got {sorted(header)}")
    return network_from_dict(header["graph"], tensors, limits)
