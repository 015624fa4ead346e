"""Recipes: what to do with a network, checked in full before any work starts."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from accel.errors import RecipeError, shown
from accel.kernels.checks import describe

METHODS = ("binary", "deep-compression", "k-means", "magnitude")
TARGETS = ("bytes", "alpha_bytes", "bits_per_weight")
ROUNDINGS = ("sums", "nearest")
MAX_FILE = 1 << 20
"""A recipe is a page of text."""

REST = "*"
"""The key of a per-layer mapping that stands for the layers it does not name."""

T = TypeVar("T")


@dataclass(frozen=True)
class Recipe:
    """How to compress a network.

    Parameters
    ----------
    method : "binary" (signs and a scale for each output: weights become `Binary`), "deep-compression" (prune, then
        share values: weights become `Codebook`), "k-means" (share values only) or "magnitude" (prune only: weights
        become `Csr`).
    sparsity : share of every layer's weights to remove, in 0..1; or a mapping from weight names, "*" for the rest,
        layers that are not named being left unpruned.
    quality : instead of sparsity, remove |w| < quality * std(layer), the rule of the Deep Compression paper.
    bits : codebooks of 2**bits values, 1..8; or a mapping as for sparsity, layers that are not named staying dense.
        None: chosen per layer to meet `target`.
    target : one of {"bytes": N} (size of the file), {"alpha_bytes": a} (float32 bytes over bytes of the file),
        {"bits_per_weight": b} (of the compressed layers, positions and codebooks included).
    rounding : "sums" keeps the sums of errors small (see docs/methods/rounding.md), "nearest" takes the nearest value.
    min_weights : smaller layers stay dense: their codebook and codes would cost more than they save.
    skip : names of weights to leave alone.
    max_loss : points of accuracy (per cent) that may be lost on the data given.

    Raises
    ------
    RecipeError  a value is of the wrong type or out of range, or two of them contradict each other.
    """

    method: str = "deep-compression"
    sparsity: float | Mapping[str, float] | None = None
    quality: float | None = None
    bits: int | Mapping[str, int] | None = None
    target: Mapping[str, float] | None = None
    rounding: str = "sums"
    min_weights: int = 256
    skip: tuple[str, ...] = ()
    max_loss: float | None = None

    def __post_init__(self) -> None:
        _one_of("method", self.method, METHODS)
        _one_of("rounding", self.rounding, ROUNDINGS)
        _each("sparsity", self.sparsity, _share)
        _each("bits", self.bits, _bits)
        _optional("quality", self.quality)
        _optional("max_loss", self.max_loss)
        if type(self.min_weights) is not int or self.min_weights < 1:
            raise RecipeError(f"min_weights: expected an integer >= 1, got {describe(self.min_weights)}")
        if not isinstance(self.skip, tuple) or not all(isinstance(name, str) for name in self.skip):
            raise RecipeError(f"skip: expected a tuple of weight names, got {describe(self.skip)}")
        self._check_target()
        self._check_together()

    def _check_target(self) -> None:
        if self.target is None:
            return
        if not isinstance(self.target, Mapping) or len(self.target) != 1 or next(iter(self.target)) not in TARGETS:
            raise RecipeError(f"target: expected a mapping with one of {', '.join(TARGETS)}, got {shown(self.target)}")
        name, value = next(iter(self.target.items()))
        if not _is_number(value) or value <= 0:
            raise RecipeError(f"target, {name}: expected a number > 0, got {describe(value)}")

    def _check_together(self) -> None:
        if self.sparsity is not None and self.quality is not None:
            raise RecipeError("sparsity and quality: expected one of them, both say how much to prune")
        if self.method == "binary":
            given = (self.sparsity, self.quality, self.bits, self.target)
            if any(value is not None for value in given):
                raise RecipeError(
                    "sparsity, quality, bits, target: expected none with method 'binary': one bit a weight"
                )
        elif self.method == "magnitude":
            if self.bits is not None or self.target is not None:
                raise RecipeError("bits, target: expected neither with method 'magnitude', which shares no values")
            if self.sparsity is None and self.quality is None:
                raise RecipeError("sparsity: expected a share or a quality for method 'magnitude'")
        elif (self.bits is None) == (self.target is None):
            raise RecipeError("bits, target: expected one of them, both say how many values to share")
        if self.method == "k-means" and (self.sparsity or self.quality):
            raise RecipeError("sparsity, quality: expected none with method 'k-means', which does not prune")

    def as_dict(self) -> dict[str, Any]:
        """JSON-able, without what is at its default."""
        found = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        plain = {key: dict(value) if isinstance(value, Mapping) else value for key, value in found.items()}
        changed = {key: value for key, value in plain.items() if value != getattr(_DEFAULTS, key)}
        return {"method": self.method, **{key: list(v) if isinstance(v, tuple) else v for key, v in changed.items()}}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Recipe:
        """The inverse of `as_dict`. Raises RecipeError for unknown names too."""
        if not isinstance(value, Mapping):
            raise RecipeError(f"recipe: expected a mapping, got {describe(value)}")
        known = [field.name for field in dataclasses.fields(cls)]
        unknown = [repr(key)[:40] for key in value if key not in known]
        if unknown:
            raise RecipeError(f"recipe: unknown names {', '.join(unknown)}; known are {', '.join(known)}")
        skip = value.get("skip", ())
        return cls(**{**value, "skip": tuple(skip) if isinstance(skip, list) else skip})

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Recipe:
        """A recipe from a JSON file. Raises OSError, or RecipeError when it is not one."""
        with Path(path).open("rb") as file:
            text = file.read(MAX_FILE + 1)
        if len(text) > MAX_FILE:
            raise RecipeError(f"{path}: expected a recipe of at most {MAX_FILE} bytes")
        try:
            return cls.from_dict(json.loads(text))
        except RecipeError as error:
            raise RecipeError(f"{path}: {error}") from None
        except (ValueError, RecursionError) as error:
            raise RecipeError(f"{path}: not JSON: {error}") from None

    def changed(self, **given: Any) -> Recipe:
        """This recipe with the values that are not None replaced. bits, sparsity and their alternatives give way."""
        given = {key: value for key, value in given.items() if value is not None}
        for one, other in (("bits", "target"), ("sparsity", "quality")):
            for key, rival in ((one, other), (other, one)):
                if key in given and rival not in given:
                    given[rival] = None
        return replace(self, **given) if given else self


def find(recipe: str | os.PathLike[str] | Mapping[str, Any] | Recipe) -> Recipe:
    """The recipe itself, the one of this name, in this file, or in this mapping."""
    if isinstance(recipe, Recipe):
        return recipe
    if isinstance(recipe, Mapping):
        return Recipe.from_dict(recipe)
    if isinstance(recipe, str) and recipe in RECIPES:
        return RECIPES[recipe]
    if isinstance(recipe, (str, os.PathLike)) and Path(recipe).is_file():
        return Recipe.load(recipe)
    raise RecipeError(f"recipe: expected one of {', '.join(RECIPES)}, a JSON file or a Recipe, got {describe(recipe)}")


def for_layer(value: T | Mapping[str, T] | None, name: str) -> T | None:
    """The entry of a per-layer mapping for this layer, or the value that holds for all."""
    if isinstance(value, Mapping):
        found: T | None = value.get(name, value.get(REST))
        return found
    return value


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def _one_of(name: str, value: Any, known: tuple[str, ...]) -> None:
    if value not in known:
        raise RecipeError(f"{name}: expected one of {', '.join(known)}, got {describe(value)}")


def _optional(name: str, value: Any) -> None:
    if value is not None and (not _is_number(value) or value < 0):
        raise RecipeError(f"{name}: expected a number >= 0, got {describe(value)}")


def _each(name: str, value: Any, check: Callable[[str, Any], None]) -> None:
    """Check a value that holds for all layers, or those of a mapping by layer."""
    if isinstance(value, Mapping):
        for key, one in value.items():
            check(f"{name} of {shown(key)}", one)
    elif value is not None:
        check(name, value)


def _share(name: str, value: Any) -> None:
    if not _is_number(value) or not 0 <= value <= 1:
        raise RecipeError(f"{name}: expected a share in 0..1, got {describe(value)}")


def _bits(name: str, value: Any) -> None:
    if type(value) is not int or not 1 <= value <= 8:
        raise RecipeError(f"{name}: expected an integer in 1..8, got {describe(value)}")


_DEFAULTS = Recipe(bits=4)

RECIPES: dict[str, Recipe] = {
    "binary": Recipe("binary"),
    "deep-compression": Recipe("deep-compression", sparsity=0.0, target={"bits_per_weight": 4.0}),
    "k-means": Recipe("k-means", target={"bits_per_weight": 4.0}),
    "magnitude": Recipe("magnitude", sparsity=0.5),
}
"""Recipes by name. Their numbers are measured in docs/methods/deep_compression.md."""
