"""The commands that look at a model without timing it: info and verify."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

import accel
from accel.cli import inputs, shell
from accel.cli.data import shape_text
from accel.compress._size import tensor_stages
from accel.errors import FormatError
from accel.formats import container
from accel.graph.network import Network, Value
from accel.metrics import count_macs, count_parameters
from accel.report import Table, format_bytes
from accel.weights.base import Weight

SizeOption = Annotated[
    list[str] | None, typer.Option("--size", metavar="NAME=SIZE", help="Size of a free dimension; may be repeated.")
]


def info(
    model: shell.ModelArgument,
    sizes: Annotated[bool, typer.Option("--sizes", help="Also list every tensor's bytes, stage by stage.")] = False,
    as_json: shell.JsonFlag = False,
) -> None:
    """Show what a model holds: operators, inputs, outputs and weights."""
    network = accel.load(model)
    data: dict[str, Any] = {
        "file": model,
        "name": network.name,
        "bytes": model.stat().st_size,
        "nodes": len(network.nodes),
        "operators": dict(Counter(node.op for node in network.nodes).most_common()),
        "inputs": [_value(value) for value in network.inputs],
        "outputs": [_value(value) for value in network.outputs],
        "parameters": count_parameters(network),
        "macs": count_macs(network),
        "tensors": tensors(network),
        "metadata": network.metadata,
    }
    if sizes:
        data["stored"] = stored_sizes(model)
        for row in data["stored"]:
            row["stages"] = tensor_stages(network.constants[row["name"]])
    shell.emit(data, _info_text(data), as_json)


def _value(value: Value) -> dict[str, Any]:
    return {
        "name": value.name,
        "dtype": str(value.dtype),
        "shape": None if value.shape is None else list(value.shape),
    }


def tensors(network: Network) -> list[dict[str, Any]]:
    """Every constant: form, shape, stored numbers, bytes in memory, and the share of zeros of an array."""
    rows = []
    for name, constant in network.constants.items():
        form = type(constant).__name__ if isinstance(constant, Weight) else "array"
        nonzero = (
            None if isinstance(constant, Weight) or not constant.size else np.count_nonzero(constant) / constant.size
        )
        rows.append(
            {
                "name": name,
                "form": form,
                "dtype": str(constant.dtype),
                "shape": list(constant.shape),
                "parameters": constant.parameters if isinstance(constant, Weight) else constant.size,
                "bytes": int(constant.nbytes),
                "zeros": None if nonzero is None else 1 - nonzero,
            }
        )
    return rows


def is_accel(model: Path) -> bool:
    """Whether it is an .accel file, by its first bytes."""
    with open(model, "rb") as stream:
        return stream.read(len(container.MAGIC)) == container.MAGIC


def stored_sizes(model: Path) -> list[dict[str, Any]]:
    """Every tensor of an .accel file: its coding per part, bytes when decoded and bytes in the file."""
    if not is_accel(model):
        raise ValueError(f"--sizes: expected an .accel file, whose tensors are coded one by one, got {model}")
    return [
        {
            "name": tensor.name,
            "kind": tensor.kind,
            "codings": [f"{part.name or 'array'} {part.dtype} {_coding(part)}" for part in tensor.parts],
            "bytes": tensor.nbytes,
            "stored": tensor.stored,
        }
        for tensor in container.inspect(model).tensors
    ]


def _coding(part: Any) -> str:
    return "+".join([part.coding, *sorted({stream.method for stream in part.streams} - {"raw"})])


def _info_text(data: Mapping[str, Any]) -> str:
    macs = "" if data["macs"] is None else f", {data['macs']:,} multiply-adds per sample"
    lines = [
        f"{data['file']}  {format_bytes(data['bytes'])}, network {data['name']!r}",
        f"{data['nodes']} nodes: " + ", ".join(f"{op} {count}" for op, count in data["operators"].items()),
        *(f"input  {v['name']}: {v['dtype']} {shape_text(v['shape'])}" for v in data["inputs"]),
        *(f"output {v['name']}: {v['dtype']} {shape_text(v['shape'])}" for v in data["outputs"]),
        f"{data['parameters']:,} parameters in {len(data['tensors'])} tensors{macs}",
        "",
    ]
    table = Table(["tensor", "form", "shape", "parameters", "in memory", "zeros"])
    for row in data["tensors"]:
        zeros = None if row["zeros"] is None else f"{row['zeros']:.1%}"
        shape = shape_text(row["shape"])
        table.add(row["name"], row["form"], shape, row["parameters"], format_bytes(row["bytes"]), zeros)
    lines.append(table.text())
    if "stored" in data:
        lines += ["", _stored_text(data)]
    return "\n".join(lines)


def _stored_text(data: Mapping[str, Any]) -> str:
    """A row per tensor: how it is coded, and a waterfall of its bytes, stage by stage."""
    table = Table(["tensor", "kind", "codings", "float32", "pruned", "quantized", "coded"])
    for row in data["stored"]:
        stages = map(format_bytes, [*row["stages"].values(), row["stored"]])
        table.add(row["name"], row["kind"], ", ".join(row["codings"]), *stages)
    rest = data["bytes"] - sum(row["stored"] for row in data["stored"])
    table.add("(graph, table and digest)", "", "", "", "", "", format_bytes(rest))
    sums = [sum(row["stages"][stage] for row in data["stored"]) for stage in ("float32", "pruned", "shared")]
    table.add("all", "", "", *map(format_bytes, [*sums, data["bytes"]]))
    return table.text()


def verify(
    model: shell.ModelArgument,
    against: Annotated[Path | None, typer.Option(help="A model whose outputs it should give.")] = None,
    tolerance: Annotated[
        float | None,
        typer.Option(min=0, help="Exit with code 1 when the outputs differ by more, relative to the largest."),
    ] = None,
    batch: Annotated[int, typer.Option(min=1, help="Random inputs to compare on.")] = 8,
    size: SizeOption = None,
    seed: shell.SeedOption = 0,
    as_json: shell.JsonFlag = False,
) -> None:
    """Check a model file. Every digest of an .accel file; with --against, its outputs on random input too."""
    check_digests(model)
    network = accel.load(model)
    data: dict[str, Any] = {"file": model, "bytes": model.stat().st_size, "readable": True}
    lines = [f"{model}: {_checked(model)}"]
    failed = False
    if against is not None:
        data["against"] = against
        data["outputs"] = compare(network, accel.load(against), batch, inputs.parse_sizes(size or []), seed)
        lines.append(_differences(data["outputs"]))
        worst = max((row["relative_error"] for row in data["outputs"]), key=lambda error: (np.isnan(error), error))
        data["within_tolerance"] = None if tolerance is None else bool(worst <= tolerance)
        failed = data["within_tolerance"] is False
    shell.emit(data, "\n".join(lines), as_json)
    if failed:
        shell.note(f"the outputs differ by {worst:.3g}, more than the tolerance {tolerance:.3g}")
        raise typer.Exit(1)


def check_digests(model: Path) -> None:
    """FormatError that names every damaged tensor of an .accel file."""
    problems = container.verify(model) if is_accel(model) else []
    if problems:
        raise FormatError(f"{model}: " + "; ".join(problems))


def _checked(model: Path) -> str:
    return "all digests agree" if is_accel(model) else "readable (an ONNX file has no digests)"


def compare(
    network: Network, original: Network, batch: int, sizes: Mapping[str, int], seed: int
) -> list[dict[str, Any]]:
    """For each output: the largest difference on random input, also relative to the original's largest value,
    and the share of rows with the same largest entry."""
    feeds = inputs.random_inputs(original, batch, sizes, seed)
    for value in network.inputs:
        if value.name not in feeds:
            raise ValueError(f"the models have different inputs: {value.name} is not one of {', '.join(feeds)}")
    results = [accel.InferenceSession(which).run(None, feeds) for which in (network, original)]
    names = [value.name for value in original.outputs]
    if len(results[0]) != len(results[1]):
        raise ValueError(f"the models have different numbers of outputs: {len(results[0])} and {len(results[1])}")
    return [_difference(name, a, b) for name, a, b in zip(names, *results, strict=True)]


def _difference(name: str, ours: np.ndarray, original: np.ndarray) -> dict[str, Any]:
    if ours.shape != original.shape:
        raise ValueError(f"output {name}: the models give different shapes, {ours.shape} and {original.shape}")
    error = float(np.abs(ours.astype(np.float64) - original).max(initial=0))
    largest = float(np.abs(original.astype(np.float64)).max(initial=0))
    agree = None
    if ours.ndim > 1 and ours.size and ours[0].size > 1:
        rows = [array.reshape(len(array), -1).argmax(axis=1) for array in (ours, original)]
        agree = float((rows[0] == rows[1]).mean())
    relative = error / largest if largest else error
    return {"name": name, "max_error": error, "relative_error": relative, "same_top1": agree}


def _differences(rows: list[dict[str, Any]]) -> str:
    table = Table(["output", "largest difference", "relative", "same top-1"])
    for row in rows:
        agree = None if row["same_top1"] is None else f"{row['same_top1']:.1%}"
        table.add(row["name"], f"{row['max_error']:.3e}", f"{row['relative_error']:.3e}", agree)
    return table.text()
