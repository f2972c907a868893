"""docs/reference/errors.md and signals.md name every class, and no class that does not exist."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import attrs

from keen_client import errors
from keen_client.observability import signals


def _tree(cls: type[errors.KeenError]) -> Iterator[type[errors.KeenError]]:
    yield cls
    for child in cls.__subclasses__():
        if child.__module__ == errors.__name__:
            yield from _tree(child)


def test_every_error_is_described_with_its_code(page: Callable[[str], Any]) -> None:
    """One row each, in the tables of the page."""
    opened = page("docs/reference/errors.md")
    rows = opened.rows(opened.text)
    classes = list(_tree(errors.KeenError))
    assert set(rows) == {cls.__name__ for cls in classes}
    assert [cls.__name__ for cls in classes if rows[cls.__name__][1] != f"`{cls.code}`"] == []


def test_every_signal_is_described_with_level_and_fields(page: Callable[[str], Any]) -> None:
    """One row each."""
    opened = page("docs/reference/signals.md")
    rows = opened.rows(opened.text)
    classes = signals.Signal.__subclasses__()
    assert set(rows) == {cls.__name__ for cls in classes}
    for cls in classes:
        _, level, fields, _ = rows[cls.__name__]
        assert level == cls.level
        assert fields.replace("`", "") == ", ".join(field.name for field in attrs.fields(cls))
