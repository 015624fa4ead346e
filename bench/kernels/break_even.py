"""From how many zeros on our sparse steps beat our best dense ones. A script: one thread, everything alternating.

    python bench/kernels/break_even.py --out bench/results/break_even.json
    python bench/plots.py                            # draws them

Random patterns at sizes of ResNet-50's layers and of fully-connected ones, and the layers of the Deep Compression
SqueezeNet as they were pruned (models/squeezenet10_dc.onnx of the data folder: ACCEL_DATA, or ../shared/data beside the
repository; left out with a message where it is not). The dense step of a convolution is the one that the engine
measures as the fastest, direct or Winograd. Weights of all steps take turns, so that large ones come from memory.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parent)]  # this folder has a conftest of its own
from conftest import ROOT, machine, publish, stay_on_one_processor  # noqa: E402
from sparsity import (  # noqa: E402
    TOLERANCE,
    Step,
    conv_layer,
    dense_conv_step,
    dense_linear_step,
    random_weights,
    sparse_conv_step,
    sparse_linear_step,
)

import accel  # noqa: E402
from accel import timing  # noqa: E402
from accel.engine.shapes import Spec, infer, window  # noqa: E402
from accel.engine.tuning import Layer  # noqa: E402
from accel.kernels.sparse import SparseArrays  # noqa: E402

ZEROS = (30, 40, 50, 60, 70, 75, 80, 85, 90, 93, 95, 98)
"""Percent."""
CONVOLUTIONS = {
    "1x1 64 to 256, 56 x 56": (64, 256, 56, 1),
    "1x1 512 to 512, 14 x 14": (512, 512, 14, 1),
    "3x3 64 to 64, 56 x 56": (64, 64, 56, 3),
    "3x3 256 to 256, 14 x 14": (256, 256, 14, 3),
    "3x3 512 to 512, 7 x 7": (512, 512, 7, 3),
}
LINEAR = {f"{i} to {o}, batch {batch}": (i, o, batch) for i, o in ((4096, 4096), (1024, 1000)) for batch in (1, 16, 64)}
SQUEEZENET = Path(os.environ.get("ACCEL_DATA") or ROOT.parent / "shared" / "data") / "models" / "squeezenet10_dc.onnx"
IMAGE = (1, 3, 227, 227)


def agree(steps: dict[str, Step], name: str, wanted: np.ndarray) -> None:
    """Where a step has the dense step's weights, it has its answer."""
    steps[name].run()
    error = float(np.abs(steps[name].y - wanted).max()) / float(np.abs(wanted).max())
    if not error <= TOLERANCE:
        raise SystemExit(f"the sparse step is off by {error:.1e}: nothing is timed")


def curve(name: str, seconds: float) -> dict[str, Any]:
    """Times of a shape's dense step and of its sparse steps, and where they cross."""
    if name in CONVOLUTIONS:
        layer = conv_layer(*CONVOLUTIONS[name])
        x = normal((1, layer.channels, *layer.size))
        shape: tuple[int, ...] = layer.w_shape

        def sparse(w: np.ndarray) -> Step:
            return sparse_conv_step(layer, SparseArrays.of(w), x)

        dense, choice = dense_conv_step(layer, random_weights(shape, ZEROS[0]), x)
        method = str(choice.method)
    else:
        depth, out, batch = LINEAR[name]
        x, shape, method = normal((batch, depth)), (out, depth), "linear"

        def sparse(w: np.ndarray) -> Step:
            return sparse_linear_step(SparseArrays.of(w), x)

        dense = dense_linear_step(random_weights(shape, ZEROS[0]), x)
        dense.run()
    steps = {"dense": dense} | {str(zeros): sparse(random_weights(shape, zeros)) for zeros in ZEROS}
    agree(steps, str(ZEROS[0]), dense.y)
    medians = times(steps, seconds)
    slower = {int(zeros): medians[zeros] / medians["dense"] for zeros in medians if zeros != "dense"}
    return {"shape": name, "method": method, "dense": medians["dense"], "relative": slower, "even": crossing(slower)}


def normal(shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(1).standard_normal(shape, np.float32)


def times(steps: dict[str, Step], seconds: float) -> dict[str, float]:
    """Medians: least times would be those of a core whose neighbours are idle, for some steps only."""
    calls: dict[str, Callable[[], None]] = {name: step.run for name, step in steps.items()}
    return {name: float(np.median(row)) for name, row in timing.alternate(calls, seconds).items()}


def crossing(relative: dict[int, float]) -> float | None:
    """Percent of zeros from which on sparse takes no longer than dense, interpolated; None where it never does."""
    even: float | None = None
    above: tuple[int, float] | None = None
    for zeros, ratio in sorted(relative.items()):
        if ratio > 1:
            above, even = (zeros, ratio), None
        elif even is None:
            even = zeros if above is None else above[0] + (zeros - above[0]) * (above[1] - 1) / (above[1] - ratio)
    return even


def squeezenet(seconds: float) -> list[dict[str, Any]]:
    """Every convolution of the pruned network: its zeros, and the times of its two steps."""
    if not SQUEEZENET.is_file():
        print(f"no {SQUEEZENET.name} in {SQUEEZENET.parent}: set ACCEL_DATA to the data folder", file=sys.stderr)
        return []
    results = []
    network = accel.load(SQUEEZENET)
    known = infer(network, {network.inputs[0].name: Spec(IMAGE, np.dtype(np.float32))})
    for node in (node for node in network.nodes if node.op == "Conv"):
        w = network.constants[node.inputs[1]]
        _, channels, *size = known[node.inputs[0]].shape
        geometry = window(node.attributes, w.shape[2:], tuple(size))
        layer = Layer(channels, (size[0], size[1]), w.shape, *geometry[1:], 1)
        x = normal((1, channels, *size))
        dense, choice = dense_conv_step(layer, w, x)
        steps = {"dense": dense, "sparse": sparse_conv_step(layer, SparseArrays.of(w), x)}
        agree(steps, "sparse", dense.y)
        zeros = 100 - 100 * np.count_nonzero(w) / w.size
        facts = {"layer": node.inputs[1], "weights": w.shape, "output": layer.output, "zeros": zeros}
        results.append({**facts, "method": str(choice.method), **times(steps, seconds)})
        print(f"{node.inputs[1]}: {results[-1]}", file=sys.stderr)
    return results


def machine_and(results: dict[str, Any]) -> dict[str, Any]:
    command = " ".join(["python bench/kernels/break_even.py", *sys.argv[1:]])
    return {"kind": "break even", "command": command, "machine": machine(), **results}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=6, help="per shape; a twentieth of it per pruned layer")
    parser.add_argument("--out", type=Path, help="write the results here")
    chosen = parser.parse_args()
    stay_on_one_processor()
    results = []
    with accel.using(threads=1):
        for name in (*CONVOLUTIONS, *LINEAR):
            results.append(curve(name, chosen.seconds))
            print(f"{name}: {results[-1]['even']} % against {results[-1]['method']}", file=sys.stderr)
        layers = squeezenet(chosen.seconds / 20)
        document = machine_and({"results": results, "layers": layers})
    publish(document, chosen.out)


if __name__ == "__main__":
    main()
