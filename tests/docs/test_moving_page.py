"""docs/how_to/move_from_keen_0_7.md names every call of the official client, with its parameters."""

from __future__ import annotations

import inspect
import re
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from keen_client import KeenClient
from keen_client.api.cached_datasets import SyncCachedDatasets
from keen_client.api.saved_queries import SavedQueries

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # the client of 2021 and today's Python
    import keen.cached_datasets
    import keen.client
    import keen.saved_queries

PAGE = "docs/how_to/move_from_keen_0_7.md"
#: Public by their names only: the official client calls them itself.
INTERNAL = {"check_project_id", "get_params"}


def _calls() -> Iterator[tuple[str, list[str]]]:
    """Each method, as the page writes it, with the names of its parameters."""
    for prefix, theirs, ours in (
        ("", keen.client.KeenClient, KeenClient),
        ("saved_queries.", keen.saved_queries.SavedQueriesInterface, SavedQueries),
        ("cached_datasets.", keen.cached_datasets.CachedDatasetsInterface, SyncCachedDatasets),
    ):
        for name, _ in inspect.getmembers(theirs, inspect.isfunction):
            if not name.startswith("_") and name not in INTERNAL:
                parameters = inspect.signature(getattr(ours, name)).parameters.values()
                given = [p.name for p in parameters if p.name != "self" and p.kind is not p.KEYWORD_ONLY]
                yield f"{prefix}{name}", given


@pytest.mark.parametrize(("call", "parameters"), list(_calls()))
def test_the_page_goes_through_every_call(
    page: Callable[[str], Any], call: str, parameters: list[str]
) -> None:
    """Whoever moves finds the call that he uses, with the parameters that it has in all three."""
    opened = page(PAGE)
    named = {
        match[1]: re.findall(r"(\w+)(?==|,|$)", re.sub(r"=\w+", "", match[2]))
        for name in opened.rows(opened.section("Call by call"))
        if (match := re.fullmatch(r"([\w.]+)\((.*)\)", name))
    }
    assert named.get(call) == parameters
