"""Binary networks beside other engines, alternating in one process. A script, as bench_networks.py is.

    python bench/networks/bench_binary_networks.py --seconds 2 --out bench/results/binary_networks.json

A round is several calls of each engine in a row, as one takes little: what is timed is a network that runs again and
again, its weights in the cache as far as they fit. `lfcW1A1` is the trained network of MNIST (BNN-PYNQ; where the real
networks are, see tests/conftest.py), the same file for all engines; their scores are compared with the known ones, all
10,000 of them, before anything is timed. `bireal18` and `xnor18` (binary_zoo.py) are held against the float ResNet-18
of their shape and against that in int8, which onnxruntime.quantization makes: per channel, QuantizeLinear and
DequantizeLinear. Its weights are random, so answers are compared only between engines that run one file.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]
from bench_networks import folder, parsed  # noqa: E402
from conftest import machine  # noqa: E402
from engines import ENGINES, Model, difference  # noqa: E402

import accel  # noqa: E402
from accel import timing  # noqa: E402
from accel.kernels import runtime  # noqa: E402

REPEATS = {"lfcW1A1": 100}
"""Calls in a round; 10 of other networks."""
TOLERANCE = 1e-3
DATA = Path(os.environ.get("ACCEL_DATA") or Path(__file__).parents[3] / "shared" / "data")
SHAPED_AS_RESNET = ("bireal18", "xnor18")
NETWORKS = ("lfcW1A1", *SHAPED_AS_RESNET)


def written(name: str, models: Path) -> Path:
    """The file of a network of binary_zoo.py; `resnet18_int8` is made of resnet18 by onnxruntime."""
    path = models / f"{name}.onnx"
    if not path.is_file():
        if name.endswith("_int8"):
            quantize(written(name.removesuffix("_int8"), models), path)
        else:
            script = Path(__file__).parent / "binary_zoo.py"
            subprocess.run([sys.executable, str(script), str(models), name], check=True)
    return path


def quantize(source: Path, target: Path) -> None:
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Images(CalibrationDataReader):
        def __init__(self) -> None:
            rng = np.random.default_rng(2)
            self.images: Iterator[np.ndarray] = iter(rng.standard_normal((4, 1, 3, 224, 224), np.float32))

        def get_next(self) -> dict[str, np.ndarray] | None:
            image = next(self.images, None)
            return None if image is None else {"input": image}

    quantize_static(
        source, target, Images(), quant_format=QuantFormat.QDQ, per_channel=True,
        activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
    )  # fmt: skip


def mnist(chosen: argparse.Namespace, batch: int) -> tuple[dict[str, Callable[[], Any]], float] | None:
    path = DATA / "models" / "bnn_lfcW1A1_mnist_sign.onnx"
    if not path.is_file():
        print(f"lfcW1A1 is left out: {path} is not there", file=sys.stderr)
        return None
    with np.load(DATA / "images" / "mnist_test.npz") as data:
        x = np.where(data["images"].reshape(-1, 784) >= 128, np.float32(1), np.float32(-1))
    with np.load(path.with_name("bnn_lfcW1A1_mnist_scores.npz")) as data:
        scores = data["scores"]
    model, calls = Model(path, path.parent, "input", ("scores",), (batch, 784)), {}
    for engine in chosen.engines:
        call = ENGINES[engine](model, chosen.threads)
        whole = np.concatenate([np.array(call(x[i : i + batch])[0]) for i in range(0, len(x) // batch * batch, batch)])
        if not np.array_equal(whole, scores[: len(whole)]):
            raise SystemExit(f"lfcW1A1: the scores of {engine} are wrong: nothing is timed")
        some = x[:batch].copy()
        calls[engine] = lambda call=call, some=some: call(some)
    return calls, 0.0


def shaped_as_resnet(
    name: str, chosen: argparse.Namespace, models: Path, batch: int
) -> tuple[dict[str, Callable[[], Any]], float]:
    x = np.random.default_rng(1).standard_normal((batch, 3, 224, 224), np.float32)

    def call(file: str, engine: str) -> Callable[[], Any]:
        model = Model(written(file, models), models, "input", ("logits",), x.shape)
        run = ENGINES[engine](model, chosen.threads)
        return lambda: run(x)

    peers = [engine for engine in chosen.engines if engine != "accel"]
    calls = {"accel": call(name, "accel")}
    error = difference(calls["accel"](), call(name, "onnxruntime")())
    if not error <= TOLERANCE:
        raise SystemExit(f"{name}: the answers differ by {error:.1e}: nothing is timed")
    calls.update({f"{engine} int8 ResNet-18": call("resnet18_int8", engine) for engine in peers})
    calls.update({f"{engine} ResNet-18": call("resnet18", engine) for engine in chosen.engines})
    return calls, error


def measure(name: str, chosen: argparse.Namespace, models: Path, batch: int) -> dict[str, Any] | None:
    made = mnist(chosen, batch) if name == "lfcW1A1" else shaped_as_resnet(name, chosen, models, batch)
    if made is None:
        return None
    calls, error = made
    repeats = REPEATS.get(name, 10)
    rounds = {e: lambda call=call: [call() for _ in range(repeats)] for e, call in calls.items()}
    times = {e: t / repeats for e, t in timing.alternate(rounds, chosen.seconds * len(calls)).items()}
    ratios = {e: timing.ratio(row, times["accel"]) for e, row in times.items() if e != "accel"}
    return {
        "network": name,
        "batch": batch,
        "calls in a round": repeats,
        "threads": chosen.threads,
        "isa": runtime.isa(),
        "errors": {"accel": error},
        "times": {engine: timing.summary(row).as_dict() for engine, row in times.items()},
        "ratios": {e: dict(zip(("median", "low", "high"), ratio, strict=True)) for e, ratio in ratios.items()},
    }


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="*", help=f"of {', '.join(NETWORKS)}; all by default")
    parser.add_argument("--engines", default="accel,onnxruntime,openvino", help=f"of {', '.join(ENGINES)}")
    parser.add_argument("--batches", default="1,64", help="of lfcW1A1; the others run one image")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=2, help="per network and engine")
    parser.add_argument("--models", type=Path, help="folder that keeps the models")
    parser.add_argument("--out", type=Path, help="write the results here")
    return parsed(parser, NETWORKS, ENGINES)


def report(result: dict[str, Any]) -> None:
    times = [f"{engine} {row['median'] * 1e3:.4f} ms" for engine, row in result["times"].items()]
    ratios = [f"{engine} {ratio['median']:.2f}" for engine, ratio in result["ratios"].items()]
    print(
        f"{result['network']} of {result['batch']}: {', '.join(times)}; to accel: {', '.join(ratios)}", file=sys.stderr
    )


def main() -> None:
    chosen, results = options(), []
    if chosen.threads == 1 and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})  # before any engine starts threads
    with contextlib.ExitStack() as stack:
        models = stack.enter_context(folder(chosen.models))
        stack.enter_context(accel.using(threads=chosen.threads))
        for name in chosen.networks:
            batches = [int(b) for b in chosen.batches.split(",")] if name == "lfcW1A1" else [1]
            for batch in batches:
                if (result := measure(name, chosen, models, batch)) is not None:
                    results.append(result)
                    report(result)
        where = machine()
    arguments = [a for a in sys.argv[1:] if not a.startswith("--models") and a != str(chosen.models)]
    command = " ".join(["python bench/networks/bench_binary_networks.py", *arguments])
    text = json.dumps({"kind": "networks", "command": command, "machine": where, "results": results}, indent=1)
    if chosen.out:
        chosen.out.write_text(text + "\n")
    else:
        print(text)


if __name__ == "__main__":
    main()
