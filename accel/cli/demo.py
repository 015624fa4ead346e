"""The command demo: compress, store and run the network that ships with the package, and print what that gained."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

import accel
from accel.cli import shell, timing
from accel.compress import compress
from accel.demo import held_out, load_digits, network_path
from accel.report import Table, format_bytes, format_seconds


def demo(
    recipe: Annotated[str, typer.Option(help="Recipe to compress with.")] = "deep-compression",
    threads: Annotated[int, typer.Option(min=1, help="Threads of the timed runs.")] = 1,
    seconds: Annotated[float, typer.Option(min=0, help="How long to time.")] = 2.0,
    seed: shell.SeedOption = 0,
    as_json: shell.JsonFlag = False,
) -> None:
    """Compress the digits network that ships with accel, run it from the small file, and show what was gained."""
    images, labels = load_digits()
    test = held_out(len(labels))
    images, labels = np.ascontiguousarray(images[test]), labels[test]
    with tempfile.TemporaryDirectory() as folder:
        report = measure(Path(folder), images, labels, recipe=recipe, threads=threads, seconds=seconds, seed=seed)
    shell.emit(report, _text(report), as_json)


def measure(
    folder: Path, images: np.ndarray, labels: np.ndarray, *, recipe: str, threads: int, seconds: float, seed: int
) -> dict[str, Any]:
    """Save the network as it is and compressed, load both files, and compare size, answers and time."""
    original = accel.load(network_path())
    small = compress(original, recipe, seed=seed)
    paths = {"original": folder / "digits.accel", "compressed": folder / "small.accel"}
    original.save(paths["original"])
    small.save(paths["compressed"])
    sessions = {name: accel.InferenceSession(path, threads=threads) for name, path in paths.items()}
    hits = {name: (s.run(None, {"pixels": images})[0].argmax(1) == labels).sum() for name, s in sessions.items()}
    calls = {name: (lambda s=s: s.run(None, {"pixels": images})) for name, s in sessions.items()}
    times = timing.alternate(calls, seconds)
    speed = timing.ratio(times["original"], times["compressed"])
    metrics = accel.metrics(original, small)
    return {
        "recipe": recipe,
        "images": len(labels),
        "threads": threads,
        "batch": len(images),
        "isa": accel.isa_info()["isa"],
        "backend": accel.isa_info()["backend"],
        "bytes": {name: path.stat().st_size for name, path in paths.items()},
        "accuracy": {name: count / len(labels) for name, count in hits.items()},
        "times": {name: timing.summary(row).as_dict() for name, row in times.items()},
        "delta": dict(zip(("median", "low", "high"), speed, strict=True)),
        **{name: getattr(metrics, name) for name in METRICS},
    }


METRICS = ("parameters", "alpha", "alpha_bytes", "alpha_resident", "beta", "beta_survey")


def _text(report: dict[str, Any]) -> str:
    table = Table(["digits network", "original", "compressed", "gain"])
    before, after = report["parameters"]
    table.add("parameters", before, after, f"alpha = {report['alpha']:.2f}")
    sizes = [report["bytes"][name] for name in ("original", "compressed")]
    table.add("bytes in the file", *map(format_bytes, sizes), f"alpha_bytes = {report['alpha_bytes']:.2f}")
    return table.text()


__all__ = ["demo", "format_seconds"]
