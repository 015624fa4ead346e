from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from graph.builders import assert_same, cnn_model, model, ops, random

from accel.errors import FormatError, ModelError, SaveError, UnsupportedError
from accel.graph import Limits, load, save
from accel.graph.passes import fuse
from accel.weights import Codebook, Csr

ROOT = Path(__file__).parents[2]


def test_every_kind_of_source_gives_the_same(tmp_path: Path) -> None:
    proto = cnn_model()
    path = tmp_path / "anything.bin"
    onnx.save(proto, path)
    first = load(proto)
    data = path.read_bytes()
    part = memoryview(b"before" + data + b"after")[6:-5]
    for source in (str(path), path, data, bytearray(data), memoryview(data), part, load(proto, simplify=False)):
        net = load(source)
        assert ops(net) == ops(first)
        assert_same(first, net, 0)
    assert "BatchNormalization" in ops(load(path, simplify=False)) and "BatchNormalization" not in ops(first)


def test_a_saved_network_comes_back(tmp_path: Path) -> None:
    net = load(cnn_model())
    dense = net.constants["w3"]
    net = net.with_constants(
        {"w3": Csr.from_dense(dense * (dense > 0)), "w2": Codebook.fit(net.constants["w2"], bits=3)}
    )
    path = tmp_path / "model.onnx"
    net.save(path)
    again = load(path)
    assert [type(c) for c in again.constants.values()] == [type(c) for c in net.constants.values()]
    assert_same(net, again, 0)
    assert_same(net, load(path.read_bytes()), 0)


def test_a_container_holds_what_was_saved(tmp_path: Path) -> None:
    net = load(cnn_model(), simplify=False)
    save(net, tmp_path / "m")
    assert ops(load(tmp_path / "m")) == ops(net)


def test_a_container_loads_without_onnx(tmp_path: Path) -> None:
    path = tmp_path / "m.accel"
    load(cnn_model()).save(path)
    code = """
        import sys
        for name in ("onnx", "google", "google.protobuf"):
            sys.modules[name] = None
        from accel.graph import load
        net = load(sys.argv[1])
        net.save(sys.argv[1] + "2")
        print(len(net.nodes))
        try:
            load(b"\\x08\\x08")
        except ImportError as error:
            print(error)
    """
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"}
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), str(path)],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout.splitlines() == [
        "8",
        "reading an ONNX model needs the package 'onnx': pip install 'accel[onnx]'",
    ]


def test_importing_the_graph_imports_no_extra() -> None:
    code = "import sys, accel.graph; print(sorted({'onnx', 'google', 'numba'} & set(sys.modules)))"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"}
    result = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_external_data_comes_from_the_folder_of_the_model(tmp_path: Path) -> None:
    proto = model([onnx.helper.make_node("Add", ["x", "w"], ["y"])], {"x": [6]}, ["y"], {"w": random(0, 6)})
    onnx.save(proto, tmp_path / "m.onnx", save_as_external_data=True, location="w.bin", size_threshold=0)
    net = load(tmp_path / "m.onnx")
    np.testing.assert_array_equal(net.constants["w"], random(0, 6))
    with pytest.raises(ModelError, match="its data is in another file"):
        load((tmp_path / "m.onnx").read_bytes())


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("none", "cannot be read: No such file"),
        ("", "irectory|not a regular file"),
        ("a\0b", "cannot be read: embedded null"),
    ],
)
def test_what_cannot_be_read_is_a_format_error(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        load(os.path.join(tmp_path, name))


def test_the_file_that_is_no_model_is_named(tmp_path: Path) -> None:
    (tmp_path / "photo.png").write_bytes(b"\x89PNG\r\n\x1a\n" * 40)
    with pytest.raises(FormatError, match=r"photo\.png': neither an \.accel file nor an ONNX model"):
        load(tmp_path / "photo.png")


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(FormatError, match="not a regular file"):
        load(tmp_path / "pipe")


def test_files_larger_than_the_limit_are_not_read(tmp_path: Path) -> None:
    with open(tmp_path / "huge", "wb") as file:
        file.truncate(1 << 40)
    start = time.process_time()
    with pytest.raises(FormatError, match="exceeds the limit max_file"):
        load(tmp_path / "huge")
    assert time.process_time() - start < 1
    with pytest.raises(FormatError, match="exceeds the limit max_file=10"):
        load(cnn_model().SerializeToString(), limits=Limits(max_file=10))


def test_other_types_are_refused() -> None:
    wrong: Any = 5
    with pytest.raises(TypeError, match="source: expected"):
        load(wrong)
    with pytest.raises(TypeError, match=r"limits: expected accel\.graph\.limits\.Limits, got 5"):
        load(cnn_model(), limits=wrong)


def test_a_network_is_checked_too() -> None:
    net = load(cnn_model())
    net.nodes.reverse()
    with pytest.raises(ModelError, match="not defined by anything before it"):
        load(net)


def test_what_cannot_be_saved_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "m"
    path.write_bytes(b"old")
    with pytest.raises(UnsupportedError, match="fused activation or residual"):
        save(fuse(load(cnn_model())), path)
    assert path.read_bytes() == b"old"
    with pytest.raises(SaveError):
        save(load(cnn_model()), tmp_path)


def test_another_header_is_refused(tmp_path: Path) -> None:
    from accel.formats import container

    container.write(tmp_path / "m", {"more": 1}, {})
    with pytest.raises(FormatError, match=r"header: expected a graph and nothing else, got \['more'\]"):
        load(tmp_path / "m")


def test_truncated_and_flipped_containers_are_refused(tmp_path: Path) -> None:
    load(cnn_model()).save(tmp_path / "m")
    data = (tmp_path / "m").read_bytes()
    for cut in (1, 8, 9, len(data) // 2, len(data) - 1):
        with pytest.raises(FormatError):
            load(data[:cut])
    for place in range(8, len(data), 97):
        with pytest.raises(FormatError):
            load(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
