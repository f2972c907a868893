"""Pages of the documentation, read as what they promise."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


class Page:
    """One Markdown page: its sections, and the names in the first columns of their tables."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.text = path.read_text(encoding="utf-8")

    def section(self, heading: str) -> str:
        """What stands under *heading* (its text, of any level), down to the next of its level or above."""
        found = re.search(rf"^(#+) {re.escape(heading)}$", self.text, flags=re.MULTILINE)
        assert found is not None, f"{self.path.name} has no section {heading!r}"
        rest = self.text[found.end() :]
        following = re.search(rf"^#{{1,{len(found[1])}}} ", rest, flags=re.MULTILINE)
        return rest if following is None else rest[: following.start()]

    @staticmethod
    def rows(text: str) -> dict[str, list[str]]:
        """The cells of the table rows in *text*, by each name in backquotes in the first cell."""
        found: dict[str, list[str]] = {}
        for line in text.splitlines():
            if line.startswith("| "):
                cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
                for name in re.findall(r"`([^`]+)`", cells[0]):
                    assert name not in found, f"{name} stands in one table twice"
                    found[name] = cells
        return found


@pytest.fixture
def page() -> Callable[[str], Page]:
    """Opens a page by its path from the project's root."""
    return lambda name: Page(ROOT / name)
