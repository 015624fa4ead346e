"""What the deep-compression recipe costs ResNet-20 on CIFAR-10, without retraining: settings against size and accuracy.

    python bench/accuracy/recipes.py --data ../shared/data --out bench/results/recipes.json

Settings are to be chosen by the training images; the test images say what the choice is worth. The data folder holds
models/resnet20_cifar10_folded.onnx and images/cifar10_{train10k,test}_jpeg.npz (images u8 N x 32 x 32 x 3, labels).
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

import accel
from accel.compress import RECIPES

sys.path[:0] = [str(Path(__file__).parents[1])]
from conftest import machine, publish  # noqa: E402

MEAN, STD = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])
BATCH = 100
SETTINGS: list[tuple[float, float, str]] = [
    *((sparsity, bits, "sums") for bits in (3.75, 4.0) for sparsity in (0.0, 0.1, 0.2, 0.3)),
    (0.0, 4.0, "nearest"),
]


def read(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Images as the network takes them, and labels."""
    with np.load(path) as data:
        pixels, labels = data["images"], data["labels"]
    images = ((pixels / np.float32(255) - MEAN) / STD).transpose(0, 3, 1, 2)
    return np.ascontiguousarray(images, np.float32), labels


def answers(network: Any, images: np.ndarray) -> np.ndarray:
    """The class that the network gives each image."""
    session = accel.InferenceSession(network)
    pieces = (images[i : i + BATCH] for i in range(0, len(images), BATCH))
    return np.concatenate([session.run(None, {"input": piece})[0].argmax(1) for piece in pieces])


def row(
    network: Any, path: Path, sets: dict[str, tuple[np.ndarray, np.ndarray]], float32: dict[str, Any]
) -> dict[str, Any]:
    """Size and accuracy of one network; `float32` holds the uncompressed network's answers."""
    network.save(path)
    found: dict[str, Any] = {"bytes": path.stat().st_size}
    for name, (images, labels) in sets.items():
        given = answers(network, images)
        found[name] = float((given == labels).mean() * 100)
        found[f"{name} same"] = float((given == float32.setdefault(name, given)).mean() * 100)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True, help="write the results here")
    chosen = parser.parse_args()
    model = chosen.data / "models" / "resnet20_cifar10_folded.onnx"
    network = accel.load(model)
    sets = {n: read(chosen.data / "images" / f"cifar10_{n}_jpeg.npz") for n in ("train10k", "test")}
    float32: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.accel")
        results = [{"setting": "float32", **row(network, path, sets, float32)}]
        for sparsity, bits, rounding in SETTINGS:
            recipe = RECIPES["deep-compression"].changed(
                sparsity=sparsity, target={"bits_per_weight": bits}, rounding=rounding
            )
            small = accel.compress(network, recipe, progress=False)
            given = {"sparsity": sparsity, "bits": bits, "rounding": rounding}
            default = recipe == RECIPES["deep-compression"]
            results.append({"setting": given, "default": default, **row(small, path, sets, float32)})
            print(results[-1], file=sys.stderr)
    document = {
        "kind": "recipes",
        "command": "python bench/accuracy/recipes.py --data DATA --out bench/results/" + chosen.out.name,
        "model bytes": model.stat().st_size,
        "machine": machine(),
        "results": results,
    }
    publish(document, chosen.out)


if __name__ == "__main__":
    main()
