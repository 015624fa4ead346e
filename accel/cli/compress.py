"""The command compress: a model in, a small .accel file out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar

import numpy as np
import typer

import accel
from accel.cli import data as files
from accel.cli import preprocess, shell
from accel.cli.models import stored_sizes
from accel.compress import compress as compress_network
from accel.compress.recipe import find
from accel.metrics import metrics
from accel.report import Table, format_bytes
from accel.weights.base import Weight

Number = TypeVar("Number", int, float)


def compress(
    model: shell.ModelArgument,
    output: Annotated[Path, typer.Option("--output", "-o", help="The .accel file to write.")],
    recipe: Annotated[
        str, typer.Option(help="Name of a recipe (binary, deep-compression, k-means, magnitude) or a JSON file.")
    ] = "deep-compression",
    sparsity: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[NAME=]SHARE",
            help="Share of weights to remove, 0..1; for one weight by its name; may be repeated.",
        ),
    ] = None,
    bits: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[NAME=]BITS", help="Bits per shared value, 1..8; for one weight by its name; may be repeated."
        ),
    ] = None,
    target_bytes: Annotated[int | None, typer.Option(min=1, help="Size of the file to reach.")] = None,
    target_alpha: Annotated[
        float | None, typer.Option(min=0, help="Bytes as float32 over bytes of the file to reach.")
    ] = None,
    target_bits: Annotated[
        float | None, typer.Option(min=0, help="Bits per weight to reach, positions and codebooks included.")
    ] = None,
    skip: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="A weight to leave alone; may be repeated.")
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            help=".npz with images and labels, or a folder with labels.csv, to measure the loss of accuracy on."
        ),
    ] = None,
    how: Annotated[str, typer.Option("--preprocess", help="As in `accel eval`.")] = "unit",
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first images.")] = None,
    max_loss: Annotated[
        float | None, typer.Option(min=0, help="Points of top-1 accuracy that may be lost on --data.")
    ] = None,
    seed: shell.SeedOption = 0,
    as_json: shell.JsonFlag = False,
) -> None:
    """Compress a model into an .accel file."""
    targets = {"bytes": target_bytes, "alpha_bytes": target_alpha, "bits_per_weight": target_bits}
    target = {name: value for name, value in targets.items() if value is not None}
    chosen = find(recipe).changed(
        sparsity=per_layer("--sparsity", sparsity, float),
        bits=per_layer("--bits", bits, int),
        target=target or None,
        skip=tuple(skip) if skip else None,
        max_loss=max_loss,
    )
    network = accel.load(model)
    labelled = None if data is None else read_labelled(data, how, limit)
    small = compress_network(network, chosen, data=labelled, seed=seed)
    small.save(output)
    measured = metrics(network, small, compressed_path=output)
    report = {
        "file": output,
        "bytes": output.stat().st_size,
        "original": model,
        "original_bytes": model.stat().st_size,
        "metrics": measured.as_dict(),
        "weights": [_weight(name, weight) for _, name, weight in small.weights()],
        "stored": stored_sizes(output),
    }
    shell.emit(report, _text(report, str(measured)), as_json)


def per_layer(
    option: str, values: list[str] | None, kind: Callable[[str], Number]
) -> Number | dict[str, Number] | None:
    """One number for all weights, or a mapping from names; a number without a name is for the rest ("*")."""
    found: dict[str, Number] = {}
    for value in values or []:
        name, _, number = value.rpartition("=")
        if (name or "*") in found:
            raise ValueError(f"{option}: {name or 'the number for all weights'} is given twice")
        try:
            found[name or "*"] = kind(number)
        except ValueError:
            raise ValueError(f"{option}: expected NUMBER or NAME=NUMBER, got {value!r}") from None
    return found["*"] if set(found) == {"*"} else found or None


def read_labelled(path: Path, how: str, limit: int | None) -> tuple[np.ndarray, np.ndarray]:
    """All images of a data set as the network takes them, and their labels."""
    steps = preprocess.parse(how)
    batches = [(steps(images), labels) for images, labels in files.load_images(path, limit).batches(100)]
    return np.concatenate([images for images, _ in batches]), np.concatenate([labels for _, labels in batches])


def _weight(name: str, weight: np.ndarray | Weight) -> dict[str, Any]:
    return {
        "name": name,
        "form": type(weight).__name__ if isinstance(weight, Weight) else "dense",
        "shape": list(weight.shape),
    }


def _text(report: dict[str, Any], metrics: str) -> str:
    table = Table(["weight", "form", "shape", "float32", "in the file", "smaller"])
    stored = {row["name"]: row["stored"] for row in report["stored"]}
    for weight in report["weights"]:
        dense, now = 4 * int(np.prod(weight["shape"])), stored[weight["name"]]
        shape = files.shape_text(weight["shape"])
        table.add(weight["name"], weight["form"], shape, format_bytes(dense), format_bytes(now), f"{dense / now:.1f}x")
    sizes = f"{format_bytes(report['original_bytes'])} -> {format_bytes(report['bytes'])}"
    return f"{report['original']} -> {report['file']}: {sizes}\n{table.text()}\n\n{metrics}"
