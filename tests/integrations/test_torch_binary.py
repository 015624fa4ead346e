"""Binary layers in PyTorch: forward by definition, straight-through gradients, training, and ONNX to two engines."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import accel
from accel.reference import binary as reference
from accel.reference import conv

torch = pytest.importorskip("torch", reason="torch is not installed: pip install 'accel[torch]'")
nn, functional = torch.nn, torch.nn.functional

from accel.integrations.torch import (  # noqa: E402
    METHODS,
    BinaryConv2d,
    BinaryLinear,
    activation_scale,
    binarize_activations,
    binarize_weights,
    clip_weights_,
    export_onnx,
    frozen,
    loss_aware_scale,
    mean_scale,
    update_curvature_,
)

ROOT = Path(__file__).parents[2]
SPECIAL = torch.tensor([0.0, -0.0, 1e-45, -1e-45, float("inf"), -float("inf"), float("nan"), 2.0])
SIGNS_OF_SPECIAL = [1, 1, 1, -1, 1, -1, -1, 1]


@pytest.fixture(autouse=True)
def _seeded_and_on_one_thread() -> None:
    torch.manual_seed(0)
    torch.set_num_threads(1)


def array(x: Any) -> np.ndarray:
    return x.detach().double().numpy()


def geometry_of(layer: Any) -> dict[str, Any]:
    rows, columns = layer.padding
    return {"strides": layer.stride, "pads": (rows, columns, rows, columns), "dilations": layer.dilation}


# --- signs and scales


@pytest.mark.parametrize("binarize", [binarize_weights, binarize_activations])
def test_signs_are_those_of_pack_bits(binarize: Any) -> None:
    assert binarize(SPECIAL).tolist() == SIGNS_OF_SPECIAL
    assert binarize(SPECIAL.double()).dtype == torch.float64


def test_the_gradient_of_weights_is_that_of_the_signs() -> None:
    w = torch.randn(5, 7) * 3
    w.requires_grad_()
    upstream = torch.randn(5, 7)
    (binarize_weights(w) * upstream).sum().backward()
    assert torch.equal(w.grad, upstream)


def test_the_gradient_of_activations_ends_beyond_one() -> None:
    x = torch.tensor([-1.5, -1.0, -0.5, 0.0, 1.0, 1.0001], requires_grad=True)
    (binarize_activations(x) * torch.arange(1.0, 7)).sum().backward()
    assert x.grad.tolist() == [0, 2, 3, 4, 5, 0]


def test_stochastic_signs_have_their_probability_and_the_same_gradient() -> None:
    w = torch.tensor([-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0]).repeat(20_000, 1).requires_grad_()
    signs = binarize_weights(w, stochastic=True, generator=torch.Generator().manual_seed(1))
    share = (signs == 1).double().mean(0)
    assert set(signs.unique().tolist()) == {-1, 1}
    assert share[[0, 1, 5, 6]].tolist() == [0, 0, 1, 1]
    assert torch.allclose(share, ((w[0].double() + 1) / 2).clip(0, 1), atol=5 * 0.5 / 20_000**0.5)  # five deviations
    signs.sum().backward()
    assert torch.equal(w.grad, torch.ones_like(w))


def test_mean_scale_is_the_least_squares_optimum() -> None:
    w = torch.randn(4, 3, 3, 3, dtype=torch.float64)
    alpha = mean_scale(w)
    assert np.allclose(array(alpha), np.abs(array(w)).mean((1, 2, 3)), rtol=1e-15)

    def error(scale: Any) -> Any:
        return ((w - scale.view(-1, 1, 1, 1) * binarize_weights(w)) ** 2).sum((1, 2, 3))

    assert (error(alpha) < error(alpha * 1.01)).all() and (error(alpha) < error(alpha * 0.99)).all()


def test_loss_aware_scale_weighs_by_the_curvature() -> None:
    w, curvature = torch.randn(6, 10, dtype=torch.float64), torch.rand(6, 10, dtype=torch.float64)
    by_hand = (curvature * w.abs()).sum(1) / curvature.sum(1)
    assert torch.allclose(loss_aware_scale(w, curvature), by_hand, rtol=1e-15)
    constant = torch.full_like(w, 0.3)
    assert torch.allclose(loss_aware_scale(w, constant), mean_scale(w), rtol=1e-14)
    for row, nothing in enumerate((0.0, float("nan"), float("inf"))):
        curvature[row] = nothing
    assert torch.equal(loss_aware_scale(w, curvature)[:3], mean_scale(w)[:3])
    with pytest.raises(ValueError, match=r"curvature: expected the shape of w, \(6, 10\), got \(6, 1\)"):
        loss_aware_scale(w, curvature[:, :1])


def test_scales_have_the_gradients_of_their_formulas() -> None:
    w = torch.randn(3, 2, 2, 2, dtype=torch.float64, requires_grad=True)
    curvature = torch.rand(3, 2, 2, 2, dtype=torch.float64)
    x = torch.randn(2, 3, 5, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(mean_scale, w)
    assert torch.autograd.gradcheck(lambda w: loss_aware_scale(w, curvature), w)
    assert torch.autograd.gradcheck(lambda x: activation_scale(x, (3, 2), (2, 1), (1, 1)), x)


# --- layers

GEOMETRIES = [
    {"kernel_size": 3, "padding": 1},
    {"kernel_size": (3, 2), "stride": (2, 1), "padding": (0, 2), "dilation": (1, 2)},
    {"kernel_size": 1, "groups": 2, "bias": False},
]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_conv2d_is_its_definition(method: str, geometry: dict[str, Any]) -> None:
    options = METHODS[method]
    if options.get("input_scale") and "groups" in geometry:
        pytest.skip("K is defined for one group")
    layer = BinaryConv2d(4, 6, **geometry, **options).eval()
    x, w, where = torch.randn(2, 4, 7, 6), array(layer.weight), geometry_of(layer)
    if options["binary_input"]:
        sums = reference.conv2d(reference.sign(array(x)), reference.sign(w), group=layer.groups, **where)
    else:
        sums = conv.conv2d(array(x), reference.sign(w), group=layer.groups, **where)
    alpha = None if options["scale"] == "none" else np.abs(w).mean((1, 2, 3))
    bias = None if layer.bias is None else array(layer.bias)
    k = reference.scale_map(array(x), layer.kernel_size, **where) if options.get("input_scale") else None
    expected = reference.scaled(sums, alpha, bias, pixel_scale=k)
    np.testing.assert_allclose(array(layer(x)), expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(array(layer(x[0])), expected[0], rtol=1e-5, atol=1e-5)  # without a batch axis


@pytest.mark.parametrize("pad_value", [-1, 0, 1])
def test_conv2d_pads_with_what_it_is_told(pad_value: int) -> None:
    layer = BinaryConv2d(3, 2, 3, padding=(1, 2), bias=False, scale="none", pad_value=pad_value)
    x = torch.randn(1, 3, 4, 4)
    signs = reference.sign(array(x)), reference.sign(array(layer.weight))
    expected = reference.conv2d(*signs, pad_value=pad_value, **geometry_of(layer))
    np.testing.assert_array_equal(array(layer(x)), expected)  # sums of ±1 are exact


def test_padding_same_pads_both_kinds_alike() -> None:
    zero, minus = (BinaryConv2d(3, 2, (5, 3), padding="same", pad_value=value) for value in (0, -1))
    minus.load_state_dict(zero.state_dict())
    x = torch.randn(1, 3, 5, 5)
    assert zero(x).shape == minus(x).shape == (1, 2, 5, 5)
    assert torch.equal(zero(x)[..., 2:3, 1:4], minus(x)[..., 2:3, 1:4])


@pytest.mark.parametrize("method", METHODS)
def test_linear_is_its_definition(method: str) -> None:
    options = METHODS[method]
    layer = BinaryLinear(9, 5, **options).eval()
    x = torch.randn(2, 3, 9)
    w, signal = array(layer.weight), reference.sign(array(x)) if options["binary_input"] else array(x)
    alpha = 1.0 if options["scale"] == "none" else np.abs(w).mean(1)
    beta = np.abs(array(x)).mean(-1, keepdims=True) if options.get("input_scale") else 1.0
    expected = reference.sign_linear(signal, reference.sign(w)) * alpha * beta + array(layer.bias)
    np.testing.assert_allclose(array(layer(x)), expected, rtol=1e-5, atol=1e-5)


def test_real_weights_get_the_gradient_of_the_binary_ones() -> None:
    layer = BinaryConv2d(3, 4, 3, padding=1, bias=False, **METHODS["binaryconnect"])
    x, upstream = torch.randn(2, 3, 5, 5), torch.randn(2, 4, 5, 5)
    layer(x).backward(upstream)
    binary = layer.to_dense().detach().requires_grad_()
    functional.conv2d(x, binary, padding=1).backward(upstream)
    assert torch.equal(layer.weight.grad, binary.grad)


def test_the_gradient_of_xnor_passes_through_alpha_too() -> None:
    layer = BinaryLinear(6, 3, bias=False, **METHODS["xnor"]).double()
    x, upstream = torch.randn(4, 6, dtype=torch.float64), torch.randn(4, 3, dtype=torch.float64)
    layer(x).backward(upstream)
    w, dense = layer.weight.detach(), upstream.T @ x.sign()
    signs, alpha = w.sign(), w.abs().mean(1, keepdim=True)
    expected = dense * alpha + (dense * signs).sum(1, keepdim=True) * signs / 6
    assert torch.allclose(layer.weight.grad, expected, rtol=1e-12)


def test_a_float_layer_becomes_a_binary_one() -> None:
    conv = nn.Conv2d(4, 6, (3, 1), 2, (1, 0), groups=2, bias=False, dtype=torch.float64).eval()
    layer = BinaryConv2d.from_float(conv, scale="none")
    assert torch.equal(layer.weight, conv.weight) and layer.weight.data_ptr() != conv.weight.data_ptr()
    assert (layer.stride, layer.padding, layer.groups, layer.bias, layer.training) == ((2, 2), (1, 0), 2, None, False)
    linear = nn.Linear(4, 2)
    assert torch.equal(BinaryLinear.from_linear(linear).bias, linear.bias)
    with pytest.raises(TypeError, match=r"conv: expected a torch\.nn\.Conv2d, got Linear"):
        BinaryConv2d.from_float(linear)
    with pytest.raises(TypeError, match=r"linear: expected a torch\.nn\.Linear, got Conv2d"):
        BinaryLinear.from_float(conv)


def test_layers_take_their_arguments_in_torchs_order_and_say_how_small_they_are() -> None:
    layer = BinaryConv2d(64, 128, 3, 2, 1, 1, 2, False, "zeros")
    assert (layer.stride, layer.padding, layer.groups) == ((2, 2), (1, 1), 2)
    packed = 128 * 32 * 9 // 8 + 4 * 128
    assert layer.compression() == pytest.approx(4 * 128 * 32 * 9 / packed)
    assert f"{layer.compression():.1f}x smaller" in repr(layer) and "scale=mean, binary inputs" in repr(layer)
    assert "stochastic, real inputs, 1 bit per weight, 32.0x" in repr(
        BinaryLinear(64, 8, **METHODS["binaryconnect-stochastic"])
    )
    before = layer.weight.clone()
    layer.reset_parameters()
    assert not torch.equal(layer.weight, before)
    drawn = BinaryLinear(64, 64, stochastic=True).weight
    assert drawn.min() < -0.99 and drawn.max() > 0.99 and drawn.abs().max() <= 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scale": "max"}, "scale: expected one of none, mean, loss-aware, got str 'max'"),
        ({"input_scale": True, "binary_input": False}, "input_scale: expected False where binary_input is False"),
        ({"pad_value": 2}, "pad_value: expected -1, 0 or 1, got int 2"),
        ({"pad_value": 1, "binary_input": False}, "pad_value: expected 0 unless binary_input and padding_mode"),
        ({"pad_value": 1, "padding_mode": "reflect"}, "pad_value: expected 0 unless binary_input and padding_mode"),
        ({"input_scale": True, "groups": 2}, "input_scale: expected False with groups=2"),
    ],
)
def test_what_does_not_fit_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        BinaryConv2d(4, 4, 3, **options)


# --- training


def test_weights_are_clipped_in_place_and_only_in_binary_layers() -> None:
    model = nn.Sequential(nn.Linear(3, 3), BinaryLinear(3, 3))
    for layer in model:
        nn.init.constant_(layer.weight, -1.5)
    clip_weights_(model)
    assert (model[0].weight == -1.5).all() and (model[1].weight == -1).all()
    with pytest.raises(TypeError, match=r"module: expected a torch\.nn\.Module, got list"):
        clip_weights_([])


def test_curvature_is_adams_second_moment() -> None:
    layer = BinaryLinear(4, 3, **METHODS["loss-aware"])
    adam = torch.optim.Adam(layer.parameters())
    with pytest.raises(ValueError, match="optimizer: expected one with Adam's second moments after a step, got Adam"):
        update_curvature_(layer, adam)
    layer(torch.randn(8, 4)).square().sum().backward()
    adam.step()
    update_curvature_(layer, adam)
    assert torch.equal(layer.curvature, adam.state[layer.weight]["exp_avg_sq"].sqrt())
    assert torch.equal(layer.alpha(), loss_aware_scale(layer.weight, layer.curvature))
    assert not torch.allclose(layer.alpha(), mean_scale(layer.weight))
    restored = BinaryLinear(4, 3, **METHODS["loss-aware"])
    restored.load_state_dict(layer.state_dict())
    assert torch.equal(restored.alpha(), layer.alpha())
    restored.reset_parameters()
    assert (restored.curvature == 1).all()
    with pytest.raises(ValueError, match="got SGD"):
        update_curvature_(layer, torch.optim.SGD(layer.parameters()))


@pytest.mark.parametrize("method", METHODS)
def test_training_learns_a_binary_rule(method: str) -> None:
    """Signs of three of eight inputs, by majority: representable with ±1 weights, and learnt by every method."""
    x = binarize_activations(torch.randn(512, 8))
    y = (x[:, :3].sum(1) > 0).long()
    model = nn.Sequential(BinaryLinear(8, 32, **METHODS[method]), nn.BatchNorm1d(32), nn.Linear(32, 2))
    adam = torch.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(40):
        adam.zero_grad()
        functional.cross_entropy(model(x), y).backward()
        adam.step()
        clip_weights_(model)
        if method == "loss-aware":
            update_curvature_(model, adam)
    assert model[0].weight.abs().max() <= 1
    assert (model.eval()(x).argmax(1) == y).float().mean() > 0.95


def test_compiled_layers_keep_their_gradients() -> None:
    layer = BinaryLinear(8, 4, **METHODS["xnor"])
    x = torch.randn(3, 8)
    layer(x).sum().backward()
    expected, layer.weight.grad = layer.weight.grad, None
    torch.compile(layer, backend="aot_eager", fullgraph=True)(x).sum().backward()
    assert torch.allclose(layer.weight.grad, expected)


# --- ONNX


def network() -> Any:
    """Every method in a row; batch-norms with statistics that no integer sum ties with."""
    layers = [
        BinaryConv2d(4, 32, 3, padding=1, bias=False, **METHODS["binaryconnect"]),
        nn.BatchNorm2d(32),
        BinaryConv2d(32, 48, 3, padding=1, bias=False, **METHODS["xnor"]),
        nn.MaxPool2d(2),
        nn.BatchNorm2d(48),
        BinaryConv2d(48, 16, 3, padding=1, bias=False, pad_value=-1, **METHODS["binarynet"]),
        nn.BatchNorm2d(16),
        BinaryConv2d(16, 70, 1, bias=True, **METHODS["xnor-k"]),
        nn.Flatten(),
        BinaryLinear(70 * 16, 24, bias=False, **METHODS["binarynet"]),
        nn.BatchNorm1d(24),
        nn.ReLU(),
        BinaryLinear(24, 10, **METHODS["loss-aware"]),
    ]
    for layer in layers:
        if isinstance(layer, (nn.BatchNorm1d, nn.BatchNorm2d)):
            for name, low, high in (("running_mean", -0.7, 0.7), ("running_var", 0.5, 20), ("weight", -2, 2)):
                nn.init.uniform_(getattr(layer, name), low, high)
            nn.init.uniform_(layer.bias, -1, 1)
    return nn.Sequential(*layers).eval()


def test_an_exported_network_runs_alike_in_onnxruntime_and_accel() -> None:
    pytest.importorskip("onnxscript", reason="onnxscript is not installed: pip install 'accel[torch]'")
    onnxruntime = pytest.importorskip("onnxruntime")
    model = network()
    x = torch.randn(5, 4, 8, 8)
    exported = export_onnx(model, x[:2])
    assert {node.domain for node in exported.graph.node} == {""}
    operators = [node.op_type for node in exported.graph.node]
    assert (operators.count("Where"), operators.count("GreaterOrEqual")) == (4, 4)
    assert operators.count("BatchNormalization") == 4  # none is folded into ±1 weights
    constants = {tensor.name: tensor for tensor in exported.graph.initializer}
    for node in exported.graph.node:
        if node.op_type in ("Conv", "Gemm") and node.input[1].endswith(".weight"):
            import onnx

            assert set(np.unique(onnx.numpy_helper.to_array(constants[node.input[1]]))) == {-1, 1}
    expected = model(x).detach().numpy()
    peer = onnxruntime.InferenceSession(exported.SerializeToString())
    for session in (peer, accel.InferenceSession(exported)):
        (y,) = session.run(["output"], {"input": x.numpy()})
        np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-4)
    assert model[0].training is False and not model[0].frozen, "the module itself is as it was"
    if "native" in accel.isa_info()["backends"]:
        kernels = [step["kernel"] for step in session.explain({"input": x.numpy()})]
        assert sum(kernel.startswith("binary ") for kernel in kernels) == 4, kernels


def test_torchs_own_export_works_too() -> None:
    pytest.importorskip("onnxscript", reason="onnxscript is not installed: pip install 'accel[torch]'")
    model = nn.Sequential(*list(network())[:7]).eval()
    x = torch.randn(2, 4, 8, 8)
    exported = torch.onnx.export(model, (x,), dynamo=True, verbose=False).model_proto
    session = accel.InferenceSession(exported)
    (y,) = session.run(None, {exported.graph.input[0].name: x.numpy()})
    np.testing.assert_allclose(y, model(x).detach().numpy(), rtol=1e-4, atol=1e-4)


def test_a_frozen_copy_holds_signs_and_computes_the_same() -> None:
    model = network().train()
    twin = frozen(model)
    x = torch.randn(3, 4, 8, 8)
    assert torch.equal(twin(x), model.eval()(x))
    for layer, was in zip(twin, model, strict=True):
        if isinstance(layer, (BinaryConv2d, BinaryLinear)):
            assert set(layer.weight.unique().tolist()) == {-1, 1} and not layer.weight.requires_grad
            assert torch.equal(layer.to_dense(), was.to_dense()) and was.weight.requires_grad
    clip_weights_(twin)
    assert torch.equal(twin(x), model(x))
    with pytest.raises(TypeError, match=r"module: expected a torch\.nn\.Module, got int 3"):
        frozen(3)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"example: expected a torch\.Tensor, got str"):
        export_onnx(model, "x")  # type: ignore[arg-type]


# --- torch is an extra


def run_python(code: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r}); {code}"]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_importing_accel_does_not_import_torch() -> None:
    done = run_python("import accel, accel.integrations; assert 'torch' not in sys.modules")
    assert done.returncode == 0, done.stderr


def test_without_torch_the_error_names_the_extra() -> None:
    done = run_python("sys.modules['torch'] = None; import accel.integrations.torch")
    assert "MissingExtraError" in done.stderr and "pip install 'accel[torch]'" in done.stderr
