"""The method "binary": signs and scales, least squares, what is left alone."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import pytest

import accel
from accel.compress import Recipe
from accel.compress.binary import binarized
from accel.compress.targets import Layer
from accel.errors import RecipeError
from accel.graph import Network
from accel.weights import Binary
from accel.weights.base import dense


def test_weights_become_signs_times_their_mean_magnitude(convnet: Callable[..., Network]) -> None:
    network = convnet()
    small = accel.compress(network, "binary", progress=False)
    found = 0
    for _, name, weight in small.weights():
        before = dense(network.constants[name])
        if isinstance(weight, Binary):
            found += 1
            np.testing.assert_array_equal(weight.dense(), Binary.from_dense(np.ascontiguousarray(before)).dense())
    assert found and json.loads(small.metadata["compression"])["method"] == "binary"


def test_a_binary_network_stays_as_it_is_and_its_file_is_small() -> None:
    rng = np.random.default_rng(0)
    w = rng.choice(np.array([-1, 1], np.float32), (256, 512)) * np.float32(0.3)
    layer, note = binarized(Layer("w", w, False))
    assert isinstance(layer, Binary) and note == "1 bit a weight"
    np.testing.assert_array_equal(layer.dense(), w)


def test_weights_stored_by_inputs_are_rounded_by_output() -> None:
    w = np.random.default_rng(0).standard_normal((6, 4)).astype(np.float32)
    rounded, _ = binarized(Layer("w", w, True))
    np.testing.assert_array_equal(rounded.dense(), Binary.from_dense(np.ascontiguousarray(w.T)).dense().T)


@pytest.mark.parametrize("field", [{"bits": 4}, {"sparsity": 0.5}, {"quality": 1.0}, {"target": {"bytes": 9}}])
def test_other_methods_numbers_are_refused(field: dict[str, object]) -> None:
    with pytest.raises(RecipeError, match="expected none with method 'binary'"):
        Recipe("binary", **field)  # type: ignore[arg-type]
