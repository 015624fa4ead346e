"""The documents are true: their examples run and their tables come from result files."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]


def test_the_readme_example_runs(tmp_path: Path) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    lines = [line for line in example.splitlines() if line.strip()]
    assert len(lines) <= 10, "the first example has at most ten lines"
    script = tmp_path / "example.py"
    script.write_text(example)
    command = [sys.executable, str(script)]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=300, env=_with_this_tree(), check=False
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "small.accel").is_file() and "alpha" in done.stdout


def _with_this_tree() -> dict[str, str]:
    import os

    return {**os.environ, "PYTHONPATH": str(ROOT)}


def test_the_readme_names_the_two_commands_on_its_first_screen() -> None:
    first_screen = "".join((ROOT / "README.md").read_text().splitlines(keepends=True)[:20])
    assert "pip install '.[demo]' && accel demo" in first_screen
    assert "pip install -e '.[test]' && pytest" in first_screen


def test_the_tables_are_what_the_result_files_say() -> None:
    command = [sys.executable, str(ROOT / "bench" / "tables.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=_with_this_tree(), check=False)
    assert done.returncode == 0, done.stderr


def test_a_figure_that_no_result_file_holds_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    command = [sys.executable, str(ROOT / "bench" / "tables.py"), "--check", str(page)]
    for table, code in (("", 0), ("| 42 |\n", 1)):
        page.write_text(f"<!-- table no_such_results.json -->\n{table}<!-- end -->\n")
        done = subprocess.run(command, capture_output=True, timeout=120, env=_with_this_tree(), check=False)
        assert done.returncode == code


MACHINE = {
    "cpu": "a processor", "hypervisor": False, "cpus": 2, "accel": "1", "commit": "c", "isa": "avx2", "compiler": "cc",
    "python": "3", "peers": {"numpy": "2"},
}  # fmt: skip


def rows(tmp_path: Path, document: dict[str, Any]) -> list[list[str]]:
    """The cells that bench/tables.py makes of a result document."""
    (tmp_path / "results.json").write_text(json.dumps({"command": "measure", "machine": MACHINE, **document}))
    script = (
        "import pathlib, sys; sys.path[:0] = [sys.argv[1]]; import tables; "
        "tables.RESULTS = pathlib.Path(sys.argv[2]); print(tables.table('results.json'))"
    )
    command = [sys.executable, "-c", script, str(ROOT / "bench"), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=_with_this_tree(), check=True)
    return [line[2:-2].split(" | ") for line in done.stdout.splitlines() if line.startswith("| ")]


def test_a_row_names_the_fastest_peer_and_leaves_room_for_the_absent(tmp_path: Path) -> None:
    ratio = {"median": 0.5, "low": 0.4, "high": 0.6}
    results = [
        {
            "network": name, "batch": 1, "threads": 1, "errors": {"accel": 2e-6}, "ratios": dict.fromkeys(peers, ratio),
            "times": {e: {"median": 0.001 * n} for n, e in enumerate(("accel", *peers), 1)},
        }
        for name, peers in (("a", ["x", "y"]), ("b", ["y"]))
    ]  # fmt: skip
    found = rows(tmp_path, {"kind": "networks", "results": results})
    assert found[0][3:] == ["accel", "x", "y", "best peer / accel", "difference"]
    assert found[2][3:] == ["1 ms", "2 ms", "3 ms", "x 0.50 (0.40 .. 0.60)", "2e-06"]
    assert found[3][3:] == ["1 ms", "", "2 ms", "y 0.50 (0.40 .. 0.60)", "2e-06"]


def test_kernels_are_held_against_the_peak_where_it_was_measured(tmp_path: Path) -> None:
    stats = {"median": 0.5, "q1": 0.4, "q3": 0.6, "rounds": 3}
    noted = {"isa": "avx2", "operations": 30, "bytes": 20, "peak operations per second": 100e9}
    streams = {**noted, "bytes": 60e9, "peak bytes per second": 160e9}
    results = [
        {"group": "g", "name": "n", "param": param, "stats": stats, "extra_info": info}
        for param, info in (("fma", {**noted, "operations": 45e9}), ("read", streams), ("none", {}))
    ]
    found = rows(tmp_path, {"benchmarks": results, "machine_info": MACHINE})
    assert [row[-1] for row in found[2:]] == ["90% FMA", "75% reading", ""]
    assert rows(tmp_path, {"benchmarks": results[2:], "machine_info": MACHINE})[0][-1] == "relative"


def test_sparse_engines_and_dense_ones_are_compared_apart(tmp_path: Path) -> None:
    times = {e: {"median": 0.001 * n} for n, e in enumerate(("accel", "x", "y", "accel dense", "deepsparse"), 1)}
    ratios = {e: {"median": n, "low": n, "high": n} for n, e in enumerate(times, 1) if e != "accel"}
    some = {"accel", "y", "accel dense"}
    results = [
        {"network": "a", "batch": 1, "times": times, "ratios": ratios},
        {
            "network": "b", "batch": 1, "times": {e: t for e, t in times.items() if e in some},
            "ratios": {e: r for e, r in ratios.items() if e in some},
        },
    ]  # fmt: skip
    found = rows(tmp_path, {"kind": "sparse networks", "results": results})
    assert found[0][2:] == ["accel", "deepsparse", "x", "y", "accel dense", *(
        f"{e} / accel" for e in ("deepsparse", "best other", "accel dense")
    )]  # fmt: skip
    assert found[2][3:] == ["5 ms", "2 ms", "3 ms", "4 ms", "5.00 (5.00 .. 5.00)", "x 2.00 (2.00 .. 2.00)",
                            "4.00 (4.00 .. 4.00)"]  # fmt: skip
    assert found[3][3:8] == ["", "", "3 ms", "4 ms", ""]


def test_a_curve_says_where_it_crosses(tmp_path: Path) -> None:
    curve = {"shape": "s", "method": "direct", "dense": 0.001, "relative": {"40": 2.0, "50": 1.25, "90": 0.5}}
    results = [{**curve, "even": even} for even in (63.2, 40, None)]
    found = rows(tmp_path, {"kind": "break even", "results": results, "layers": []})
    assert [row[-1] for row in found[2:]] == ["63 %", "below 40 %", "never"]
    assert found[2][3:5] == ["0.80×", "2.00×"]


def test_results_name_no_machine() -> None:
    for path in (ROOT / "bench" / "results").rglob("*.json"):
        text = path.read_text()
        assert '"node"' not in text and "/home/" not in text and "/tmp/" not in text and "/root/" not in text, path


def test_every_command_is_in_the_documentation() -> None:
    page = (ROOT / "docs" / "cli.md").read_text()
    app = (ROOT / "accel" / "cli" / "app.py").read_text()
    for command in re.findall(r'app\.command\("(\w+)"\)', app):
        assert f"`accel {command}" in page


def test_the_index_names_every_page() -> None:
    index, docs = (ROOT / "docs" / "index.md").read_text(), ROOT / "docs"
    for folder in ("kernels", "methods", "formats"):
        listed = re.findall(rf"^\| \[\w+\]\({folder}/(\w+)\.md\)", index, re.MULTILINE)
        assert listed == sorted(path.stem for path in (docs / folder).glob("*.md"))


def test_links_between_documents_lead_somewhere() -> None:
    for page in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "bench").glob("*.md")]:
        for target in re.findall(r"\]\(((?!https?:)[^)#\s]*)(#[^)\s]+)?\)", page.read_text()):
            there = page.parent / target[0] if target[0] else page
            assert there.exists(), f"{page}: {target[0]}"
            if target[1]:
                assert target[1][1:] in _anchors(there.read_text()), f"{page}: {target[0]}{target[1]}"


def _anchors(text: str) -> list[str]:
    """What GitHub makes of headings."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE), re.MULTILINE)
    return [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings]
