from __future__ import annotations

from accel.graph.names import Names


def test_fresh_names_clash_with_nothing() -> None:
    names = Names(["a", "a_1"])
    made = [names.fresh("a"), names.fresh("a"), names.fresh("b"), names.fresh("")]
    assert made == ["a_2", "a_3", "b", "_1"]


def test_long_names_do_not_grow() -> None:
    names = Names()
    made = {names.fresh("x" * 1_000_000) for _ in range(50)}
    assert len(made) == 50 and max(map(len, made)) < 80
