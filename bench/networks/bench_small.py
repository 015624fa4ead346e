"""Small networks, accel beside every other engine that is installed, alternating in one process. A script.

    ACCEL_DATA=... python bench/networks/bench_small.py --threads 1 --seconds 5 --out bench/results/small.json

The networks are the folder `models` of the data folder (ACCEL_DATA, or ../shared/data beside the repository);
without it nothing is measured. All engines get the same ONNX file, input and thread count. MNN and ncnn read files of
their own, which `mnnconvert` and `pnnx` make in a temporary folder. An engine that is not installed, cannot take a
network or gives another answer is left out with a message.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import accel
from accel import timing

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]
from conftest import ROOT, machine, publish  # noqa: E402
from engines import ENGINES, Call, Model, difference  # noqa: E402

FOLDER = Path(os.environ.get("ACCEL_DATA") or ROOT.parent / "shared" / "data") / "models"
TOLERANCE = 1e-3
"""Relative to the largest value of all outputs: the engines add in different orders, and onnxruntime's sigmoid is
exact to 1e-7 of 1, not of itself."""

NETWORKS: dict[str, tuple[str, tuple[int, ...]]] = {
    "resnet20": ("resnet20_cifar10_folded", (1, 3, 32, 32)),
    "resnet20-bn": ("resnet20_cifar10_bn", (1, 3, 32, 32)),
    "yunet-320": ("yunet_n_dynamic", (1, 3, 320, 320)),
    "yunet-640": ("yunet_n_dynamic", (1, 3, 640, 640)),
    "ultraface": ("ultraface_rfb320", (1, 3, 240, 320)),
    "resnet8": ("mlperftiny_resnet8_cifar10", (1, 3, 32, 32)),
    "kws": ("mlperftiny_kws_dscnn", (1, 1, 49, 10)),
    "mnist": ("mnist_cntk", (1, 1, 28, 28)),
}


def prepared(model: Model, threads: int, x: np.ndarray, wanted: Sequence[np.ndarray]) -> dict[str, Call]:
    """Every peer that runs the network and agrees."""
    calls = {}
    for name, make in ENGINES.items():
        if name == "accel":
            continue
        try:
            call = make(model, threads)
            error = difference(call(x), wanted)
        except Exception as why:  # an engine may fail in any way of its own
            print(f"{model.path.stem}: {name} is left out: {why!r:.200}", file=sys.stderr)
            continue
        if error <= TOLERANCE:
            calls[name] = call
        else:
            print(f"{model.path.stem}: {name} is left out: its answers differ by {error:.2e}", file=sys.stderr)
    return calls


def measure(name: str, threads: int, seconds: float, folder: Path) -> dict[str, Any]:
    """One network: times of every engine, and the ratio of each peer's to ours."""
    file, shape = NETWORKS[name]
    path, converted = FOLDER / f"{file}.onnx", folder / name
    converted.mkdir()
    network = accel.load(path)
    model = Model(path, converted, network.inputs[0].name, tuple(v.name for v in network.outputs), shape)
    x = np.random.default_rng(1).standard_normal(shape, np.float32)
    ours = ENGINES["accel"](model, threads)
    calls = {"accel": ours, **prepared(model, threads, x, ours(x))}
    times = timing.alternate({engine: lambda call=call: call(x) for engine, call in calls.items()}, seconds)
    ratios = {engine: timing.ratio(times[engine], times["accel"]) for engine in calls if engine != "accel"}
    return {
        "network": name,
        "batch": 1,
        "threads": threads,
        "times": {engine: timing.summary(row).as_dict() for engine, row in times.items()},
        "ratios": {e: {"median": m, "low": low, "high": high} for e, (m, low, high) in ratios.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="*", help=f"of {', '.join(NETWORKS)}; all by default")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=5, help="per network")
    parser.add_argument("--out", type=Path, help="write the results here")
    chosen = parser.parse_args()
    if unknown := set(chosen.networks) - set(NETWORKS):
        parser.error(f"unknown network {', '.join(unknown)}; known: {', '.join(NETWORKS)}")
    if not FOLDER.is_dir():
        print(f"no networks at {FOLDER}; set ACCEL_DATA to the data folder", file=sys.stderr)
        return
    results = []
    with tempfile.TemporaryDirectory() as folder:
        for name in chosen.networks or NETWORKS:
            results.append(measure(name, chosen.threads, chosen.seconds, Path(folder)))
            medians = {engine: t["median"] * 1e6 for engine, t in results[-1]["times"].items()}
            print(f"{name}: " + ", ".join(f"{e} {t:.1f} us" for e, t in medians.items()), file=sys.stderr)
    command = "python bench/networks/bench_small.py " + " ".join(sys.argv[1:])
    document = {"kind": "small", "command": command, "machine": machine(), "results": results}
    publish(document, chosen.out)


if __name__ == "__main__":
    main()
