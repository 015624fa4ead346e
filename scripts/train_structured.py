"""Replace the large fully connected layer of a small CNN by each structured form, fine-tune, and run it in accel.

    ACCEL_DATA=... python scripts/train_structured.py --out results.json
    python scripts/train_structured.py --data digits --form circulant fastfood --epochs 10 --tune 10

Data: MNIST of the data folder that ACCEL_DATA names (images/mnist_test.npz, 10,000 images), or without it the 8x8
digits of scikit-learn; every fourth image is held out. The network is LeNet as Caffe and the papers have it, narrower
for 8x8 pixels. The dense one is trained first; every other starts from its projection, and the dense one itself is
trained on for as long. The seed is fixed and one thread is used. Needs torch, onnxscript and scikit-learn:
pip install 'accel[torch,demo]'.
"""

from __future__ import annotations

import argparse
import copy
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn
from training import (
    Images,
    augmented,
    digit_images,
    engine_scores,
    image_folder,
    same_predictions,
    scores,
    split,
    write,
)

from accel.integrations.torch import CirculantLinear, FastfoodLinear, HashedLinear, export_network
from accel.metrics import count_parameters

SEED = 1

FORMS: dict[str, Callable[[nn.Linear], nn.Module]] = {
    "circulant": lambda dense: CirculantLinear.from_linear(dense, signs=True),
    "block-circulant-64": lambda dense: CirculantLinear.from_linear(dense, block=64),
    "block-circulant-16": lambda dense: CirculantLinear.from_linear(dense, block=16),
    "fastfood": lambda dense: FastfoodLinear.from_linear(dense, seed=SEED),
    "hashed-64": lambda dense: HashedLinear.from_linear(dense, values=dense.weight.numel() // 64, seed=SEED),
    "hashed-8": lambda dense: HashedLinear.from_linear(dense, values=dense.weight.numel() // 8, seed=SEED),
}
"""What takes the place of the layer; hashed-64 has a number for 64 weights."""


class Data(NamedTuple):
    """Images to train on and held out, and the network's sizes."""

    name: str
    train: Images
    test: Images
    kernel: int  # of both convolutions, no padding
    channels: tuple[int, int]
    features: int  # of the fully connected layer that is replaced
    epochs: int


def mnist(path: Path) -> Data:
    with np.load(path, allow_pickle=False) as stored:
        images = stored["images"][:, np.newaxis] / np.float32(127.5) - 1
        return Data("MNIST", *split(images, stored["labels"]), 5, (20, 50), 500, 12)


def digits() -> Data:
    return Data("digits", *digit_images(), 3, (16, 32), 256, 30)


def build(data: Data) -> nn.Sequential:
    """Two convolutions, each pooled where the map is large enough, a large fully connected layer and a small one."""
    layers: list[nn.Module] = []
    inputs, size = data.train[0].shape[1], data.train[0].shape[2]
    for outputs in data.channels:
        layers += [nn.Conv2d(inputs, outputs, data.kernel), nn.ReLU()]
        inputs, size = outputs, size - data.kernel + 1
        if size >= 8:
            layers.append(nn.MaxPool2d(2))
            size //= 2
    layers += [nn.Flatten(), nn.Linear(inputs * size * size, data.features), nn.ReLU(), nn.Linear(data.features, 10)]
    return nn.Sequential(*layers)


def train(model: nn.Module, data: Data, epochs: int, label: str) -> float:
    """Adam, one cycle of its step size; one line of progress per epoch. Returns the seconds it took."""
    generator = torch.Generator().manual_seed(SEED)
    images, labels = data.train
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=epochs * -(-len(images) // 64))
    begun = time.perf_counter()
    for epoch in range(epochs):
        total = 0.0
        for index in torch.randperm(len(images), generator=generator).split(64):
            optimizer.zero_grad()
            batch = augmented(images[index], False, generator)
            loss = nn.functional.cross_entropy(model(batch), labels[index])
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item() * len(index)
        print(f"{label}: epoch {epoch + 1}/{epochs}, loss {total / len(images):.4f}", file=sys.stderr)
    return time.perf_counter() - begun


def replaced(model: nn.Sequential, form: str) -> nn.Sequential:
    """A copy of which the layer before the last is of this form."""
    twin = copy.deepcopy(model)
    at = max(i for i, layer in enumerate(twin) if isinstance(layer, nn.Linear) and layer is not twin[-1])
    twin[at] = FORMS[form](twin[at])
    return twin


def accuracy(found: np.ndarray, data: Data) -> float:
    """Percent of the held out images."""
    return float((found.argmax(1) == data.test[1].numpy()).mean() * 100)


def measured(dense: nn.Sequential, form: str, data: Data, tune: int, folder: Path) -> dict[str, Any]:
    """Put the form in place, fine-tune, run in PyTorch and in accel, and compare the two."""
    torch.manual_seed(SEED)
    model = copy.deepcopy(dense) if form == "dense" else replaced(dense, form)
    before = accuracy(scores(model, data.test[0]), data)
    seconds = train(model, data, tune, form)
    network, path = export_network(model.eval(), data.test[0][:2]), folder / f"{form}.accel"
    network.save(path)
    torchs, ours = scores(model, data.test[0]), engine_scores(path, data.test[0])
    best = np.sort(torchs, 1)
    sure = best[:, -1] - best[:, -2] > 1e-4 * np.abs(torchs).max(1)  # far beyond the rounding of either
    row = {
        "data": data.name,
        "form": form,
        "layer": [data.features, dense[-3].in_features],
        "layer parameters": sum(p.numel() for name, p in model[-3].named_parameters() if name != "bias"),
        "parameters": count_parameters(network),
        "accel bytes": path.stat().st_size,
        "projected accuracy": before,
        "accuracy": accuracy(ours, data),
        "test images": len(ours),
        "other predictions": same_predictions(ours, torchs, sure),
        "tuning seconds": round(seconds, 1),
    }
    print(row, file=sys.stderr)
    return row


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", choices=("auto", "digits", "mnist"), default="auto")
    parser.add_argument("--form", nargs="+", choices=tuple(FORMS), default=list(FORMS))
    parser.add_argument("--epochs", type=int, help="of the dense network")
    parser.add_argument("--tune", type=int, help="epochs after a layer was replaced; as many by default")
    parser.add_argument("--out", type=Path, help="write the results here, as JSON")
    return parser.parse_args()


def main() -> None:
    chosen = options()
    torch.set_num_threads(1)
    path = image_folder() / "mnist_test.npz"
    if chosen.data == "mnist" and not path.is_file():
        raise SystemExit(f"no MNIST images at {path}: set ACCEL_DATA to the data folder")
    data = digits() if chosen.data == "digits" or not path.is_file() else mnist(path)
    epochs = chosen.epochs or data.epochs
    torch.manual_seed(SEED)
    dense = build(data)
    train(dense, data, epochs, "dense, first")
    with tempfile.TemporaryDirectory() as folder:
        results = [measured(dense, form, data, chosen.tune or epochs, Path(folder)) for form in ("dense", *chosen.form)]
    for row in results:
        rate = results[0]["parameters"] / row["parameters"]
        print(f"{row['data']}, {row['form']}: α {rate:.1f}, {row['accuracy']:.2f} % of {row['test images']} images")
    if chosen.out:
        given = [f"--{name} {getattr(chosen, name)}" for name in ("epochs", "tune") if getattr(chosen, name)]
        flags = " ".join([f"--data {data.name.lower()} --form {' '.join(chosen.form)}", *given])
        write(chosen.out, "structured training", flags, results)


if __name__ == "__main__":
    main()
