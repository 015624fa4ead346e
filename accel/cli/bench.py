"""The command bench: a model beside a peer, alternating in one process."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

import accel
from accel import timing
from accel.cli import inputs, shell
from accel.cli.models import SizeOption, is_accel
from accel.errors import missing_extra
from accel.graph.network import Network
from accel.report import Table, format_seconds

Feeds = dict[str, np.ndarray]


class Peer(StrEnum):
    """What can be timed beside accel."""

    onnxruntime = "onnxruntime"
    none = "none"


def bench(
    model: shell.ModelArgument,
    threads: Annotated[int, typer.Option(min=1, help="Threads of every engine.")] = 1,
    batch: Annotated[int, typer.Option(min=1, help="Size of the first dimension of the inputs.")] = 1,
    seconds: Annotated[float, typer.Option(min=0, help="How long to time.")] = 5.0,
    peer: Annotated[Peer | None, typer.Option(help="Engine beside it; onnxruntime when it is installed.")] = None,
    size: SizeOption = None,
    seed: shell.SeedOption = 0,
    as_json: shell.JsonFlag = False,
) -> None:
    """Time a model beside onnxruntime. Random input, one process, alternating runs."""
    network = accel.load(model)
    feeds = inputs.random_inputs(network, batch, inputs.parse_sizes(size or []), seed)
    session = accel.InferenceSession(network, threads=threads)
    calls: dict[str, Callable[[], Any]] = {"accel": lambda: session.run(None, feeds)}
    data: dict[str, Any] = {
        "file": model, "threads": threads, "batch": batch, "isa": accel.isa_info()["isa"],
        "backend": accel.isa_info()["backend"], "peer": None, "error": None, "ratio": None,
    }  # fmt: skip
    if peer is None or peer is Peer.onnxruntime:
        other = onnxruntime_call(model, network, feeds, threads, required=peer is not None)
        if other is not None:
            data["peer"], data["error"] = Peer.onnxruntime.value, answers_differ(calls["accel"](), other())
            calls[Peer.onnxruntime.value] = other
    shell.note(f"timing {' and '.join(calls)} for {seconds:g} s")
    times = timing.alternate(calls, seconds)
    data["times"] = {name: timing.summary(row).as_dict() for name, row in times.items()}
    if data["peer"]:
        data["ratio"] = dict(
            zip(("median", "low", "high"), timing.ratio(times[data["peer"]], times["accel"]), strict=True)
        )
    shell.emit(data, _text(data), as_json)


def onnxruntime_call(
    model: Path, network: Network, feeds: Feeds, threads: int, *, required: bool
) -> Callable[[], Any] | None:
    """onnxruntime on the same model, threads and input, without spinning threads; None when it is not installed."""
    try:
        import onnxruntime
    except ImportError:
        if required:
            raise missing_extra("onnxruntime", "test", "timing beside onnxruntime") from None
        shell.note("onnxruntime is not installed: nothing to compare with")
        return None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    with tempfile.TemporaryDirectory() as folder:
        path = str(model)
        if is_accel(model):
            path = os.path.join(folder, "dense.onnx")
            network.to_onnx(path)
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, feeds)


def answers_differ(ours: list[np.ndarray], theirs: list[np.ndarray]) -> float:
    """Largest difference of any output, relative to the largest value of that output."""
    worst = 0.0
    for a, b in zip(ours, theirs, strict=True):
        if a.shape != b.shape:
            raise ValueError(f"the outputs have different shapes: {a.shape} here, {b.shape} from the peer")
        scale = float(np.abs(b.astype(np.float64)).max(initial=0)) or 1.0
        worst = max(worst, float(np.abs(a.astype(np.float64) - b).max(initial=0)) / scale)
    return worst


def _text(data: dict[str, Any]) -> str:
    how = f"batch {data['batch']}, threads {data['threads']}, {data['backend']} {data['isa'] or ''}".rstrip()
    table = Table(["engine", "median", "quartiles", "fastest", "runs"])
    for name, t in data["times"].items():
        quartiles = f"{format_seconds(t['lower'])} .. {format_seconds(t['upper'])}"
        table.add(name, format_seconds(t["median"]), quartiles, format_seconds(t["fastest"]), t["rounds"])
    lines = [f"{data['file']}: {how}", table.text()]
    if data["peer"]:
        r = data["ratio"]
        lines += [
            f"{data['peer']} / accel = {r['median']:.3f} (95 % interval {r['low']:.3f} .. {r['high']:.3f}); "
            "above 1 accel is faster",
            f"largest relative difference of the answers: {data['error']:.1e}",
        ]
    return "\n".join(lines)
