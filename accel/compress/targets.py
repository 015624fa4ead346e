"""Which weights of a network a recipe works on, and why the others are left alone."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np

from accel.compress.recipe import REST, Recipe
from accel.errors import ModelError, RecipeError
from accel.graph.network import Network
from accel.kernels.checks import describe
from accel.weights import Dense, Weight

WEIGHTED = ("Conv", "Gemm", "MatMul")


@dataclass(frozen=True)
class Layer:
    """A weight to compress. `outputs_last`: stored as (in, out), as MatMul and an untransposed Gemm do."""

    name: str
    weight: np.ndarray
    outputs_last: bool

    def rows(self, array: np.ndarray) -> np.ndarray:
        """An array of the weight's shape as (out, channels, taps)."""
        array = array.T if self.outputs_last else array
        taps = int(np.prod(array.shape[2:]))
        return np.ascontiguousarray(array.reshape(array.shape[0], array.shape[1], taps))

    def unrows(self, array: np.ndarray) -> np.ndarray:
        """The inverse of `rows`."""
        if self.outputs_last:
            return np.ascontiguousarray(array.reshape(self.weight.shape[::-1]).T)
        return array.reshape(self.weight.shape)


def find_layers(network: Network, recipe: Recipe) -> tuple[list[Layer], dict[str, str]]:
    """The layers the recipe works on, in order, and for every other weight the reason why it is left alone.

    A weight that several layers share is one layer here and stays shared.

    Raises
    ------
    ModelError   a weight to compress holds NaN or infinity.
    RecipeError  the recipe names a weight that the network does not have, or nothing can be compressed.
    """
    layers, left = [], _not_constant(network)
    other_uses = _other_uses(network)
    for node, name, constant in network.weights():
        reason = _reason(name, constant, other_uses, recipe)
        if reason is not None:
            left[name] = reason
            continue
        array = constant.dense() if isinstance(constant, Weight) else constant
        if not np.isfinite(array).all():
            raise ModelError(f"weight {name!r}: expected finite values, got NaN or infinity")
        outputs_last = node.op == "MatMul" or (node.op == "Gemm" and not node.attributes.get("transB", 0))
        layers.append(Layer(name, np.ascontiguousarray(array), outputs_last))
    _check_names(recipe, [layer.name for layer in layers], left)
    if not layers:
        why = "; ".join(f"{name}: {reason}" for name, reason in list(left.items())[:3])
        raise RecipeError(f"the network has no weights to compress ({why or 'no Conv, Gemm or MatMul with constants'})")
    return layers, left


def _not_constant(network: Network) -> dict[str, str]:
    """Weights of layers that are not constants, as in quantized networks."""
    made_by = {output: node for node in network.nodes for output in node.outputs}
    left = {}
    for node in network.nodes:
        if node.op in ("Conv", "Gemm") and node.inputs[1] in made_by:
            maker = made_by[node.inputs[1]]
            quantized = "it is quantized already" if maker.op == "DequantizeLinear" else "it is not a constant"
            left[node.inputs[1]] = f"{quantized} (made by {maker})"
    return left


def _other_uses(network: Network) -> Counter[str]:
    """How often each constant is used other than as the weight of a layer."""
    uses: Counter[str] = Counter(value.name for value in network.outputs)
    for node in network.nodes:
        skip = 1 if node.op in WEIGHTED else -1
        uses.update(name for at, name in enumerate(node.inputs) if at != skip)
    return uses


def _reason(name: str, constant: np.ndarray | Weight, other_uses: Counter[str], recipe: Recipe) -> str | None:
    if name in recipe.skip:
        return "the recipe skips it"
    if other_uses[name]:
        return "it is also used other than as a layer's weight"
    if isinstance(constant, Weight) and not isinstance(constant, Dense):
        return f"it is compressed already ({type(constant).__name__})"
    if constant.dtype != np.float32:
        return f"it is {constant.dtype}, not float32"
    if constant.ndim < 2:
        return f"expected at least two axes, got {describe(constant)}"
    if constant.size < recipe.min_weights:
        return f"it has {constant.size} weights, fewer than min_weights={recipe.min_weights}"
    return None


def _check_names(recipe: Recipe, layers: list[str], left: dict[str, str]) -> None:
    for field in ("sparsity", "bits", "skip"):
        value = getattr(recipe, field)
        named = list(value) if isinstance(value, (dict, tuple)) else []
        for name in named:
            if name in layers or name == REST or (field == "skip" and name in left):
                continue
            if name in left:
                raise RecipeError(f"{field}: {name!r} cannot be compressed: {left[name]}")
            raise RecipeError(f"{field}: the network has no weight {name!r:.60}; it has {', '.join(layers)[:400]}")
