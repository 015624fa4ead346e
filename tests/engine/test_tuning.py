"""Which method computes a convolution: the choice, its reasons, the check of its error, and the cache of times."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from engine.sketch import Sketch

import accel
from accel.engine import tuning, tuning_cache
from accel.engine.tuning import TOLERANCE, Choice, Layer, choose
from accel.kernels import runtime
from accel.kernels._conv_cost import OPT_IN, Shape, cycles, promising
from accel.kernels.conv import choose_method
from accel.kernels.conv_native import methods

if runtime.core is None:
    pytest.skip("only native kernels are chosen among", allow_module_level=True)

LAYER = Layer(64, (28, 28), (64, 64, 3, 3), (1, 1), (1, 1, 1, 1), (1, 1), 1)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty cache on disk and none in the process."""
    monkeypatch.setenv("ACCEL_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(tuning_cache, "_times", {})
    monkeypatch.setattr(tuning, "WITHIN", 100.0)  # everything that can compute a layer is measured
    yield tmp_path / "cache"


def weights(layer: Layer = LAYER, seed: int = 0) -> np.ndarray:
    w = np.random.default_rng(seed).standard_normal(layer.w_shape, np.float32)
    return w / np.float32(np.sqrt(w[0].size))


def chosen(layer: Layer = LAYER, w: np.ndarray | None = None, *, tune: bool = False) -> Choice:
    w = weights(layer) if w is None else w
    return choose(layer, w, lambda method, w: method.pack(w, None, layer.strides, layer.group), tune=tune)


def times_of(monkeypatch: pytest.MonkeyPatch, **seconds: float) -> list[list[str]]:
    """Let every measurement give these seconds; the list that is returned records what was measured."""
    asked: list[list[str]] = []

    def measure(layer: Layer, methods: Any) -> list[float]:
        asked.append([str(method) for method in methods])
        return [seconds.get(str(method), 1.0) for method in methods]

    monkeypatch.setattr(tuning, "_measure", measure)
    return asked


# -- the choice ----------------------------------------------------------------------------------------------------


def test_without_tuning_the_prediction_decides(cache: Path) -> None:
    choice = chosen()
    found = promising(LAYER.w_shape, LAYER.output, (1, 1), (1, 1), 1, tuning.WITHIN)
    assert choice.method == found[0][0] and choice.reason == "predicted"
    assert [c.seconds for c in choice.candidates] == [None] * len(found)
    assert choice.error is None or 0 < choice.error <= TOLERANCE
    assert not cache.exists()


def test_the_measured_fastest_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    names = [str(m) for m, _ in promising(LAYER.w_shape, LAYER.output, (1, 1), (1, 1), 1, tuning.WITHIN)]
    assert len(names) > 1
    for fastest in names:
        tuning_cache._times.clear()
        monkeypatch.setenv("ACCEL_CACHE_DIR", "")
        asked = times_of(monkeypatch, **{fastest: 0.5})
        choice = chosen(tune=True)
        assert asked == [names] and str(choice.method) == fastest and choice.reason == "measured"


def test_a_small_lead_does_not_overturn_the_prediction(monkeypatch: pytest.MonkeyPatch) -> None:
    names = [str(m) for m, _ in promising(LAYER.w_shape, LAYER.output, (1, 1), (1, 1), 1, tuning.WITHIN)]
    times_of(monkeypatch, **{names[1]: 0.98})
    assert str(chosen(tune=True).method) == names[0]


def test_what_is_measured_runs(cache: Path) -> None:
    """The real stopwatch, once."""
    choice = chosen(Layer(16, (10, 10), (16, 16, 3, 3), (1, 1), (1, 1, 1, 1), (1, 1), 1), tune=True)
    assert all(c.seconds is None or 0 < c.seconds < 1 for c in choice.candidates)


def test_only_one_method_is_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = times_of(monkeypatch)
    monkeypatch.setattr(tuning, "WITHIN", 1.0)
    layer = replace(LAYER, strides=(3, 3))
    choice = chosen(layer, tune=True)
    assert asked == [] and choice.method.algorithm == "direct" and choice.reason == "nothing else comes near"


def test_winograd6_is_never_chosen_unasked() -> None:
    assert "winograd6" in OPT_IN
    for size in (7, 14, 56, 112):
        names = [m.algorithm for m, _ in promising((64, 64, 3, 3), (size, size), (1, 1), (1, 1), 1, np.inf)]
        assert "winograd6" not in names and "direct" in names


def test_weights_that_fail_the_check_fall_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sums of 1 that are the difference of terms of 100,000: the check is relative to what comes out."""
    times_of(monkeypatch, winograd4=0.1, winograd2=0.2)
    w = weights()
    w[:, 0] *= 100_000
    w[:, 1] = -w[:, 0] / 3
    side = tuning._CHECKED_SIZE + 2
    image = np.random.default_rng(0).standard_normal((1, 64, side, side), np.float32)
    # The second channel is thrice the first: not a power of two, whose products would cancel to the bit where they are
    # rounded.
    image[:, 1] = 3 * image[:, 0]
    monkeypatch.setattr(tuning, "_normal", lambda count: image.reshape(-1)[:count])
    choice = chosen(w=w, tune=True)
    assert choice.method.algorithm == "direct" and choice.error is None
    assert choice.reason.startswith("the error of winograd2") and choice.reason.endswith("is more than 5e-05")


def test_scale_alone_does_not_fail_the_check() -> None:
    for scale in (1e-6, 1e6):
        assert chosen(w=weights() * np.float32(scale)).reason == "predicted"


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_finite_take_direct(value: float) -> None:
    w = weights()
    w[3, 2, 1, 0] = value
    choice = chosen(w=w)
    assert choice.method.algorithm == "direct" and choice.reason == "weights are not finite"


def test_the_error_that_is_measured_is_the_error(isa: str) -> None:
    w = weights()
    for method in methods(LAYER.w_shape, (1, 1), (1, 1), 1):
        if method.tile:
            packed = method.pack(w, np.ones(64, np.float32), (1, 1), 1)
            assert 1e-8 < tuning.relative_error(LAYER, method, w, packed) < TOLERANCE
            packed[0][: packed[0].size // 2] = 0
            assert tuning.relative_error(LAYER, method, w, packed) > TOLERANCE


def test_the_numbers_of_a_check_do_not_depend_on_those_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning, "_drawn", np.zeros(0, np.float32))
    for count in (7, 100, 33, 1001):
        np.testing.assert_array_equal(
            tuning._normal(count), np.random.default_rng(0).standard_normal(count, np.float32)
        )


def session_of(threads: int, batch: int, w: np.ndarray) -> list[str]:
    s = Sketch()
    network = s.network(s.conv(s.input("N", 64, 28, 28), 64, 64, 3, pad=1))
    with accel.using(threads=threads):
        session = accel.InferenceSession(network)
        x = np.random.default_rng(0).standard_normal((batch, 64, 28, 28), np.float32)
        session.run(None, {"x0": x})
    (plan,) = session._plans.values()
    return [step.kernel for step in plan.steps]


def test_the_choice_depends_on_neither_threads_nor_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = times_of(monkeypatch, direct=0.3, winograd2=0.2)
    steps = [session_of(threads, batch, weights()) for threads in (1, 2, 8) for batch in (1, 3)]
    assert all(step == steps[0] for step in steps)
    assert len(asked) == 1, "one image and one thread, once"


def test_tune_false_measures_nothing(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    asked = times_of(monkeypatch)
    with accel.using(tune=False):
        session_of(1, 1, weights())
    assert asked == [] and not cache.exists()
    session_of(1, 1, weights())
    assert len(asked) == 1 and cache.exists()
    for bad in (0, "no", 1.0):
        with pytest.raises(TypeError, match="tune: expected a bool"), accel.using(tune=bad):  # type: ignore[arg-type]
            pass


def test_costs_grow_with_the_work() -> None:
    for method in methods((64, 64, 3, 3), (1, 1), (1, 1), 1):
        for lanes in (5, 16):
            small = cycles(method, Shape(64, 64, (3, 3), 1, (14, 14)), lanes)
            for other in (
                Shape(64, 64, (3, 3), 1, (56, 56)),
                Shape(256, 64, (3, 3), 1, (14, 14)),
                Shape(64, 256, (3, 3), 1, (14, 14)),
            ):
                assert 0 < small < cycles(method, other, lanes)


def test_the_function_and_the_prediction_agree() -> None:
    w = weights()
    assert choose_method("auto", w, (28, 28), (1, 1), (1, 1), 1) == chosen().method


# -- the cache -----------------------------------------------------------------------------------------------------


def only_file(cache: Path) -> Path:
    (path,) = cache.glob("convolutions-*.json")
    return path


def forget() -> None:
    """As a new process would start."""
    tuning_cache._times.clear()


def test_times_are_kept_in_the_process_and_on_disk(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    asked = times_of(monkeypatch, direct=0.1)
    first = chosen(tune=True)
    assert chosen(tune=True).method == first.method and len(asked) == 1
    forget()
    assert chosen(tune=True).method == first.method and len(asked) == 1
    document = json.loads(only_file(cache).read_text())
    assert set(document) == {"for", "seconds"} and LAYER.key in document["seconds"]
    assert accel.__version__ in document["for"] and str(runtime.isa()) in document["for"]


def test_a_layer_is_known_by_all_that_matters() -> None:
    changes: list[dict[str, Any]] = [
        {"channels": 65}, {"size": (27, 28)}, {"size": (28, 27)}, {"w_shape": (64, 64, 3, 5)}, {"strides": (1, 2)},
        {"pads": (1, 1, 1, 2)}, {"dilations": (2, 1)}, {"group": 2},
    ]  # fmt: skip
    keys = {replace(LAYER, **change).key for change in changes} | {LAYER.key}
    assert len(keys) == len(changes) + 1


def test_instruction_sets_have_files_of_their_own(cache: Path) -> None:
    supported = runtime.isa_info()["supported"]
    for isa in supported:
        with accel.using(backend="native", isa=isa):
            tuning_cache.put("layer", {"direct": 1.0})
    assert len(list(cache.glob("*.json"))) == len(supported)


GOOD: dict[str, Any] = {LAYER.key: {"direct": 0.5}}


@pytest.mark.parametrize(
    "content",
    [
        b"", b"{", b"\xff\xfe\x00", b"[]", b"null", b"7", b'{"for": 1}', b"[" * 100_000,
        b'{"for": "another machine", "seconds": {"LAYER": {"direct": 0.5}}}',
        b'{"for": "IDENTITY"}', b'{"for": "IDENTITY", "seconds": []}', b'{"for": "IDENTITY", "seconds": {"LAYER": 1}}',
        b'{"for": "IDENTITY", "seconds": {"LAYER": {"direct": "0.5"}}}',
        b'{"for": "IDENTITY", "seconds": {"LAYER": {"direct": -0.5}}}',
        b'{"for": "IDENTITY", "seconds": {"LAYER": {"direct": 0}}}',
        b'{"for": "IDENTITY", "seconds": {"LAYER": {"direct": NaN}}}',
        b'{"for": "IDENTITY", "seconds": {"LAYER": {"direct": Infinity}}}',
        b'{"for": "IDENTITY", "seconds": {"LAYER": {"direct": true}}}',
    ],
)  # fmt: skip
def test_a_file_that_is_not_ours_counts_as_empty_and_is_written_anew(cache: Path, content: bytes) -> None:
    tuning_cache.put(LAYER.key, {"direct": 0.5})
    path = only_file(cache)
    text = content.replace(b"IDENTITY", tuning_cache._identity().encode()).replace(b"LAYER", LAYER.key.encode())
    path.write_bytes(text)
    forget()
    assert tuning_cache.get(LAYER.key) is None
    tuning_cache.put("other", {"direct": 0.25})
    assert json.loads(path.read_text())["seconds"] == {"other": {"direct": 0.25}}


def test_a_good_file_of_the_same_form_is_read(cache: Path) -> None:
    tuning_cache.put(LAYER.key, {"direct": 0.5})
    forget()
    assert tuning_cache.get(LAYER.key) == {"direct": 0.5}


def test_a_huge_file_is_not_read(cache: Path) -> None:
    tuning_cache.put(LAYER.key, {"direct": 0.5})
    path = only_file(cache)
    path.write_bytes(path.read_bytes() + b" " * (4 << 20))
    forget()
    assert tuning_cache.get(LAYER.key) is None


def test_more_entries_than_anyone_has_are_cut(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning_cache, "_MOST_ENTRIES", 3)
    for i in range(5):
        tuning_cache.put(f"layer {i}", {"direct": 0.5})
    kept = list(json.loads(only_file(cache).read_text())["seconds"])
    assert len(kept) == 3 and kept[-1] == "layer 4"


def test_a_method_that_the_file_does_not_know_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = times_of(monkeypatch, direct=0.1)
    tuning_cache.put(LAYER.key, {"direct": 0.5, "gone": 0.1})
    chosen(tune=True)
    assert len(asked) == 1


def test_a_folder_that_cannot_be_written_is_no_error(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache.parent.mkdir(exist_ok=True)
    cache.write_text("a file where the folder should be")
    times_of(monkeypatch, direct=0.1)
    assert chosen(tune=True).method.algorithm == "direct"
    assert tuning_cache.get(LAYER.key) is not None, "kept in the process"


def test_an_empty_name_keeps_nothing_on_disk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ACCEL_CACHE_DIR", "")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    tuning_cache.put(LAYER.key, {"direct": 0.5})
    assert not (tmp_path / "home").exists() and not (tmp_path / "xdg").exists()
    assert tuning_cache.get(LAYER.key) == {"direct": 0.5}


def test_the_usual_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("ACCEL_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    tuning_cache.put(LAYER.key, {"direct": 0.5})
    assert only_file(tmp_path / "xdg" / "accel").is_file()


WRITER = """
import sys
from accel.engine import tuning_cache
for i in range(40):
    tuning_cache.put(f"{sys.argv[1]} {i}", {"direct": 0.5})
"""


def test_writers_at_the_same_time_leave_a_whole_file(cache: Path) -> None:
    """One of them may lose entries to another, which costs a measurement; a torn file must not be."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(i)], env=environment, stderr=subprocess.PIPE)
        for i in range(3)
    ]
    while any(writer.poll() is None for writer in writers):
        for path in cache.glob("*.json"):
            json.loads(path.read_text())
    assert all(writer.returncode == 0 for writer in writers), [w.stderr.read() for w in writers if w.stderr]
    assert len(json.loads(only_file(cache).read_text())["seconds"]) >= 40
    assert [path.suffix for path in cache.iterdir()] == [".json"], "nothing is left behind"
