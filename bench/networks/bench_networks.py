"""The survey's networks, accel beside the other engines that are installed, alternating in one process. A script, not a
pytest file: one run of VGG-16 takes longer than a benchmark round should.

    python bench/networks/bench_networks.py --threads 1 --seconds 10 --out bench/results/networks.json

All engines (networks/engines.py) get the same ONNX file, input and thread count; with one thread the process is pinned
to one processor. The answers are compared with the first peer's before anything is timed. Loading is timed once, apart.
"""

from __future__ import annotations

import argparse
import contextlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]
import zoo  # noqa: E402
from conftest import machine, publish, stay_on_one_processor  # noqa: E402
from engines import ENGINES, Call, Model, difference  # noqa: E402

import accel  # noqa: E402
from accel import timing  # noqa: E402
from accel.kernels import runtime  # noqa: E402

TOLERANCE = 1e-3
"""Relative to the largest output: the engines add in different orders, over 50 layers."""


def timed(make: Callable[[], Any]) -> tuple[Any, float]:
    start = time.perf_counter()
    made = make()
    return made, time.perf_counter() - start


def prepared(engines: list[str], model: Model, threads: int, x: np.ndarray) -> tuple[dict[str, Any], dict[str, Any]]:
    """Calls and answers of the engines that can, and what loading took them."""
    ready, loading = {}, {}
    for name in engines:
        try:
            ENGINES[name](model, threads)  # converts where it must, and warms the file's pages
            call, load = timed(lambda name=name: ENGINES[name](model, threads))
            answer, first = timed(lambda call=call: call(x))
        except Exception as why:  # whatever a peer raises
            if name == "accel":
                raise
            print(f"{model.path.stem}: {name} is left out: {why!r:.300}", file=sys.stderr)
            continue
        ready[name] = (call, answer)
        loading[name] = {"load": load, "first run": first}
    return ready, loading


def compared(
    name: str, ready: dict[str, tuple[Call, Sequence[np.ndarray]]]
) -> tuple[dict[str, Call], dict[str, float]]:
    """The calls whose answers agree with the first peer's, and the differences. Ours must be among them."""
    peers = [engine for engine in ready if engine != "accel"]
    expected = ready[peers[0] if peers else "accel"][1]
    errors = {engine: difference(answer, expected) for engine, (_, answer) in ready.items()}
    for engine, error in errors.items():
        if not error <= TOLERANCE:
            message = f"{name}: the answers of {engine} differ by {error:.2e}, more than {TOLERANCE:.0e}"
            if engine == "accel":
                raise SystemExit(f"{message}: nothing is timed")
            print(f"{message}: it is left out", file=sys.stderr)
    right = {engine: call for engine, (call, _) in ready.items() if errors[engine] <= TOLERANCE}
    return right, {engine: errors[engine] for engine in right}


def measure(model: Model, engines: list[str], threads: int, seconds: float) -> dict[str, Any]:
    """One network: load times, relative differences of the answers, times, and each peer's time to ours."""
    x = np.random.default_rng(1).standard_normal(model.shape, np.float32)
    ready, loading = prepared(engines, model, threads, x)
    calls, errors = compared(model.path.stem, ready)
    times = timing.alternate({e: lambda call=c: call(x) for e, c in calls.items()}, seconds * len(calls))
    ratios = {e: timing.ratio(row, times["accel"]) for e, row in times.items() if e != "accel"}
    return {
        "network": model.path.stem,
        "batch": model.shape[0],
        "threads": threads,
        "isa": runtime.isa(),
        "errors": errors,
        "load": {engine: loading[engine] for engine in calls},
        "times": {engine: timing.summary(row).as_dict() for engine, row in times.items()},
        "ratios": {e: dict(zip(("median", "low", "high"), ratio, strict=True)) for e, ratio in ratios.items()},
    }


@contextlib.contextmanager
def folder(chosen: Path | None) -> Iterator[Path]:
    """The folder of the models: the one chosen, which keeps them, or a temporary one."""
    if chosen:
        chosen.mkdir(parents=True, exist_ok=True)
        yield chosen
        return
    with tempfile.TemporaryDirectory() as temporary:
        yield Path(temporary)


def written(name: str, models: Path) -> Path:
    """The file of a network of the zoo; another process makes it, or its memory would stay with this one."""
    path = models / f"{name}.onnx"
    if not path.is_file():
        subprocess.run([sys.executable, str(Path(__file__).parent / "zoo.py"), str(models), name], check=True)
    return path


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="*", help=f"of {', '.join(zoo.NETWORKS)}; all by default")
    parser.add_argument("--engines", default=",".join(ENGINES), help=f"of {', '.join(ENGINES)}; all by default")
    parser.add_argument("--isa", help="instruction set of accel; the peers choose theirs")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=10, help="per network and engine")
    parser.add_argument("--models", type=Path, help="folder that keeps the models and what converters make of them")
    parser.add_argument("--out", type=Path, help="write the results here")
    return parsed(parser, zoo.NETWORKS, ENGINES)


def parsed(parser: argparse.ArgumentParser, networks: Iterable[str], engines: Iterable[str]) -> argparse.Namespace:
    """The options: every network where none is named, accel among the engines; a name that is not known ends it."""
    chosen = parser.parse_args()
    chosen.networks = chosen.networks or list(networks)
    chosen.engines = list(dict.fromkeys(["accel", *chosen.engines.split(",")]))
    for given, known in ((chosen.networks, networks), (chosen.engines, engines)):
        if unknown := set(given) - set(known):
            parser.error(f"unknown: {', '.join(unknown)}; known: {', '.join(known)}")
    return chosen


def report(result: dict[str, Any]) -> None:
    """One line for whoever waits."""
    times = [f"{engine} {row['median'] * 1e3:.2f} ms" for engine, row in result["times"].items()]
    ratios = [f"{engine} {ratio['median']:.3f}" for engine, ratio in result["ratios"].items()]
    print(f"{result['network']}: {', '.join(times)}; ratios to accel: {', '.join(ratios)}", file=sys.stderr)


def main() -> None:
    chosen, results = options(), []
    if chosen.threads == 1:
        stay_on_one_processor()
    with accel.using(isa=chosen.isa), folder(chosen.models) as models:
        for name in chosen.networks:
            shape = (chosen.batch, 3, 224, 224)
            model = Model(written(name, models), models, "input", ("logits",), shape)
            results.append(measure(model, chosen.engines, chosen.threads, chosen.seconds))
            report(results[-1])
        where = machine()
    arguments = [a for a in sys.argv[1:] if not a.startswith("--models") and a != str(chosen.models)]
    command = " ".join(["python bench/networks/bench_networks.py", *arguments])
    publish({"kind": "networks", "command": command, "machine": where, "results": results}, chosen.out)


if __name__ == "__main__":
    main()
