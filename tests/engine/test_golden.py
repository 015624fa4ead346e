"""Real networks: outputs as onnxruntime made them without optimisations, and accuracies as published with the data."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import accel

FLOAT = [
    "bnn_lfcW1A1_mnist_sign", "mlperftiny_resnet8_cifar10", "mnist_cntk", "resnet20_cifar10_bn",
    "resnet20_cifar10_folded", "squeezenet10_dc", "ultraface_rfb320", "yunet_n_dynamic",
]  # fmt: skip
TOLERANCE = 1e-4
"""Relative to the largest magnitude of an output."""


def model(shared_data: Path, name: str) -> Path:
    return shared_data / "models" / f"{name}.onnx"


def cases(shared_data: Path, name: str) -> Iterator[tuple[dict[str, np.ndarray], dict[str, np.ndarray]]]:
    """(inputs, outputs) by name."""
    with np.load(shared_data / "golden" / f"{name}.npz", allow_pickle=False) as file:
        arrays = dict(file)
    for case in sorted({key.split(".")[0] for key in arrays}):
        yield tuple(  # type: ignore[misc]
            {key.removeprefix(prefix): a for key, a in arrays.items() if key.startswith(prefix)}
            for prefix in (f"{case}.in.", f"{case}.out.")
        )


def check(session: accel.InferenceSession, shared_data: Path, name: str) -> None:
    for feeds, wanted in cases(shared_data, name):
        names = [o.name for o in session.get_outputs()]
        assert set(names) == set(wanted)
        for output, got in zip(names, session.run(None, feeds), strict=True):
            assert got.shape == wanted[output].shape and got.dtype == wanted[output].dtype
            error = np.abs(got.astype(np.float64) - wanted[output]).max() / np.abs(wanted[output]).max()
            assert error <= TOLERANCE, f"{name}: {output} is off by {error:.1e}"


@pytest.mark.parametrize("name", FLOAT)
def test_outputs_on_every_instruction_set(shared_data: Path, isa: str, name: str) -> None:
    pytest.importorskip("onnx")
    check(accel.InferenceSession(model(shared_data, name), threads=2), shared_data, name)


@pytest.mark.parametrize("name", ["bnn_lfcW1A1_mnist_sign", "mlperftiny_resnet8_cifar10", "mnist_cntk"])
def test_outputs_on_every_back_end(shared_data: Path, backend: str, name: str) -> None:
    pytest.importorskip("onnx")
    check(accel.InferenceSession(model(shared_data, name)), shared_data, name)


def quantization_step(outputs: np.ndarray) -> float:
    return float(np.diff(np.unique(outputs)).min())


def test_quantized_outputs_within_one_step(shared_data: Path, isa: str) -> None:
    pytest.importorskip("onnx")
    name = "mlperftiny_resnet8_cifar10_int8_qdq"
    session = accel.InferenceSession(model(shared_data, name))
    for feeds, wanted in cases(shared_data, name):
        (got,), (expected,) = session.run(None, feeds), wanted.values()
        assert np.abs(got - expected).max() <= quantization_step(expected) * 1.001


@pytest.mark.parametrize("name", ["mlperftiny_kws_dscnn", "mlperftiny_kws_dscnn_int8_qdq"])
def test_keyword_spotting_as_onnxruntime(shared_data: Path, name: str) -> None:
    """No golden outputs are shipped for these two. The quantized one must be equal to onnxruntime's integer kernels."""
    onnxruntime = pytest.importorskip("onnxruntime")
    path = str(model(shared_data, name))
    peer = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    session = accel.InferenceSession(path)
    (argument,) = session.get_inputs()
    shape = [d if isinstance(d, int) else 50 for d in argument.shape or ()]
    x = np.random.default_rng(0).uniform(-60, 60, shape).astype(np.float32)
    (got,), (wanted,) = session.run(None, {argument.name: x}), peer.run(None, {argument.name: x})
    assert np.abs(got - wanted).max() <= (0 if "int8" in name else TOLERANCE * np.abs(wanted).max())


# -- accuracy ------------------------------------------------------------------------------------------------------


def correct(session: accel.InferenceSession, x: np.ndarray, labels: np.ndarray, batch: int = 500) -> int:
    """How many of the images get the highest score at their label."""
    (argument,) = session.get_inputs()
    right = 0
    for i in range(0, len(x), batch):
        scores = session.run(None, {argument.name: np.ascontiguousarray(x[i : i + batch], np.float32)})[0]
        right += int((scores.argmax(1) == labels[i : i + batch]).sum())
    return right


def cifar10(shared_data: Path) -> tuple[np.ndarray, np.ndarray]:
    with np.load(shared_data / "images" / "cifar10_test_jpeg.npz", allow_pickle=False) as file:
        return file["images"].transpose(0, 3, 1, 2), file["labels"]


@pytest.mark.parametrize(
    "name", ["resnet20_cifar10_folded", pytest.param("resnet20_cifar10_bn", marks=pytest.mark.slow)]
)
def test_resnet20_is_right_about_8103_of_10000_images(shared_data: Path, name: str) -> None:
    pytest.importorskip("onnx")
    images, labels = cifar10(shared_data)
    mean, deviation = (np.array(v, np.float32)[:, None, None] for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    x = (images.astype(np.float32) / 255 - mean) / deviation
    assert correct(accel.InferenceSession(model(shared_data, name), threads=2), x, labels) == 8103


def test_resnet8_is_right_about_7548_of_10000_images(shared_data: Path) -> None:
    pytest.importorskip("onnx")
    session = accel.InferenceSession(model(shared_data, "mlperftiny_resnet8_cifar10"), threads=2)
    assert correct(session, *cifar10(shared_data)) == 7548


@pytest.mark.slow
def test_quantized_resnet8_is_right_about_7546_of_10000_images_or_a_tenth_of_a_point_from_it(shared_data: Path) -> None:
    """7546 are the integer kernels of onnxruntime. Float kernels round sums near a half otherwise: accel's as well as
    onnxruntime's own without optimisations, which is right about 7551."""
    pytest.importorskip("onnx")
    session = accel.InferenceSession(model(shared_data, "mlperftiny_resnet8_cifar10_int8_qdq"), threads=2)
    assert abs(correct(session, *cifar10(shared_data)) - 7546) <= 10


def test_the_binary_network_is_right_about_9834_of_10000_digits(shared_data: Path) -> None:
    """Its scores are integers, and must be exact."""
    pytest.importorskip("onnx")
    with np.load(shared_data / "images" / "mnist_test.npz", allow_pickle=False) as file:
        x, labels = np.where(file["images"].reshape(-1, 784) >= 128, 1, -1).astype(np.float32), file["labels"]
    with np.load(shared_data / "models" / "bnn_lfcW1A1_mnist_scores.npz", allow_pickle=False) as file:
        wanted = file["scores"]
    session = accel.InferenceSession(model(shared_data, "bnn_lfcW1A1_mnist_sign"), threads=2)
    (scores,) = session.run(None, {"input": x})
    np.testing.assert_array_equal(scores, wanted)
    assert int((scores.argmax(1) == labels).sum()) == 9834


def test_squeezenet_is_right_about_314_of_500_images_and_408_among_five(shared_data: Path) -> None:
    pytest.importorskip("onnx")
    image = pytest.importorskip("PIL.Image")
    folder = shared_data / "images" / "imagenet_even"
    with (folder / "labels.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    labels = np.array([int(row["class_index"]) for row in rows])[:, None]
    session = accel.InferenceSession(model(shared_data, "squeezenet10_dc"), threads=2)
    mean, best = np.array((104, 117, 123), np.float32), []
    for i in range(0, len(rows), 10):
        pixels = [np.asarray(image.open(folder / row["file"]).convert("RGB")) for row in rows[i : i + 10]]
        x = np.stack(pixels)[..., ::-1].astype(np.float32) - mean  # BGR
        scores = session.run(None, {"data": np.ascontiguousarray(x.transpose(0, 3, 1, 2))})[0]
        best.append(np.argsort(-scores, axis=1, kind="stable")[:, :5])
    top = np.concatenate(best)
    assert int((top[:, :1] == labels).sum()) == 314
    assert int((top == labels).any(axis=1).sum()) == 408
    with np.load(shared_data / "golden" / "squeezenet10_dc_imagenet_even_top5.npz", allow_pickle=False) as file:
        assert (top[:, 0] == file["top5"][:, 0]).all()
