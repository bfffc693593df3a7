"""The house keeps its own rules: arrows, sizes, addresses, lock files, nothing it must not name."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.management import call_command
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.conftest import missing

ROOT = Path(__file__).resolve().parents[1]
SOURCES = sorted(path for part in ("apps", "config", "bench") for path in (ROOT / part).rglob("*.py"))
LINES_OF_A_FILE, LINES_OF_A_FUNCTION = 400, 40
# The engine's walls must stand before the codecs' libraries start threads.
LATE_IMPORTS = ROOT / "apps" / "engine" / "__main__.py"
TASK = re.compile(r"""["'](apps\.[a-z_.]+\.tasks\.[a-z_]+)["']""")
# Written in two parts, so that this file does not find itself.
REGISTRIES = ("pypi" + ".org", "pythonhosted" + ".org", "registry." + "npmjs", "npmjs" + ".org", "npmjs" + ".com")


def tracked() -> list[Path]:
    """Everything that would be published: committed or about to be."""
    if not shutil.which("git") or not (ROOT / ".git").exists():
        missing("git, to tell our files from others,")
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [path for name in listed.split("\0") if name and (path := ROOT / name).is_file()]


def is_migration(path: Path) -> bool:
    return "migrations" in path.parts


def test_arrows_point_down() -> None:
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as main; main()", "--no-cache"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout


@pytest.mark.django_db
def test_no_migration_is_missing() -> None:
    call_command("makemigrations", check=True, dry_run=True, verbosity=0)


def test_every_task_that_is_rung_for_exists() -> None:
    """Services name tasks by address, so a renamed one would be missed only in production."""
    addresses = {address for path in SOURCES for address in TASK.findall(path.read_text(encoding="utf-8"))}

    assert addresses
    for address in sorted(addresses):
        module, _, name = address.rpartition(".")
        assert inspect.isfunction(getattr(importlib.import_module(module), name, None)), address


def test_no_file_is_too_long() -> None:
    long = {
        str(path.relative_to(ROOT)): count
        for path in SOURCES
        if not is_migration(path) and (count := len(path.read_text(encoding="utf-8").splitlines())) > LINES_OF_A_FILE
    }

    assert long == {}


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def test_no_function_is_too_long() -> None:
    long = {
        f"{path.relative_to(ROOT)}:{function.name}": count
        for path in SOURCES
        if not is_migration(path)
        for function in functions(path)
        if (count := (function.end_lineno or 0) - function.lineno + 1) > LINES_OF_A_FUNCTION
    }

    assert long == {}


def test_no_import_hides_in_a_function() -> None:
    hidden = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in SOURCES
        if not is_migration(path) and path != LATE_IMPORTS
        for function in functions(path)
        for node in ast.walk(function)
        if isinstance(node, ast.Import | ast.ImportFrom)
    ]

    assert hidden == []


def test_no_registry_is_named() -> None:
    """Clients know their registries; a name here would overrule an operator's mirror."""
    named = [
        str(path.relative_to(ROOT))
        for path in tracked()
        if any(host.encode() in path.read_bytes() for host in REGISTRIES)
    ]

    assert named == []


def pins(lock: Path) -> dict[str, set[str]]:
    """Versions by name; a package may be pinned apart for different Pythons."""
    found: dict[str, set[str]] = {}
    for name, version in re.findall(r"^([A-Za-z0-9._-]+)(?:\[[^\]]*\])?==([^\s;\\]+)", lock.read_text(), re.MULTILINE):
        found.setdefault(canonicalize_name(name), set()).add(version)
    return found


@pytest.mark.parametrize(("lock", "groups"), [("requirements.lock", []), ("requirements-dev.lock", ["dev"])])
def test_the_lock_is_in_step_with_pyproject(lock: str, groups: list[str]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    wanted = [
        *project["project"]["dependencies"],
        *(line for group in groups for line in project["dependency-groups"][group]),
    ]
    locked = pins(ROOT / lock)

    behind = [
        str(need)
        for need in map(Requirement, wanted)
        if not any(need.specifier.contains(version) for version in locked.get(canonicalize_name(need.name), ()))
    ]

    assert behind == []


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-dev.lock"])
def test_every_pin_is_hashed(lock: str) -> None:
    blocks = re.split(r"^(?=[A-Za-z0-9])", (ROOT / lock).read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]

    assert len(blocks) > 50
    assert [block.splitlines()[0] for block in blocks if "--hash=sha256:" not in block] == []


def test_both_locks_agree() -> None:
    """Tests run what is delivered."""
    delivered, tested = pins(ROOT / "requirements.lock"), pins(ROOT / "requirements-dev.lock")

    assert {name: versions for name, versions in delivered.items() if tested.get(name) != versions} == {}
