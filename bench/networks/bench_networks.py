"""The survey's networks, accel beside onnxruntime, alternating in one process. A script, not a pytest file: one run of
VGG-16 takes longer than a benchmark round should.

    python bench/networks/bench_networks.py --threads 1 --seconds 10 --out bench/results/networks.json

Both engines get the same ONNX bytes, input and thread count; onnxruntime runs without spinning threads, at its default
(full) optimisation. The answers are compared before anything is timed. Loading is timed once, apart.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

import accel
from accel import timing

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]
import zoo  # noqa: E402
from conftest import machine  # noqa: E402

TOLERANCE = 1e-3
"""Relative to the largest output: the engines add in different orders, over 50 layers."""


def timed(make: Callable[[], Any]) -> tuple[Any, float]:
    start = time.perf_counter()
    made = make()
    return made, time.perf_counter() - start


def peer_session(model: bytes, threads: int) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def measure(name: str, batch: int, threads: int, seconds: float) -> dict[str, Any]:
    """One network: load times, relative difference of the answers, times and their ratio."""
    model = zoo.build(name).SerializeToString()
    x = np.random.default_rng(1).standard_normal((batch, 3, 224, 224), np.float32)
    ours, ours_load = timed(lambda: accel.InferenceSession(accel.load(model), threads=threads))
    peer, peer_load = timed(lambda: peer_session(model, threads))
    calls = {"accel": lambda: ours.run(None, {"input": x}), "onnxruntime": lambda: peer.run(None, {"input": x})}
    (first,), ours_first = timed(calls["accel"])
    expected = calls["onnxruntime"]()[0]
    error = float(np.abs(first - expected).max() / np.abs(expected).max())
    if not error <= TOLERANCE:
        raise SystemExit(f"{name}: the answers differ by {error:.2e}, more than {TOLERANCE:.0e}: nothing is timed")
    times = timing.alternate(calls, seconds)
    median, low, high = timing.ratio(times["onnxruntime"], times["accel"])
    return {
        "network": name,
        "batch": batch,
        "threads": threads,
        "error": error,
        "load": {"accel": ours_load, "accel first run": ours_first, "onnxruntime": peer_load},
        "times": {engine: timing.summary(row).as_dict() for engine, row in times.items()},
        "ratio": {"median": median, "low": low, "high": high},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="*", help=f"of {', '.join(zoo.NETWORKS)}; all by default")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=10, help="per network")
    parser.add_argument("--out", type=Path, help="write the results here")
    chosen = parser.parse_args()
    unknown = set(chosen.networks) - set(zoo.NETWORKS)
    if unknown:
        parser.error(f"unknown network {', '.join(unknown)}; known: {', '.join(zoo.NETWORKS)}")
    results = []
    for name in chosen.networks or zoo.NETWORKS:
        results.append(measure(name, chosen.batch, chosen.threads, chosen.seconds))
        r = results[-1]
        ours, peer = (r["times"][engine]["median"] * 1e3 for engine in ("accel", "onnxruntime"))
        print(
            f"{name}: accel {ours:.2f} ms, onnxruntime {peer:.2f} ms, ratio {r['ratio']['median']:.3f}", file=sys.stderr
        )
    command = "python bench/networks/bench_networks.py " + " ".join(sys.argv[1:])
    document = {"kind": "networks", "command": command, "machine": machine(), "results": results}
    text = json.dumps(document, indent=1)
    if chosen.out:
        chosen.out.write_text(text + "\n")
    else:
        print(text)


if __name__ == "__main__":
    main()
