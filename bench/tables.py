"""Fill the tables of a document from result files: every figure in the documents comes from here.

    python bench/tables.py                        rewrite them in README.md and all of docs
    python bench/tables.py --check README.md      exit with 1 when one is not up to date

A table stands between `<!-- table FILE -->` and `<!-- end -->`; FILE is relative to bench/results, and while it is not
there the table is empty. It is written by the results' own `kind`: `networks` (bench/networks/bench_networks.py),
`recipes` (bench/accuracy/recipes.py), `errors` (bench/accuracy/winograd_error.py), or what pytest-benchmark writes.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from accel.report import Table, format_seconds

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "bench" / "results"
MARKED = re.compile(r"^(<!-- table (?P<file>[\w./-]+) -->\n).*?^(<!-- end -->)", re.DOTALL | re.MULTILINE)


def networks(document: dict[str, Any]) -> str:
    """A row per network: both medians, the ratio with its interval, the difference of the answers."""
    table = Table(["network", "batch", "threads", "accel", "onnxruntime", "onnxruntime / accel", "difference"])
    for r in document["results"]:
        ours, peer = (format_seconds(r["times"][engine]["median"]) for engine in ("accel", "onnxruntime"))
        ratio = f"{r['ratio']['median']:.2f} ({r['ratio']['low']:.2f} .. {r['ratio']['high']:.2f})"
        table.add(r["network"], r["batch"], r["threads"], ours, peer, ratio, f"{r['error']:.0e}")
    return f"{table.markdown()}\n\n{origin(document['machine'])}\nCommand: `{document['command']}`"


def benchmarks(document: dict[str, Any]) -> str:
    """A row per group and implementation: median, quartiles, rounds, and the time relative to the group's fastest."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for result in document["benchmarks"]:
        groups.setdefault(result["group"] or result["name"], []).append(result)
    table = Table(["group", "implementation", "median", "quartiles", "rounds", "relative"])
    for group, results in groups.items():
        best = min(result["stats"]["median"] for result in results)
        for result in sorted(results, key=lambda r: r["stats"]["median"]):
            stats = result["stats"]
            quartiles = f"{format_seconds(stats['q1'])} .. {format_seconds(stats['q3'])}"
            relative = f"{stats['median'] / best:.2f}"
            table.add(group, result["param"], format_seconds(stats["median"]), quartiles, stats["rounds"], relative)
    return f"{table.markdown()}\n\n{origin(document['machine_info'])}"


def recipes(document: dict[str, Any]) -> str:
    """A row per setting: size, rate against the model's file, accuracy; the default is bold."""
    columns = [
        "sparsity",
        "bits per weight",
        "rounding",
        "file",
        "smaller",
        "training images",
        "test images",
        "same answer",
    ]
    table = Table(columns)
    for r in document["results"]:
        s = r["setting"]
        setting = ["", 32, ""] if s == "float32" else [s["sparsity"], s["bits"], s["rounding"]]
        rate = f"{document['model bytes'] / r['bytes']:.2f}×"
        cells = [*setting, f"{r['bytes']:,}", rate, *(f"{r[key]:.2f} %" for key in ("train10k", "test", "test same"))]
        table.add(*(f"**{cell}**" if r.get("default") else cell for cell in cells))
    return f"{table.markdown()}\n\n{origin(document['machine'])}\nCommand: `{document['command']}`"


def errors(document: dict[str, Any]) -> str:
    """A row per kernel, channels and method: its errors, and its largest as a multiple of direct convolution's."""
    direct = {(r["kernel"], r["channels"]): r["largest"] for r in document["results"] if r["method"] == "direct"}
    table = Table(["kernel", "channels", "method", "largest error", "root mean square", "of direct's", "constant"])
    for r in document["results"]:
        kernel, relative = f"{r['kernel']} × {r['kernel']}", r["largest"] / direct[r["kernel"], r["channels"]]
        figures = (f"{r['largest']:.1e}", f"{r['rms']:.1e}", f"{relative:.1f}", f"{r['constant']:.3f}")
        table.add(kernel, r["channels"], r["method"], *figures)
    return f"{table.markdown()}\n\n{origin(document['machine'])}\nCommand: `{document['command']}`"


def origin(machine: dict[str, Any]) -> str:
    """One line on where the figures are from."""
    peers = ", ".join(f"{name} {version}" for name, version in machine["peers"].items())
    virtual = ", virtual machine" if machine["hypervisor"] else ""
    return (
        f"{machine['cpu']}{virtual}, {machine['cpus']} CPUs, accel {machine['accel']} ({machine['commit']}), "
        f"{machine['isa']}, {machine['compiler']}, Python {machine['python']}, {peers}."
    )


def documents() -> list[Path]:
    """Every page that may hold tables."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def table(name: str) -> str:
    """The table of a result file with its last newline; nothing while there is no such file."""
    if not (RESULTS / name).is_file():
        return ""
    document = json.loads((RESULTS / name).read_text())
    kinds: dict[str, Callable[[dict[str, Any]], str]] = {
        "networks": networks,
        "benchmarks": benchmarks,
        "recipes": recipes,
        "errors": errors,
    }
    return kinds[document.get("kind", "benchmarks")](document) + "\n"


def filled(text: str) -> str:
    """The document with every marked table written anew."""
    return MARKED.sub(lambda match: f"{match[1]}{table(match['file'])}{match[3]}", text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("documents", nargs="*", type=Path)
    parser.add_argument("--check", action="store_true", help="change nothing")
    chosen = parser.parse_args()
    stale = [path for path in chosen.documents or documents() if filled(path.read_text()) != path.read_text()]
    for path in stale:
        print(f"{path} is not up to date" if chosen.check else f"{path} is rewritten", file=sys.stderr)
        if not chosen.check:
            path.write_text(filled(path.read_text()))
    if chosen.check and stale:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
