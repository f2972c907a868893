"""Shredded properties: the two columns that stand for one, and which properties have them from the start.

``n`` is the value where it is a number, and ``t`` its JSON text where it is
not (or where it is an integer that a double cannot hold). Missing: both null.
So 1, "1" and true stay three values, and sums run over plain doubles.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

import orjson

# Auditing clients stamp their events and group by these stamps from the first
# query on; shredding them while folding spares that query, which may meet a
# million events, a rewrite of the table.
ALWAYS_SHREDDED: Final = ("kc.o", "kc.id", "kc.h", "kc.g", "kc.b", "kc.p")
#: The same for what the first events of a collection hold: few collections change their form later.
EARLY_SHREDDED: Final = 24
MAX_SHREDDED: Final = 48
#: Below it every integer is exactly a double; from it on, two may share one.
EXACT: Final = 2**53

#: A longer text is prose: nobody groups by it, and its column would double the table.
_EARLY_TEXT_MAX: Final = 256


class Column(NamedTuple):
    """The SQL of one property: ``text`` (JSON text of a non-number) and ``number`` (a DOUBLE)."""

    text: str
    number: str


class Parameters:
    """Values bound to one statement; :meth:`bind` gives back the placeholder."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}

    def bind(self, value: object, sql_type: str) -> str:
        """Bind *value* as *sql_type* (a constant of this package, never a user's text)."""
        name = f"p{len(self.values)}"
        self.values[name] = value
        return f"${name}::{sql_type}"


def early_paths(bodies: Iterable[str]) -> list[str]:
    """The properties to shred of a collection that begins with the events *bodies*."""
    found = dict.fromkeys(ALWAYS_SHREDDED)
    most = len(found) + EARLY_SHREDDED
    for body in bodies:
        for path in _scalar_paths(orjson.loads(body), ""):
            if len(found) == most:
                return list(found)
            found[path] = None
    return list(found)


def json_path(path: str) -> str:
    """The JSON path of a dotted property path, every name quoted."""
    names = path.split(".")
    if any(name in ("", "*") or '"' in name or "\\" in name for name in names):
        # DuckDB's path language cannot quote these (a quoted star is every member); a JSON pointer can.
        return "".join("/" + name.replace("~", "~0").replace("/", "~1") for name in names)
    return "$" + "".join(f'."{name}"' for name in names)


def typed(raw: str, text: str, number: str) -> str:
    """SELECT items *text* and *number* from the JSON text *raw* (see the module's docstring)."""
    is_number = f"({raw} >= '-' AND {raw} < ':')"
    inexact = f"(abs({raw}::DOUBLE) >= {EXACT} AND NOT contains({raw}, 'e') AND NOT contains({raw}, '.'))"
    return (
        f"CASE WHEN NOT {is_number} OR {inexact} THEN {raw} END AS {text}, "
        # Adding zero turns -0.0 into 0.0, so that both fall into one group.
        f"CASE WHEN {is_number} THEN {raw}::DOUBLE + 0.0 END AS {number}"
    )


def _scalar_paths(node: Mapping[str, Any], prefix: str) -> Iterator[str]:
    for name, value in node.items():
        path = f"{prefix}{name}"
        if path == "keen":
            continue
        if isinstance(value, dict):
            yield from _scalar_paths(value, f"{path}.")
        elif not isinstance(value, list) and not (isinstance(value, str) and len(value) > _EARLY_TEXT_MAX):
            yield path
