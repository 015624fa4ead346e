"""compress: a network and a recipe in, the same network with smaller weights out."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from accel.compress import _evaluate, search
from accel.compress._evaluate import Calibration
from accel.compress._size import file_bytes, plain_bytes
from accel.compress._steps import each
from accel.compress.binary import binarized
from accel.compress.deep_compression import mask, share
from accel.compress.progress import Callback, reporter
from accel.compress.recipe import Recipe, find, for_layer
from accel.compress.sensitivity import sensitivities
from accel.compress.targets import Layer, find_layers
from accel.errors import RecipeError
from accel.graph.network import Network
from accel.kernels.checks import describe, integer
from accel.weights import Csr, Weight

TRIES = 6
"""Rounds that bring the file to its target: the estimate is within a few per cent, each round halves what is left."""

CLOSE = 0.99
"""A file of at least this share of its target is not tried any larger."""

MORE_BITS = (1.0, 1.15, 1.35, 1.6, 2.0)
"""Budgets tried in turn, relative to the recipe's, when max_loss asks for a better network."""


def compress(
    network: Network,
    recipe: str | os.PathLike[str] | Mapping[str, Any] | Recipe = "deep-compression",
    *,
    sparsity: float | Mapping[str, float] | None = None,
    bits: int | Mapping[str, int] | None = None,
    target: Mapping[str, float] | None = None,
    data: Any = None,
    seed: int = 0,
    progress: bool | Callback = True,
    max_loss: float | None = None,
) -> Network:
    """A network with compressed weights; everything else is shared with the one given, which does not change.

    Parameters
    ----------
    network : what `accel.load` gives.
    recipe : a name ("binary", "deep-compression", "k-means", "magnitude"), a JSON file, a mapping, or a `Recipe`.
    sparsity, bits, target, max_loss : replace the recipe's, see `Recipe`. bits and target replace each other.
    data : calibration samples, optional: inputs or (inputs, labels), inputs being an array or arrays by name. Layers
        then get bits by how much they matter at the output, and with labels `max_loss` can be kept.
    seed : for the samples of weights and nothing else: the result depends on the arguments alone.
    progress : True shows a bar on a terminal that has `rich`; a callable gets an `Event` per layer.

    Raises
    ------
    RecipeError  the recipe is invalid (before any work), does not fit the network, or cannot be met; then the
        message says what was reached.
    ModelError   weights hold NaN or infinity.

    Warns
    -----
    UserWarning  layers are left alone because they are quantized already or not constants.
    """
    if not isinstance(network, Network):
        raise TypeError(f"network: expected a Network, as accel.load gives it, got {describe(network)}")
    chosen = find(recipe).changed(sparsity=sparsity, bits=bits, target=target, max_loss=max_loss)
    integer("seed", seed, 0)
    samples = None if data is None else _evaluate.calibration(data, network)
    if chosen.max_loss is not None and (samples is None or samples.labels is None):
        raise RecipeError("max_loss: expected data=(inputs, labels) to measure the loss on")
    layers, left = find_layers(network, chosen)
    _warn(left)
    with reporter(progress) as report:
        work = _Work(network, chosen, layers, samples, report, seed)
        compressed = _within_loss(work, samples) if chosen.max_loss is not None and samples else work.run()
    note = {"compression": json.dumps(chosen.as_dict(), separators=(",", ":"))}
    return compressed.replace(metadata={**compressed.metadata, **note})


@dataclass
class _Work:
    """One compression: what is known of the layers, and the results that several rounds can share."""

    network: Network
    recipe: Recipe
    layers: Sequence[Layer]
    samples: Calibration | None
    report: Callback
    seed: int
    _masks: dict[str, np.ndarray] = field(default_factory=dict)
    _candidates: dict[str, list[search.Candidate]] = field(default_factory=dict)
    _importance: dict[str, float] = field(default_factory=dict)
    _shared: dict[tuple[str, int], Weight] = field(default_factory=dict)

    def run(self, more: float = 1.0) -> Network:
        """The network by the recipe, with `more` times its bits."""
        if self.recipe.method == "binary":
            return self.network.with_constants(dict(each("binarize", self.layers, binarized, self.report)))
        if not self._masks:
            self._masks = each("prune", self.layers, self._mask, self.report)
        if self.recipe.method == "magnitude":
            pruned = each("store", self.layers, self._sparse, self.report)
            return self.network.with_constants(dict(pruned))
        if self.recipe.bits is not None:
            bits = {layer.name: for_layer(self.recipe.bits, layer.name) for layer in self.layers}
            return self._share({name: 1 << count for name, count in bits.items() if count is not None})
        self._measure()
        name, value = next(iter((self.recipe.target or {}).items()))
        if name == "bits_per_weight":
            return self._for_bits(value * more * sum(layer.weight.size for layer in self.layers))
        return self._for_bytes(value if name == "bytes" else plain_bytes(self.network) / value)

    def _mask(self, layer: Layer) -> tuple[np.ndarray, str]:
        keep = mask(layer, self.recipe)
        return keep, f"{1 - keep.mean():.1%} zero"

    def _sparse(self, layer: Layer) -> tuple[Weight, str]:
        kept = np.where(self._masks[layer.name], layer.weight, np.float32(0))
        weight = Csr.from_dense(kept)
        return weight, f"{weight.parameters} of {layer.weight.size} values"

    def _measure(self) -> None:
        """Candidates and importance of every layer, once."""
        if self._candidates:
            return
        rng = np.random.default_rng(self.seed)

        def measure(layer: Layer) -> tuple[list[search.Candidate], str]:
            found = search.candidates(layer.weight, self._masks[layer.name], rng)
            return found, f"{len(found)} codebook sizes"

        self._candidates = each("measure", self.layers, measure, self.report)
        if self.samples is None:
            # Relative errors of layers in a chain add up at its end, so without data every layer counts alike.
            self._importance = dict.fromkeys(self._candidates, 1.0)
        else:
            self._importance = sensitivities(self.network, self.layers, self.recipe, self.samples, self.report)

    def _for_bits(self, bits: float) -> Network:
        return self._share(search.choose(self._candidates, self._importance, bits))

    def _share(self, levels: Mapping[str, int]) -> Network:
        """The network with the named layers as codebooks of so many values."""

        def one(layer: Layer) -> tuple[Weight, str]:
            key = layer.name, levels[layer.name]
            if key not in self._shared:
                keep = self._masks[layer.name]
                self._shared[key] = share(layer, keep, levels[layer.name], self.recipe.rounding)
            return self._shared[key], f"{levels[layer.name]} values"

        chosen = [layer for layer in self.layers if layer.name in levels]
        return self.network.with_constants(dict(each("share", chosen, one, self.report)))

    def _for_bytes(self, wanted: float) -> Network:
        """The best network found whose file has at most `wanted` bytes."""
        nothing = np.zeros(0, np.float32)
        rest = file_bytes(self.network.with_constants({layer.name: nothing for layer in self.layers}))
        low, high = 0.0, 8.0 * wanted
        bits = 8.0 * max(0.0, wanted - rest)
        best, best_size, smallest = None, 0, 0
        for _ in range(TRIES):
            found = self._for_bits(bits)
            size = file_bytes(found)
            if size <= wanted:
                low = max(low, bits)
                if size > best_size:
                    best, best_size = found, size
                if size >= CLOSE * wanted:
                    break
            else:
                high, smallest = min(high, bits), size
            guess = bits + 8 * (wanted - size)
            bits = guess if low < guess < high else (low + high) / 2
        if best is None:
            raise self._unreachable(wanted, smallest)
        return best

    def _unreachable(self, wanted: float, tried: int) -> RecipeError:
        size = min(tried, file_bytes(self._for_bits(0)))
        alpha = plain_bytes(self.network) / size
        return RecipeError(
            f"target: {wanted:.0f} bytes cannot be met: the smallest file reached has {size} bytes "
            f"(alpha_bytes {alpha:.2f}); more sparsity or fewer layers left alone make it smaller"
        )


def _within_loss(work: _Work, samples: Calibration) -> Network:
    """The smallest of a few budgets that keeps the accuracy; with a fixed size, that size or nothing."""
    limit, labels = work.recipe.max_loss, samples.labels
    if limit is None or labels is None:
        raise RecipeError("max_loss: expected data=(inputs, labels) to measure the loss on")
    before = _evaluate.accuracy(_evaluate.outputs(work.network, samples.inputs), labels)
    free = work.recipe.target is not None and "bits_per_weight" in work.recipe.target
    best = np.inf
    for more in MORE_BITS if free else (1.0,):
        found = work.run(more)
        loss = before - _evaluate.accuracy(_evaluate.outputs(found, samples.inputs), labels)
        if loss <= limit:
            return found
        best = min(best, loss)
    raise RecipeError(
        f"max_loss: {limit} points cannot be met: {best:.2f} points were lost of {before:.2f} % "
        f"on {samples.samples} samples, in a file of {file_bytes(found)} bytes; ask for less sparsity or more bits"
    )


def _warn(left: Mapping[str, str]) -> None:
    named = [f"{name}: {reason}" for name, reason in left.items() if "made by" in reason]
    if named:
        more = f" and {len(named) - 5} more" if len(named) > 5 else ""
        warnings.warn(f"left alone: {'; '.join(named[:5])}{more}", UserWarning, stacklevel=3)
