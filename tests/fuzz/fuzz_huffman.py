"""Build the Huffman decoders under AddressSanitizer and UndefinedBehaviorSanitizer and feed them damaged blocks.

    python tests/fuzz/fuzz_huffman.py                                            # a million mutants
    python tests/fuzz/fuzz_huffman.py --mutants 100000000 --json tests/fuzz/results/huffman_mutants.json
    python tests/fuzz/fuzz_huffman.py --plants --json tests/fuzz/results/huffman_plants.json

`--plants` builds the decoders with each of the bugs of csrc/kernels/huffman/plant.h in turn: the fuzzer has to find
every one. Needs g++ or another compiler (CXX) with both sanitizers; results do not depend on it, only on --seed.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import resource
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
KERNELS = ROOT / "csrc" / "kernels" / "huffman"
DECODERS = [
    *sorted(KERNELS.glob("*.cpp")),
    ROOT / "csrc" / "runtime" / "pool.cpp",
    ROOT / "csrc" / "simd" / "isa.cpp",
]
MAIN = ROOT / "tests" / "fuzz" / "fuzz_huffman.cpp"
SANITIZERS = "-fsanitize=address,undefined"
FLAGS = ["-std=c++20", "-O2", "-g1", "-fno-omit-frame-pointer", SANITIZERS, "-fno-sanitize-recover=all"]
INCLUDES = [f"-I{ROOT / 'csrc'}", f"-I{ROOT / 'tests' / 'fuzz'}"]
COMPILER = os.environ.get("CXX", "g++").split()
LONGEST = 8  # code length in the vectors of 8 symbols; a complete code of them has none above 7
MOST_SECONDS = 60.0  # for a planted bug


def build(folder: Path, sources: list[Path], plant: int = 0) -> Path:
    """The fuzzer whose main program is the first source, with one of the bugs of plant.h unless `plant` is 0."""
    folder.mkdir()

    def compiled(source: Path) -> str:
        target = str(folder / (source.stem + ".o"))
        define = f"-DACCEL_PLANT={plant}"
        subprocess.run([*COMPILER, *FLAGS, define, *INCLUDES, "-c", str(source), "-o", target], check=True)
        return target

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        objects = list(pool.map(compiled, sources))
    program = folder / sources[0].stem
    subprocess.run([*COMPILER, SANITIZERS, *objects, "-lpthread", "-o", str(program)], check=True)
    return program


def fuzz(program: Path, *numbers: int) -> tuple[subprocess.CompletedProcess[str], float]:
    """How the run ended, and the seconds of processor time it took."""
    start = _seconds()
    done = subprocess.run([str(program), *map(str, numbers)], capture_output=True, text=True)
    return done, _seconds() - start


def _seconds() -> float:
    """Processor time of the programs that have ended: what else the machine does is not in it."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def plants() -> dict[int, str]:
    """The bugs of plant.h by number."""
    (body,) = re.findall(r"enum class Plant \{(.*?)\};", (KERNELS / "plant.h").read_text(), re.DOTALL)
    names = re.findall(r"^\s*(\w+),", body, re.MULTILINE)
    return {k: name for k, name in enumerate(names) if k}


def finding(done: subprocess.CompletedProcess[str]) -> str:
    """What the fuzzer or a sanitizer said first."""
    said = re.search(
        r"finding: [^;\n]*|(AddressSanitizer|runtime error): [^\n]*?(?= on address| on unknown|\n)",
        done.stdout + done.stderr,
    )
    return said[0] if said else f"ended with {done.returncode}"


def find_plants(folder: Path, args: argparse.Namespace) -> dict[str, Any]:
    """Runs each planted bug; says how it was found and after how many seconds."""
    found = {}
    for plant, name in plants().items():
        done, seconds = fuzz(build(folder / name, [MAIN, *DECODERS], plant), args.mutants, args.seed, 1)
        found[name] = {"found": done.returncode != 0, "seconds": round(seconds, 2), "by": finding(done)}
        print(f"{name}: {found[name]}")
    return {"plants": found, "ok": all(p["found"] and p["seconds"] < MOST_SECONDS for p in found.values())}


def find_nothing(folder: Path, args: argparse.Namespace) -> dict[str, Any]:
    """Runs the decoders as they are; says what was tried."""
    return tried(build(folder / "whole", [MAIN, *DECODERS]), args.mutants, args.seed, LONGEST)


def tried(program: Path, *numbers: int) -> dict[str, Any]:
    """Runs a fuzzer that should find nothing; what it tried, or its finding."""
    done, seconds = fuzz(program, *numbers)
    print(done.stdout + done.stderr)
    said = json.loads(done.stdout) if done.returncode == 0 else {"finding": finding(done)}
    return {**said, "seconds": round(seconds, 1), "ok": done.returncode == 0}


def where() -> dict[str, str]:
    """The machine, the compiler and the commit a result belongs to."""
    git = subprocess.run(["git", "-C", str(ROOT), "describe", "--always", "--dirty"], capture_output=True, text=True)
    version = subprocess.run([*COMPILER, "--version"], capture_output=True, text=True, check=True).stdout
    return {"machine": platform.machine(), "compiler": version.splitlines()[0], "commit": git.stdout.strip()}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mutants", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--plants", action="store_true", help="run the planted bugs instead of the decoders as they are"
    )
    parser.add_argument("--json", type=Path, help="where to write the result")
    args = parser.parse_args()
    origin = where()  # before the run: the tree may change meanwhile
    with tempfile.TemporaryDirectory() as folder:
        result = (find_plants if args.plants else find_nothing)(Path(folder), args)
    if args.json:
        args.json.write_text(json.dumps({**origin, "seed": args.seed, **result}, indent=2) + "\n")
    return 0 if result["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())
