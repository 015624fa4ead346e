"""The command doctor: what a bug report needs."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import sys
from typing import Any

import accel
from accel.cli import shell
from accel.report import Table

EXTRAS = {
    "onnx": ["onnx"],
    "numba": ["numba"],
    "cli": ["typer", "rich"],
    "image": ["pillow"],
    "demo": ["scikit-learn"],
    "test": ["pytest", "hypothesis", "pytest-benchmark", "scipy", "onnxruntime", "threadpoolctl"],
}
VARIABLES = ("ACCEL_ISA", "ACCEL_NUM_THREADS", "OMP_NUM_THREADS")


def doctor(as_json: shell.JsonFlag = False) -> None:
    """Show what accel finds on this machine. Versions, instruction sets, threads, extras: paste it into an issue."""
    data = report()
    shell.emit(data, _text(data), as_json)


def report() -> dict[str, Any]:
    """What this installation is made of and what it runs on."""
    return {
        "accel": accel.__version__,
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "platform": platform.platform(),
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
        "usable_cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        **accel.isa_info(),
        "native": "native" in accel.isa_info()["backends"],
        "byte_order": sys.byteorder,
        "packages": {name: version(name) for name in ("numpy", *(p for group in EXTRAS.values() for p in group))},
        "environment": {name: os.environ[name] for name in VARIABLES if name in os.environ},
    }


def version(package: str) -> str | None:
    """The installed version of a distribution, None when it is not there."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _text(data: dict[str, Any]) -> str:
    facts = Table(["what", "value"])
    facts.add("accel", data["accel"])
    facts.add("Python", f"{data['implementation']} {data['python']}")
    facts.add("platform", data["platform"])
    facts.add("CPUs", f"{data['cpus']} ({data['usable_cpus']} usable)")
    facts.add("back end", f"{data['backend']} (installed: {', '.join(data['backends'])})")
    facts.add("instruction set", f"{data['isa']} (supported: {', '.join(data['supported']) or 'none'})")
    facts.add("threads", str(data["threads"]))
    facts.add(
        "environment", " ".join(f"{name}={value}" for name, value in data["environment"].items()) or "nothing set"
    )
    facts.add("numpy", data["packages"]["numpy"])
    extras = Table(["extra", "package", "version"])
    for extra, packages in EXTRAS.items():
        for package in packages:
            extras.add(extra, package, data["packages"][package] or f"missing: pip install 'accel[{extra}]'")
    lines = [facts.text(), "", extras.text()]
    if not data["native"]:
        lines += ["", "The native kernels are not built: reinstall with a C++20 compiler to get them."]
    lines += ["", "In an issue, add: the command or code, what you expected, what came (with --debug)."]
    return "\n".join(lines)
