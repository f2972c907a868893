"""What docs/how_to/move_from_keen_0_7.md calls the same is the same, and what it calls absent is absent."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any

import keen.client

from keen_client import AsyncKeenClient, KeenClient

#: Public by their names only: the official client calls them itself.
INTERNAL = {"check_project_id", "get_params"}


def test_what_is_called_the_same_has_the_same_parameters(page: Callable[[str], Any]) -> None:
    """Names and order, of both twins; `all_keys` belongs to `query` here."""
    text = page("docs/how_to/move_from_keen_0_7.md").section("The same")
    official = {
        name: [p for p in inspect.signature(method).parameters if p not in ("self", "all_keys")]
        for name, method in inspect.getmembers(keen.client.KeenClient, inspect.isfunction)
    }
    named = {name for name in re.findall(r"`(\w+)", text) if name in official}
    assert len(named) >= 13
    for client in (KeenClient, AsyncKeenClient):
        ours = {
            name: [p for p in inspect.signature(getattr(client, name)).parameters if p != "self"]
            for name in named
        }
        assert {name: ours[name] for name in named} == {name: official[name] for name in named}


def test_what_is_called_absent_is_absent(page: Callable[[str], Any]) -> None:
    """And nothing else of the official client's is missing without a word."""
    absent = {
        name
        for name, _ in inspect.getmembers(keen.client.KeenClient, inspect.isfunction)
        if not name.startswith("_") and not hasattr(KeenClient, name)
    } - INTERNAL
    text = page("docs/how_to/move_from_keen_0_7.md").section("Not here")
    words = {
        "funnel": "funnel",
        "delete_events": "deletion",
        "generate_image_beacon": "image beacons",
        "get_collection": "schemas",
        "get_all_collections": "schemas",
    }
    assert {name for name in absent if words.get(name, "access keys") not in text} == set()
    assert {name for name in absent if name not in words and "access_key" not in name} == set()
