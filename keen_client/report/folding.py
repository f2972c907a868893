"""Folding: a line that is too long for a terminal goes on below, indented, broken where a gap is."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

from rich.cells import cell_len
from rich.text import Text

#: How much deeper than its first line the rest of a line stands.
HANGING: Final = 4
#: Narrower than this nothing is folded: it would not be clearer.
WIDTH_MIN: Final = 40

_GAPS: Final = re.compile(r" {2,}")
_SPACES: Final = re.compile(r" +")


def fold(lines: Iterable[Text], width: int) -> Iterator[Text]:
    """*lines* with none longer than *width* columns, where they have a space to be broken at.

    Broken first at gaps of several spaces, which stand between statements; then
    at single ones. What has no space, such as an id, is never broken.
    """
    for line in lines:
        if width < WIDTH_MIN or cell_len(line.plain) <= width:
            yield line
        else:
            yield from _folded(line, width)


def _folded(line: Text, width: int) -> Iterator[Text]:
    margin = len(line.plain) - len(line.plain.lstrip(" "))
    indent = Text(" " * (margin + HANGING))
    rest, is_first = line, True
    while cell_len(rest.plain) > width - (0 if is_first else len(indent)):
        found = _break(rest.plain, width - (0 if is_first else len(indent)))
        if found is None:
            break
        end, start = found
        yield rest[:end] if is_first else indent + rest[:end]
        rest, is_first = rest[start:], False
    yield rest if is_first else indent + rest


def _break(plain: str, room: int) -> tuple[int, int] | None:
    """Where the first piece ends and the next one starts; None: nowhere."""
    margin = len(plain) - len(plain.lstrip(" "))
    for pattern, least in ((_GAPS, room // 2), (_SPACES, 0)):
        fitting = [
            found.span()
            for found in pattern.finditer(plain, margin)
            if least <= cell_len(plain[: found.start()]) <= room and found.end() < len(plain)
        ]
        if fitting:
            return fitting[-1]
    later = next((f for f in _SPACES.finditer(plain, margin) if f.end() < len(plain)), None)
    return None if later is None else later.span()
