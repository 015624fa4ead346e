"""Feed the decoders of floats, gaps and bitmaps damaged bytes under AddressSanitizer and UndefinedBehaviorSanitizer.

    python tests/fuzz/fuzz_values.py --mutants 200000 --seed 1

Needs what fuzz_huffman.py needs.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from fuzz_huffman import DECODERS, ROOT, build, tried

SOURCES = [
    ROOT / "tests" / "fuzz" / "fuzz_values.cpp",
    ROOT / "csrc" / "kernels" / "floats" / "floats.cpp",
    *sorted((ROOT / "csrc" / "kernels" / "gaps").glob("*.cpp")),
    *DECODERS,
]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mutants", type=int, default=200_000)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = tried(build(Path(folder) / "whole", SOURCES), args.mutants, args.seed)
    return 0 if result["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())
