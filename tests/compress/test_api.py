"""compress: recipes on whole networks, targets met or refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import accel
from accel.compress import Event, Recipe, compress
from accel.compress._size import file_bytes, plain_bytes
from accel.errors import ModelError, RecipeError
from accel.graph.network import Network, Node
from accel.weights import Codebook, Csr

Make = Callable[..., Network]
Images = Callable[..., np.ndarray]


def test_the_default_recipe_with_pruning(mlp: Make) -> None:
    network = mlp(100, 80, 60, 10)
    before = {name: value.copy() for name, value in network.constants.items()}
    small = accel.compress(network, sparsity=0.2, progress=False)
    weights = {name: weight for _, name, weight in small.weights()}
    assert set(weights) == {"w0", "w1", "w2"}
    for name, weight in weights.items():
        assert isinstance(weight, Codebook)
        assert np.mean(weight.dense() == 0) == pytest.approx(0.2, abs=0.01), name
    assert small.constants["b0"] is network.constants["b0"] and small.nodes is network.nodes
    assert json.loads(small.metadata["compression"])["method"] == "deep-compression"
    for name, value in before.items():
        np.testing.assert_array_equal(network.constants[name], value)
    assert network.metadata == {}


def test_k_means_shares_and_does_not_prune(mlp: Make) -> None:
    small = compress(mlp(64, 64), "k-means", bits=3, progress=False)
    weight = small.constants["w0"]
    assert isinstance(weight, Codebook) and weight.codebook.size == 8 and (weight.codebook != 0).all()


def test_magnitude_prunes_and_does_not_share(mlp: Make) -> None:
    network = mlp(64, 64)
    small = compress(network, "magnitude", sparsity=0.75, progress=False)
    weight = small.constants["w0"]
    assert isinstance(weight, Csr) and weight.parameters == 1024
    dense = weight.dense()
    np.testing.assert_array_equal(dense[dense != 0], network.constants["w0"][dense != 0])


def test_bits_and_sparsity_per_layer(mlp: Make) -> None:
    network = mlp(64, 64, 64, 64)
    small = compress(network, bits={"w0": 2, "w1": 5}, sparsity={"w1": 0.5}, progress=False)
    assert small.constants["w0"].codebook.size == 4 and (small.constants["w0"].dense() != 0).all()
    assert small.constants["w1"].codebook.size == 32
    assert np.mean(small.constants["w1"].dense() == 0) == pytest.approx(0.5, abs=0.01)
    assert small.constants["w2"] is network.constants["w2"]


def test_the_same_arguments_give_the_same_file(mlp: Make, tmp_path: Path) -> None:
    network = mlp(128, 128, 10)
    for name in ("a", "b"):
        compress(network, seed=3, progress=False).save(tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize("alpha", [6.0, 8.0])
def test_size_targets_are_met_and_used(mlp: Make, alpha: float) -> None:
    network = mlp(200, 200, 100, 10)
    small = compress(network, target={"alpha_bytes": alpha}, progress=False)
    reached = plain_bytes(network) / file_bytes(small)
    # Three layers with 17 sizes of codebook each: the sizes of files in reach lie up to 7 % apart.
    assert alpha <= reached < 1.08 * alpha
    wanted = file_bytes(small) + 500
    assert 0.95 * wanted < file_bytes(compress(network, target={"bytes": wanted}, progress=False)) <= wanted


def test_sizes_out_of_reach_say_what_was_reached(mlp: Make) -> None:
    network = mlp(200, 200, 10)
    with pytest.raises(RecipeError, match=r"target: 5000 bytes cannot be met: the smallest file reached has \d+ bytes"):
        compress(network, target={"bytes": 5000}, progress=False)


def test_generous_sizes_end_with_the_finest_codebooks(mlp: Make) -> None:
    network = mlp(64, 64)
    small = compress(network, "k-means", target={"bytes": 10**9}, progress=False)
    assert small.constants["w0"].codebook.size == 256


def test_events_come_for_every_layer(mlp: Make) -> None:
    seen: list[Event] = []
    compress(mlp(64, 64, 64), progress=seen.append)
    assert [(event.stage, event.layer, event.done, event.total) for event in seen] == [
        (stage, f"w{at}", at + 1, 2) for stage in ("prune", "measure", "share") for at in range(2)
    ]
    assert all(event.seconds >= 0 and event.note for event in seen)


def test_shared_weights_stay_shared(mlp: Make) -> None:
    network = mlp(64, 64, 64)
    network.nodes[2].inputs[1] = "w0"
    del network.constants["w1"]
    small = compress(network, bits=4, progress=False)
    assert isinstance(small.constants["w0"], Codebook) and "w1" not in small.constants


def test_a_binary_network_is_kept_as_it_is(mlp: Make) -> None:
    network = mlp(64, 64)
    signs = np.where(network.constants["w0"] < 0, np.float32(-1), np.float32(1))
    small = compress(network.with_constants({"w0": signs}), progress=False)
    np.testing.assert_array_equal(small.constants["w0"].dense(), signs)
    assert small.constants["w0"].codebook.size == 2


# --- data ---


def labels_of(network: Network, x: np.ndarray) -> np.ndarray:
    return accel.InferenceSession(network).run(None, {"x": x})[0].argmax(axis=1)


def test_data_decides_where_bits_go(convnet: Make, images: Images) -> None:
    """A layer that the output hardly depends on gets the cheapest codebook once there is data to tell."""
    network = convnet()
    network.constants["c1"] = np.full(24, 50, np.float32)
    network.constants["k1"] = network.constants["k1"] * np.float32(1e-3)
    recipe = Recipe(target={"bits_per_weight": 4.5})
    blind = compress(network, recipe, progress=False)
    seeing = compress(network, recipe, data=images(30), progress=False)
    assert blind.constants["k1"].codebook.size > seeing.constants["k1"].codebook.size


def test_max_loss_is_kept_by_spending_bits(convnet: Make, images: Images) -> None:
    network, x = convnet(), images(200)
    recipe = Recipe(target={"bits_per_weight": 2.0}, max_loss=8.0)
    data = (x, labels_of(network, x))
    small = compress(network, recipe, data=data, progress=False)
    assert np.mean(labels_of(small, x) == data[1]) >= 0.92
    unbound = compress(network, Recipe(target={"bits_per_weight": 2.0}), data=data, progress=False)
    assert file_bytes(small) > file_bytes(unbound)


def test_a_loss_that_cannot_be_kept_says_what_was_lost(convnet: Make, images: Images) -> None:
    network, x = convnet(), images(200)
    with pytest.raises(
        RecipeError, match=r"max_loss: 0\.0 points cannot be met: \d+\.\d+ points were lost of 100\.00 %"
    ):
        compress(network, bits=1, max_loss=0.0, data=(x, labels_of(network, x)), progress=False)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"y": np.zeros((2, 3, 8, 8), np.float32)}, "data: expected arrays for the inputs x"),
        ((np.zeros((2, 3, 8, 8), np.float32), np.zeros(3, int)), "one integer label for each sample"),
        ((np.zeros((2, 3, 8, 8), np.float32), np.zeros(2)), "one integer label for each sample"),
        (np.zeros((0, 3, 8, 8), np.float32), "the same number of samples for every input, at least 1"),
        ([1, 2], "data: expected arrays"),
    ],
)
def test_data_that_does_not_fit_is_named(convnet: Make, data: object, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        compress(convnet(), data=data, progress=False)


# --- wrong arguments ---


def test_wrong_arguments_stop_before_work(mlp: Make) -> None:
    network = mlp(64, 64)
    seen: list[Event] = []
    with pytest.raises(TypeError, match="network: expected a Network"):
        compress("model.onnx", progress=seen.append)  # type: ignore[arg-type]
    with pytest.raises(RecipeError, match="max_loss: expected data="):
        compress(network, max_loss=1.0, progress=seen.append)
    with pytest.raises(RecipeError, match="bits, target"):
        compress(network, bits=4, target={"bytes": 1}, progress=seen.append)
    with pytest.raises(RecipeError, match="has no weight 'w9'"):
        compress(network, bits={"w9": 4}, progress=seen.append)
    with pytest.raises(ValueError, match="seed"):
        compress(network, seed=-1, progress=seen.append)
    network.constants["w0"][0, 0] = np.nan
    with pytest.raises(ModelError, match="weight 'w0'"):
        compress(network, progress=seen.append)
    assert seen == []


def test_quantized_layers_are_left_alone_with_a_warning(mlp: Make) -> None:
    network = mlp(64, 64, 64)
    network.constants["q"] = np.ones((64, 64), np.int8)
    network.constants["s"] = np.float32(0.5)
    network.nodes.insert(0, Node("DequantizeLinear", ["q", "s"], ["dq"]))
    network.nodes[1].inputs[1] = "dq"
    del network.constants["w0"]
    with pytest.warns(UserWarning, match="left alone: dq: it is quantized already"):
        small = compress(network, bits=4, progress=False)
    assert small.constants["q"] is network.constants["q"] and isinstance(small.constants["w1"], Codebook)


# --- a trained network ---


@pytest.mark.parametrize("count", [1000, pytest.param(10_000, marks=pytest.mark.slow)])
def test_resnet20_is_7_times_smaller_by_default(shared_data: Path, tmp_path: Path, count: int) -> None:
    """Size, answers and accuracy. On 1,000 images chance alone moves the accuracy by a point: the answers count."""
    pytest.importorskip("onnx")
    source = shared_data / "models/resnet20_cifar10_folded.onnx"
    network = accel.load(source)
    small = compress(network, progress=False)
    small.save(tmp_path / "small.accel")
    size = (tmp_path / "small.accel").stat().st_size
    assert source.stat().st_size >= 7.5 * size and plain_bytes(network) >= 7.5 * size
    stored = np.load(shared_data / "images/cifar10_test_jpeg.npz", allow_pickle=False)
    x, labels = cifar(stored["images"][:count]), stored["labels"][:count]
    before, after = (answers(which, x) for which in (network, small))
    assert np.mean(before == after) >= 0.94
    assert np.mean(before == labels) - np.mean(after == labels) <= (0.01 if count == 10_000 else 0.03)


def cifar(images: np.ndarray) -> np.ndarray:
    pixels = images.astype(np.float32) / np.float32(255)
    x = (pixels - np.float32([0.485, 0.456, 0.406])) / np.float32([0.229, 0.224, 0.225])
    return np.ascontiguousarray(x.transpose(0, 3, 1, 2))


def answers(network: Network, x: np.ndarray) -> np.ndarray:
    session = accel.InferenceSession(network)
    return np.concatenate([session.run(None, {"input": x[at : at + 250]})[0].argmax(1) for at in range(0, len(x), 250)])
