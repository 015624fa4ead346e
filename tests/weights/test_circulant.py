"""Circulant and BlockCirculant: what they stand for, projections, files, layers and networks that hold them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from engine.sketch import Sketch

import accel
from accel.errors import FormatError
from accel.kernels import _circulant_cost, runtime
from accel.layers import _windows
from accel.reference import circulant as reference
from accel.weights import BlockCirculant, Circulant, Weight, _circulant_product, weight_kinds
from accel.weights.circulant import CirculantBlocks


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


def flips(n: int, seed: int = 0) -> np.ndarray:
    return np.where(np.random.default_rng(seed).random(n) < 0.5, -1, 1).astype(np.float32)


def weights() -> list[Weight]:
    return [
        Circulant(normal(8)),
        Circulant(normal(9), (7, 9), flips(9)),
        Circulant(normal(5), (5, 2)),
        BlockCirculant(normal(2, 3, 4)),
        BlockCirculant(normal(2, 3, 4), (5, 11), flips(11)),
        BlockCirculant(normal(2, 3, 4, 3, 2), (8, 10, 3, 2)),
    ]


def test_dense_is_the_definition() -> None:
    r, s = normal(2, 3, 4), flips(11)
    np.testing.assert_array_equal(BlockCirculant(r).dense(), reference.dense(r))
    np.testing.assert_array_equal(BlockCirculant(r, (5, 11), s).dense(), reference.dense(r)[:5, :11] * s)
    np.testing.assert_array_equal(Circulant(r[0, 0]).dense(), reference.dense(r[:1, :1]))
    taps = normal(2, 3, 4, 3, 2)
    w = BlockCirculant(taps).dense()
    for y in range(3):
        for x in range(2):
            np.testing.assert_array_equal(w[:, :, y, x], reference.dense(taps[..., y, x]))


def test_what_is_stored_is_counted() -> None:
    weight = BlockCirculant(normal(2, 3, 64), (100, 192), flips(192))
    assert (weight.parameters, weight.nbytes, weight.block) == (384, 4 * 384 + 192, 64)
    assert Circulant(normal(1000)).parameters == 1000 and Circulant(normal(1000)).size == 10**6


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("shape", [(6, 6), (4, 7), (7, 4), (1, 5)])
def test_the_projection_is_the_least_squares_fit(shape: tuple[int, int], signed: bool) -> None:
    w, s = normal(*shape, seed=1), flips(shape[1]) if signed else None
    for block in (1, 3, max(shape)):
        made = BlockCirculant.project(w, block, s)
        basis = []
        for k in range(made.r.size):
            unit = np.zeros(made.r.size, np.float32)
            unit[k] = 1
            basis.append(BlockCirculant(unit.reshape(made.r.shape), shape, s).dense().ravel())
        best = np.linalg.lstsq(np.array(basis).T.astype(np.float64), w.ravel().astype(np.float64), rcond=None)[0]
        np.testing.assert_allclose(made.r.ravel(), best, atol=1e-6)
    np.testing.assert_array_equal(Circulant.project(w, s).r, BlockCirculant.project(w, max(shape), s).r)


def test_a_projection_of_its_own_form_is_itself() -> None:
    for weight in weights():
        signs = weight.signs  # type: ignore[attr-defined]
        if isinstance(weight, Circulant):
            again: CirculantBlocks = Circulant.project(weight.dense(), signs)
        else:
            again = BlockCirculant.project(weight.dense(), 4, signs)
        np.testing.assert_allclose(again.dense(), weight.dense(), atol=1e-6)


def test_states_and_files(tmp_path: Path) -> None:
    for weight in weights():
        arrays, meta = weight.state()
        again = weight_kinds()[weight.kind].from_state(arrays, meta)
        assert type(again) is type(weight)
        np.testing.assert_array_equal(again.dense(), weight.dense())
    s = Sketch()
    x = s.input(2, 2048)
    name = s.weights(1, 1)
    network = s.network(s.add("Gemm", x, name, transB=1))
    network.constants[name] = Circulant(normal(2048), signs=flips(2048))  # 2048 times its stored size
    network.save(tmp_path / "c.accel")
    again = accel.load(tmp_path / "c.accel").constants[name]
    assert isinstance(again, Circulant)
    np.testing.assert_array_equal(again.dense(), network.constants[name].dense())


@pytest.mark.parametrize(
    ("arrays", "meta"),
    [
        ({"r": normal(8)}, {"shape": [9, 8]}),
        ({"r": normal(8)}, {"shape": [8]}),
        ({"r": normal(8)}, {"shape": [8, 8, 1, 1]}),
        ({"r": normal(8)}, {"shape": "8"}),
        ({"r": normal(8)}, {}),
        ({"r": normal(8), "more": normal(8)}, {"shape": [8, 8]}),
        ({"r": normal(8).astype(np.float64)}, {"shape": [8, 8]}),
        ({"r": normal(8, 1)}, {"shape": [8, 8]}),
        ({"r": np.float32([1, np.nan])}, {"shape": [2, 2]}),
        ({"r": normal(0)}, {"shape": [0, 0]}),
        ({"r": normal(2), "signs": np.int8([1, 2])}, {"shape": [2, 2]}),
        ({"r": normal(2), "signs": np.int8([1])}, {"shape": [2, 2]}),
        ({"r": normal(2), "signs": np.float32([1, 1])}, {"shape": [2, 2]}),
    ],
)
def test_states_that_do_not_fit_are_refused(arrays: dict[str, np.ndarray], meta: dict[str, Any]) -> None:
    with pytest.raises(FormatError, match="circulant weight"):
        Circulant.from_state(arrays, meta)
    blocks = {name: array[None, None] if name == "r" else array for name, array in arrays.items()}
    with pytest.raises(FormatError, match="block_circulant weight"):
        BlockCirculant.from_state(blocks, meta)


def test_bad_arguments_are_named() -> None:
    cases = [
        (TypeError, "r: expected float32", lambda: Circulant(np.zeros(3))),
        (ValueError, "r: expected 1 axes", lambda: Circulant(normal(3, 3))),
        (ValueError, "r: expected \\(p, q, b\\)", lambda: BlockCirculant(normal(3, 3))),
        (ValueError, "shape: out", lambda: Circulant(normal(3), (4, 3))),
        (ValueError, "shape: in", lambda: BlockCirculant(normal(2, 2, 3), (6, 3))),
        (ValueError, "signs: expected 1 and -1", lambda: Circulant(normal(3), signs=normal(3))),
        (ValueError, "signs: expected shape", lambda: BlockCirculant(normal(2, 2, 3, 1, 1), signs=flips(6))),
        (ValueError, "w: expected finite", lambda: Circulant.project(np.float32([[np.inf]]))),
        (ValueError, "w: expected \\(out, in\\)", lambda: BlockCirculant.project(normal(3), 2)),
        (ValueError, "block: expected an integer", lambda: BlockCirculant.project(normal(3, 3), 0)),
    ]
    for error, message, call in cases:
        with pytest.raises(error, match=message):
            call()


@pytest.fixture(params=["transforms", "dense"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """By transforms, or as a dense product: whichever is predicted, both are right."""
    cycles = 0.0 if request.param == "transforms" else 1e30
    monkeypatch.setattr(_circulant_product, "circulant_cycles", lambda *_: cycles)
    monkeypatch.setattr(_windows, "circulant_cycles", lambda *_: cycles - 1e9)
    return str(request.param)


def test_linear(backend: str, way: str) -> None:
    for weight in weights()[:5]:
        out, depth = weight.shape
        x, bias = normal(3, 2, depth, seed=1), normal(out, seed=2)
        layer = accel.Linear(weight, bias, "Relu")
        exact = np.maximum(x.astype(np.float64) @ weight.dense().T.astype(np.float64) + bias, 0)
        np.testing.assert_allclose(layer(x), exact, atol=1e-5)
        np.testing.assert_allclose(layer(x[0, 0]), exact[0, 0], atol=1e-5)
        np.testing.assert_allclose(accel.Linear(weight)(x[:1]), x[:1] @ weight.dense().T, atol=1e-5)


@pytest.mark.parametrize("geometry", [{}, {"strides": (2, 1), "pads": (1, 0, 2, 1), "dilations": (1, 2)}])
def test_conv2d(backend: str, way: str, geometry: dict[str, Any]) -> None:
    weight = BlockCirculant(normal(2, 3, 4, 3, 2), (7, 10, 3, 2))
    x, bias = normal(2, 10, 9, 8, seed=1), normal(7, seed=2)
    exact = accel.kernels.conv2d(x, weight.dense(), bias, **geometry)
    np.testing.assert_allclose(accel.Conv2d(weight, bias, **geometry)(x), exact, atol=1e-4)
    grouped = BlockCirculant(normal(2, 1, 4, 1, 1))
    exact = accel.kernels.conv2d(x[:, :8].copy(), grouped.dense(), None, group=2)
    np.testing.assert_allclose(accel.Conv2d(grouped, group=2)(x[:, :8].copy()), exact, atol=1e-4)
    with pytest.raises(ValueError, match="x: a kernel of"):
        accel.Conv2d(weight)(x[:, :, :2].copy())
    with pytest.raises(ValueError, match="w: expected shape"):
        accel.Conv2d(weight)(x[:, :9].copy())


def network(batch: int) -> tuple[accel.Network, dict[str, np.ndarray]]:
    s = Sketch()
    x = s.input(batch, 512)
    names = [s.weights(1, 1) for _ in range(3)]
    y = s.add("Relu", s.add("Gemm", x, names[0], s.weights(512), transB=1))
    y = s.add("Gemm", y, names[1], s.weights(300), transB=1, beta=0.5)
    y = s.add("Gemm", y, names[2], transB=1, alpha=2.0)
    made = s.network(y)
    made.constants |= {
        names[0]: Circulant(normal(512, seed=1) / 23, signs=flips(512)),
        names[1]: BlockCirculant(normal(3, 4, 128, seed=2) / 23, (300, 512)),
        names[2]: BlockCirculant(normal(1, 3, 128, seed=3) / 17, (100, 300)),
    }
    return made, {"x0": normal(batch, 512, seed=4)}


@pytest.mark.parametrize("batch", [1, 2, 33])
def test_networks(isa: str, batch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_circulant_product, "circulant_cycles", lambda *_: 0.0)
    made, feeds = network(batch)
    dense = network(batch)[0]
    dense.constants.update({name: c.dense() for name, c in dense.constants.items() if isinstance(c, Weight)})
    session = accel.InferenceSession(made, threads=2)
    kernels = [step["kernel"] for step in session.explain(feeds)]
    assert kernels.count("linear circulant") == 2  # alpha is not 1 in the third
    assert session.resident_bytes > 0
    exact = accel.InferenceSession(dense, threads=2).run(None, feeds)[0]
    y = session.run(None, feeds)[0]
    np.testing.assert_allclose(y, exact, atol=2e-5)
    assert y.tobytes() == accel.InferenceSession(made, threads=1).run(None, feeds)[0].tobytes()


def test_the_cost_prefers_transforms_where_they_are_faster(isa: str) -> None:
    product = Circulant(normal(4096)).product()
    assert isinstance(product, _circulant_product.CirculantProduct) and product.gains(1) and product.gains(64)
    small = BlockCirculant(normal(16, 16, 4)).product()
    assert isinstance(small, _circulant_product.CirculantProduct) and not small.gains(64)
    assert _circulant_cost.circulant_cycles(2, 1, 1, 1024) > 0 and runtime.core is not None


def test_a_block_far_larger_than_the_matrix_costs_its_own_size_and_no_square() -> None:
    w = normal(3, 4)
    weight = BlockCirculant.project(w, 1 << 16)
    assert weight.r.shape == (1, 1, 1 << 16) and np.count_nonzero(weight.r) == 6
    assert weight.r[0, 0, 0] == np.float32(np.mean([w[i, i] for i in range(3)], dtype=np.float64))
    with pytest.raises(ValueError, match="block: expected an integer in 1"):
        BlockCirculant.project(w, 1 << 70)
