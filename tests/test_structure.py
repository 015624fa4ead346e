"""The house keeps its shape: imports go one way, nothing unsafe is called, every room has its test, bench and page."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "accel"

# From the top of the house to its foundation: a part imports from its own level's parts named beside it and from below.
LAYERS: tuple[tuple[str, ...], ...] = (
    ("__init__", "__main__", "cli", "demo", "report", "integrations"),
    ("metrics", "compress"),
    ("timing",),
    ("engine",),
    ("graph",),
    ("formats",),
    ("layers",),
    ("weights",),
    ("kernels",),
    ("_core",),
)
LEVEL = {part: level for level, parts in enumerate(LAYERS) for part in parts}
EVERYWHERE = {"errors"}
# graph/network.py only declares what a network is: the container in formats writes and builds one.
DECLARATIONS = {"accel.graph.network"}
MAX_LINES = 450

Import = tuple[str, int]


def sources() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py")) + sorted(PACKAGE.rglob("*.pyx"))


def part_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py").removesuffix(".pyx")


def imports(path: Path) -> Iterator[Import]:
    """Every module that a file imports, anywhere in it, with the line; typing-only imports do not count."""
    if path.suffix == ".pyx":
        pattern = re.compile(r"^\s*(?:from\s+([\w.]+)\s+)?c?import\s+([\w.]+)")
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if match := pattern.match(line):
                yield (f"{match[1]}.{match[2]}" if match[1] else match[2]), number
        return
    yield from _walk(ast.parse(path.read_text()), path)


def _walk(node: ast.AST, path: Path) -> Iterator[Import]:
    if isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
        return
    if isinstance(node, ast.Import):
        yield from ((alias.name, node.lineno) for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        base = node.module or ""
        if node.level:
            above = path.relative_to(ROOT).with_suffix("").parts[: -node.level]
            base = ".".join((*above, base)).rstrip(".")
        yield from ((f"{base}.{alias.name}", node.lineno) for alias in node.names)
    elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("import_module", "__import__")):
        yield from ((str(name.value), node.lineno) for name in node.args[:1] if isinstance(name, ast.Constant))
    for child in ast.iter_child_nodes(node):
        yield from _walk(child, path)


def ours(path: Path) -> Iterator[tuple[str, str, int]]:
    """(part, module, line) of every import of accel itself."""
    for module, line in imports(path):
        names = module.split(".")
        if names[0] == "accel":
            yield (names[1] if len(names) > 1 else "__init__"), module, line


def reads_the_version_only(path: Path) -> bool:
    """Whether `accel.` stands for nothing but accel.__version__, which is set before anything is imported."""
    attributes = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Attribute)]
    return all(node.attr == "__version__" for node in attributes if ast.unparse(node.value) == "accel")


def wrong_direction(path: Path) -> list[str]:
    here, found = part_of(path), []
    for part, module, line in ours(path):
        if part in EVERYWHERE or part == here or any(module.startswith(name) for name in DECLARATIONS):
            continue
        if module == "accel.__version__" or (module == "accel" and reads_the_version_only(path)):
            continue
        there = LEVEL.get(part, LEVEL["__init__"])  # `from accel import load`, `import accel`: the top of the house
        if here == "reference" or here in EVERYWHERE or part == "reference":
            allowed = part == "reference" and here not in EVERYWHERE
        else:
            allowed = there > LEVEL[here] or (there == LEVEL[here] == 0) or (there == LEVEL[here] and here == "metrics")
        if not allowed:
            found.append(f"{path.relative_to(ROOT)}:{line} {here} imports {module}")
    return found


@pytest.mark.parametrize("path", sources(), ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_go_down_only(path: Path) -> None:
    assert wrong_direction(path) == []


def test_the_direction_check_sees_a_wrong_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "PACKAGE", tmp_path / "accel")
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    bad = tmp_path / "accel" / "weights" / "x.py"
    bad.parent.mkdir(parents=True)
    by_name = "import importlib\nimportlib.import_module('accel.engine')"
    for text in ("import accel.engine", by_name, "def f():\n    from accel.engine import x", "from ..engine import x"):
        bad.write_text(text)
        assert len(wrong_direction(bad)) == 1
    bad.write_text("import accel\nx = accel.load()")
    assert len(wrong_direction(bad)) == 1
    bad.write_text("import accel\nfrom accel import __version__\nx = accel.__version__")
    assert wrong_direction(bad) == []
    bad.write_text("from accel.kernels import conv\nfrom accel.errors import AccelError\nimport numpy")
    assert wrong_direction(bad) == []


def test_every_part_has_a_level() -> None:
    parts = {part_of(path) for path in sources()}
    assert parts <= set(LEVEL) | EVERYWHERE | {"reference"}, "name the new part in LAYERS"


def test_only_kernels_import_the_native_module() -> None:
    users = {part_of(path) for path in sources() for part, _, _ in ours(path) if part == "_core"}
    assert users == {"kernels"}


def test_reference_imports_numpy_only() -> None:
    allowed = {"numpy", *sys.stdlib_module_names}
    for path in (PACKAGE / "reference").rglob("*.py"):
        for module, line in imports(path):
            assert module.split(".")[0] in allowed or module.startswith("accel.reference"), f"{path}:{line} {module}"


def test_numpy_is_the_only_package_imported_at_module_level() -> None:
    """Extras are imported inside functions, except by the parts that need one to exist at all."""
    whole = {"cli": {"typer", "rich"}, "integrations": {"onnx", "sklearn", "torch"}}
    for path in PACKAGE.rglob("*.py"):
        for node in ast.parse(path.read_text()).body:
            if not isinstance(node, (ast.Import, ast.ImportFrom)) or getattr(node, "level", 0):
                continue
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            for top in {name.split(".")[0] for name in names} - set(sys.stdlib_module_names) - {"numpy", "accel"}:
                onnx_part = top == "onnx" and part_of(path) == "graph" and "onnx" in path.name
                numba_part = top == "numba" and path.name.endswith("_numba.py")
                assert onnx_part or numba_part or top in whole.get(part_of(path), set()), f"{path}: {top}"


FORBIDDEN_MODULES = {"pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib"}
FORBIDDEN_CALLS = {"eval", "exec", "compile", "os.system", "os.popen", "np.fromstring", "numpy.fromstring"}


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: str(p.relative_to(ROOT)))
def test_nothing_unsafe_is_called(path: Path) -> None:
    bad = [f"{path}:{line} {module}" for module, line in imports(path) if module.split(".")[0] in FORBIDDEN_MODULES]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            if ast.unparse(node.func) in FORBIDDEN_CALLS:
                bad.append(f"{path}:{node.lineno} {ast.unparse(node.func)}")
            for keyword in node.keywords:
                if keyword.arg in ("allow_pickle", "shell") and ast.unparse(keyword.value) != "False":
                    bad.append(f"{path}:{node.lineno} {keyword.arg}=")
            if ast.unparse(node.func) in ("np.load", "numpy.load") and "allow_pickle" not in [
                k.arg for k in node.keywords
            ]:
                bad.append(f"{path}:{node.lineno} np.load without allow_pickle=False")
    assert bad == []


def test_no_flag_ties_the_build_to_a_machine_or_loosens_arithmetic() -> None:
    tree = ast.parse((ROOT / "setup.py").read_text())
    texts = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    for flag in ("-ffast-math", "-Ofast", "-march", "-mtune", "-mavx", "-funsafe-math", "-ffinite-math"):
        assert not any(text.startswith(flag) for text in texts), flag
    assert "-ffp-contract=off" in texts


# Settings, checks, the engine's prepared programs and the finder of the Cython module: no functions over arrays.
NOT_FAMILIES = {"__init__", "runtime", "jit", "checks", "program", "index_module"}
IMPLEMENTATIONS = ("_native", "_numba", "_numpy")


def kernel_families() -> list[str]:
    """Public modules of accel/kernels; one that starts with _ or names a back end belongs to another."""
    names = {path.stem for path in (PACKAGE / "kernels").iterdir() if path.suffix in (".py", ".pyx")}
    return sorted(n for n in names - NOT_FAMILIES if not n.startswith("_") and not n.endswith(IMPLEMENTATIONS))


@pytest.mark.parametrize("family", kernel_families())
def test_every_kernel_family_has_a_test_a_bench_and_a_page(family: str) -> None:
    for needed in (
        f"tests/kernels/test_{family}.py",
        f"bench/kernels/bench_{family}.py",
        f"docs/kernels/{family}.md",
    ):
        assert (ROOT / needed).is_file(), f"the kernel family {family} has no {needed}"


def compress_methods() -> list[str]:
    """Modules of accel/compress that define a method: they are in the table of methods."""
    skip = {"__init__", "recipe", "recipes", "api", "base", "methods", "progress", "targets", "search", "sensitivity"}
    paths = (PACKAGE / "compress").glob("*.py")
    return sorted(p.stem for p in paths if p.stem not in skip and not p.stem.startswith("_"))


@pytest.mark.parametrize("method", compress_methods())
def test_every_compression_method_has_a_test_and_a_page(method: str) -> None:
    for needed in (f"tests/compress/test_{method}.py", f"docs/methods/{method}.md"):
        assert (ROOT / needed).is_file(), f"the method {method} has no {needed}"


def kernel_folders() -> list[Path]:
    return sorted(path for path in (ROOT / "csrc" / "kernels").glob("*") if path.is_dir())


@pytest.mark.parametrize("folder", kernel_folders(), ids=lambda p: p.name)
def test_every_native_kernel_folder_has_its_contract(folder: Path) -> None:
    header = folder / f"{folder.name}.h"
    assert header.is_file(), f"{folder.relative_to(ROOT)} has no contract header {header.name}"
    assert "//" in header.read_text().split("\n", 1)[1], f"{header.relative_to(ROOT)} says nothing in words"


def native_sources() -> list[Path]:
    return sorted(path for path in (ROOT / "csrc").rglob("*") if path.suffix in (".h", ".cpp"))


@pytest.mark.parametrize("path", native_sources(), ids=lambda p: str(p.relative_to(ROOT)))
def test_every_native_file_names_its_licence_first(path: Path) -> None:
    assert path.read_text().startswith("// SPDX-License-Identifier: BSD-3-Clause\n")


def test_only_bind_knows_python() -> None:
    for path in native_sources():
        if path.parent.name != "bind":
            assert not re.search(r'#include\s*[<"](pybind11|Python\.h)', path.read_text()), path


def test_bindings_give_up_the_interpreters_lock_by_our_own_guard() -> None:
    """bind.h says why: with pybind11's, a daemon thread in a kernel aborts the process when the interpreter ends."""
    for path in native_sources():
        assert not re.search(r"gil_scoped_release \w+;|call_guard<", path.read_text()), path


def test_files_stay_readable() -> None:
    folders = ("accel", "csrc", "tests", "bench", "scripts")
    files = [p for f in folders for p in (ROOT / f).rglob("*") if p.suffix in (".py", ".pyx", ".h", ".cpp")]
    long = {str(p.relative_to(ROOT)): n for p in files if (n := len(p.read_text().splitlines())) > MAX_LINES}
    assert long == {}, f"over {MAX_LINES} lines: is one of them two rooms?"


def documents() -> list[Path]:
    tops = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md")]
    return [path for path in tops if path.is_file()] + sorted((ROOT / "docs").rglob("*.md"))


@pytest.mark.parametrize("page", documents(), ids=lambda p: str(p.relative_to(ROOT)))
def test_links_between_documents_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text()):
        if "://" not in target and not target.startswith("mailto:"):
            assert (page.parent / target).exists(), f"{page.relative_to(ROOT)} links to {target}"
