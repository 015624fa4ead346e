"""accel.Linear: the kernel's bits, weights of every kind, and each error."""

from __future__ import annotations

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import accel
from accel.kernels import linear, runtime
from accel.kernels._linear_cost import sparse_cycles
from accel.kernels._sparse_product import SparseProduct
from accel.kernels.sparse import SparseArrays
from accel.layers.activation import ACTIVATIONS, apply_activation


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


W, B = normal(50, 37), normal(50, seed=1)


@pytest.mark.parametrize("shape", [(37,), (1, 37), (3, 37), (2, 9, 37), (0, 37)])
def test_it_computes_what_the_kernel_does(backend: str, shape: tuple[int, ...]) -> None:
    layer, x = accel.Linear(W, B), normal(*shape)
    for _ in range(2):  # packed at the first call, reused at the second
        y = layer(x)
        assert y.shape == (*shape[:-1], 50) and y.dtype == np.float32
        np.testing.assert_array_equal(y, linear(x, W, B))


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations(backend: str, name: str) -> None:
    x = normal(4, 37)
    np.testing.assert_array_equal(accel.Linear(W, B, name)(x), apply_activation(name, linear(x, W, B)))


def test_compressed_weights_compute_as_their_dense_form(backend: str) -> None:
    x = normal(4, 37)
    for weight in (accel.weights.Dense(W), accel.weights.Codebook.fit(W, bits=4)):
        layer = accel.Linear(weight, B)
        assert layer.weight is weight
        expected = linear(x, weight.dense(), B)
        if backend == "native" or isinstance(weight, accel.weights.Dense):
            np.testing.assert_array_equal(layer(x), expected)
        else:  # from its codes, in another order
            np.testing.assert_allclose(layer(x), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("activation", [None, "Relu", "Tanh"])
def test_sparse_weights_of_every_kind(backend: str, activation: str | None) -> None:
    w = np.zeros((50, 40), np.float32)
    w[:, ::4] = np.where(np.abs(W[:, :10]) < 0.5, np.float32(0), W[:, :10])
    weights = accel.weights
    for weight in (
        *(weights.Csr.from_dense(w, values) for values in ("float32", "bfloat16", "int8")),
        *(weights.CsrCodebook.fit(w, bits) for bits in (4, 5)),
        weights.Bsr.from_dense(w, (2, 1)),
        weights.NM.from_dense(w, 1, 4),
    ):
        layer = accel.Linear(weight, B, activation)
        assert layer.weight is weight
        for shape in ((40,), (2, 3, 40), (60, 40)):
            x = normal(*shape)
            expected = apply_activation(activation, (x @ weight.dense().T.astype(np.float64) + B).astype(np.float32))
            np.testing.assert_allclose(layer(x), expected, rtol=1e-5, atol=1e-5)
        assert layer(normal(0, 40)).shape == (0, 50)


def test_one_layer_serves_every_instruction_set_and_thread() -> None:
    layer, x = accel.Linear(W), normal(20, 37)
    results = []
    for isa in accel.isa_info()["supported"]:
        with accel.using(backend="native", isa=isa, threads=2):
            results.append(layer(x))
            np.testing.assert_array_equal(results[-1], linear(x, W))
    shared = accel.Linear(W)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: shared(x).tobytes(), range(32)))
    assert len(set(answers)) == 1


def test_empty_layers() -> None:
    assert accel.Linear(np.zeros((0, 3), np.float32))(normal(2, 3)).shape == (2, 0)
    assert (accel.Linear(np.zeros((4, 0), np.float32))(np.zeros((2, 0), np.float32)) == 0).all()


BAD: list[tuple[type[Exception], str, tuple[Any, ...]]] = [
    (TypeError, "weight: expected a NumPy array, got list", ([[1.0]],)),
    (TypeError, "weight: expected float32, got float64", (W.astype(np.float64),)),
    (ValueError, "weight: expected 2 axes", (B,)),
    (ValueError, "weight: expected a C-contiguous array", (W.T,)),
    (ValueError, r"weight: expected 2 axes, got shape \(5, 10, 37\)", (accel.weights.Dense(W.reshape(5, 10, 37)),)),
    (ValueError, r"bias: expected shape \(50,\), got \(37,\)", (W, normal(37))),
    (TypeError, "bias: expected a NumPy array, got float 0.0", (W, 0.0)),
    (ValueError, "activation: expected None or one of Relu, .*, got 'relu'", (W, B, "relu")),
]


@pytest.mark.parametrize(("error", "message", "arguments"), BAD)
def test_bad_arguments_are_named(error: type[Exception], message: str, arguments: tuple[Any, ...]) -> None:
    with pytest.raises(error, match=message):
        accel.Linear(*arguments)


@pytest.mark.parametrize(
    ("error", "message", "x"),
    [
        (TypeError, "x: expected float32, got float64", normal(2, 37).astype(np.float64)),
        (ValueError, r"x: expected shape \(..., 37\), got \(2, 36\)", normal(2, 36)),
        (ValueError, r"x: expected shape \(..., 37\), got \(\)", np.zeros((), np.float32)),
        (ValueError, "x: expected a C-contiguous array", normal(37, 2).T),
        (TypeError, "x: expected a NumPy array, got list", [[0.0] * 37]),
    ],
)
def test_bad_inputs_are_named(error: type[Exception], message: str, x: Any) -> None:
    with pytest.raises(error, match=message):
        accel.Linear(W)(x)


def test_a_sparse_layer_follows_the_instruction_set_and_the_number_of_rows() -> None:
    if runtime.core is None:
        pytest.skip("native kernels only")
    rng = np.random.default_rng(3)
    w = rng.standard_normal((70, 90), np.float32) * (rng.random((70, 90)) < 0.1).astype(np.float32)
    layer = accel.Linear(accel.weights.Csr.from_dense(w), normal(70))
    for isa in (*runtime.isa_info()["supported"], *runtime.isa_info()["supported"]):
        for rows in (*range(1, 24), 3, 60):
            with accel.using(backend="native", isa=isa):
                x = normal(rows, 90)
                np.testing.assert_allclose(layer(x), x @ w.T + layer.bias, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("shape", "values"), [((300, 2000), 0.004), ((70, 90), 0.3)])
def test_weights_as_they_are_and_packed_agree(shape: tuple[int, int], values: float) -> None:
    """Which of them runs is predicted: with a bias, with NaN in x, and for few and many rows."""
    if runtime.core is None:
        pytest.skip("native kernels only")
    rng = np.random.default_rng(5)
    w = rng.standard_normal(shape, np.float32) * (rng.random(shape) < values).astype(np.float32)
    bias = normal(shape[0])
    product = SparseProduct(SparseArrays.of(w), shape[1], bias)
    for isa in runtime.isa_info()["supported"]:
        for rows in (1, 3, 5, 40):
            with accel.using(backend="native", isa=isa, threads=2):
                x = normal(rows, shape[1])
                x[0, 0] = np.nan
                holds = w[:, 0] != 0
                wanted = np.nan_to_num(x) @ w.T + bias
                of_packed = product._of_packed(rows, runtime.isa_index(), 2)
                as_it_is = product._as_it_is(runtime.isa_index(), 2)
                for y in (of_packed(x), as_it_is(x)):
                    assert np.isnan(y[0]).tolist() == holds.tolist()
                    np.testing.assert_allclose(y[1:], wanted[1:], rtol=1e-4, atol=1e-4)
                    np.testing.assert_allclose(y[0][~holds], wanted[0][~holds], rtol=1e-4, atol=1e-4)


def test_few_values_are_multiplied_as_they_are_and_many_packed() -> None:
    if runtime.core is None:
        pytest.skip("native kernels only")
    for shape in ((2, 300, 10000, 30000), (8, 10000, 300, 30000)):
        packed, plain = sparse_cycles(*shape)
        assert plain < packed
    for rows in (1, 4, 5, 32, 64):
        packed, plain = sparse_cycles(rows, 4096, 4096, 4096 * 410)
        assert packed < plain


def test_a_called_layer_is_pickled_without_what_is_packed(backend: str) -> None:
    rng = np.random.default_rng(0)
    zeros = rng.standard_normal((48, 64), np.float32) * (rng.random((48, 64)) < 0.05)
    weights: list[Any] = [
        W,
        accel.weights.Csr.from_dense(zeros.astype(np.float32)),
        accel.weights.BlockCirculant(normal(2, 3, 16), (32, 48)),
        accel.weights.Fastfood.random((40, 20)),
        accel.weights.Hashed(normal(30), 1, (24, 10)),
        accel.weights.Binary.from_dense(W),
    ]
    for weight in weights:
        layer = accel.Linear(weight, normal(weight.shape[0]), "Relu")
        x = normal(5, weight.shape[1])
        y = layer(x)
        again = pickle.loads(pickle.dumps(layer))
        assert again._packed is None and again._product is None
        np.testing.assert_array_equal(again(x), y)
        np.testing.assert_array_equal(copy.deepcopy(layer)(x), y)
    signs = accel.Linear(accel.weights.Binary.from_dense(W), binarize_input=True, scale_input=True)
    x = normal(3, 37)
    np.testing.assert_array_equal(signs(x), pickle.loads(pickle.dumps(signs))(x))
