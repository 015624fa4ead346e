"""Fill the tables of a document from result files: every figure in the documents comes from here.

    python bench/tables.py                        rewrite them in README.md and all of docs
    python bench/tables.py --check README.md      exit with 1 when one is not up to date

A table stands between `<!-- table FILE -->` and `<!-- end -->`; FILE is relative to bench/results, and while it is not
there the table is empty. It is written by the results' own `kind`: `networks` (bench/networks/bench_networks.py),
`memory` (bench/networks/bench_memory.py), `small` (bench/networks/bench_small.py), `recipes`
(bench/accuracy/recipes.py), `binary training` and `structured training` (scripts/train_*.py), `errors`
(bench/accuracy/winograd_error.py), `sparse networks` (bench/networks/bench_sparse_networks.py), `codebook networks`
(bench/networks/bench_codebook_networks.py), `sparse shapes` and `break even` (bench/kernels/sparse_shapes.py and
break_even.py), `stages` (bench/formats/alexnet_stages.py), or what pytest-benchmark writes. `FILE#layers` is a second
table of a file.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from accel.report import Table, format_bytes, format_seconds

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "bench" / "results"
MARKED = re.compile(r"^(<!-- table (?P<file>[\w./#-]+) -->\n).*?^(<!-- end -->)", re.DOTALL | re.MULTILINE)


def networks(document: dict[str, Any]) -> str:
    """A row per network: all medians, the fastest peer's ratio to ours with its interval, how far our answer is off."""
    results = document["results"]
    peers = list(dict.fromkeys(peer for r in results for peer in r["ratios"]))
    table = Table(["network", "batch", "threads", "accel", *peers, "best peer / accel", "difference"])
    for r in results:
        medians = {engine: row["median"] for engine, row in r["times"].items()}
        times = [format_seconds(medians[e]) if e in medians else None for e in ("accel", *peers)]
        best = min(r["ratios"], key=lambda peer: medians[peer])
        ratio = r["ratios"][best]
        cell = f"{best} {ratio['median']:.2f} ({ratio['low']:.2f} .. {ratio['high']:.2f})"
        table.add(r["network"], r["batch"], r["threads"], *times, cell, f"{r['errors']['accel']:.0e}")
    return f"{table.markdown()}\n\n{origin(document['machine'])}\nCommand: `{document['command']}`"


def sparse_networks(document: dict[str, Any]) -> str:
    """A row per network and batch: all medians, and the ratios of DeepSparse, the best other, and our dense to ours."""
    results = document["results"]
    peers = [e for e in dict.fromkeys(e for r in results for e in r["ratios"]) if not e.startswith(("accel", "deep"))]
    engines = ["accel", "deepsparse", *peers, "accel dense"]
    table = Table(["network", "batch", *engines, "deepsparse / accel", "best other / accel", "accel dense / accel"])
    for r in results:
        medians = {engine: row["median"] for engine, row in r["times"].items()}
        best = min((e for e in peers if e in medians), key=lambda e: medians[e])
        ratios = [ratio_cell(r["ratios"].get(e)) for e in ("deepsparse", best, "accel dense")]
        table.add(r["network"], r["batch"], *(format_seconds(medians[e]) if e in medians else None for e in engines),
                  ratios[0], f"{best} {ratios[1]}", ratios[2])  # fmt: skip
    return f"{table.markdown()}\n\n{origin(document['machine'])}\nCommand: `{document['command']}`"


def codebook_networks(document: dict[str, Any]) -> str:
    """A row per network: the median with dense layers, that of each form of codes, and how much faster it is."""
    results = document["results"]
    forms = list(dict.fromkeys(form for r in results for form in r["ratios"]))
    table = Table(["network", "batch", "dense", *forms])
    for r in results:
        cells = [f"{format_seconds(r['times'][f]['median'])}, {ratio_cell(r['ratios'][f])}" for f in forms]
        table.add(r["network"], r["batch"], format_seconds(r["times"]["dense"]["median"]), *cells)
    return f"{table.markdown()}\n\n{origin(document['machine'])}\nCommand: `{document['command']}`"


def ratio_cell(ratio: dict[str, float] | None) -> str:
    return f"{ratio['median']:.2f} ({ratio['low']:.2f} .. {ratio['high']:.2f})" if ratio else ""


def sparse_shapes(document: dict[str, Any]) -> str:
    """A row per shape: medians, and the faster peer's ratio to ours; below, the median and the least of these."""
    peers = list(dict.fromkeys(peer for r in document["results"] for peer in r["ratios"]))
    table, ratios = Table(["rows × columns", "zeros", "vectors", "accel", *peers, "best peer / accel"]), []
    for r in document["results"]:
        best = min(r["ratios"].values(), key=lambda ratio: ratio["median"])
        ratios.append(best["median"])
        times = [format_seconds(r["times"][e]["median"]) if e in r["times"] else None for e in ("accel", *peers)]
        table.add(f"{r['rows']} × {r['columns']}", f"{r['zeros']} %", r["batch"], *times, ratio_cell(best))
    line = f"Best peer / accel: median {statistics.median(ratios):.2f}, least {min(ratios):.2f}."
    return f"{table.markdown()}\n\n{line}\n{origin(document['machine'])}\nCommand: `{document['command']}`"


def break_even(document: dict[str, Any]) -> str:
    """A row per shape: its dense step, how much faster the sparse one is for some zeros, and where they cross."""
    zeros = [z for z in document["results"][0]["relative"] if int(z) in (50, 70, 80, 90, 95, 98)]
    table = Table(["shape", "dense step", "dense", *(f"{z} %" for z in zeros), "break-even"])
    for r in document["results"]:
        least = min(map(int, r["relative"]))
        even = "never" if r["even"] is None else f"below {least} %" if r["even"] <= least else f"{r['even']:.0f} %"
        times = [f"{1 / r['relative'][z]:.2f}×" for z in zeros]
        table.add(r["shape"], r["method"], format_seconds(r["dense"]), *times, even)
    return f"{table.markdown()}\n\n{origin(document['machine'])}\nCommand: `{document['command']}`"


def break_even_layers(document: dict[str, Any]) -> str:
    """A row per layer of a network as it was pruned, and what all take by dense steps and by the faster of each."""
    table = Table(["layer", "weights", "output", "zeros", "dense step", "dense", "sparse", "dense / sparse"])
    for r in document["layers"]:
        shapes = [" × ".join(map(str, r[key])) for key in ("weights", "output")]
        times = [format_seconds(r["dense"]), format_seconds(r["sparse"]), f"{r['dense'] / r['sparse']:.2f}"]
        table.add(r["layer"].removesuffix(".weight"), *shapes, f"{r['zeros']:.0f} %", r["method"], *times)
    dense, best = (sum(f(r["dense"], r["sparse"]) for r in document["layers"]) for f in (lambda d, s: d, min))
    return f"{table.markdown()}\n\nAll dense: {format_seconds(dense)}; the faster of each: {format_seconds(best)}."


def memory(document: dict[str, Any]) -> str:
    """A row per network and engine: bytes above those of the engine itself, and what loading takes."""
    table = Table(["network", "file", "engine", "peak", "peak / accel", "after a run", "load", "first run"])
    for r in document["results"]:
        ours = r["engines"]["accel"]["peak"]
        for engine, row in r["engines"].items():
            sizes = [format_bytes(row["peak"]), f"{row['peak'] / ours:.2f}", format_bytes(row["resident"])]
            times = [format_seconds(row[f"{key} seconds"]) for key in ("load", "first run")]
            table.add(r["network"], format_bytes(r["file bytes"]), engine, *sizes, *times)
    return f"{table.markdown()}\n\n{origin(document['machine'])}\nCommand: `{document['command']}`"


def small(document: dict[str, Any]) -> str:
    """A row per network: every engine's median and fastest time; a dash where one could not run it."""
    engines = list(dict.fromkeys(engine for r in document["results"] for engine in r["times"]))
    table = Table(["network", "threads", *engines])
    for r in document["results"]:
        times = [r["times"].get(engine) for engine in engines]
        cells = [f"{format_seconds(t['median'])} ({format_seconds(t['fastest'])})" if t else "-" for t in times]
        table.add(r["network"], r["threads"], *cells)
    return f"{table.markdown()}\n\n{origin(document['machine'])}\nCommand: `{document['command']}`"


def benchmarks(document: dict[str, Any]) -> str:
    """A row per group and implementation: median, quartiles, rounds, and the time relative to the group's fastest.

    Where the peaks of the core were measured beside, also the share of what bounds the kernel.
    """
    groups: dict[str, list[dict[str, Any]]] = {}
    for result in document["benchmarks"]:
        groups.setdefault(result["group"] or result["name"], []).append(result)
    peaks = any("peak operations per second" in result["extra_info"] for result in document["benchmarks"])
    sizes = any("stored bytes" in result["extra_info"] for result in document["benchmarks"])
    heads = ["group", "implementation", "median", "quartiles", "rounds", "relative", *(["of peak"] if peaks else [])]
    heads += ["stored", "of bytes", "rate"] if sizes else []
    table = Table(heads)
    for group, results in groups.items():
        best = min(result["stats"]["median"] for result in results)
        for result in sorted(results, key=lambda r: r["stats"]["median"]):
            stats = result["stats"]
            quartiles = f"{format_seconds(stats['q1'])} .. {format_seconds(stats['q3'])}"
            cells = [format_seconds(stats["median"]), quartiles, stats["rounds"], f"{stats['median'] / best:.2f}"]
            table.add(group, implementation(result), *cells, *([share(result)] if peaks else []),
                      *(coded(result) if sizes else []))  # fmt: skip
    return "\n".join([table.markdown(), "", *peak_line(document["benchmarks"]), origin(document["machine_info"])])


def implementation(result: dict[str, Any]) -> str:
    """The benchmark's parameter, or its own name where that says nothing but a size."""
    param = result["param"] or ""
    name = result["name"].partition("[")[0].removeprefix("bench_").replace("_", " ")
    return param if param.strip("0123456789-x") else "-".join(filter(None, (name, param)))


def coded(result: dict[str, Any]) -> list[str | None]:
    """What a codec leaves, of how many bytes, and how many of these it takes or gives in a second."""
    noted = result["extra_info"]
    if "stored bytes" not in noted:
        return [None, None, None]
    rate = noted["bytes"] / result["stats"]["median"] / 1e9
    return [f"{noted['stored bytes'] / noted['bytes']:.2%}", format_bytes(noted["bytes"]), f"{rate:.2f} GB/s"]


def share(result: dict[str, Any]) -> str | None:
    """How near a kernel comes to the core's rate of reading, where it streams, or of multiply-adds."""
    noted = result["extra_info"]
    for kind, what in (("bytes", "reading"), ("operations", "FMA")):
        if peak := noted.get(f"peak {kind} per second"):
            return f"{noted[kind] / result['stats']['median'] / peak:.0%} {what}"
    return None


def peak_line(results: list[dict[str, Any]]) -> list[str]:
    """The multiply-adds per second of each instruction set, measured in the same run."""
    rates: dict[str, list[float]] = {}
    for noted in (result["extra_info"] for result in results):
        if "peak operations per second" in noted:
            rates.setdefault(noted["isa"], []).append(noted["peak operations per second"] / 1e9)
    listed = [f"{isa} {statistics.median(found):.1f}" for isa, found in rates.items()]
    return [f"FMA peak of the core in this run, 10⁹ operations per second: {', '.join(listed)}."] if listed else []


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


def binary_training(document: dict[str, Any]) -> str:
    """A row per network: how right it is beside its float twin, its files, and whether accel and PyTorch agree."""
    columns = ["data", "method", "epochs", "accuracy", "to float", "ONNX file", ".accel file", "smaller"]
    table, twin = Table([*columns, "same class as PyTorch", "undecided"]), document["results"][0]
    for r in document["results"]:
        loss = f"{r['accuracy'] - twin['accuracy']:+.2f}"
        sizes = [f"{r['onnx bytes']:,}", f"{r['accel bytes']:,}", f"{twin['onnx bytes'] / r['accel bytes']:.1f}×"]
        same = f"{r['test images'] - r['other predictions']:,} of {r['test images']:,}"
        accuracy = f"{r['accuracy']:.2f} %"
        table.add(r["data"], r["method"], r["epochs"], accuracy, loss, *sizes, same, r["undecided images"])
    return f"{table.markdown()}\n\n{origin(document['machine'])}\nCommand: `{document['command']}`"


def structured_training(document: dict[str, Any]) -> str:
    """A row per form: numbers of the layer and of the network, α, the file, how right it is beside the dense one."""
    columns = ["data", "layer", "its parameters", "its α", "parameters", "α", ".accel file", "projected", "fine-tuned"]
    table, dense = Table([*columns, "to dense", "same class as PyTorch"]), document["results"][0]
    for r in document["results"]:
        rates = [f"{dense[key] / r[key]:.1f}" for key in ("layer parameters", "parameters")]
        sizes = [f"{r['layer parameters']:,}", rates[0], f"{r['parameters']:,}", rates[1], f"{r['accel bytes']:,}"]
        right = [f"{r[key]:.2f} %" for key in ("projected accuracy", "accuracy")]
        loss = f"{r['accuracy'] - dense['accuracy']:+.2f}"
        same = f"{r['test images'] - r['other predictions']:,} of {r['test images']:,}"
        table.add(r["data"], r["form"], *sizes, *right, loss, same)
    return f"{table.markdown()}\n\n{origin(document['machine'])}\nCommand: `{document['command']}`"


def errors(document: dict[str, Any]) -> str:
    """A row per layer and method: its errors, and its largest as a multiple of direct convolution's."""
    layer = ("kernel", "stride", "channels")
    direct = {tuple(r[key] for key in layer): r["largest"] for r in document["results"] if r["method"] == "direct"}
    table = Table([*layer, "method", "largest error", "root mean square", "of direct's", "constant"])
    for r in document["results"]:
        relative = r["largest"] / direct[tuple(r[key] for key in layer)]
        figures = (f"{r['largest']:.1e}", f"{r['rms']:.1e}", f"{relative:.1f}", f"{r['constant']:.3f}")
        table.add(f"{r['kernel']} × {r['kernel']}", r["stride"], r["channels"], r["method"], *figures)
    return f"{table.markdown()}\n\n{origin(document['machine'])}\nCommand: `{document['command']}`"


def stages(document: dict[str, Any]) -> str:
    """A row per layer: its bytes after every stage of Deep Compression, and what the paper has."""
    ours = ("float32", "weights left", "pruned", "quantized", "coded")
    theirs = ours[1:2] + ours[3:]
    table = Table(["layer", "kept", "bits", *ours, *(f"paper: {stage}" for stage in theirs)])
    for r in document["layers"]:
        cells = [r["ours"][stage] for stage in ours] + [r["paper"][stage] for stage in theirs]
        table.add(r["layer"], f"{r['kept']} %", r["bits"], *map(format_bytes, cells))
    sums = [sum(r["ours"][stage] for r in document["layers"]) for stage in ours[:-1]]
    paper = [document["paper"][stage] for stage in theirs]
    table.add("all, as a file", "", "", *map(format_bytes, [*sums, document["file bytes"], *paper]))
    rates = {way: document["codes"] / seconds / 1e9 for way, seconds in document["load seconds"].items()}
    line = (
        f"Loaded on one thread at {rates['read']:.2f} GB of codes a second, {rates['opened']:.2f} without the digest."
    )
    return f"{table.markdown()}\n\n{line}\n{origin(document['machine'])}\nCommand: `{document['command']}`"


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
    file, _, part = name.partition("#")
    if not (RESULTS / file).is_file():
        return ""
    document = json.loads((RESULTS / file).read_text())
    kinds: dict[str, Callable[[dict[str, Any]], str]] = {
        "networks": networks,
        "memory": memory,
        "small": small,
        "benchmarks": benchmarks,
        "recipes": recipes,
        "errors": errors,
        "binary training": binary_training,
        "structured training": structured_training,
        "sparse networks": sparse_networks,
        "codebook networks": codebook_networks,
        "sparse shapes": sparse_shapes,
        "stages": stages,
        "break even": break_even_layers if part else break_even,
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
