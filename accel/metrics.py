"""How much smaller and faster a compressed network is, by the survey's names.

a and a* are the parameters of the original and the compressed network: alpha = a / a*. Bytes are another matter, on
disk and in memory, and have rates of their own. delta = s / s*, the speed-up, is measured, never derived.
"""

from __future__ import annotations

import math
import sys
import types
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from accel import timing
from accel.compress._size import file_bytes, plain_bytes, tensor_stages
from accel.engine.session import InferenceSession
from accel.graph.network import Network
from accel.graph.shapes import infer_shapes
from accel.kernels import checks, runtime
from accel.weights import Codebook, Csr, CsrCodebook, Weight

PathLike = str | Path


@dataclass(frozen=True)
class Delta:
    """Speed-up s / s*: median seconds of the original over those of the compressed network.

    `low` and `high` are the quartiles of the ratio round by round, `mad` its median absolute deviation.
    """

    median: float
    low: float
    high: float
    mad: float
    rounds: int
    original_seconds: float
    compressed_seconds: float
    threads: int
    batch: int | None
    isa: str | None
    backend: str


@dataclass(frozen=True)
class Metrics:
    """Pairs are (original, compressed). What was not measured is None."""

    parameters: tuple[int, int]
    file_bytes: tuple[int, int]
    resident_bytes: tuple[int, int] | None
    macs: int | None
    delta: Delta | None = None

    @property
    def alpha(self) -> float:
        """Compression rate a / a*, in parameters."""
        return _rate(self.parameters)

    @property
    def alpha_bytes(self) -> float:
        """The same in bytes of the file."""
        return _rate(self.file_bytes)

    @property
    def alpha_resident(self) -> float | None:
        """The same in bytes of memory while running; None when it was not measured."""
        return None if self.resident_bytes is None else _rate(self.resident_bytes)

    @property
    def beta(self) -> float:
        """Space saving 1 - a*/a, below 1."""
        return 1 - self.parameters[1] / self.parameters[0]

    space_saving = beta

    @property
    def beta_survey(self) -> float:
        """(a - a*) / a*, the formula that the survey prints under the name of space saving: alpha - 1, unbounded."""
        return self.alpha - 1

    def as_dict(self) -> dict[str, Any]:
        """JSON-able: the fields, and the rates made of them."""
        rates = ("alpha", "alpha_bytes", "alpha_resident", "beta", "beta_survey")
        return {**asdict(self), **{name: getattr(self, name) for name in rates}}

    def __str__(self) -> str:
        before, after = self.parameters
        file, small = self.file_bytes
        lines = [
            f"alpha          {self.alpha:8.2f}   parameters {before:,} -> {after:,}",
            f"alpha_bytes    {self.alpha_bytes:8.2f}   bytes stored {file:,} -> {small:,}",
        ]
        if self.resident_bytes is not None:
            held, now = self.resident_bytes
            lines.append(
                f"alpha_resident {self.alpha_resident:8.2f}   bytes in memory while running {held:,} -> {now:,}"
            )
        survey = f"as the survey prints it, (a - a*)/a*: {self.beta_survey:z.2f}"
        lines.append(f"beta           {self.beta:z8.2f}   1 - a*/a ({survey})")
        if self.delta is not None:
            d = self.delta
            where = f"{d.threads} threads, batch {d.batch}, {d.isa or d.backend}, {d.rounds} rounds"
            lines.append(f"delta          {d.median:8.2f}   quartiles {d.low:.2f}..{d.high:.2f}, {where}")
        if self.macs is not None:
            lines.append(f"{self.macs:,} multiply-adds per sample, the same before and after")
        return "\n".join(lines)


def metrics(
    original: Network,
    compressed: Network,
    *,
    original_path: PathLike | None = None,
    compressed_path: PathLike | None = None,
    sample: Mapping[str, np.ndarray] | None = None,
    delta: Delta | None = None,
) -> Metrics:
    """Compare a compressed network with its original.

    Parameters
    ----------
    original_path, compressed_path : files to count the bytes of. Without them: of the original its constants as plain
        arrays, the smallest honest figure for an uncompressed file, and of the other the `.accel` file it would make.
    sample : inputs by name to run both networks on once, for the bytes they hold in memory while running. Without it
        zeros are used, one sample, where the shapes of the inputs are known but for the first axis.
    delta : from `measure_delta`.
    """
    for name, network in (("original", original), ("compressed", compressed)):
        if not isinstance(network, Network):
            raise TypeError(f"{name}: expected a Network, got {checks.describe(network)}")
    feeds = _zeros(original) if sample is None else sample
    return Metrics(
        parameters=(count_parameters(original), count_parameters(compressed)),
        file_bytes=(
            Path(original_path).stat().st_size if original_path else plain_bytes(original),
            Path(compressed_path).stat().st_size if compressed_path else file_bytes(compressed),
        ),
        resident_bytes=None if feeds is None else (resident_bytes(original, feeds), resident_bytes(compressed, feeds)),
        macs=count_macs(original),
        delta=delta,
    )


def count_parameters(network: Network) -> int:
    """Numbers a network has learnt: floating-point constants with axes, and the integers of quantized layers.

    Shapes, indices and scalar settings are not parameters. A `Weight` says its own number.
    """
    quantized = {node.inputs[0] for node in network.nodes if node.op == "DequantizeLinear"}
    total = 0
    for name, value in network.constants.items():
        if isinstance(value, Weight):
            total += value.parameters
        elif value.ndim and (value.dtype.kind == "f" or name in quantized):
            total += value.size
    return total


def count_macs(network: Network) -> int | None:
    """Multiply-adds of the Conv, Gemm and MatMul layers for one sample, quantized ones included.

    None where a shape is not known.
    """
    inputs = {}
    for value in network.inputs:
        if value.shape is None:
            return None
        inputs[value.name] = tuple(
            1 if at == 0 and not isinstance(dim, int) else dim for at, dim in enumerate(value.shape)
        )
    shapes = infer_shapes(network, inputs)
    quantized = {node.outputs[0]: node.inputs[0] for node in network.nodes if node.op == "DequantizeLinear"}
    total = 0
    for node in network.nodes:
        weight = network.constants.get(quantized.get(node.input(1), node.input(1)))
        if node.op not in ("Conv", "Gemm", "MatMul") or weight is None:
            continue
        out = shapes.get(node.outputs[0])
        places = None if out is None else (out[2:] if node.op == "Conv" else out[1:-1])
        if places is None or not all(isinstance(dim, int) for dim in places):
            return None
        total += math.prod(dim for dim in places if isinstance(dim, int)) * math.prod(weight.shape)
    return total


def resident_bytes(network: Network, sample: Mapping[str, np.ndarray]) -> int:
    """Bytes held while running: the network's constants, and what a session has prepared after one run."""
    session = InferenceSession(network)
    session.run(None, sample)
    return sum(value.nbytes for value in network.constants.values()) + session.resident_bytes


def measure_delta(
    run_original: Callable[[], Any],
    run_compressed: Callable[[], Any],
    *,
    batch: int | None = None,
    seconds: float = 2.0,
) -> Delta:
    """Time two callables in turn, so that what disturbs one disturbs the other, and compare the medians.

    Parameters
    ----------
    run_original, run_compressed : one run each, on the same input.
    batch : samples in that input, to be told with the result.
    seconds : how long to measure, see accel.timing.alternate.
    """
    taken = timing.alternate({"original": run_original, "compressed": run_compressed}, seconds)
    before, after = taken["original"], taken["compressed"]
    ratios = before / np.maximum(after, 1e-9)
    low, middle, high = np.percentile(ratios, (25, 50, 75))
    return Delta(
        median=float(np.median(before) / max(np.median(after), 1e-9)),
        low=float(low),
        high=float(high),
        mad=float(np.median(np.abs(ratios - middle))),
        rounds=len(ratios),
        original_seconds=float(np.median(before)),
        compressed_seconds=float(np.median(after)),
        threads=runtime.threads(),
        batch=batch,
        isa=runtime.isa(),
        backend=runtime.backend(),
    )


def stage_bytes(original: Network, compressed: Network) -> dict[str, int]:
    """Bytes after each stage of Deep Compression: "float32", "pruned", "shared" (see `tensor_stages`), "coded" (the
    file)."""
    pruned = shared = plain_bytes(original)
    for value in compressed.constants.values():
        if isinstance(value, (Codebook, Csr, CsrCodebook)):
            whole, some, less = tensor_stages(value).values()
            pruned, shared = pruned + some - whole, shared + less - whole
    return {"float32": plain_bytes(original), "pruned": pruned, "shared": shared, "coded": file_bytes(compressed)}


def _rate(pair: tuple[int, int]) -> float:
    return pair[0] / pair[1] if pair[1] else math.inf


def _zeros(network: Network) -> dict[str, np.ndarray] | None:
    feeds = {}
    for value in network.inputs:
        if not value.shape or not all(isinstance(dim, int) for dim in value.shape[1:]):
            return None
        first = value.shape[0] if isinstance(value.shape[0], int) else 1
        feeds[value.name] = np.zeros((first, *(dim for dim in value.shape[1:] if isinstance(dim, int))), value.dtype)
    return feeds


class _CallableModule(types.ModuleType):
    """`accel.metrics` names this module once it is imported; called, it does what the function of that name does."""

    def __call__(self, *args: Any, **options: Any) -> Metrics:
        return metrics(*args, **options)


sys.modules[__name__].__class__ = _CallableModule
