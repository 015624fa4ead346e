"""Deep Compression of layers of AlexNet's shapes at the rates its authors published: bytes after every stage, theirs
beside ours.

    python bench/formats/alexnet_stages.py --out bench/results/alexnet_stages.json

The weights are drawn, as the trained ones are not to be had: Laplace's distribution, to each layer's share of weights
the paper keeps, positions independent of each other. Values are shared by k-means with as many bits as in the paper,
the file is written, read back and compared.
"""

from __future__ import annotations

import argparse
import math
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import accel
from accel.compress.magnitude import keep_mask
from accel.formats import container
from accel.formats.opened import OpenFile
from accel.metrics import tensor_stages
from accel.report import Table, format_bytes
from accel.weights import Codebook

sys.path[:0] = [str(Path(__file__).parents[1])]
from conftest import machine, publish, stay_on_one_processor  # noqa: E402


@dataclass(frozen=True)
class Layer:
    """A row of table 4 of the paper (see PAPER): per cent of the weights kept, bits of a code, per cent of the bytes
    left after quantization and after coding."""

    name: str
    shape: tuple[int, ...]
    kept: int
    bits: int
    quantized: float
    coded: float


LAYERS = (
    Layer("conv1", (96, 3, 11, 11), 84, 8, 32.6, 20.53),
    Layer("conv2", (256, 48, 5, 5), 38, 8, 14.5, 9.43),
    Layer("conv3", (384, 256, 3, 3), 35, 8, 13.1, 8.44),
    Layer("conv4", (384, 192, 3, 3), 37, 8, 14.1, 9.11),
    Layer("conv5", (256, 192, 3, 3), 37, 8, 14.0, 9.43),
    Layer("fc6", (4096, 9216), 9, 5, 3.0, 2.39),
    Layer("fc7", (4096, 4096), 9, 5, 3.0, 2.46),
    Layer("fc8", (1000, 4096), 25, 5, 7.3, 5.85),
)
PAPER = {"float32": 240e6, "weights left": 27e6, "quantized": 8.9e6, "coded": 6.9e6}
"""Han, Mao, Dally: Deep Compression, ICLR 2016, arXiv:1510.00149: AlexNet as a whole, pruned without
positions."""


def compress(layer: Layer, rng: np.random.Generator) -> Codebook:
    weights = rng.laplace(scale=0.01, size=layer.shape).astype(np.float32)
    keep = keep_mask(weights, sparsity=1 - layer.kept / 100)
    return Codebook.fit(np.where(keep, weights, np.float32(0)), bits=layer.bits)


def theirs(layer: Layer) -> dict[str, float]:
    whole = 4 * math.prod(layer.shape)
    shares = {"weights left": layer.kept, "quantized": layer.quantized, "coded": layer.coded}
    return {"float32": whole, **{stage: whole * share / 100 for stage, share in shares.items()}}


def check_rates() -> None:
    """The rates of the layers against the totals of the paper, whose shares are rounded and whose MB are not said."""
    for stage, total in PAPER.items():
        assert math.isclose(sum(theirs(layer)[stage] for layer in LAYERS), total, rel_tol=0.03), stage


def ours(weight: Codebook, stored: int) -> dict[str, int]:
    stages = tensor_stages(weight)
    left = 4 * int(np.count_nonzero(weight.codebook[weight.codes]))
    return {
        "float32": stages["float32"],
        "weights left": left,
        "pruned": stages["pruned"],
        "quantized": stages["shared"],
        "coded": stored,
    }


def load_seconds(path: Path, weights: dict[str, Codebook], rounds: int = 7) -> dict[str, float]:
    """Least of a few: all tensors with the digest of the file, and one by one without it. The answer is checked."""
    times: dict[str, list[float]] = {"read": [], "opened": []}
    for _ in range(rounds):
        start = time.perf_counter()
        _, found = container.read(path, digest=True)
        times["read"].append(time.perf_counter() - start)
        start = time.perf_counter()
        with OpenFile(path) as opened:
            single = dict(opened)
        times["opened"].append(time.perf_counter() - start)
    for name, weight in weights.items():
        for tensors in (found, single):
            loaded = tensors[name]
            assert isinstance(loaded, Codebook)
            np.testing.assert_array_equal(loaded.codes, weight.codes, err_msg=name)
    return {way: min(taken) for way, taken in times.items()}


def measure() -> dict[str, Any]:
    check_rates()
    rng = np.random.default_rng(0)
    weights = {layer.name: compress(layer, rng) for layer in LAYERS}
    with tempfile.TemporaryDirectory() as folder, accel.using(threads=1):
        path = Path(folder) / "alexnet.accel"
        container.write(path, {"graph": {}}, weights)
        entries = {entry.name: entry for entry in container.inspect(path).tensors}
        seconds = load_seconds(path, weights)
        file_bytes = path.stat().st_size
    rows = [
        {
            "layer": layer.name,
            "kept": layer.kept,
            "bits": layer.bits,
            "codings": [part.coding for part in entries[layer.name].parts],
            "ours": ours(weights[layer.name], entries[layer.name].stored),
            "paper": theirs(layer),
        }
        for layer in LAYERS
    ]
    codes = sum(weight.codes.nbytes for weight in weights.values())
    return {"layers": rows, "file bytes": file_bytes, "load seconds": seconds, "codes": codes, "paper": PAPER}


def text(document: dict[str, Any]) -> str:
    stages = ("float32", "weights left", "pruned", "quantized", "coded")
    table = Table(["layer", *stages, "paper: weights left", "quantized", "coded"])
    for row in document["layers"]:
        paper = [row["paper"][stage] for stage in ("weights left", "quantized", "coded")]
        table.add(row["layer"], *map(format_bytes, [*(row["ours"][stage] for stage in stages), *paper]))
    return table.text()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="JSON file to write; without it the numbers are printed")
    args = parser.parse_args()
    stay_on_one_processor()
    found = measure()
    command = "python bench/formats/alexnet_stages.py --out bench/results/alexnet_stages.json"
    publish({"kind": "stages", "machine": machine(), "command": command, **found}, args.out)
    print(text(found))


if __name__ == "__main__":
    main()
