from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from cli.invoke import Invoke

import accel
from accel.cli.running import write_npz

BATCH = np.random.default_rng(0).integers(0, 17, (3, 1, 8, 8)).astype(np.float32)


def test_info_shows_what_the_network_holds(accel_cli: Invoke, digits: Path) -> None:
    data = accel_cli("info", digits, "--json").json()
    assert data["inputs"] == [{"name": "pixels", "dtype": "float32", "shape": ["N", 1, 8, 8]}]
    assert data["outputs"][0]["name"] == "scores"
    assert data["parameters"] == 38_282
    assert data["macs"] == 16 * 9 * 64 + 32 * 16 * 9 * 64 + 512 * 64 + 64 * 10
    assert sum(tensor["bytes"] for tensor in data["tensors"]) == 4 * 38_282
    assert data["bytes"] == digits.stat().st_size
    text = accel_cli("info", digits).out
    assert "38,282 parameters" in text and "pixels: float32 N x 1 x 8 x 8" in text


def test_info_lists_what_every_tensor_takes_in_the_file(accel_cli: Invoke, digits: Path) -> None:
    data = accel_cli("info", digits, "--sizes", "--json").json()
    stored = sum(tensor["stored"] for tensor in data["stored"])
    assert 0.9 * data["bytes"] < stored < data["bytes"]
    for tensor in data["stored"]:
        assert list(tensor["stages"]) == ["float32", "pruned", "shared"]
        assert tensor["stages"]["float32"] >= tensor["stages"]["shared"] > 0
    text = accel_cli("info", digits, "--sizes").out
    heads, total = text.splitlines()[-len(data["stored"]) - 4].split(), text.splitlines()[-1].split()
    assert heads[-4:] == ["float32", "pruned", "quantized", "coded"] and total[0] == "all"


def test_info_has_no_stored_sizes_of_an_onnx_file(accel_cli: Invoke, digits: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    path = tmp_path / "digits.onnx"
    accel.load(digits).to_onnx(path)
    assert accel_cli("info", path, "--json").json()["parameters"] == 38_282
    assert "--sizes: expected an .accel file" in accel_cli("info", path, "--sizes").refused()


@pytest.mark.parametrize("named", [True, False])
def test_run_writes_what_the_session_gives(accel_cli: Invoke, digits: Path, tmp_path: Path, named: bool) -> None:
    source, out = tmp_path / ("x.npz" if named else "x.npy"), tmp_path / "out.npz"
    if named:
        np.savez(source, pixels=BATCH)
    else:
        np.save(source, BATCH)
    data = accel_cli("run", digits, "--input", source, "-o", out, "--json").json()
    (expected,) = accel.InferenceSession(digits).run(None, {"pixels": BATCH})
    with np.load(out, allow_pickle=False) as stored:
        np.testing.assert_array_equal(stored["scores"], expected)
    (output,) = data["outputs"]
    assert output["shape"] == [3, 10]
    assert output["top"][0][0] == expected[0].argmax() and len(output["top"]) == 5
    assert "scores: float32 3 x 10" in accel_cli("run", digits, "-i", source).out


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": BATCH}, "expected arrays for the inputs pixels, got x"),
        ({"pixels": BATCH, "y": BATCH}, "expected arrays for the inputs pixels, got pixels, y"),
        ({}, "expected arrays for the inputs pixels, got none"),
        ({"pixels": BATCH.astype(np.float64)}, "input pixels: expected float32 of shape N x 1 x 8 x 8, got float64"),
        (
            {"pixels": BATCH[:, 0]},
            "input pixels: expected float32 of shape N x 1 x 8 x 8, got float32 of shape 3 x 8 x 8",
        ),
        ({"pixels": BATCH[:, :, :7]}, "got float32 of shape 3 x 1 x 7 x 8"),
    ],
)
def test_run_refuses_inputs_that_do_not_fit(
    accel_cli: Invoke, digits: Path, tmp_path: Path, arrays: dict[str, np.ndarray], message: str
) -> None:
    np.savez(tmp_path / "x.npz", **arrays)
    assert message in accel_cli("run", digits, "-i", tmp_path / "x.npz").refused()


def test_run_does_not_unpickle(accel_cli: Invoke, digits: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", pixels=np.array([{}], dtype=object))
    said = accel_cli("run", digits, "-i", tmp_path / "x.npz").refused()
    assert "not a readable .npy or .npz file of plain numbers" in said
    assert "allow_pickle" not in said, "NumPy's advice to load it unsafely"


def test_writing_into_a_missing_folder_is_one_line(accel_cli: Invoke, digits: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", BATCH)
    out = tmp_path / "none" / "out.npz"
    assert accel_cli("run", digits, "-i", tmp_path / "x.npy", "-o", out).refused()


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "out.npz"
    path.write_bytes(b"old")

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(OSError, match="No space left"):
        write_npz(path, {"a": BATCH})
    assert path.read_bytes() == b"old" and [p.name for p in tmp_path.iterdir()] == ["out.npz"]


def test_outputs_may_have_any_name(tmp_path: Path) -> None:
    arrays = {"file": BATCH, "a/b": BATCH[:1], "ä": np.float32(1) * BATCH[0, 0, 0, :1]}
    write_npz(tmp_path / "out.npz", arrays)
    with np.load(tmp_path / "out.npz", allow_pickle=False) as stored:
        assert set(stored.files) == set(arrays)
        np.testing.assert_array_equal(stored["file"], BATCH)


def test_eval_counts_hits(accel_cli: Invoke, digits: Path, digits_npz: Path) -> None:
    arguments = ("eval", digits, "--data", digits_npz, "--preprocess", "raw255")
    data = accel_cli(*arguments, "--json").json()
    with np.load(digits_npz, allow_pickle=False) as stored:
        images, labels = stored["images"], stored["labels"]
    (scores,) = accel.InferenceSession(digits).run(None, {"pixels": images[:, None].astype(np.float32)})
    assert data["images"] == len(labels) == 449
    assert data["top1"] == (scores.argmax(1) == labels).mean() > 0.97
    assert data["top1"] <= data["top5"] <= 1
    assert "449" in accel_cli(*arguments).out
    assert accel_cli(*arguments, "--limit", 10, "--batch", 3, "--json").json()["images"] == 10


def test_eval_refuses_what_does_not_fit(accel_cli: Invoke, digits: Path, digits_npz: Path, tmp_path: Path) -> None:
    base = ("eval", digits, "--data", digits_npz)
    assert "preprocess: expected one of" in accel_cli(*base, "--preprocess", "nope").refused()
    assert "input pixels: expected float32" in accel_cli(*base, "--preprocess", "raw255:size=9").refused()
    assert "--output: expected one of scores, got 'x'" in accel_cli(*base, "--output", "x").refused()
    assert "labels.csv: No such file" in accel_cli("eval", digits, "--data", tmp_path).refused()
    np.savez(tmp_path / "d.npz", images=np.zeros((1, 8, 8), np.uint8), labels=np.array([10]))
    message = accel_cli("eval", digits, "--data", tmp_path / "d.npz", "--preprocess", "raw255").refused()
    assert "labels: expected classes 0..9, got 10" in message


@pytest.mark.parametrize("peer", ["none", "onnxruntime"])
def test_bench_times_the_engines_side_by_side(accel_cli: Invoke, digits: Path, peer: str) -> None:
    if peer != "none":
        pytest.importorskip(peer)
        pytest.importorskip("onnx")
    data = accel_cli("bench", digits, "--seconds", 0, "--batch", 2, "--peer", peer, "--json").json()
    engines = {"accel"} | ({peer} - {"none"})
    assert set(data["times"]) == engines and data["batch"] == 2 and data["threads"] == 1
    assert all(0 < t["fastest"] <= t["median"] <= t["upper"] and t["rounds"] >= 5 for t in data["times"].values())
    if peer != "none":
        assert data["ratio"]["low"] <= data["ratio"]["median"] <= data["ratio"]["high"]
        assert data["error"] < 1e-5
        assert "onnxruntime / accel" in accel_cli("bench", digits, "--seconds", 0, "--peer", peer).out


def test_bench_says_when_the_peer_is_not_there(
    accel_cli: Invoke, digits: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    assert "needs the package 'onnxruntime'" in accel_cli("bench", digits, "--peer", "onnxruntime").refused()
    assert "onnxruntime" not in accel_cli("bench", digits, "--seconds", 0, "--json").json()["times"]


def test_bench_refuses_sizes_it_cannot_read(accel_cli: Invoke, digits: Path) -> None:
    assert "--size: expected NAME=SIZE" in accel_cli("bench", digits, "--size", "N=x").refused()


def test_verify_finds_a_model_equal_to_itself(accel_cli: Invoke, digits: Path) -> None:
    assert "all digests agree" in accel_cli("verify", digits).out
    data = accel_cli("verify", digits, "--against", digits, "--tolerance", 0, "--json").json()
    assert data["within_tolerance"] and data["outputs"][0]["same_top1"] == 1
    assert "relative" in accel_cli("verify", digits, "--against", digits).out


def test_verify_fails_beyond_the_tolerance(accel_cli: Invoke, digits: Path, tmp_path: Path) -> None:
    network = accel.load(digits)
    name = next(n for n, c in network.constants.items() if c.shape == (10, 64))
    changed = network.with_constants({name: 2 * np.asarray(network.constants[name])})
    other = tmp_path / "other.accel"
    changed.save(other)
    result = accel_cli("verify", other, "--against", digits, "--tolerance", "0.1")
    assert result.code == 1 and "more than the tolerance 0.1" in result.err
    assert accel_cli("verify", other, "--against", digits).code == 0


def test_doctor_says_what_runs(accel_cli: Invoke) -> None:
    data = accel_cli("doctor", "--json").json()
    assert data["accel"] == accel.__version__ and data["packages"]["numpy"] == np.__version__
    assert data["backend"] in data["backends"] and data["threads"] >= 1
    text = accel_cli("doctor").out
    assert np.__version__ in text and "back end" in text


def test_demo_prints_every_rate_and_both_accuracies(accel_cli: Invoke) -> None:
    pytest.importorskip("sklearn")
    data = accel_cli("demo", "--seconds", 0, "--json").json()
    before, after = data["parameters"]
    assert data["alpha"] == before / after > 1
    assert data["beta"] == pytest.approx(1 - 1 / data["alpha"])
    assert data["beta_survey"] == pytest.approx(data["alpha"] - 1)
    assert data["alpha_bytes"] == data["file_bytes"][0] / data["file_bytes"][1] > 5
    assert data["accuracy"]["original"] > 0.97
    assert data["accuracy"]["original"] - data["accuracy"]["compressed"] <= 0.01
    assert data["delta"]["threads"] == 1 and data["delta"]["batch"] == data["images"] == 449


def test_demo_says_it_in_words(accel_cli: Invoke) -> None:
    pytest.importorskip("sklearn")
    text = accel_cli("demo", "--seconds", 0, "--threads", 2).out
    for word in ("alpha = ", "beta = 1 - a*/a", "(a - a*)/a*", "alpha_bytes", "delta = ", "449 images", "2 threads"):
        assert word in text, text


@pytest.mark.parametrize(("recipe", "share"), [("k-means", 0.0), ("magnitude", 0.5)])
def test_demo_prunes_as_the_recipe_says(accel_cli: Invoke, recipe: str, share: float) -> None:
    pytest.importorskip("sklearn")
    assert accel_cli("demo", "--recipe", recipe, "--seconds", 0, "--json").json()["sparsity"] == share


def test_demo_without_scikit_learn_says_what_to_install(accel_cli: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "sklearn", None)
    assert "pip install 'accel[demo]'" in accel_cli("demo").refused()
