"""The add-on ``keen:url_parser``: the parts of a URL."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, urlsplit


def url_parts(url: str) -> dict[str, Any] | None:
    """``protocol, domain, path, anchor`` and ``query_string`` (an object) of *url*; None where it is not absolute.

    A parameter of the query string whose name cannot name a property is left
    out; of one that repeats, the last value counts.
    """
    try:
        parts = urlsplit(url.strip())
        domain = parts.hostname
        query = parse_qsl(parts.query, keep_blank_values=True)
    except ValueError:
        return None
    if not parts.scheme or not domain:
        return None
    return {
        "protocol": parts.scheme,
        "domain": domain,
        "path": parts.path or "/",
        "anchor": parts.fragment or None,
        "query_string": {name: value for name, value in query if _names_a_property(name)},
    }


def _names_a_property(name: str) -> bool:
    return bool(name) and "." not in name and not name.startswith("$") and len(name) <= 256
