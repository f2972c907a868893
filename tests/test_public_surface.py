"""The public surface is what `keen_client.__all__` says: no more, no less."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
import types
import typing

import keen_client
from keen_client import errors
from keen_client.verify.presets import PRESETS, PresetName
from keen_client.verify.windows import WIDTHS_MS, WindowName

SURFACE: list[str] = list(getattr(keen_client, "__all__", []))
#: Results that are used where they are returned, as an iterator or as a part of the client.
MET_BY_THEIR_CALLS = {"EventIterator", "Project", "SyncCachedDatasets"}


def test_surface_is_sorted_and_says_nothing_twice() -> None:
    """One order for readers and for merges."""
    assert sorted(set(SURFACE)) == SURFACE


def test_surface_is_the_public_namespace() -> None:
    """A name without an underscore is public, and a public name is listed; submodules go by their path."""
    for name in SURFACE:  # some are loaded at first use
        getattr(keen_client, name)
    namespace = {
        name
        for name, value in vars(keen_client).items()
        if not name.startswith("_") and name != "annotations" and not isinstance(value, types.ModuleType)
    }
    assert {name for name in SURFACE if not name.startswith("_")} == namespace


def test_every_name_can_be_imported() -> None:
    """Each listed name is there, documented, and defined in the package itself."""
    for name in SURFACE:
        value = getattr(keen_client, name)
        if isinstance(value, type) or callable(value):
            assert value.__doc__, f"{name} has no docstring"
            assert value.__module__.startswith("keen_client"), f"{name} comes from {value.__module__}"


def test_import_loads_no_optional_extra() -> None:
    """`import keen_client` works where only the base dependencies are installed, and stays quick."""
    program = "import sys, keen_client; print(*sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()).isdisjoint(
        {
            "cryptography",
            "duckdb",
            "starlette",
            "uvicorn",
            "rich",
            "pytest",
            "hypothesis",
            "pyarrow",
            "pandas",
            "polars",
        }
    )


def test_import_loads_nothing_but_the_errors() -> None:
    """What a name needs is loaded at the first use of that name, and the rest of the package is not."""
    program = (
        "import sys, keen_client; print(*(name for name in sys.modules if name.startswith('keen_client')))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) == {"keen_client", "keen_client.errors"}


def test_what_the_calls_return_can_be_imported() -> None:
    """The class of every result that `KeenClient` and its log are annotated with, for annotations of one's own."""
    returned = {
        found
        for kind in (keen_client.KeenClient, keen_client.LogView)
        for name, member in inspect.getmembers(kind)
        if not name.startswith("_")
        for found in _classes(typing.get_type_hints(getattr(member, "fget", member)).get("return"))
    }
    assert {keen_client.VerifyReport, keen_client.LoggedEvent, keen_client.Receipt} <= returned
    assert {kind.__name__ for kind in returned} - set(SURFACE) - MET_BY_THEIR_CALLS == set()


def test_words_of_a_verification_are_typed_as_they_are_taken() -> None:
    """What a type checker lets through is what is accepted, for windows and presets."""
    assert typing.get_args(PresetName) == tuple(PRESETS)
    assert typing.get_args(WindowName) == tuple(WIDTHS_MS)


def _classes(annotation: object) -> set[type]:
    """Those of this package that *annotation* is made of."""
    inner = {kind for part in typing.get_args(annotation) for kind in _classes(part)}
    if isinstance(annotation, type) and annotation.__module__.startswith("keen_client"):
        inner.add(annotation)
    return inner


def test_error_tree_is_the_drawn_one() -> None:
    """The tree in the docstring of `errors` names every class under its true parent."""
    drawn: list[tuple[int, str]] = [
        (len(prefix), name)
        for prefix, name in re.findall(
            r"^([ │├└─]*)(\w+)", (errors.__doc__ or "").split("::")[1], re.MULTILINE
        )
    ]
    true = [(4 + 4 * depth, cls.__name__) for depth, cls in _tree(errors.KeenError, 0)]
    assert drawn == true
    defined = {
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and value.__module__ == errors.__name__
    }
    assert {name for _, name in drawn} == defined


def _tree(cls: type[Exception], depth: int) -> list[tuple[int, type[Exception]]]:
    children = [child for child in cls.__subclasses__() if child.__module__ == errors.__name__]
    return [(depth, cls)] + [item for child in children for item in _tree(child, depth + 1)]
