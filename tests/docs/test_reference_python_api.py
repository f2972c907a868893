"""docs/reference/python_api.md names every public call, and the values that they return."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from collections.abc import Callable
from typing import Any

import pytest

import keen_client
import keen_client.compat
from keen_client import KeenClient
from keen_client.api.cached_datasets import SyncCachedDatasets
from keen_client.api.saved_queries import SavedQueries

PAGE = "docs/reference/python_api.md"
COMPAT_MODULES = [f".{found.name}" for found in pkgutil.iter_modules(keen_client.compat.__path__)]


def _public(kind: type) -> set[str]:
    return {name for name in dir(kind) if not name.startswith("_")}


def test_every_call_of_the_client_is_named(page: Callable[[str], Any]) -> None:
    """Methods and properties."""
    named = set(re.findall(r"`(\w+)", page(PAGE).text))
    assert _public(KeenClient) - named == set()


@pytest.mark.parametrize(
    ("prefix", "kind"), [("saved_queries", SavedQueries), ("cached_datasets", SyncCachedDatasets)]
)
def test_every_call_of_the_interfaces_is_named(page: Callable[[str], Any], prefix: str, kind: type) -> None:
    """Each in a row that begins with the interface's name, with all its parameters."""
    rows = "\n".join(line for line in page(PAGE).text.splitlines() if f"`{prefix}." in line)
    for name in _public(kind):
        parameters = [p for p in inspect.signature(getattr(kind, name)).parameters if p != "self"]
        call = re.search(rf"[.`]{name}\(([^)]*)\)", rows)
        assert call is not None, name
        assert re.findall(r"(\w+)(?==|,|$)", re.sub(r"=\w+", "", call[1])) == parameters, name


@pytest.mark.parametrize("module", ["", *COMPAT_MODULES])
def test_every_name_for_programs_of_keen_0_7_is_named(page: Callable[[str], Any], module: str) -> None:
    """Settings, functions, classes and errors of compat, and of the modules within."""
    named = set(re.findall(r"`(?:\w+\.)?(\w+)", page(PAGE).text))
    package = importlib.import_module(f"keen_client.compat{module}")
    assert set(getattr(package, "__all__", ())) - named == set()


def test_every_value_is_named(page: Callable[[str], Any]) -> None:
    """Errors have a page of their own; all else that the package exports stands here."""
    named = set(re.findall(r"`(\w+)", page(PAGE).text))
    values = {
        name
        for name in keen_client.__all__
        if not (isinstance(value := getattr(keen_client, name), type) and issubclass(value, Exception))
    }
    assert values - named - {"KeenClient", "AsyncKeenClient"} == set()
