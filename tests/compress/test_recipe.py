"""Recipes: checked before any work."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from accel.compress.recipe import RECIPES, Recipe, find, for_layer
from accel.errors import RecipeError


@pytest.mark.parametrize("name", list(RECIPES))
def test_named_recipes_are_found_and_survive_a_file(name: str, tmp_path: Path) -> None:
    path = tmp_path / "recipe.json"
    path.write_text(json.dumps(RECIPES[name].as_dict()))
    assert find(name) == find(path) == find(str(path)) == find(RECIPES[name].as_dict()) == RECIPES[name]


def test_a_full_recipe_survives_a_file(tmp_path: Path) -> None:
    recipe = Recipe(
        sparsity={"a": 0.5, "*": 0.1}, bits={"a": 3}, rounding="nearest", min_weights=9, skip=("b",), max_loss=0.5
    )
    path = tmp_path / "recipe.json"
    path.write_text(json.dumps(recipe.as_dict()))
    assert Recipe.load(path) == recipe


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "magic"}, "method: expected one of binary, deep-compression, k-means, magnitude, got str 'magic'"),
        ({"rounding": "up"}, "rounding: expected one of sums, nearest"),
        ({"bits": 9}, "bits: expected an integer in 1..8, got int 9"),
        ({"bits": True}, "bits: expected an integer"),
        ({"bits": {"a": 0}}, "bits of 'a': expected an integer in 1..8"),
        ({"bits": 4, "sparsity": 1.01}, "sparsity: expected a share in 0..1"),
        ({"bits": 4, "sparsity": {"a": -1}}, "sparsity of 'a': expected a share"),
        ({"bits": 4, "sparsity": float("nan")}, "sparsity: expected a share"),
        ({"bits": 4, "sparsity": "half"}, "sparsity: expected a share"),
        ({"bits": 4, "quality": -1}, "quality: expected a number >= 0"),
        ({"bits": 4, "max_loss": float("inf")}, "max_loss: expected a number >= 0"),
        ({"bits": 4, "max_loss": 10**5000}, "max_loss: expected a number >= 0, got int <too many digits"),
        ({"bits": 4, "sparsity": -(10**5000)}, "sparsity: expected a share in 0..1, got int <too many digits"),
        ({"target": (10**5000,)}, "target: expected a mapping .* got <too many digits"),
        ({"target": {"bytes": 10**5000}}, "target, bytes: expected a number > 0, got int <too many digits"),
        ({"bits": 4, "min_weights": 0}, "min_weights: expected an integer >= 1"),
        ({"bits": 4, "skip": "name"}, "skip: expected a tuple"),
        ({"bits": 4, "sparsity": 0.1, "quality": 1.0}, "sparsity and quality: expected one"),
        ({}, "bits, target: expected one of them"),
        ({"bits": 4, "target": {"bytes": 1}}, "bits, target: expected one of them"),
        ({"target": {"bytes": 0}}, "target, bytes: expected a number > 0"),
        ({"target": {"bytes": 1, "alpha_bytes": 2}}, "target: expected a mapping with one of"),
        ({"target": {"size": 1}}, "target: expected a mapping with one of bytes, alpha_bytes, bits_per_weight"),
        ({"target": 7}, "target: expected a mapping"),
        ({"method": "magnitude", "sparsity": 0.5, "bits": 4}, "expected neither with method 'magnitude'"),
        ({"method": "magnitude"}, "expected a share or a quality for method 'magnitude'"),
        ({"method": "k-means", "bits": 4, "sparsity": 0.5}, "expected none with method 'k-means'"),
    ],
)
def test_wrong_values_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        Recipe(**options)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not JSON"),
        ("[1]", "recipe: expected a mapping"),
        ('{"methd": "k-means"}', "unknown names 'methd'; known are method"),
        ('{"bits": "4"}', "bits: expected an integer"),
        ("[" * 100_000, "not JSON"),
        (" " * (1 << 20) + "{}", "at most 1048576 bytes"),
    ],
)
def test_wrong_files_are_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "recipe.json"
    path.write_text(text)
    with pytest.raises(RecipeError, match=message) as caught:
        find(path)
    assert "recipe.json" in str(caught.value)


@pytest.mark.parametrize("recipe", ["deep", "no/such/file.json", 7, None])
def test_what_is_no_recipe_is_named(recipe: Any) -> None:
    with pytest.raises(RecipeError, match="recipe: expected one of binary, deep-compression, k-means, magnitude"):
        find(recipe)


def test_changes_replace_their_rivals() -> None:
    base = RECIPES["deep-compression"]
    assert base.changed() is base
    assert base.changed(bits=4).target is None and base.changed(bits=4).bits == 4
    assert base.changed(bits=4).changed(target={"bytes": 9}).bits is None
    assert base.changed(quality=1.0).sparsity is None
    assert base.changed(sparsity=0.0).sparsity == 0.0
    with pytest.raises(RecipeError, match="expected one of them"):
        base.changed(bits=4, target={"bytes": 9})


def test_values_for_a_layer() -> None:
    assert for_layer(3, "a") == 3 and for_layer(None, "a") is None
    assert for_layer({"a": 1, "*": 2}, "a") == 1 and for_layer({"a": 1, "*": 2}, "b") == 2
    assert for_layer({"a": 1}, "b") is None
