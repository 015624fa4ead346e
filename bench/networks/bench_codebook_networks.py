"""AlexNet and VGG-16 whose fully connected layers are codes, beside the same with dense ones. A script.

    python bench/networks/bench_codebook_networks.py --out bench/results/networks_codebook.json

Random weights (networks/zoo.py), convolutions dense. Of every Gemm the values are drawn, 16 or 256 of them, float32 or
bfloat16: speed does not depend on which. "dense" runs what the codes stand for.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]
from bench_networks import folder, parsed, report, written  # noqa: E402
from conftest import machine, publish, stay_on_one_processor  # noqa: E402
from engines import difference  # noqa: E402

import accel  # noqa: E402
from accel import timing  # noqa: E402
from accel.graph import Network  # noqa: E402
from accel.weights import Codebook  # noqa: E402

NETWORKS = ("alexnet", "vgg16")
VALUES = {"4 bits": (16, False), "4 bits bfloat16": (16, True), "8 bits": (256, False), "8 bits bfloat16": (256, True)}
TOLERANCE = 2e-4


def coded(network: Network, values: int, halves: bool) -> tuple[Network, Network]:
    """With codes in the fully connected layers, and with the numbers that they stand for."""
    rng, codes, dense = np.random.default_rng(0), {}, {}
    for node in network.nodes:
        if node.op != "Gemm":
            continue
        w = network.constants[node.inputs[1]]
        book = rng.standard_normal(values, np.float32) / np.float32(np.sqrt(w.shape[1]))
        if halves:
            book = (book.view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32)
        weight = Codebook(rng.integers(0, values, w.shape, dtype=np.uint8), book)
        codes[node.inputs[1]], dense[node.inputs[1]] = weight, weight.dense()
    return network.with_constants(codes), network.with_constants(dense)


def measure(name: str, network: Network, chosen: argparse.Namespace) -> dict[str, Any]:
    """One network: times, relative differences of the answers, and what dense takes to each."""
    x = np.random.default_rng(1).standard_normal((chosen.batch, 3, 224, 224), np.float32)
    calls, errors = {}, {}
    for form, (values, halves) in VALUES.items():
        pair = coded(network, values, halves)
        small, plain = (accel.InferenceSession(n, threads=chosen.threads) for n in pair)
        calls[form] = lambda session=small: session.run(None, {"input": x})
        calls["dense"] = lambda session=plain: session.run(None, {"input": x})
        errors[form] = difference(calls[form](), calls["dense"]())
        del pair
    if off := [f"{form} {error:.1e}" for form, error in errors.items() if not error <= TOLERANCE]:
        raise SystemExit(f"answers differ by more than {TOLERANCE:.0e}, nothing is timed: {', '.join(off)}")
    times = timing.alternate(calls, chosen.seconds * len(calls))
    ratios = {form: timing.ratio(times["dense"], row) for form, row in times.items() if form != "dense"}
    return {
        "network": name,
        "batch": chosen.batch,
        "threads": chosen.threads,
        "errors": errors,
        "times": {form: timing.summary(row).as_dict() for form, row in times.items()},
        "ratios": {e: dict(zip(("median", "low", "high"), ratio, strict=True)) for e, ratio in ratios.items()},
    }


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="*", help=f"of {', '.join(NETWORKS)}; all by default")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=2, help="per network and form")
    parser.add_argument("--models", type=Path, help="folder that keeps the models")
    parser.add_argument("--out", type=Path, help="write the results here")
    parser.set_defaults(engines="accel")
    return parsed(parser, NETWORKS, ("accel",))


def main() -> None:
    chosen, results = options(), []
    if chosen.threads == 1:
        stay_on_one_processor()
    with folder(chosen.models) as kept:
        for name in chosen.networks:
            results.append(measure(name, accel.load(written(name, kept)), chosen))
            report(results[-1])
    arguments = [a for a in sys.argv[1:] if not a.startswith("--models") and a != str(chosen.models)]
    command = " ".join(["python bench/networks/bench_codebook_networks.py", *arguments])
    publish({"kind": "codebook networks", "command": command, "machine": machine(), "results": results}, chosen.out)


if __name__ == "__main__":
    main()
