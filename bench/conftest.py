"""Benchmarks: what every bench file shares. How to run them: bench/README.md."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

import accel
from accel.kernels import runtime

CHANGES = ("status", "--porcelain", "--untracked-files=no", "--", ":!bench/results")  # of what is measured
ROOT = Path(__file__).parents[1]
PEERS = (
    *("numpy", "scipy", "numba", "onnx", "onnxruntime", "openvino", "MNN", "ncnn"),
    *("torch", "pyfftw", "mkl_fft", "scikit-learn", "zipnn"),
)
IMPLEMENTATIONS = [
    *(f"native-{isa}" for isa in reversed(runtime.isa_info()["supported"])),
    *(name for name in ("numba", "numpy") if name in runtime.isa_info()["backends"]),
]


@pytest.fixture(params=IMPLEMENTATIONS)
def implementation(request: pytest.FixtureRequest) -> Iterator[str]:
    """Each implementation of accel in turn, on one thread: native per instruction set, Numba, NumPy.

    A peer is one more value of a bench's own parameter; the bench skips when the peer is not installed.
    """
    name, _, isa = request.param.partition("-")
    with accel.using(backend=name, isa=isa or None, threads=1):
        yield request.param


@pytest.fixture
def nothing_kept() -> Iterator[None]:
    """New results lie wherever NumPy puts them, not in memory that earlier ones have left."""
    bound = accel.keep_memory(0)
    yield
    accel.keep_memory(bound)


@pytest.fixture(params=["kept", "not-kept"])
def memory(request: pytest.FixtureRequest) -> str:
    """Where new results lie: as accel has it, and as it is with `nothing_kept`."""
    name: str = request.param
    if name == "not-kept":
        request.getfixturevalue("nothing_kept")
    return name


@pytest.fixture
def work(benchmark: BenchmarkFixture) -> Callable[..., None]:
    """Notes what a call has to do, and what the core can do at most, measured in the same moment.

    `work(operations, bytes)`; with `streams=True` the bytes are read once each, and the time is held against the rate
    at which so many can be read, not against the multiply-adds. The peak is that of the instruction set in force, for
    peers the best.
    """

    def note(operations: int, nbytes: int, *, streams: bool = False) -> None:
        benchmark.extra_info |= {"operations": operations, "bytes": nbytes}
        if runtime.core is not None:
            benchmark.extra_info |= {"isa": runtime.isa(), "peak operations per second": runtime.fma_peak()}
            if streams:
                benchmark.extra_info["peak bytes per second"] = runtime.read_peak(nbytes)

    return note


def stay_on_one_processor() -> None:
    """Of scripts on one thread, before any engine starts its own."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def publish(document: dict[str, Any], out: Path | None) -> None:
    """Writes what a script measured to a file, or prints it."""
    text = json.dumps(document, indent=1)
    if out:
        out.write_text(text + "\n")
    else:
        print(text)


def machine() -> dict[str, Any]:
    """What a time depends on, without anything that names the machine."""
    cpu = cpu_facts()
    return {
        "cpu": cpu.get("model name", platform.machine()),
        "flags": sorted(set(cpu.get("flags", "").split()) & INTERESTING_FLAGS),
        "hypervisor": "hypervisor" in cpu.get("flags", ""),
        "cpus": os.cpu_count(),
        "kernel": platform.release().split("-")[0],
        "python": platform.python_version(),
        "accel": accel.__version__,
        "commit": output_of("git", "-C", str(ROOT), "rev-parse", "--short=12", "HEAD"),
        "changed": bool(output_of("git", "-C", str(ROOT), *CHANGES)),
        "compiler": (output_of(os.environ.get("CXX", "c++"), "--version") or "none").splitlines()[0],
        "load": [round(load, 2) for load in os.getloadavg()] if hasattr(os, "getloadavg") else None,
        "peers": {name: version for name in PEERS if (version := installed(name))},
        "environment": {name: os.environ[name] for name in ("ACCEL_ISA", "OMP_NUM_THREADS") if name in os.environ},
        **runtime.isa_info(),
    }


INTERESTING_FLAGS = {
    *("sse2", "popcnt", "avx", "avx2", "fma", "f16c", "bmi2", "avx_vnni"),
    *("avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512_vnni", "avx512_bf16", "avx512_vpopcntdq"),
}


def cpu_facts() -> dict[str, str]:
    """The first processor's entries of /proc/cpuinfo, nothing where there is no such file."""
    try:
        text = Path("/proc/cpuinfo").read_text().split("\n\n")[0]
    except OSError:
        return {}
    return {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in text.splitlines())}


def installed(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def output_of(*command: str) -> str | None:
    """What a command prints, None when it fails."""
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None


def pytest_benchmark_update_machine_info(config: pytest.Config, machine_info: dict[str, Any]) -> None:
    machine_info.clear()  # pytest-benchmark's own record holds the host's name
    machine_info.update(machine())


def pytest_benchmark_update_json(config: pytest.Config, benchmarks: Any, output_json: dict[str, Any]) -> None:
    output_json["commit_info"] = {"id": machine()["commit"]}
    for result in output_json["benchmarks"]:
        result["stats"].pop("data", None)  # every single time: large, and the quartiles are kept
