from __future__ import annotations

import time

import numpy as np
import pytest

from accel import timing


def test_calls_alternate_and_the_order_turns_round() -> None:
    seen: list[str] = []
    times = timing.alternate({"a": lambda: seen.append("a"), "b": lambda: seen.append("b")}, 0)
    rounds = [seen[i : i + 2] for i in range(2 * timing.WARM_UP, len(seen), 2)]
    assert rounds == [["a", "b"], ["b", "a"]] * 2 + [["a", "b"]]
    assert {name: len(row) for name, row in times.items()} == {"a": timing.MIN_ROUNDS, "b": timing.MIN_ROUNDS}


def test_a_slower_call_is_seen_to_be_slower() -> None:
    times = timing.alternate({"fast": lambda: time.sleep(0.001), "slow": lambda: time.sleep(0.004)}, 0)
    assert 0.0009 < np.median(times["fast"]) < np.median(times["slow"])


def test_summary_gives_median_and_quartiles() -> None:
    s = timing.summary(np.array([5.0, 1, 2, 3, 4]))
    assert (s.median, s.lower, s.upper, s.fastest, s.rounds) == (3, 2, 4, 1, 5)


def test_the_ratio_is_of_medians_and_its_interval_holds_it() -> None:
    ours = np.random.default_rng(0).normal(1, 0.05, 101)
    median, low, high = timing.ratio(2 * ours, ours)
    assert median == pytest.approx(2) and low <= median <= high
    _, low, high = timing.ratio(np.random.default_rng(1).normal(2, 0.1, 101), ours)
    assert 1.9 < low < 2 < high < 2.1
