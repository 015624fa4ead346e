"""Train a small binary CNN and its float twin in PyTorch, export both, and run the binary one in accel.

    ACCEL_DATA=... python scripts/train_binary.py --out results.json
    python scripts/train_binary.py --data digits --method binarynet xnor --epochs 10 --onnx folder

Data: CIFAR-10 images of the data folder that ACCEL_DATA names (images/cifar10_{train10k,test}_jpeg.npz), or without it
the 8x8 digits of scikit-learn, every fourth image held out. The first and the last layer stay float, as in the papers.
The seed is fixed and one thread is used. Needs torch, onnxscript and scikit-learn: pip install 'accel[torch,demo]'.
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
import onnx
import torch
from torch import nn
from training import (
    BATCH,
    Images,
    augmented,
    digit_images,
    engine_scores,
    image_folder,
    same_predictions,
    scores,
    tensors,
    write,
)

import accel
from accel.integrations.torch import (
    METHODS,
    BinaryConv2d,
    BinaryLinear,
    clip_weights_,
    export_onnx,
    update_curvature_,
)

SEED = 1


class Data(NamedTuple):
    """Images (N, C, H, W) float32 in [-1, 1] and labels (N,), to train on and held out; and the network's sizes."""

    name: str
    train: Images
    test: Images
    stem: tuple[int, int]  # kernel and stride of the float first layer
    channels: tuple[int, ...]  # of the float first layer, then of each binary convolution
    pools: tuple[bool, ...]  # behind which of them the map is halved
    features: int  # of the binary layer before the float last one
    epochs: int


def digits() -> Data:
    return Data("digits", *digit_images(), (3, 1), (32, 64, 64), (False, True, False), 128, 20)


def cifar10(folder: Path) -> Data:
    sets = []
    for name in ("train10k", "test"):
        with np.load(folder / f"cifar10_{name}_jpeg.npz", allow_pickle=False) as stored:
            images = stored["images"].transpose(0, 3, 1, 2) / np.float32(127.5) - 1
            sets.append(tensors(images, stored["labels"]))
    return Data("CIFAR-10", *sets, (5, 2), (32, 64, 64, 128), (False, True, False, True), 256, 5)


def build(data: Data, method: str | None) -> nn.Sequential:
    """The float twin (method None), or the same network with binary layers between its first and its last.

    Behind every convolution: batch-norm, ReLU, pool; with binary inputs pool, batch-norm, and the next layer's sign.
    """
    options = METHODS[method] if method else {}
    conv: Callable[..., nn.Module] = BinaryConv2d if method else nn.Conv2d
    linear: Callable[..., nn.Module] = BinaryLinear if method else nn.Linear
    signs = bool(method) and options["binary_input"]
    kernel, stride = data.stem
    inputs, size = data.train[0].shape[1], data.train[0].shape[2] // stride
    layers: list[nn.Module] = []
    for outputs, pool in zip(data.channels, data.pools, strict=True):
        if layers:
            layers.append(conv(inputs, outputs, 3, padding=1, bias=False, **options))
        else:
            layers.append(nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False))
        halved = [nn.MaxPool2d(2)] if pool else []
        norm = nn.BatchNorm2d(outputs)
        layers += [*halved, norm] if signs else [norm, nn.ReLU(), *halved]
        inputs, size = outputs, size // 2 if pool else size
    layers += [nn.Flatten(), linear(inputs * size * size, data.features, bias=False, **options)]
    layers += [nn.BatchNorm1d(data.features), nn.Hardtanh() if signs else nn.ReLU(), nn.Linear(data.features, 10)]
    return nn.Sequential(*layers).to(memory_format=torch.channels_last)


def train(model: nn.Sequential, data: Data, epochs: int, method: str | None) -> float:
    """Adam, one cycle of its step size; one line of progress per epoch. Returns the seconds it took."""
    generator = torch.Generator().manual_seed(SEED)
    images, labels = data.train
    peak = 1e-2 if method else 4e-3  # real weights that only give signs take larger steps
    optimizer = torch.optim.Adam(model.parameters(), lr=peak)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, peak, total_steps=epochs * -(-len(images) // 64))
    begun = time.perf_counter()
    for epoch in range(epochs):
        model.train()
        total = 0.0
        for index in torch.randperm(len(images), generator=generator).split(64):
            optimizer.zero_grad()
            batch = augmented(images[index], data.name == "CIFAR-10", generator)
            loss = nn.functional.cross_entropy(model(batch), labels[index])
            loss.backward()
            optimizer.step()
            schedule.step()
            if method:
                clip_weights_(model)
            if method == "loss-aware":
                update_curvature_(model, optimizer)
            total += loss.item() * len(index)
        seconds = time.perf_counter() - begun
        left = seconds / (epoch + 1) * (epochs - epoch - 1)
        print(
            f"{method or 'float'}: epoch {epoch + 1}/{epochs}, loss {total / len(images):.3f}, {left:.0f} s left",
            file=sys.stderr,
        )
    return time.perf_counter() - begun


def settle(model: nn.Sequential, data: Data) -> None:
    """Estimate the batch-norms' statistics anew, with the signs that run instead of drawn ones, from all images."""
    for layer in model.train():
        if isinstance(layer, (BinaryConv2d, BinaryLinear)):
            layer.stochastic = False
        elif isinstance(layer, (nn.BatchNorm1d, nn.BatchNorm2d)):
            layer.reset_running_stats()
            layer.momentum = None  # the mean over all batches
    scores(model, data.train[0])


def decided(model: nn.Sequential, data: Data) -> np.ndarray:
    """Which test images have no sign behind the float first layer that the rounding of float32 may turn.

    Sums of ±1 are exact, in PyTorch and in accel; those of the first layer are not, and a sign that hangs on the last
    bit may differ between them. The bound is the usual one, eps · sqrt(terms) · Σ |w| |x|, through the batch-norm.
    """
    stem = copy.deepcopy(model[: 2 + data.pools[0]]).double().eval()
    bound = copy.deepcopy(stem)
    conv, norm = bound[0], bound[-1]
    with torch.inference_mode():
        for values in (conv.weight, norm.weight, norm.bias):
            values.abs_()
        norm.running_mean.abs_().neg_()
        eps = np.finfo(np.float32).eps * conv.weight[0].numel() ** 0.5
        batches = (batch.double() for batch in data.test[0].split(BATCH))
        sure = [(stem(x).abs() > eps * bound(x.abs())).flatten(1).all(1) for x in batches]
    return torch.cat(sure).numpy()


def measured(data: Data, method: str | None, epochs: int, folder: Path) -> tuple[dict[str, Any], onnx.ModelProto]:
    """Train one network, run it in PyTorch and in accel, and compare the two."""
    torch.manual_seed(SEED)
    model = build(data, method)
    seconds = train(model, data, epochs, method)
    if method and METHODS[method].get("stochastic"):
        settle(model, data)
    model.eval()
    exported, path = export_onnx(model, data.test[0][:2]), folder / "network.accel"
    accel.load(exported, binary="auto").save(path)
    torchs, ours = scores(model, data.test[0]), engine_scores(path, data.test[0])
    signs = method is not None and METHODS[method]["binary_input"]
    sure = decided(model, data) if signs else np.ones(len(ours), bool)
    row = {
        "data": data.name,
        "method": method or "float",
        "epochs": epochs,
        "training seconds": round(seconds, 1),
        "accuracy": float((ours.argmax(1) == data.test[1].numpy()).mean() * 100),
        "test images": len(ours),
        "undecided images": int((~sure).sum()),
        "other predictions": same_predictions(ours, torchs, sure),
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "onnx bytes": exported.ByteSize(),
        "accel bytes": path.stat().st_size,
    }
    print(row, file=sys.stderr)
    return row, exported


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", choices=("auto", "digits", "cifar10"), default="auto")
    parser.add_argument("--method", nargs="+", choices=tuple(METHODS), default=["xnor"])
    parser.add_argument("--epochs", type=int, help="the same for the float twin")
    parser.add_argument("--onnx", type=Path, help="write the networks into this folder")
    parser.add_argument("--out", type=Path, help="write the results here, as JSON")
    return parser.parse_args()


def main() -> None:
    chosen = options()
    torch.set_num_threads(1)
    folder = image_folder()
    there = (folder / "cifar10_train10k_jpeg.npz").is_file()
    if chosen.data == "cifar10" and not there:
        raise SystemExit(f"no CIFAR-10 images at {folder}: set ACCEL_DATA to the data folder")
    data = digits() if chosen.data == "digits" or not there else cifar10(folder)
    results = []
    with tempfile.TemporaryDirectory() as temporary:
        for method in (None, *chosen.method):
            row, model = measured(data, method, chosen.epochs or data.epochs, Path(temporary))
            results.append(row)
            if chosen.onnx:
                chosen.onnx.mkdir(parents=True, exist_ok=True)
                onnx.save(model, chosen.onnx / f"{data.name.lower()}_{row['method']}.onnx")
    for row in results:
        size = f"{row['onnx bytes']:,} bytes ONNX, {row['accel bytes']:,} bytes .accel"
        print(f"{row['data']}, {row['method']}: {row['accuracy']:.2f} % of {row['test images']} images, {size}")
    if chosen.out:
        flags = f"--data {data.name.lower().replace('-', '')} --method {' '.join(chosen.method)}"
        flags += f" --epochs {chosen.epochs}" if chosen.epochs else ""
        write(chosen.out, "binary training", flags, results)


if __name__ == "__main__":
    main()
