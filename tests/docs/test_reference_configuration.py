"""docs/reference/configuration.md names every setting, and no setting that does not exist."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest

import keen_client
from keen_client import DeliveryConfig, KeenClient, LogConfig
from keen_client.client.settings import ENVIRONMENT, SECRETS, TABLES

PACKAGE = Path(keen_client.__file__).parent
PAGE = "docs/reference/configuration.md"
#: Variables of others that the package reads, or that libraries read for it.
OTHERS = {"XDG_STATE_HOME", "NO_COLOR"}


def shown(value: Any) -> str:
    """A default as the page writes it."""
    if isinstance(value, bool) or value is None or value == ():
        return repr(value)
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:g}"
    return str(value)


def test_every_environment_variable_is_described(page: Callable[[str], Any]) -> None:
    """Those of the settings, those named anywhere in the code, and no others."""
    described = set(page(PAGE).rows(page(PAGE).section("Environment variables")))
    settings = set(ENVIRONMENT.values()) | {f"{ENVIRONMENT[name]}_FILE" for name in SECRETS}
    named = {
        name
        for path in PACKAGE.rglob("*.py")
        for name in re.findall(r"\"(KEEN_[A-Z_]+)\"", path.read_text(encoding="utf-8"))
    }
    assert described == settings | named | OTHERS


def test_every_member_of_the_file_is_described(page: Callable[[str], Any]) -> None:
    """With the variable that means the same."""
    rows = page(PAGE).rows(page(PAGE).section("Members of keen-client.toml"))
    assert set(rows) == {*ENVIRONMENT, *TABLES}
    assert [name for name in ENVIRONMENT if rows[name][1] != f"`{ENVIRONMENT[name]}`"] == []
    assert [name for name, kind in TABLES.items() if kind.__name__ not in rows[name][1]] == []


def test_every_argument_of_the_client_is_described(page: Callable[[str], Any]) -> None:
    """With its default."""
    rows = page(PAGE).rows(page(PAGE).section("Arguments of KeenClient"))
    arguments = list(inspect.signature(KeenClient).parameters.values())
    assert set(rows) == {argument.name for argument in arguments}
    assert [a.name for a in arguments if rows[a.name][1] != f"`{shown(a.default)}`"] == []


@pytest.mark.parametrize("config", [LogConfig, DeliveryConfig])
def test_every_field_of_a_config_is_described(page: Callable[[str], Any], config: type) -> None:
    """With its default, and a unit that its name bears out."""
    rows = page(PAGE).rows(page(PAGE).section(f"Fields of {config.__name__}"))
    fields = attrs.fields(config)
    assert set(rows) == {field.name for field in fields}
    for field in fields:
        _, default, unit, *_ = rows[field.name]
        assert default == f"`{shown(field.default)}`", field.name
        for suffix in ("seconds", "days", "bytes"):
            assert (unit == suffix) == (suffix in field.name.split("_")), field.name
