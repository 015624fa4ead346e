"""How much each layer matters at the output."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from accel.compress._evaluate import calibration
from accel.compress.progress import Event
from accel.compress.recipe import Recipe
from accel.compress.sensitivity import SAMPLES, sensitivities
from accel.compress.targets import find_layers
from accel.graph.network import Network
from accel.weights import Weight

RECIPE = Recipe(bits=4)


def test_a_layer_that_the_output_ignores_has_none(
    convnet: Callable[..., Network], images: Callable[..., np.ndarray]
) -> None:
    """The second convolution's weights stand before a bias so negative that its ReLU passes nothing."""
    network = convnet()
    network.constants["c1"] = np.full(24, -1e6, np.float32)
    network.constants["m"] = network.constants["m"] + np.float32(1)
    layers, _ = find_layers(network, RECIPE)
    seen: list[Event] = []
    found = sensitivities(network, layers, RECIPE, calibration(images(20), network), seen.append)
    assert found == {"k0": 0.0, "k1": 0.0}
    assert [event.layer for event in seen] == ["k0", "k1"]


def test_factors_are_output_error_per_weight_error(mlp: Callable[..., Network]) -> None:
    """With y = W x for random x, the relative errors of y and of W are the same but for chance."""
    network = mlp(64, 32)
    network.constants["b0"][:] = 0
    layers, _ = find_layers(network, RECIPE)
    x = np.random.default_rng(0).standard_normal((500, 64)).astype(np.float32)
    calls = []

    def run(changed: Network, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
        calls.append(len(inputs["x"]))
        w = changed.constants["w0"]
        return inputs["x"] @ (w.dense() if isinstance(w, Weight) else w).T

    recipe = Recipe(bits=4, rounding="nearest")
    found = sensitivities(network, layers, recipe, calibration(x, network), lambda event: None, run)
    assert 0.8 < found["w0"] < 1.25
    assert calls == [SAMPLES] * 2
