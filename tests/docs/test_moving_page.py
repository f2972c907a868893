"""What docs/how_to/move_from_keen_0_7.md calls the same is the same, and nothing of the official client is missing."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any

import keen.cached_datasets
import keen.client
import keen.saved_queries
import pytest

from keen_client import AsyncKeenClient, KeenClient
from keen_client.api.cached_datasets import CachedDatasets
from keen_client.api.saved_queries import SavedQueries

#: Public by their names only: the official client calls them itself.
INTERNAL = {"check_project_id", "get_params"}
#: Defaults that are written otherwise, and mean the same.
SAME_DEFAULT: dict[tuple[str, str], Any] = {
    ("create_access_key", "permitted"): (),
    ("create_access_key", "options"): None,
}


def _official(kind: type) -> dict[str, list[tuple[str, Any]]]:
    return {
        name: [
            (p.name, SAME_DEFAULT.get((name, p.name), p.default))
            for p in inspect.signature(method).parameters.values()
            if p.name != "self"
        ]
        for name, method in inspect.getmembers(kind, inspect.isfunction)
        if not name.startswith("_") and name not in INTERNAL
    }


def _ours(kind: type, name: str) -> list[tuple[str, Any]]:
    """Without what can be given by keyword only: that is new."""
    return [
        (p.name, p.default)
        for p in inspect.signature(getattr(kind, name)).parameters.values()
        if p.name != "self" and p.kind is not inspect.Parameter.KEYWORD_ONLY
    ]


@pytest.mark.parametrize("client", [KeenClient, AsyncKeenClient])
def test_every_official_method_has_the_same_parameters(client: type) -> None:
    """Names, order and defaults, of both twins."""
    official = _official(keen.client.KeenClient)
    assert {name: _ours(client, name) for name in official} == official


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        (keen.saved_queries.SavedQueriesInterface, SavedQueries),
        (keen.cached_datasets.CachedDatasetsInterface, CachedDatasets),
    ],
    ids=["saved-queries", "cached-datasets"],
)
def test_every_official_method_of_the_interfaces_too(theirs: type, ours: type) -> None:
    """Saved queries and cached datasets hang on the client in the same way."""
    official = _official(theirs)
    assert {name: _ours(ours, name) for name in official} == official


def test_the_page_names_every_official_method(page: Callable[[str], Any]) -> None:
    """Whoever moves finds the method that he uses under what is the same."""
    text = page("docs/how_to/move_from_keen_0_7.md").section("The same")
    assert set(_official(keen.client.KeenClient)) - set(re.findall(r"`(\w+)", text)) == set()
