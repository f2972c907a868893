"""A project picks the key for a call, and shows none."""

from __future__ import annotations

from typing import Any

import pytest

from keen_client.api import Project
from keen_client.api.project import KeyClass, encode_segment
from keen_client.errors import ConfigurationError, InvalidEnvironmentError
from keen_client.transport import Secret

KEYS: dict[str, Any] = {"write_key": Secret("WWW1"), "read_key": Secret("RRR1"), "master_key": Secret("MMM1")}


def test_each_class_has_its_key() -> None:
    """Never another's in its place: a write key reads nothing."""
    project = Project(id="P", **KEYS)
    classes: list[KeyClass] = ["write", "read", "master"]
    assert [project.key_for(each).reveal() for each in classes] == ["WWW1", "RRR1", "MMM1"]


@pytest.mark.parametrize("key_class", ["write", "read", "master"])
def test_missing_key_is_named_by_its_variable(key_class: KeyClass) -> None:
    """Even when the other two are there."""
    others = {name: key for name, key in KEYS.items() if name != f"{key_class}_key"}
    with pytest.raises(InvalidEnvironmentError, match=f"KEEN_{key_class.upper()}_KEY") as caught:
        Project(id="P", **others).key_for(key_class)
    assert "nothing was sent" in str(caught.value)


def test_repr_shows_no_key() -> None:
    """A project may stand in a log line."""
    shown = repr(Project(id="P", **KEYS))
    assert not any(key.reveal() in shown for key in KEYS.values())


def test_base_url_is_brought_into_its_form() -> None:
    """So that two spellings are one project."""
    assert Project(id="P", base_url="https://api.keen.io/3.0/") == Project(id="P")


@pytest.mark.parametrize("bad", ["", "  ", "a\nb"])
def test_project_needs_an_id(bad: str) -> None:
    """One that can be shown and sent."""
    with pytest.raises(ConfigurationError, match="nothing was sent"):
        Project(id=bad)


@pytest.mark.parametrize(
    ("name", "segment"),
    [
        ("a b/c", "a%20b%2Fc"),
        ("Köln", "K%C3%B6ln"),
        ("100%", "100%25"),
        (".", "%2E"),
        ("..", "%2E%2E"),
        ("a.b", "a.b"),
    ],
)
def test_name_is_one_segment_of_the_path(name: str, segment: str) -> None:
    """Whatever characters it has."""
    assert encode_segment(name) == segment
    assert Project(id=name).path == f"/3.0/projects/{segment}"
