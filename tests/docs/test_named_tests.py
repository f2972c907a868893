"""A test that a page names exists: an invariant or a guarantee without its test is a wish."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def _functions(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def test_every_test_that_a_page_names_exists() -> None:
    """By file, and by function where one is named."""
    missing = []
    for page in PAGES:
        for file, function in re.findall(r"(tests/[\w/]+\.py)(?:::(\w+))?", page.read_text(encoding="utf-8")):
            path = ROOT / file
            if not path.is_file() or (function and function not in _functions(path)):
                missing.append(f"{page.name}: {file}::{function}")
    assert missing == []


def test_every_invariant_has_its_test(page: Callable[[str], Any]) -> None:
    """Numbered from 1 without a gap, each with at least one test by name."""
    rows = [
        [cell.strip() for cell in line.split("|")[1:-1]]
        for line in page("docs/explanation/architecture.md").section("Invariants").splitlines()
        if re.match(r"\| \d", line)
    ]
    assert [row[0] for row in rows] == [str(number) for number in range(1, 16)]
    assert [row[0] for row in rows if not re.search(r"tests/[\w/]+\.py::test_\w+", row[2])] == []


def test_every_guarantee_of_the_readme_has_its_test(page: Callable[[str], Any]) -> None:
    """Each row of the table, in its last column."""
    rows = [
        [cell.strip() for cell in line.split("|")[1:-1]]
        for line in page("README.md").section("What it guarantees").splitlines()
        if line.startswith("| ")
    ][2:]
    assert len(rows) >= 8
    assert [row[0] for row in rows if not re.search(r"tests/[\w/]+\.py::test_\w+", row[-1])] == []


def test_every_defence_has_its_test() -> None:
    """Each row of a table of defences, in its last column; each kind of attacker has its table."""
    text = (ROOT / "docs/explanation/security.md").read_text(encoding="utf-8")
    tables = re.findall(
        r"^\|[^\n]*\| test \|\n\| --- \| --- \| --- \|\n((?:\|[^\n]*\n)+)", text, flags=re.MULTILINE
    )
    rows = [
        [cell.strip() for cell in line.split("|")[1:-1]] for table in tables for line in table.splitlines()
    ]
    assert len(tables) == 6
    assert [row[0] for row in rows if len(row) != 3] == []
    assert [row[0] for row in rows if not re.search(r"tests/[\w/]+\.py::test_\w+", row[-1])] == []
