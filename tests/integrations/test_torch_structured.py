"""Structured layers in PyTorch: operators that torch accepts, gradients, vmap, compilation, projections, and export."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import accel
from accel import weights

torch = pytest.importorskip("torch", reason="torch is not installed: pip install 'accel[torch]'")
nn, functional = torch.nn, torch.nn.functional

from accel.integrations.torch import (  # noqa: E402
    CirculantConv2d,
    CirculantLinear,
    FastfoodLinear,
    HashedLinear,
    export_network,
    export_onnx,
    frozen,
)
from accel.integrations.torch import structured_ops as operators  # noqa: E402


@pytest.fixture(autouse=True)
def _seeded_and_on_one_thread() -> None:
    torch.manual_seed(0)
    torch.set_num_threads(1)


def rows(*shape: int, dtype: Any = None) -> Any:
    return torch.randn(*shape, dtype=dtype, requires_grad=True)


def cases(dtype: Any) -> dict[str, tuple[Any, tuple[Any, ...]]]:
    """Every operator with operands of all kinds it takes; the first is of many rows."""
    perm = torch.stack([torch.randperm(8) for _ in range(2)]).int()
    x = partial(rows, dtype=dtype)
    diagonals = [x(2, 8) for _ in range(3)]
    return {
        "block_circulant": (operators.block_circulant, (x(2, 3, 12), x(2, 3, 4))),
        "block_circulant, large": (operators.block_circulant, (x(5, 96), x(1, 2, 48))),
        "block_circulant_grad": (operators.block_circulant_grad, (x(3, 8), x(3, 12), 4)),
        "fastfood": (operators.fastfood, (x(3, 8), *diagonals, perm)),
        "fastfood_grad": (operators.fastfood_grad, (x(3, 16), x(3, 8), *diagonals, perm)),
        "hashed": (operators.hashed_product, (x(2, 3, 6), x(5), 7, 3)),
        "hashed_grad": (operators.hashed_grad, (x(3, 7), x(3, 6), x(5), 3)),
    }


NAMES = list(cases(torch.float32))
PRODUCTS = [name for name in NAMES if "grad" not in name]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", NAMES)
def test_torch_accepts_the_operator(name: str, dtype: Any) -> None:
    operator, operands = cases(dtype)[name]
    if operator in (operators.fastfood_grad, operators.hashed_grad):  # they end where a second derivative would begin
        operands = tuple(v.detach() if isinstance(v, torch.Tensor) else v for v in operands)
    torch.library.opcheck(operator, operands)


@pytest.mark.parametrize("name", PRODUCTS)
def test_gradients_are_those_of_differences(name: str) -> None:
    operator, operands = cases(torch.float64)[name]
    assert torch.autograd.gradcheck(operator, operands)


def test_circulant_operators_can_be_differentiated_twice() -> None:
    for name in ("block_circulant", "block_circulant_grad"):
        operator, operands = cases(torch.float64)[name]
        assert torch.autograd.gradgradcheck(operator, operands)


@pytest.mark.parametrize("name", NAMES)
def test_float32_is_float64_rounded(name: str) -> None:
    operator, operands = cases(torch.float32)[name]
    doubles = [v.double() if isinstance(v, torch.Tensor) and v.is_floating_point() else v for v in operands]
    for single, double in zip(listed(operator(*operands)), listed(operator(*doubles)), strict=True):
        assert (single.dtype, double.dtype) == (torch.float32, torch.float64)
        assert torch.allclose(single.double(), double, rtol=1e-5, atol=1e-5)


def listed(result: Any) -> list[Any]:
    return [result] if isinstance(result, torch.Tensor) else list(result)


@pytest.mark.parametrize("name", NAMES)
def test_vmap_gives_what_a_loop_gives(name: str) -> None:
    operator, operands = cases(torch.float32)[name]
    count = sum(isinstance(v, torch.Tensor) and v.is_floating_point() for v in operands)
    for many in ((0,), tuple(range(count)), (1,)):  # of the operands; along which axis is told by their place
        dims = tuple(min(at, operands[at].ndim) if at in many else None for at in range(len(operands)))
        stacked = [
            v if at is None else torch.stack([v, 2 * v, -v], at).detach()
            for v, at in zip(operands, dims, strict=True)
        ]  # fmt: skip
        found = listed(torch.vmap(operator, in_dims=dims)(*stacked))
        for sample in range(3):
            alone = operator(*(v if at is None else v.select(at, sample) for v, at in zip(stacked, dims, strict=True)))
            for result, expected in zip(found, listed(alone), strict=True):
                assert torch.allclose(result[sample], expected, rtol=1e-5, atol=1e-5)


def test_operands_of_other_types_are_named() -> None:
    x, r = rows(2, 8), rows(1, 2, 4)
    with pytest.raises(TypeError, match=r"x: expected float32 or float64, got torch\.float16"):
        operators.block_circulant(x.half(), r.half())
    with pytest.raises(TypeError, match=r"r: expected torch\.float32 as of the other operands, got torch\.float64"):
        operators.block_circulant(x, r.double())
    with pytest.raises(ValueError, match=r"x: expected shape \(\.\.\., 12\), got \(2, 8\)"):
        operators.block_circulant(x, rows(1, 3, 4))


# --- layers

LAYERS: dict[str, Callable[..., Any]] = {
    "circulant": lambda **k: CirculantLinear(40, 40, **k),
    "circulant, signs": lambda **k: CirculantLinear(20, 33, signs=True, **k),
    "blocks": lambda **k: CirculantLinear(40, 25, block=16, signs=True, **k),
    "fastfood": lambda **k: FastfoodLinear(20, 70, **k),
    "hashed": lambda **k: HashedLinear(20, 30, values=50, **k),
}
GEOMETRIES: dict[str, dict[str, Any]] = {
    "plain": {"kernel_size": 3, "padding": 1, "block": 4},
    "odd": {"kernel_size": (3, 2), "stride": (2, 1), "padding": (0, 2), "dilation": (1, 2), "block": 3, "bias": False},
    "same": {"kernel_size": (3, 5), "padding": "same", "block": 8},
    "valid": {"kernel_size": 1, "padding": "valid", "block": 5},
}


@pytest.mark.parametrize("name", LAYERS)
def test_linear_is_the_product_with_its_weight(name: str) -> None:
    for options in ({}, {"bias": False}, {"dtype": torch.float64}):
        layer = LAYERS[name](**options)
        x = torch.randn(2, 3, layer.in_features, dtype=layer.to_dense().dtype)
        expected = functional.linear(x, layer.to_dense(), layer.bias)
        assert layer(x).dtype == x.dtype and torch.allclose(layer(x), expected, rtol=1e-5, atol=1e-5)
        twin = frozen(layer)
        assert torch.equal(twin(x), expected) and not any(p.requires_grad for p in twin.parameters())
        ours = layer.to_accel("Relu")(x.float().numpy())
        np.testing.assert_allclose(ours, expected.relu().detach().numpy(), rtol=1e-5, atol=1e-5)
        assert layer.compression() == pytest.approx(layer.to_weight().size / layer.to_weight().parameters)
        assert f"{layer.compression():.1f}x fewer parameters" in repr(layer)


@pytest.mark.parametrize("name", GEOMETRIES)
def test_conv2d_is_the_convolution_with_its_weight(name: str) -> None:
    layer = CirculantConv2d(6, 7, **GEOMETRIES[name])
    conv = nn.Conv2d(6, 7, **{k: v for k, v in GEOMETRIES[name].items() if k != "block"})
    with torch.no_grad():
        conv.weight.copy_(layer.to_dense())
        if conv.bias is not None:
            conv.bias.copy_(layer.bias)
    x = torch.randn(2, 6, 7, 8)
    for got in (layer(x), frozen(layer)(x)):
        assert torch.allclose(got, conv(x), rtol=1e-5, atol=1e-5)
    assert torch.allclose(layer(x[0]), conv(x)[0], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(layer.to_accel()(x.numpy()), conv(x).detach().numpy(), rtol=1e-5, atol=1e-5)
    assert f"block={layer.block}, bias={conv.bias is not None}" in repr(layer)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_no_rows_give_no_rows_and_zero_gradients(dtype: Any) -> None:
    linear = CirculantLinear(6, 5, block=4), FastfoodLinear(6, 5), HashedLinear(6, 5, values=4)
    inputs = [(layer.to(dtype), rows(2, 0, 6, dtype=dtype)) for layer in linear]
    inputs.append((CirculantConv2d(3, 4, 3, block=2).to(dtype), rows(0, 3, 5, 5, dtype=dtype)))
    for layer, x in inputs:
        layer(x).sum().backward()
        assert x.grad.shape == x.shape and not any(p.grad.any() for p in layer.parameters())


def test_the_gradients_of_layers_are_those_of_the_dense_ones() -> None:
    layer = CirculantConv2d(4, 6, 3, padding=1, block=2, dtype=torch.float64)
    linear = CirculantLinear(5, 7, block=4, signs=True, dtype=torch.float64)
    for case, x in ((layer, rows(2, 4, 3, 3, dtype=torch.float64)), (linear, rows(3, 5, dtype=torch.float64))):
        names = [name for name, _ in case.named_parameters()]

        def run(x: Any, *parameters: Any, case: Any = case, names: Any = names) -> Any:
            return torch.func.functional_call(case, dict(zip(names, parameters, strict=True)), (x,))

        assert torch.autograd.gradcheck(run, (x, *case.parameters()))


@pytest.mark.parametrize("name", [*LAYERS, "conv2d"])
def test_a_compiled_layer_is_one_graph_with_the_same_gradients(name: str) -> None:
    layer = CirculantConv2d(4, 6, 3, block=2) if name == "conv2d" else LAYERS[name]()
    x = torch.randn(2, 4, 5, 5) if name == "conv2d" else torch.randn(3, layer.in_features)
    layer(x).square().sum().backward()
    expected = [parameter.grad for parameter in layer.parameters()]
    layer.zero_grad()
    torch.compile(layer, backend="aot_eager", fullgraph=True)(x).square().sum().backward()
    for parameter, gradient in zip(layer.parameters(), expected, strict=True):
        assert torch.allclose(parameter.grad, gradient, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", LAYERS)
def test_many_gradients_at_once(name: str) -> None:
    layer = LAYERS[name]()
    y = layer(torch.randn(3, layer.in_features))
    upstream = torch.randn(4, *y.shape)
    parameters = tuple(layer.parameters())
    found = torch.autograd.grad(y, parameters, upstream, is_grads_batched=True, retain_graph=True)
    for index, single in enumerate(upstream):
        alone = torch.autograd.grad(y, parameters, single, retain_graph=True)
        for many, one in zip(found, alone, strict=True):
            assert torch.allclose(many[index], one, rtol=1e-4, atol=1e-5)


def test_float_layers_become_the_nearest_structured_ones() -> None:
    linear = nn.Linear(40, 25).eval()
    w = linear.weight.detach().numpy()
    circulant = CirculantLinear.from_linear(linear)
    blocks = CirculantLinear.from_linear(linear, block=8, signs=True)
    hashed = HashedLinear.from_linear(linear, values=100, seed=5)
    fastfood = FastfoodLinear.from_linear(linear, seed=5)
    expected = [
        weights.Circulant.project(w),
        weights.BlockCirculant.project(w, 8, blocks.signs.numpy()),
        weights.Hashed.project(w, 100, 5),
        weights.Fastfood.project(w, 5),
    ]
    for layer, weight in zip((circulant, blocks, hashed, fastfood), expected, strict=True):
        assert type(layer.to_weight()) is type(weight) and not layer.training
        np.testing.assert_array_equal(layer.to_dense().numpy(), weight.dense())
        assert torch.equal(layer.bias, linear.bias) and layer.bias is not linear.bias
    conv = nn.Conv2d(6, 7, (3, 2), (2, 1), (0, 2), (1, 2), bias=False, dtype=torch.float64)
    layer = CirculantConv2d.from_conv2d(conv, block=3)
    expected_weight = weights.BlockCirculant.project(conv.weight.detach().float().numpy(), 3).dense()
    np.testing.assert_array_equal(layer.to_dense().float().numpy(), expected_weight)
    assert layer(rows(1, 6, 7, 8, dtype=torch.float64)).shape == conv(rows(1, 6, 7, 8, dtype=torch.float64)).shape
    with pytest.raises(TypeError, match=r"linear: expected a torch\.nn\.Linear, got Conv2d"):
        CirculantLinear.from_linear(conv)
    with pytest.raises(TypeError, match=r"conv: expected a torch\.nn\.Conv2d, got Linear"):
        CirculantConv2d.from_conv2d(linear, block=3)


@pytest.mark.parametrize(
    ("error", "message", "make"),
    [
        (ValueError, "in_features: expected an integer >= 1, got 0", lambda: CirculantLinear(0, 3)),
        (TypeError, "block: expected an integer >= 1, got float 2.0", lambda: CirculantLinear(3, 3, block=2.0)),  # type: ignore[arg-type]
        (ValueError, "seed: expected an integer in 0", lambda: FastfoodLinear(3, 3, seed=-1)),
        (ValueError, "values: expected an integer >= 1, got 0", lambda: HashedLinear(3, 3, values=0)),
        (
            ValueError,
            "groups, padding_mode: expected 1 and 'zeros'",
            lambda: CirculantConv2d(4, 4, 3, groups=2, block=2),
        ),
        (ValueError, "padding: expected numbers where stride", lambda: CirculantConv2d(4, 4, 3, 2, "same", block=2)),
        (TypeError, "padding: expected an integer or a pair", lambda: CirculantConv2d(4, 4, 3, padding="all", block=2)),
        (ValueError, r"x: expected shape \(\.\.\., 3\), got \(2, 4\)", lambda: CirculantLinear(3, 3)(rows(2, 4))),
        (ValueError, r"x: expected shape \(\.\.\., 3\), got \(\)", lambda: CirculantLinear(3, 3)(torch.ones(()))),
        (TypeError, "x: expected torch.float32", lambda: CirculantLinear(3, 3, signs=True)(torch.ones(2, 3).half())),
        (ValueError, "x: expected .*C = 4, got", lambda: CirculantConv2d(4, 4, 3, block=2)(rows(1, 3, 5, 5))),
    ],
)
def test_what_does_not_fit_is_named(error: type, message: str, make: Callable[[], Any]) -> None:
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize("name", LAYERS)
def test_a_state_makes_the_same_layer(name: str) -> None:
    layer, other, file = LAYERS[name](), LAYERS[name](), io.BytesIO()
    torch.save(layer.state_dict(), file)
    file.seek(0)
    other.load_state_dict(torch.load(file, weights_only=True))
    x = torch.randn(2, layer.in_features)
    assert torch.equal(other(x), layer(x))
    before = layer(x)
    layer.reset_parameters()
    assert not torch.equal(layer(x), before)


# --- networks


def network() -> Any:
    layers = [
        CirculantConv2d(3, 16, 3, padding=1, block=8), nn.BatchNorm2d(16), nn.ReLU(), nn.Flatten(),
        CirculantLinear(16 * 36, 256, block=128, signs=True), nn.ReLU(),
        FastfoodLinear(256, 300), nn.BatchNorm1d(300), nn.ReLU(),
        HashedLinear(300, 64, values=500), nn.ReLU(),
        CirculantLinear(64, 10),
    ]  # fmt: skip
    for layer in layers:
        if isinstance(layer, (nn.BatchNorm1d, nn.BatchNorm2d)):
            nn.init.uniform_(layer.running_var, 0.5, 2)
    return nn.Sequential(*layers).eval()


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_an_exported_network_holds_the_few_numbers_and_runs_alike(tmp_path: Path) -> None:
    pytest.importorskip("onnxscript", reason="onnxscript is not installed: pip install 'accel[torch]'")
    model, x = network(), torch.randn(64, 3, 6, 6)
    found = export_network(model, x[:2], names=("x", "y"))
    kinds = [type(c).__name__ for c in found.constants.values() if isinstance(c, weights.Weight)]
    assert kinds == ["BlockCirculant", "BlockCirculant", "Fastfood", "Hashed", "Circulant"]
    found.save(tmp_path / "network.accel")
    expected = model(x).detach().numpy()
    session = accel.InferenceSession(tmp_path / "network.accel")
    np.testing.assert_allclose(session.run(["y"], {"x": x.numpy()})[0], expected, rtol=1e-4, atol=1e-5)
    if "native" in accel.isa_info()["backends"]:
        kernels = {step["kernel"] for step in session.explain({"x": x.numpy()})}
        assert {"linear circulant", "linear fastfood", "linear hashed"} <= kernels
    dense = export_onnx(model, x[:2])
    assert {node.domain for node in dense.graph.node} == {""}
    assert not any(tensor.name.endswith((".r", ".s", ".values")) for tensor in dense.graph.initializer)
    assert (tmp_path / "network.accel").stat().st_size < dense.ByteSize() / 10
    assert not model[4].frozen, "the module itself is as it was"


@pytest.mark.parametrize("options", [{}, {"block": 8}, {"values": 60, "seed": 1}])
def test_training_finds_a_layer_of_its_own_kind(options: dict[str, Any]) -> None:
    kind = HashedLinear if "values" in options else CirculantLinear
    teacher, student = kind(16, 16, **options), kind(16, 16, **options)
    x = torch.randn(256, 16)
    y = teacher(x).detach()
    adam = torch.optim.Adam(student.parameters(), lr=0.05)
    for _ in range(150):
        adam.zero_grad()
        loss = functional.mse_loss(student(x), y)
        loss.backward()
        adam.step()
    assert loss.item() < 1e-4 * y.square().mean().item()
