"""What holds for the whole repository: the direction of imports, and what must not be committed."""

import ast
import json
import re
import subprocess
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "penstock"

VOCABULARY = ["errors", "findings", "packets", "pins", "ports", "channels", "telemetry"]
# A package may import from itself and from those after it, never from those before it.
ORDER = ["penstock", "testing", "cli", "engine", "objects", "nodes", "media", "stores", "metrics", "vocabulary"]


def layer(module: str) -> str:
    name = module.removesuffix(".__init__").removesuffix(".__main__").partition(".")[2].partition(".")[0]
    return "vocabulary" if name in VOCABULARY else name or "penstock"


def imports(path: Path) -> list[tuple[int, str]]:
    found = []
    for statement in ast.walk(ast.parse(path.read_text())):
        if isinstance(statement, ast.ImportFrom) and statement.level == 0 and statement.module:
            found.append((statement.lineno, statement.module))
        elif isinstance(statement, ast.Import):
            found += [(statement.lineno, alias.name) for alias in statement.names]
        elif isinstance(statement, ast.ImportFrom):
            found.append((statement.lineno, "a relative import"))
    return found


def test_imports_run_one_way():
    wrong = []
    for path in sorted(SOURCE.rglob("*.py")):
        module = ".".join(path.relative_to(ROOT / "src").with_suffix("").parts)
        own = layer(module)
        assert own in ORDER, f"{module} belongs to no layer: name it in ORDER"
        for line, name in imports(path):
            if name.startswith("penstock.") and ORDER.index(layer(name)) < ORDER.index(own):
                wrong.append(f"{module}:{line} ({own}) imports {name} ({layer(name)})")
            assert name != "a relative import", f"{module}:{line}"
    assert not wrong, "\n".join(wrong)


def test_the_vocabulary_imports_no_third_party_library_but_what_makes_packets():
    own = {"penstock", "__future__", "asyncio", "collections", "contextlib", "contextvars", "dataclasses", "datetime"}
    own |= {"enum", "itertools", "json", "logging", "time", "typing", "numpy"}  # numpy: for its types only
    for name in VOCABULARY:
        for line, module in imports(SOURCE / f"{name}.py"):
            allowed = own | {"msgspec"} if name == "packets" else own
            assert module.split(".")[0] in allowed, f"{name}.py:{line} imports {module}"


def test_media_and_stores_know_nothing_of_each_other():
    for package, other in (("media", "stores"), ("stores", "media")):
        for path in (SOURCE / package).rglob("*.py"):
            assert not [name for _, name in imports(path) if name.startswith(f"penstock.{other}")], path


@pytest.mark.parametrize("lock", sorted((ROOT / "requirements").glob("*.txt")), ids=lambda path: path.name)
def test_lock_files_have_hashes_and_name_no_host(lock):
    text = lock.read_text()
    assert not re.search(r"://|^\s*--(extra-)?index-url|^\s*--find-links", text, re.MULTILINE)
    for requirement in re.split(r"\n(?=\S)", text.strip()):
        assert re.match(r"[A-Za-z0-9_.\[\]-]+==\S+", requirement), requirement[:80]
        assert "--hash=sha256:" in requirement, requirement[:80]


def test_npm_lock_files_have_hashes_and_name_no_host():
    locks = [path for path in tracked_files() if path.name == "package-lock.json"]
    assert locks
    for lock in locks:
        assert "://" not in lock.read_text(), lock
        packages = json.loads(lock.read_text())["packages"]
        assert all("integrity" in package for name, package in packages.items() if name), lock


def tracked_files() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if listed.returncode:
        return [path for path in ROOT.rglob("*") if path.is_file() and ".venv" not in path.parts]
    return [ROOT / name for name in listed.stdout.decode().split("\0") if name]


# Written in pieces, so that this file does not find itself.
PRIVATE = re.compile("|".join(["/ro" + "ot/", "/wo" + "rk/", "/ho" + r"me/[a-z]+/", "/Us" + "ers/[a-z]+/"]))


def test_no_file_names_a_path_of_somebodys_machine():
    for path in tracked_files():
        if path.suffix in {".png", ".ogg", ".mp4"} or not path.is_file():
            continue
        found = PRIVATE.search(path.read_text(errors="replace"))
        assert found is None, f"{path.relative_to(ROOT)}: {found.group()}"


def test_every_package_has_a_docstring_and_no_module_is_too_long_to_read():
    for path in SOURCE.rglob("*.py"):
        tree = ast.parse(path.read_text())
        assert ast.get_docstring(tree), f"{path.relative_to(ROOT)} has no docstring"
        assert path.read_text().count("\n") <= 300, f"{path.relative_to(ROOT)} is longer than 300 lines"


def test_python_in_docstrings_can_be_read_by_python():
    read = 0
    for path in SOURCE.rglob("*.py"):
        for statement in ast.walk(ast.parse(path.read_text())):
            if isinstance(statement, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                for block in re.findall(r"::\n\n((?: {4}.*\n?|\n)+)", ast.get_docstring(statement) or ""):
                    if re.match(r" {4}(async |class |from |import )", block):
                        ast.parse(textwrap.dedent(block), str(path))
                        read += 1
    assert read
