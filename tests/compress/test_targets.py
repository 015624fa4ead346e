"""Which weights a recipe works on."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from accel.compress.recipe import Recipe
from accel.compress.targets import Layer, find_layers
from accel.errors import ModelError, RecipeError
from accel.graph.network import Network, Node
from accel.weights import Codebook, Csr, Dense

Make = Callable[..., Network]
RECIPE = Recipe(bits=4)


def names(network: Network, recipe: Recipe = RECIPE) -> tuple[list[str], dict[str, str]]:
    layers, left = find_layers(network, recipe)
    return [layer.name for layer in layers], left


def test_conv_gemm_and_matmul_weights_are_found(convnet: Make) -> None:
    found, left = names(convnet(), Recipe(bits=4, min_weights=1))
    assert found == ["k0", "k1", "m"] and left == {}


def test_small_layers_stay_dense(convnet: Make) -> None:
    found, left = names(convnet())
    assert found == ["k0", "k1"] and "240 weights, fewer than min_weights=256" in left["m"]


def test_skipped_compressed_and_shared_weights_are_told(convnet: Make) -> None:
    network = convnet()
    csr = Csr.from_dense(network.constants["k0"])
    found, left = names(network.with_constants({"k0": csr}))
    assert found == ["k1"] and "compressed already (Csr)" in left["k0"]
    found, left = names(network, Recipe(bits=4, skip=("k1",)))
    assert found == ["k0"] and left["k1"] == "the recipe skips it"
    network.nodes.append(Node("Shape", ["k0"], ["s"]))
    assert "also used other than as a layer's weight" in names(network)[1]["k0"]
    found, _ = names(convnet().with_constants({"k0": Dense(convnet().constants["k0"])}))
    assert found == ["k0", "k1"]


def test_a_weight_of_two_layers_is_one(mlp: Make) -> None:
    network = mlp(32, 32, 32)
    network.nodes[2].inputs[1] = "w0"
    assert names(network)[0] == ["w0"]


def test_quantized_networks_are_named(mlp: Make) -> None:
    network = mlp(32, 32)
    network.nodes.insert(0, Node("DequantizeLinear", ["q", "s"], ["w"], name="dq"))
    network.nodes[1].inputs[1] = "w"
    with pytest.raises(RecipeError, match=r"no weights to compress \(w: it is quantized already \(made by Dequant"):
        names(network)


def test_other_dtypes_stay(mlp: Make) -> None:
    network = mlp(32, 32, 32)
    network.constants["w0"] = network.constants["w0"].astype(np.float64)
    assert names(network)[1] == {"w0": "it is float64, not float32"}


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_a_model_error(mlp: Make, bad: float) -> None:
    network = mlp(32, 32)
    network.constants["w0"][3, 3] = bad
    with pytest.raises(ModelError, match="weight 'w0': expected finite values, got NaN or infinity"):
        names(network)


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        (Recipe(bits={"nope": 4}), "bits: the network has no weight 'nope'; it has k0, k1"),
        (Recipe(bits=4, sparsity={"*": 0.5, "nope": 0.1}), "sparsity: the network has no weight 'nope'"),
        (Recipe(bits=4, skip=("nope",)), "skip: the network has no weight 'nope'"),
        (Recipe(bits={"m": 4}), "bits: 'm' cannot be compressed: it has 240 weights"),
    ],
)
def test_names_that_do_not_fit_are_named(convnet: Make, recipe: Recipe, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        names(convnet(), recipe)


def test_a_network_without_weights_is_named(mlp: Make) -> None:
    network = mlp(32, 32)
    network.nodes = network.nodes[:0]
    with pytest.raises(RecipeError, match="no Conv, Gemm or MatMul with constants"):
        names(network)


@pytest.mark.parametrize(
    ("shape", "last"), [((6, 4), False), ((6, 4), True), ((6, 4, 3, 2), False), ((6, 4, 5), False)]
)
def test_rows_and_back(shape: tuple[int, ...], last: bool) -> None:
    array = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    layer = Layer("w", array, last)
    rows = layer.rows(array)
    assert rows.shape == ((4, 6, 1) if last else (6, 4, int(np.prod(shape[2:]))))
    assert rows[1, 2, 0] == (array[2, 1] if last else array[1, 2].ravel()[0])
    np.testing.assert_array_equal(layer.unrows(rows), array)


def test_the_orientation_is_that_of_the_operator(convnet: Make, mlp: Make) -> None:
    layers, _ = find_layers(convnet(), Recipe(bits=4, min_weights=1))
    assert [layer.outputs_last for layer in layers] == [False, False, True]
    network = mlp(32, 48)
    assert not find_layers(network, RECIPE)[0][0].outputs_last
    network.nodes[0].attributes["transB"] = 0
    assert find_layers(network, RECIPE)[0][0].outputs_last


def test_codebooks_are_left(convnet: Make) -> None:
    network = convnet()
    both = {name: Codebook.fit(network.constants[name], 4) for name in ("k0", "k1")}
    with pytest.raises(RecipeError, match=r"compressed already \(Codebook\)"):
        names(network.with_constants(both))
