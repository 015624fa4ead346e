"""Memory and time of loading a network and running it once, accel beside onnxruntime, each in a fresh process.

    python bench/networks/bench_memory.py --out bench/results/memory.json

Every network is written to a file by one process, then read from there by one process per engine, `--rounds` times in
turn. Bytes are those above the engine's own code, that is above what is resident once it is imported (for accel with
the package onnx, which reads ONNX files): `peak` is the most that was ever resident, `resident` what is after the first
run. Times: to the session, of the first run, and of the fastest of some runs after it.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
SHAPE = (1, 3, 224, 224)
Run = Callable[[], Any]


def accel_importer() -> Callable[[str], Run]:
    import onnx  # noqa: F401  accel imports it when it meets an ONNX file

    import accel

    def load(path: str) -> Run:
        return feeding(accel.InferenceSession(path, threads=1))

    return load


def onnxruntime_importer() -> Callable[[str], Run]:
    import onnxruntime

    def load(path: str) -> Run:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        return feeding(onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"]))

    return load


def feeding(session: Any) -> Run:
    import numpy as np

    x = np.random.default_rng(1).standard_normal(SHAPE, np.float32)
    return lambda: session.run(None, {"input": x})


IMPORTERS = {"accel": accel_importer, "onnxruntime": onnxruntime_importer}


def status(key: str) -> int:
    """Bytes from /proc/self/status. VmHWM is ru_maxrss without what the parent held when it forked."""
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith(key + ":"))


def timed(call: Callable[[], Any]) -> tuple[Any, float]:
    start = time.perf_counter()
    result = call()
    return result, time.perf_counter() - start


def child(engine: str, path: str) -> dict[str, float]:
    """What one engine takes in this process, which has done nothing else."""
    load, importing = timed(IMPORTERS[engine])
    base, base_peak = status("VmRSS"), status("VmHWM")
    run, loading = timed(lambda: load(path))
    loaded = status("VmRSS")
    _, first = timed(run)
    return {
        "peak": status("VmHWM") - base_peak,
        "loaded": loaded - base,
        "resident": status("VmRSS") - base,
        "engine": base,
        "import seconds": importing,
        "load seconds": loading,
        "first run seconds": first,
        "run seconds": min(timed(run)[1] for _ in range(3)),
    }


def measure(name: str, folder: Path, rounds: int) -> dict[str, Any]:
    """One network in every engine, the median of each figure."""
    path = folder / f"{name}.onnx"
    subprocess.run([sys.executable, str(HERE / "zoo.py"), str(folder), name], check=True)
    found: dict[str, list[dict[str, float]]] = {engine: [] for engine in IMPORTERS}
    for _ in range(rounds):
        for engine, rows in found.items():
            command = [sys.executable, __file__, "--child", engine, str(path)]
            rows.append(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
    size = path.stat().st_size
    path.unlink()
    medians = {
        engine: {key: statistics.median(row[key] for row in rows) for key in rows[0]} for engine, rows in found.items()
    }
    return {"network": name, "file bytes": size, "engines": medians}


def publish(results: list[dict[str, Any]], out: Path | None) -> None:
    """Not imported above: a child measures what its own imports cost."""
    sys.path[:0] = [str(HERE.parent)]
    import conftest

    command = "python bench/networks/bench_memory.py " + " ".join(sys.argv[1:])
    document = {"kind": "memory", "command": command, "machine": conftest.machine(), "results": results}
    conftest.publish(document, out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="*", help="names of networks/zoo.py; those of the tables by default")
    parser.add_argument("--rounds", type=int, default=3, help="processes per engine and network")
    parser.add_argument("--out", type=Path, help="write the results here")
    parser.add_argument("--child", nargs=2, metavar=("ENGINE", "PATH"), help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.child:
        print(json.dumps(child(*chosen.child)))
        return
    os.environ["OMP_NUM_THREADS"] = "1"
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # or every import would compile again
    results = []
    with tempfile.TemporaryDirectory() as folder:
        for name in chosen.networks or ("alexnet", "vgg16", "resnet50", "squeezenet11", "mobilenet_v2"):
            results.append(measure(name, Path(folder), chosen.rounds))
            report(results[-1])
    publish(results, chosen.out)


def report(result: dict[str, Any]) -> None:
    """The figures of one network for whoever waits."""
    for engine, row in result["engines"].items():
        sizes = ", ".join(f"{key} {row[key] / 1e6:.1f} MB" for key in ("peak", "loaded", "resident", "engine"))
        times = ", ".join(
            f"{key} {row[f'{key} seconds'] * 1e3:.0f} ms" for key in ("import", "load", "first run", "run")
        )
        print(f"{result['network']} ({result['file bytes'] / 1e6:.1f} MB), {engine}: {sizes}; {times}", file=sys.stderr)


if __name__ == "__main__":
    main()
