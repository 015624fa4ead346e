"""How many values each layer gets."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from accel.compress import search
from accel.compress.search import LEVELS, Candidate, candidates, choose
from accel.weights import Codebook


def measured(size: int, share: float = 0.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray, list[Candidate]]:
    w = np.random.default_rng(seed).standard_normal((size // 10, 10)).astype(np.float32)
    keep = np.abs(w) >= np.quantile(np.abs(w), share) if share else np.ones(w.shape, np.bool_)
    return w, keep, candidates(w, keep, np.random.default_rng(0))


@pytest.mark.parametrize("share", [0.0, 0.4])
@pytest.mark.parametrize("size", [2000, 20_000])
def test_candidates_are_close_to_what_the_codebooks_cost(size: int, share: float) -> None:
    w, keep, found = measured(size, share)
    assert [candidate.levels for candidate in found] == list(LEVELS)
    for candidate in found:
        weight = Codebook.fit_values(np.where(keep, w, np.float32(0)), candidate.levels)
        error = np.square(weight.dense().astype(np.float64) - w).sum() / np.square(w.astype(np.float64)).sum()
        assert candidate.error == pytest.approx(error, rel=0.35, abs=1e-5)
        counts = np.bincount(weight.codes.ravel())
        p = counts[counts > 0] / w.size
        bits = -(p * np.log2(p)).sum() * w.size + 32 * candidate.levels
        assert candidate.bits == pytest.approx(bits, rel=0.05)


def test_more_values_cost_more_and_err_less() -> None:
    _, _, found = measured(3000)
    assert all(b.bits > a.bits and b.error < a.error for a, b in itertools.pairwise(found))


def test_few_distinct_values_end_the_list() -> None:
    w = np.random.default_rng(0).choice(np.float32([1, 2, 3, 4, 5]), (50, 10))
    found = candidates(w, np.ones(w.shape, np.bool_), np.random.default_rng(0))
    assert [candidate.levels for candidate in found] == [4, 6] and found[-1].error == 0


def test_everything_pruned_costs_nothing_but_a_codebook() -> None:
    w = np.ones((20, 20), np.float32)
    found = candidates(w, np.zeros(w.shape, np.bool_), np.random.default_rng(0))
    assert len(found) == 1 and found[0].error == 1 and found[0].bits == 32 * LEVELS[0]


def total(layers: dict[str, list[Candidate]], chosen: dict[str, int]) -> tuple[float, float]:
    picked = [next(c for c in layers[name] if c.levels == levels) for name, levels in chosen.items()]
    return sum(c.bits for c in picked), sum(c.error for c in picked)


def test_the_budget_is_kept_and_used() -> None:
    layers = {f"l{at}": measured(size, seed=at)[2] for at, size in enumerate((500, 3000, 9000))}
    alike = dict.fromkeys(layers, 1.0)
    last = np.inf
    for bits in (30_000.0, 45_000.0, 60_000.0, 90_000.0):
        used, error = total(layers, choose(layers, alike, bits))
        assert used <= bits and error < last
        last = error
    small, _, large = choose(layers, alike, 45_000.0).values()
    assert small > large, "a bit for a small layer is cheaper"


def test_no_other_choice_at_the_same_price_is_better() -> None:
    """Against all 17 * 17 choices for two layers: none with at most these bits has a smaller error."""
    layers = {"a": measured(1000, seed=1)[2], "b": measured(4000, seed=2)[2]}
    used, error = total(layers, choose(layers, {"a": 1.0, "b": 1.0}, 18_000.0))
    others = [total(layers, {"a": a.levels, "b": b.levels}) for a in layers["a"] for b in layers["b"]]
    assert min(e for bits, e in others if bits <= used + 1e-6) == pytest.approx(error)


def test_importance_moves_bits() -> None:
    layers = {"a": measured(3000, seed=1)[2], "b": measured(3000, seed=2)[2]}
    even = choose(layers, {"a": 1.0, "b": 1.0}, 24_000.0)
    skewed = choose(layers, {"a": 50.0, "b": 1.0}, 24_000.0)
    assert skewed["a"] > even["a"] and skewed["b"] < even["b"]


def test_budgets_out_of_reach_give_the_ends() -> None:
    layers = {"a": measured(3000)[2]}
    assert choose(layers, {"a": 1.0}, 0.0) == {"a": LEVELS[0]}
    assert choose(layers, {"a": 1.0}, 1e9) == {"a": LEVELS[-1]}
    assert choose(layers, {"a": 0.0}, 1e9) == {"a": LEVELS[0]}


def test_the_sample_is_the_seeds() -> None:
    w = np.random.default_rng(0).standard_normal((300, 100)).astype(np.float32)
    keep = np.ones(w.shape, np.bool_)
    assert w.size > search.SAMPLE
    assert candidates(w, keep, np.random.default_rng(1)) == candidates(w, keep, np.random.default_rng(1))
    assert candidates(w, keep, np.random.default_rng(1)) != candidates(w, keep, np.random.default_rng(2))
