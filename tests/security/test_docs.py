"""What docs/security*.md calls evidence is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = ("security.md", "security-asvs.md")
TESTS = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py"))


@pytest.mark.parametrize("page", PAGES)
def test_every_file_and_every_test_that_is_named_exists(page: str) -> None:
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")

    files = set(re.findall(r"\b((?:apps|tests|config|docker|docs|static)/[\w./-]*\w)", text))
    tests = set(re.findall(r"`(test_\w+)`", text))

    assert len(tests) > 5
    assert {name for name in files if not (ROOT / name).exists()} == set()
    assert {name for name in tests if f"def {name}(" not in TESTS} == set()


def test_every_requirement_of_the_level_has_a_line() -> None:
    """70 of them: OWASP ASVS 5.0.0, level 1."""
    lines = re.findall(r"^\| (\d+\.\d+\.\d+) \|", (ROOT / "docs/security-asvs.md").read_text(encoding="utf-8"), re.M)

    assert len(set(lines)) == len(lines) == 70
