"""JSON as it comes in: parsed, and refused where it is broken or deeper than what walks through it can bear."""

from __future__ import annotations

from typing import Any, Final

import orjson

from keen_client.server.refusal import INVALID_JSON, bad_request

#: Queries, definitions and all else but events are nested no deeper. Events have a bound of their own.
MAX_NESTING: Final = 64


def parse_json(body: bytes) -> Any:
    """*body* as JSON, or a 400. Numbers that no double holds, and lone surrogates, are no JSON."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        raise bad_request(INVALID_JSON, "The body is not valid JSON; nothing was stored.") from None


def check_nesting(document: Any) -> Any:
    """*document* itself, or a 400 where it is nested too deep."""
    if is_deeper(document, MAX_NESTING):
        text = f"JSON here may be nested at most {MAX_NESTING} levels deep; nothing was changed."
        raise bad_request(INVALID_JSON, text)
    return document


def is_deeper(value: object, levels: int) -> bool:
    """Whether *value* has objects or lists in more than *levels* levels."""
    level: list[Any] = [value]
    for _ in range(levels + 1):
        level = [node for node in level if isinstance(node, (dict, list))]
        if not level:
            return False
        level = [inner for node in level for inner in (node.values() if isinstance(node, dict) else node)]
    return True
