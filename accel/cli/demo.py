"""The command demo: compress, store and run the network that ships with the package, and print what that gained."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

import accel
from accel.cli import shell
from accel.compress import compress
from accel.compress.recipe import find
from accel.demo import held_out, load_digits, network_path
from accel.engine import InferenceSession
from accel.graph.network import Network
from accel.metrics import Metrics, measure_delta, metrics
from accel.report import Table, format_bytes, format_seconds

SPARSITY = 0.4
"""The recipe itself does not prune; the demo does, so that alpha shows something."""

NO_GAIN = 0.1
"""A speed-up within this of 1 is none: see bench/README.md."""


def demo(
    recipe: Annotated[str, typer.Option(help="Recipe to compress with.")] = "deep-compression",
    sparsity: Annotated[
        float | None,
        typer.Option(min=0, max=1, help=f"Share of the weights to prune; {SPARSITY} with deep-compression."),
    ] = None,
    threads: Annotated[int, typer.Option(min=1, help="Threads of the timed runs.")] = 1,
    seconds: Annotated[float, typer.Option(min=0, help="How long to time.")] = 2.0,
    seed: shell.SeedOption = 0,
    as_json: shell.JsonFlag = False,
) -> None:
    """Show accel at work. Compresses the digits network that ships with it, and runs it from the small file."""
    if sparsity is None and recipe == "deep-compression":
        sparsity = SPARSITY
    chosen = find(recipe).changed(sparsity=sparsity)
    images, labels = load_digits()
    test = held_out(len(labels))
    images, labels = np.ascontiguousarray(images[test]), labels[test]
    with accel.using(threads=threads), tempfile.TemporaryDirectory() as folder:
        network = accel.load(network_path())
        small = compress(network, chosen, seed=seed)
        measured, hits = measure(Path(folder), images, labels, network, small, seconds)
    accuracy = {name: count / len(labels) for name, count in hits.items()}
    report = {
        "recipe": recipe,
        "sparsity": chosen.sparsity or 0.0,
        "images": len(labels),
        "accuracy": accuracy,
        **measured.as_dict(),
    }
    shell.emit(report, _text(report, measured), as_json)


def measure(
    folder: Path, images: np.ndarray, labels: np.ndarray, network: Network, small: Network, seconds: float
) -> tuple[Metrics, dict[str, int]]:
    """Save the network as it is and compressed, run both from their files: metrics, and right answers of each."""
    files = folder / "digits.accel", folder / "digits-small.accel"
    network.save(files[0])
    small.save(files[1])
    original, compressed = (InferenceSession(file) for file in files)
    feeds = {"pixels": images}
    hits = {
        name: int((session.run(None, feeds)[0].argmax(axis=1) == labels).sum())
        for name, session in (("original", original), ("compressed", compressed))
    }
    delta = measure_delta(
        lambda: original.run(None, feeds), lambda: compressed.run(None, feeds), batch=len(images), seconds=seconds
    )
    measured = metrics(network, small, original_path=files[0], compressed_path=files[1], sample=feeds, delta=delta)
    return measured, hits


def _text(report: dict[str, Any], m: Metrics) -> str:
    table = Table(["", "original", "compressed", "gain"])
    table.add("parameters", *m.parameters, f"alpha = {m.alpha:.2f}")
    table.add("", None, None, f"beta = 1 - a*/a = {m.beta:.3f}")
    table.add("", None, None, f"beta as the survey prints it, (a - a*)/a* = {m.beta_survey:.2f}")
    table.add("file", *map(format_bytes, m.file_bytes), f"alpha_bytes = {m.alpha_bytes:.2f}")
    if m.resident_bytes is not None:
        table.add("memory", *map(format_bytes, m.resident_bytes), f"alpha_resident = {m.alpha_resident:.2f}")
    accuracy = [report["accuracy"][name] for name in ("original", "compressed")]
    points = 100 * (accuracy[1] - accuracy[0])
    table.add("accuracy", *(f"{value:.2%}" for value in accuracy), f"{points:+.2f} points on {report['images']} images")
    settings = f"recipe {report['recipe']}"
    if isinstance(report["sparsity"], float):
        settings += f", {report['sparsity']:.0%} of the weights pruned"
    lines = [f"digits network, {settings}: compressed, saved, and run from the small file", ""]
    if m.delta is not None:
        d = m.delta
        times = (format_seconds(t) for t in (d.original_seconds, d.compressed_seconds))
        table.add("time", *times, f"delta = {d.median:.2f} (quartiles {d.low:.2f} .. {d.high:.2f})")
        threads = f"{d.threads} thread{'s' if d.threads > 1 else ''}"
        how = f"Times are medians of {d.rounds} runs: batch {d.batch}, {threads}, {d.isa or d.backend}."
        lines += [table.text(), "", how]
        if abs(d.median - 1) < NO_GAIN:
            lines.append(
                "delta is 1 within 10 %: the dense kernels run the decoded weights; the file is what got smaller."
            )
    return "\n".join(lines)
