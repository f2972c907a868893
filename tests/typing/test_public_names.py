"""tests/typing/public_api.py, which type checkers read, leaves out nothing that is public."""

from __future__ import annotations

import ast
import importlib
import pkgutil
from pathlib import Path
from typing import Final

import pytest

import keen_client.compat

FILE: Final = Path(__file__).with_name("public_api.py")
PACKAGES: Final = [
    "keen_client",
    "keen_client.compat",
    *(found.name for found in pkgutil.iter_modules(keen_client.compat.__path__, "keen_client.compat.")),
    "keen_client.queries",
    "keen_client.results",
    "keen_client.sample",
    "keen_client.server",
]


def _used() -> set[str]:
    """The names that the file uses; to import one is no use of it."""
    nodes = list(ast.walk(ast.parse(FILE.read_text(encoding="utf-8"))))
    names = {node.id for node in nodes if isinstance(node, ast.Name)}
    return names | {node.attr for node in nodes if isinstance(node, ast.Attribute)}


@pytest.mark.parametrize("package", PACKAGES)
def test_every_public_name_is_type_checked(package: str) -> None:
    """Each name of ``__all__`` is used there, so both checkers have seen it at work."""
    exported = set(getattr(importlib.import_module(package), "__all__", ()))
    assert exported - _used() == set()
