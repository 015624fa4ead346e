"""The command explain: what runs each step of a model, and why."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

import accel
from accel.cli import inputs, shell
from accel.cli.data import shape_text
from accel.cli.models import SizeOption
from accel.report import Table, format_seconds


def explain(
    model: shell.ModelArgument,
    threads: shell.ThreadsOption = None,
    batch: Annotated[int, typer.Option(min=1, help="Size of the first dimension of the inputs.")] = 1,
    tune: Annotated[bool, typer.Option(help="Measure which method is fastest, as a session does.")] = True,
    size: SizeOption = None,
    as_json: shell.JsonFlag = False,
) -> None:
    """Show what runs each step of a model. For every convolution: its candidates, their times, the choice and why."""
    network = accel.load(model)
    feeds = inputs.random_inputs(network, batch, inputs.parse_sizes(size or []), 0)
    with accel.using(tune=tune):
        session = accel.InferenceSession(network, threads=threads)
        steps = session.explain(feeds)
    data: dict[str, Any] = {
        "file": model, "threads": session.threads, "batch": batch, "isa": accel.isa_info()["isa"], "steps": steps
    }  # fmt: skip
    shell.emit(data, _text(data), as_json)


def _text(data: Mapping[str, Any]) -> str:
    if not data["steps"]:
        return f"{data['file']}: interpreted node by node (a shape depends on data, or no native kernels are in force)"
    table = Table(["step", "node", "result", "kernel", "candidates", "reason", "error"])
    for number, step in enumerate(data["steps"], 1):
        choice = step.get("choice", {})
        candidates = ", ".join(_candidate(c) for c in choice.get("candidates", ()))
        error = choice.get("error")
        kernel = step["kernel"] if step["native"] else f"{step['kernel']} (Python)"
        table.add(
            number, step["node"], shape_text(step["shape"]), kernel, candidates or None, choice.get("reason"),
            None if error is None else f"{error:.0e}",
        )  # fmt: skip
    title = f"{data['file']}: batch {data['batch']}, {data['threads']} threads, {data['isa']}"
    return f"{title}\n{table.text()}\nTimes are of one image on one thread, with weights out of the cache."


def _candidate(candidate: Mapping[str, Any]) -> str:
    seconds = candidate["seconds"]
    cost = f"{candidate['cycles'] / 1e6:.2f} Mcycles" if seconds is None else format_seconds(seconds)
    return f"{candidate['method']} {cost}"
