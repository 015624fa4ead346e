"""Networks of which 90 % of the weights are zero, accel beside other engines, alternating in one run. A script.

    python bench/networks/bench_sparse_networks.py --deepsparse PYTHON --out bench/results/networks_sparse.json

Random weights, the smallest of every layer made zero (networks/zoo.py), and the Deep Compression SqueezeNet as it was
pruned (models/squeezenet10_dc.onnx of the data folder: ACCEL_DATA, or ../shared/data beside the repository; left out
with a message where it is not). "dense" engines run the same network before it was pruned: what they would take if
zeros meant nothing to them. DeepSparse runs under a Python of its own, PYTHON:
`python -m venv ds && ds/bin/pip install deepsparse==1.8.0`, Python 3.8 to 3.11; call by call in turn with the others,
and its own clock counts.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]
from bench_networks import TOLERANCE, folder, parsed, report, written  # noqa: E402
from conftest import ROOT, machine, publish, stay_on_one_processor  # noqa: E402
from engines import ENGINES, Model, difference  # noqa: E402

import accel  # noqa: E402
from accel import timing  # noqa: E402

NETWORKS = ("resnet50", "vgg16", "alexnet", "mobilenet_v1", "squeezenet10_dc")
WITH_SPARSE = ("accel", "onnxruntime", "openvino")
WITH_DENSE = ("accel dense", "openvino dense")
SQUEEZENET = Path(os.environ.get("ACCEL_DATA") or ROOT.parent / "shared" / "data") / "models" / "squeezenet10_dc.onnx"


class DeepSparse:
    """The engine in its own process: a call is one run there, and `seconds` what the runs took by its own clock."""

    def __init__(self, python: Path, model: Model, x: np.ndarray, threads: int) -> None:
        given, answer = model.folder / "input.npy", model.folder / "answer.npy"
        np.save(given, x)
        worker = Path(__file__).parent / "deepsparse_worker.py"
        command = [python, worker, model.path, given, answer, threads]
        self._process = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},  # that is for our Python
        )
        while (line := self._read()) != "ready":
            if not line and self._process.poll() is not None:
                raise RuntimeError(f"its process ended with {self._process.returncode}")
        self.answer = [np.load(answer, allow_pickle=False)]
        self.seconds: list[float] = []

    def __call__(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        self.seconds.append(float(self._read()))

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()

    def _read(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


def models(name: str, zeros: int, kept: Path, batch: int) -> tuple[Model, Model] | None:
    """The network with its zeros, and without."""
    if name != "squeezenet10_dc":
        shape = (batch, 3, 224, 224)
        files = written(f"{name}-{zeros}", kept), written(name, kept)
        return Model(files[0], kept, "input", ("logits",), shape), Model(files[1], kept, "input", ("logits",), shape)
    if not SQUEEZENET.is_file():
        print(f"no {SQUEEZENET.name} in {SQUEEZENET.parent}: set ACCEL_DATA to the data folder", file=sys.stderr)
        return None
    network, filled = accel.load(SQUEEZENET), kept / "squeezenet10_dc_filled.onnx"
    rng, shape = np.random.default_rng(0), (batch, 3, 227, 227)
    weights = {w: array for _, w, array in network.weights() if isinstance(array, np.ndarray)}
    changed = {w: np.where(a == 0, rng.normal(0, 1e-3, a.shape).astype(np.float32), a) for w, a in weights.items()}
    network.with_constants(changed).to_onnx(filled)
    facts = (network.inputs[0].name, tuple(value.name for value in network.outputs), shape)
    return Model(SQUEEZENET, kept, *facts), Model(filled, kept, *facts)


@contextlib.contextmanager
def prepared(
    pair: tuple[Model, Model], engines: list[str], chosen: argparse.Namespace, x: np.ndarray
) -> Iterator[tuple[dict[str, Callable[[], Any]], dict[str, float]]]:
    """Calls of the engines that can, and how far each answer to the pruned network is from the first peer's."""
    calls: dict[str, Callable[[], Any]] = {}
    answers: dict[str, Sequence[np.ndarray]] = {}
    for engine in engines:
        name, _, dense = engine.partition(" ")
        call = ENGINES[name](pair[bool(dense)], chosen.threads)
        calls[engine] = lambda call=call: call(x)  # type: ignore[misc]
        answer = [np.array(y) for y in calls[engine]()]
        if not dense:
            answers[engine] = answer
    peer = None
    if chosen.deepsparse:
        try:
            peer = calls["deepsparse"] = DeepSparse(chosen.deepsparse, pair[0], x, chosen.threads)
            answers["deepsparse"] = peer.answer
        except RuntimeError as why:
            print(f"{pair[0].path.stem}: deepsparse is left out: {why}", file=sys.stderr)
    first = next(engine for engine in (*answers, "accel") if engine != "accel" or len(answers) == 1)
    errors = {engine: difference(answer, answers[first]) for engine, answer in answers.items()}
    if off := [f"{engine} {error:.1e}" for engine, error in errors.items() if not error <= TOLERANCE]:
        raise SystemExit(f"answers differ by more than {TOLERANCE:.0e}, nothing is timed: {', '.join(off)}")
    try:
        yield calls, errors
    finally:
        if peer is not None:
            peer.close()


def measure(name: str, pair: tuple[Model, Model], chosen: argparse.Namespace) -> dict[str, Any]:
    """One network: times, relative differences of the answers, and each peer's time to ours."""
    x = np.random.default_rng(1).standard_normal(pair[0].shape, np.float32)
    with prepared(pair, chosen.engines, chosen, x) as (calls, errors):
        times = timing.alternate(calls, chosen.seconds * len(calls))
        peer = calls.get("deepsparse")
        if isinstance(peer, DeepSparse):
            times["deepsparse"] = np.array(peer.seconds[-len(times["deepsparse"]) :])
    ratios = {engine: timing.ratio(row, times["accel"]) for engine, row in times.items() if engine != "accel"}
    return {
        "network": name,
        "zeros": None if name == "squeezenet10_dc" else chosen.zeros,
        "batch": chosen.batch,
        "threads": chosen.threads,
        "errors": errors,
        "times": {engine: timing.summary(row).as_dict() for engine, row in times.items()},
        "ratios": {e: dict(zip(("median", "low", "high"), ratio, strict=True)) for e, ratio in ratios.items()},
    }


def options() -> argparse.Namespace:
    known = (*WITH_SPARSE, *WITH_DENSE)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="*", help=f"of {', '.join(NETWORKS)}; all by default")
    parser.add_argument("--engines", default=",".join(known), help=f"of {', '.join(known)}; all by default")
    parser.add_argument("--deepsparse", type=Path, metavar="PYTHON", help="a Python that has deepsparse installed")
    parser.add_argument("--zeros", type=int, default=90, help="percent")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=3, help="per network and engine")
    parser.add_argument("--models", type=Path, help="folder that keeps the models")
    parser.add_argument("--out", type=Path, help="write the results here")
    return parsed(parser, NETWORKS, known)


def command() -> str:
    """What was called, without the paths of this machine."""
    arguments, skip = [], False
    for argument in sys.argv[1:]:
        if skip or argument == "--models":
            skip = not skip
            continue
        arguments.append("PYTHON" if arguments and arguments[-1] == "--deepsparse" else argument)
    return " ".join(["python bench/networks/bench_sparse_networks.py", *arguments])


def main() -> None:
    chosen, results = options(), []
    if chosen.threads == 1:
        stay_on_one_processor()
    with folder(chosen.models) as kept:
        for name in chosen.networks:
            if pair := models(name, chosen.zeros, kept, chosen.batch):
                results.append(measure(name, pair, chosen))
                report(results[-1])
    document = {"kind": "sparse networks", "command": command(), "machine": machine(), "results": results}
    publish(document, chosen.out)


if __name__ == "__main__":
    main()
