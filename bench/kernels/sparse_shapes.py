"""Sparse products of many shapes beside scipy.sparse and torch's CSR, one thread, alternating call by call. A script.

    python bench/kernels/sparse_shapes.py --out bench/results/sparse_shapes.json

Ours is what a user calls, `accel.Linear` with `Csr` weights, on vectors in rows; the peers multiply the same matrix
with the same vectors in columns, the layout that they like.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parent)]  # this folder has a conftest of its own
from conftest import machine, publish, stay_on_one_processor  # noqa: E402
from sparsity import SPARSE_PEERS, check, random_weights  # noqa: E402

import accel  # noqa: E402
from accel import timing  # noqa: E402
from accel.weights import Csr  # noqa: E402

SHAPES = (
    *((4096, 4096, zeros, batch) for zeros, batch in ((90, 1), (95, 4), (80, 8), (90, 64), (98, 256))),
    *((4096, 9216, 92, 1), (1000, 4096, 75, 1), (1000, 2048, 90, 16), (3072, 768, 90, 128), (768, 3072, 90, 128)),
    *((512, 512, 90, 196), (256, 1024, 85, 196), (2048, 512, 95, 49), (64, 64, 80, 3136), (512, 4608, 93, 49)),
    *((1024, 1024, 70, 1), (256, 256, 90, 1), (128, 128, 95, 32), (10000, 300, 99, 8), (300, 10000, 99, 2)),
)
"""Rows, columns, percent of zeros, vectors."""


def measure(rows: int, columns: int, zeros: int, batch: int, seconds: float) -> dict[str, Any]:
    w = random_weights((rows, columns), zeros)
    x = np.random.default_rng(1).standard_normal((batch, columns), np.float32)
    layer, by_columns, wanted = accel.Linear(Csr.from_dense(w)), np.ascontiguousarray(x.T), x @ w.T
    if batch == 1:
        by_columns = by_columns[:, 0]
    calls: dict[str, Callable[[], np.ndarray]] = {"accel": lambda: layer(x)}
    for name, make in SPARSE_PEERS.items():
        try:
            calls[name] = make(w, by_columns)
        except ImportError as why:
            print(f"{name} is left out: {why}", file=sys.stderr)
    for name, call in calls.items():
        check(call() if name == "accel" else call().T.reshape(wanted.shape), wanted)
    times = timing.alternate(calls, seconds)
    ratios = {name: timing.ratio(row, times["accel"]) for name, row in times.items() if name != "accel"}
    return {
        "rows": rows,
        "columns": columns,
        "zeros": zeros,
        "batch": batch,
        "times": {name: timing.summary(row).as_dict() for name, row in times.items()},
        "ratios": {name: dict(zip(("median", "low", "high"), ratio, strict=True)) for name, ratio in ratios.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=2, help="per shape")
    parser.add_argument("--out", type=Path, help="write the results here")
    chosen = parser.parse_args()
    stay_on_one_processor()
    results = []
    with accel.using(threads=1):
        for shape in SHAPES:
            results.append(measure(*shape, chosen.seconds))
            ratios = {name: round(ratio["median"], 2) for name, ratio in results[-1]["ratios"].items()}
            print(f"{shape}: {results[-1]['times']['accel']['median'] * 1e6:.1f} us, {ratios}", file=sys.stderr)
        command = " ".join(["python bench/kernels/sparse_shapes.py", *sys.argv[1:]])
        document = {"kind": "sparse shapes", "command": command, "machine": machine(), "results": results}
    publish(document, chosen.out)


if __name__ == "__main__":
    main()
