"""Every public call of keen 0.7.0 against ours: the same name and parameters, or a difference that the page lists."""

from __future__ import annotations

import contextlib
import importlib
import inspect
import pkgutil
import re
import warnings
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any, Final

import pytest

ONE_WAY = "there is one way to speak to Keen, and one place for events: the log"
INNER = "what is inside a scoped key's making"
SAFE = "a default that every call shares can be changed by one of them; it means the same"
NAMED = "the parameters have their names"
MADE = "the client makes it"
HINTED = "an error says what to do next, too"
ONE_NAME = "a parameter has one name everywhere"
CLASSES = "there is a class for each status, and for what is refused here"

#: What differs on purpose, and why. A module stands for all that is in it.
DIFFERENCES: Final[dict[str, str]] = {
    "keen.Padding": INNER,
    "keen.api": ONE_WAY,
    "keen.persistence_strategies": ONE_WAY,
    "keen.utilities": "what keen 0.7 uses itself",
    "keen.add_event": ONE_NAME,
    "keen.generate_image_beacon": ONE_NAME,
    "keen.create_access_key": SAFE,
    "keen.delete_events": NAMED,
    "keen.funnel": NAMED,
    "keen.get_collection": NAMED,
    "keen.cached_datasets.CachedDatasetsInterface": MADE,
    "keen.saved_queries.SavedQueriesInterface": MADE,
    "keen.client.Event": "events are given as dicts",
    "keen.client.KeenClient": ONE_WAY,
    "keen.client.KeenClient.check_project_id": "the constructor checks",
    "keen.client.KeenClient.create_access_key": SAFE,
    "keen.client.KeenClient.get_params": "what keen 0.7 uses itself",
    "keen.direction.is_valid_direction": "a wrong direction is refused at the call",
    "keen.exceptions.BaseKeenClientError": HINTED,
    "keen.exceptions.InvalidEnvironmentError": HINTED,
    "keen.exceptions.InvalidPersistenceStrategyError": ONE_WAY,
    "keen.exceptions.InvalidProjectIdError": "it is an `InvalidEnvironmentError` or a `ConfigurationError`",
    "keen.exceptions.KeenApiError": CLASSES,
    "keen.scoped_keys.decode_aes256": INNER,
    "keen.scoped_keys.encode_aes256": INNER,
    "keen.scoped_keys.ensure_bytes": INNER,
    "keen.scoped_keys.old_decode_aes": INNER,
    "keen.scoped_keys.old_encode_aes": INNER,
    "keen.scoped_keys.old_pad": INNER,
    "keen.scoped_keys.old_unpad": INNER,
    "keen.scoped_keys.pad_aes256": INNER,
    "keen.scoped_keys.unpad_aes256": INNER,
}
#: Where the main package has what keen 0.7 has elsewhere; the functions of the module are methods of its clients.
PLACES: Final = (
    (r"^keen\.exceptions\.BaseKeenClientError", "keen_client.errors.KeenError"),
    (r"^keen\.exceptions\.", "keen_client.errors."),
    (r"^keen\.saved_queries\.SavedQueriesInterface", "keen_client.api.saved_queries.SavedQueries"),
    (
        r"^keen\.cached_datasets\.CachedDatasetsInterface",
        "keen_client.api.cached_datasets.SyncCachedDatasets",
    ),
    (r"^keen\.scoped_keys\.", "keen_client.scoped_keys."),
    (r"^keen\.client\.KeenClient$", "keen_client.{client}"),
    (r"^keen\.client\.KeenClient\.", "keen_client.{client}."),
    (r"^keen\.(?=\w+$)", "keen_client.{client}."),
)
STARS: Final[dict[Any, str]] = {
    inspect.Parameter.VAR_POSITIONAL: "*",
    inspect.Parameter.VAR_KEYWORD: "**",
}
#: A class that is made without arguments, or with whatever an exception takes.
_NO_CONSTRUCTOR: Final = (object.__init__, BaseException.__init__, Exception.__init__)


def calls_of(package: str) -> dict[str, str]:
    """The path of each public function, class and method of *package*, and its signature.

    A class stands for its constructor. What a module has imported is not counted.
    """
    found: dict[str, str] = {}
    for module in _modules(package):
        for name, value in _public(module):
            if value.__module__ == module.__name__:
                found |= _described(f"{module.__name__}.{name}", value)
    return found


def find(path: str) -> str | None:
    """The signature of what *path* names; None where there is nothing of that name."""
    module, _, rest = path.partition(".")
    value: Any = importlib.import_module(module)
    for name in rest.split("."):
        if isinstance(value, ModuleType):
            with contextlib.suppress(ImportError):
                importlib.import_module(f"{value.__name__}.{name}")
        value = getattr(value, name, None)
    return None if value is None else signature_of(value)


def signature_of(value: Callable[..., Any]) -> str:
    """Names, order and defaults of the parameters that can be given by position, and the stars."""
    if isinstance(value, type) and value.__init__ in _NO_CONSTRUCTOR:  # type: ignore[misc]
        return "()" if not issubclass(value, BaseException) else "(*args)"
    return f"({', '.join(_parameters(value))})"


def _parameters(value: Callable[..., Any]) -> Iterator[str]:
    for parameter in inspect.signature(value).parameters.values():
        if parameter.name == "self" or parameter.kind is inspect.Parameter.KEYWORD_ONLY:
            continue
        star = STARS.get(parameter.kind, "")
        default = parameter.default
        if default is inspect.Parameter.empty:
            yield f"{star}{parameter.name}"
        else:
            shown = default.__name__ if isinstance(default, type) else repr(default)
            yield f"{parameter.name}={shown}"


def _modules(package: str) -> Iterator[ModuleType]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the client of 2021 and today's Python
        top = importlib.import_module(package)
        yield top
        for found in pkgutil.iter_modules(top.__path__, f"{package}."):
            yield importlib.import_module(found.name)


def _public(thing: object) -> list[tuple[str, Any]]:
    return [
        (name, value)
        for name, value in inspect.getmembers(thing)
        if not name.startswith("_") and (inspect.isfunction(value) or inspect.isclass(value))
    ]


def _described(path: str, value: Any) -> dict[str, str]:
    described = {path: signature_of(value)}
    if isinstance(value, type):
        for name, method in _public(value):
            described[f"{path}.{name}"] = signature_of(method)
    return described


OFFICIAL: Final = calls_of("keen")


def _in_compat(path: str) -> str | None:
    return find(path.replace("keen.", "keen_client.compat.", 1))


def _in_main(path: str, client: str = "KeenClient") -> str | None:
    for pattern, place in PLACES:
        if re.match(pattern, path):
            return find(re.sub(pattern, place.format(client=client), path))
    return None


FACES: Final[dict[str, Callable[[str], str | None]]] = {
    "keen_client.compat": _in_compat,
    "keen_client": _in_main,
    "keen_client, async": lambda path: _in_main(path, "AsyncKeenClient"),
}


def _listed(path: str) -> str | None:
    """The entry of the list that *path* falls under."""
    parts = path.split(".")
    return next(
        (name for end in range(len(parts), 1, -1) if (name := ".".join(parts[:end])) in DIFFERENCES), None
    )


@pytest.mark.parametrize("face", FACES)
def test_what_differs_is_listed(face: str) -> None:
    """Same names, and parameters of the same name, order and default; keyword-only ones are new and add to it."""
    different = {path for path, signature in OFFICIAL.items() if FACES[face](path) != signature}
    assert {path for path in different if _listed(path) is None} == set()


def test_what_is_listed_differs() -> None:
    """A difference that is gone goes from the list."""
    different = {
        _listed(path)
        for path, signature in OFFICIAL.items()
        if any(look(path) != signature for look in FACES.values())
    }
    assert set(DIFFERENCES) - different == set()


def test_the_page_lists_just_these(page: Callable[[str], Any]) -> None:
    """Each with what it is in either package, and why."""
    opened = page("docs/how_to/move_from_keen_0_7.md")
    rows = opened.rows(opened.section("Names and parameters that differ"))
    assert {name: row[3] for name, row in rows.items()} == DIFFERENCES
    for name, (_, in_compat, in_main, _) in rows.items():
        assert in_compat == _shown(name, _in_compat), name
        assert in_main == _shown(name, _in_main), name


def _shown(name: str, look: Callable[[str], str | None]) -> str:
    ours = look(name)
    if ours is None:
        return "absent"
    return "the same" if ours == OFFICIAL[name] else f"`{ours}`"
