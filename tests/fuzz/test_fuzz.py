"""The fuzzers are kept honest: their results are of today's planted bugs, and damaged containers are read at all."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest
from fuzz import fuzz_container, fuzz_huffman

RESULTS = Path(__file__).parent / "results"


def test_every_planted_bug_was_found_within_a_minute() -> None:
    result = json.loads((RESULTS / "huffman_plants.json").read_text())
    assert list(result["plants"]) == list(fuzz_huffman.plants().values())
    assert all(plant["found"] and plant["seconds"] < fuzz_huffman.MOST_SECONDS for plant in result["plants"].values())


def test_damaged_containers_are_refused_or_make_sense() -> None:
    rng, originals = Random(2), fuzz_container.samples()
    assert all(fuzz_container.makes_sense(blob) for blob in originals)
    kinds = [fuzz_container.makes_sense(fuzz_container.mutant(rng.choice(originals), rng)) for _ in range(2000)]
    assert 20 < sum(kinds) < 1000  # both happen: the damage is neither always seen at once nor harmless


@pytest.mark.slow
def test_a_hundred_million_damaged_blocks() -> None:
    command = [sys.executable, fuzz_huffman.__file__, "--mutants", "100000000"]
    assert subprocess.run(command, check=False).returncode == 0
