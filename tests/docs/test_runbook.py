"""docs/how_to/runbook.md has a section for every state of a window, and none for a state that there is not."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from keen_client.verify.verdict import Verdict

PAGE = "docs/how_to/runbook.md"


def test_every_state_has_a_section(page: Callable[[str], Any]) -> None:
    """Each says what happens by itself and what is left to do."""
    opened = page(PAGE)
    headings = re.findall(r"^## (\w+)$", opened.text, flags=re.MULTILINE)
    assert sorted(headings) == sorted(map(str, Verdict))
    for state in set(Verdict) - {Verdict.INCOMPLETE}:
        section = opened.section(str(state))
        assert "**By itself**" in section, state
        assert "**To do**" in section or "**to do**" in section, state


def test_reasons_of_unread_windows_say_both_too(page: Callable[[str], Any]) -> None:
    """The table under incomplete has both columns filled."""
    rows = [
        line.split("|")[1:-1] for line in page(PAGE).section("incomplete").splitlines() if line[:1] == "|"
    ]
    assert [cell.strip() for cell in rows[0]] == ["reason", "by itself", "to do"]
    assert len(rows) > 4
    assert all(cell.strip() for row in rows for cell in row)


def test_every_feature_of_the_full_probe_is_described(page: Callable[[str], Any]) -> None:
    """The table names each finding, and what no longer rests on it."""
    from keen_client.verify.features import Features
    from keen_client.verify.full_probe import told

    opened = page("docs/explanation/verification.md")
    assert set(opened.rows(opened.section("The full probe"))) == set(told(Features()))
