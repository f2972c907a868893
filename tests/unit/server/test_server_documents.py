"""Named documents in a file: all or nothing, and whole after a crash."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from keen_client.server.documents import Documents


def test_several_changes_are_one(tmp_path: Path) -> None:
    """Set and remove together; another reader of the file finds both."""
    path = tmp_path / "d.json"
    documents = Documents(path)
    documents.change({"a": {"n": 1}, "b": {"n": 2}})
    documents.change({"a": None, "c": {"n": 3}, "never": None})
    assert documents.names() == ["b", "c"]
    assert [Documents(path).get(name) for name in "abc"] == [None, {"n": 2}, {"n": 3}]
    assert path.stat().st_mode & 0o077 == 0


def test_what_is_given_out_is_a_copy() -> None:
    """Changing it changes nothing that is kept."""
    documents = Documents(None)
    documents.change({"a": {"list": [1]}})
    taken = documents.get("a")
    assert taken is not None
    taken["list"].append(2)
    assert documents.get("a") == {"list": [1]}


def test_where_the_disk_fails_nothing_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither in memory nor in the file; the next change is made."""
    path = tmp_path / "d.json"
    documents = Documents(path)
    documents.change({"a": {"n": 1}})

    def full(_self: Path, _target: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", full)
        with pytest.raises(OSError, match="No space"):
            documents.change({"a": None, "b": {}})
    assert documents.names() == ["a"]
    assert Documents(path).names() == ["a"]
    documents.change({"b": {}})
    assert Documents(path).names() == ["a", "b"]
