"""The documents are true: their examples run and their tables come from result files."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

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


def test_results_name_no_machine() -> None:
    for path in (ROOT / "bench" / "results").rglob("*.json"):
        text = path.read_text()
        assert '"node"' not in text and "/home/" not in text and "/tmp/" not in text and "/root/" not in text, path


def test_every_command_is_in_the_documentation() -> None:
    page = (ROOT / "docs" / "cli.md").read_text()
    app = (ROOT / "accel" / "cli" / "app.py").read_text()
    for command in re.findall(r'app\.command\("(\w+)"\)', app):
        assert f"`accel {command}" in page
