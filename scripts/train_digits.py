"""Train the small digits CNN that `accel demo` ships, and write it as ONNX and as accel/data/digits.accel.

    python scripts/train_digits.py --onnx /tmp/digits.onnx --accel accel/data/digits.accel

Needs torch, scikit-learn and onnx. Data: the 1,797 8x8 digits of scikit-learn (pixels 0..16); every fourth image is
held out (accel.demo.held_out), the same split that the demo measures on. The seed is fixed and one thread is used.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from accel.demo import held_out, load_digits

SEED = 1


def build_model() -> nn.Sequential:
    """Two convolutions and two fully connected layers, 38,282 parameters: most of them where pruning finds them."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(),
        nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(32 * 4 * 4, 64), nn.ReLU(), nn.Linear(64, 10),
    )  # fmt: skip


def shifted(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Each batch moved by at most one pixel in each direction: the only augmentation."""
    down, right = torch.randint(-1, 2, (2,), generator=generator).tolist()
    padded = nn.functional.pad(images, (1, 1, 1, 1))
    return padded[:, :, 1 + down : 9 + down, 1 + right : 9 + right]


def train(model: nn.Sequential, images: np.ndarray, labels: np.ndarray, epochs: int) -> None:
    generator = torch.Generator().manual_seed(SEED)
    x, y = torch.from_numpy(images), torch.from_numpy(labels)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    for _ in range(epochs):
        for index in torch.randperm(len(x), generator=generator).split(64):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(shifted(x[index], generator)), y[index]).backward()
            optimizer.step()
        schedule.step()


def to_onnx(model: nn.Sequential) -> onnx.ModelProto:
    """The trained network as ONNX opset 17, input N x 1 x 8 x 8 with pixels 0..16."""
    weights = {k.replace(".", "_"): v.detach().numpy() for k, v in model.state_dict().items()}
    weights["0_weight"] = weights["0_weight"] / np.float32(16)  # the scaling of the pixels belongs to the network
    same = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}
    nodes = [
        helper.make_node("Conv", ["pixels", "0_weight", "0_bias"], ["c0"], "conv1", **same),
        helper.make_node("Relu", ["c0"], ["r0"], "relu1"),
        helper.make_node("Conv", ["r0", "2_weight", "2_bias"], ["c2"], "conv2", **same),
        helper.make_node("Relu", ["c2"], ["r2"], "relu2"),
        helper.make_node("MaxPool", ["r2"], ["p"], "pool", kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Flatten", ["p"], ["f"], "flatten"),
        helper.make_node("Gemm", ["f", "6_weight", "6_bias"], ["g6"], "fc1", transB=1),
        helper.make_node("Relu", ["g6"], ["r6"], "relu3"),
        helper.make_node("Gemm", ["r6", "8_weight", "8_bias"], ["scores"], "fc2", transB=1),
    ]
    graph = helper.make_graph(
        nodes,
        "digits",
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["N", 1, 8, 8])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["N", 10])],
        [numpy_helper.from_array(np.ascontiguousarray(value), name) for name, value in weights.items()],
    )
    onnx_model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(onnx_model, full_check=True)
    return onnx_model


def accuracy(model: nn.Sequential, images: np.ndarray, labels: np.ndarray) -> float:
    with torch.no_grad():
        return float((model(torch.from_numpy(images)).argmax(1).numpy() == labels).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--onnx", type=Path, help="write the ONNX model here")
    parser.add_argument("--accel", type=Path, help="write the .accel file here")
    parser.add_argument("--epochs", type=int, default=60)
    options = parser.parse_args()
    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    images, labels = load_digits()
    test = held_out(len(labels))
    model = build_model()
    train(model, images[~test] / np.float32(16), labels[~test], options.epochs)
    print(
        f"held-out accuracy {accuracy(model, images[test] / np.float32(16), labels[test]):.4f} of {test.sum()} images"
    )
    onnx_model = to_onnx(model)
    if options.onnx:
        onnx.save(onnx_model, options.onnx)
    if options.accel:
        import accel

        accel.load(onnx_model).save(options.accel)


if __name__ == "__main__":
    main()
