"""The add-on ``keen:referrer_parser``: by which kind of page a visitor came.

The table holds the well-known search engines, mail services and networks; what
is not in it is ``UNKNOWN``, as with any such table.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, NamedTuple
from urllib.parse import parse_qs, urlsplit


class _Site(NamedTuple):
    medium: str
    source: str
    terms: tuple[str, ...] = ()


_SITES: Final[Mapping[str, _Site]] = {
    "ask.com": _Site("SEARCH", "Ask", ("q",)),
    "baidu.com": _Site("SEARCH", "Baidu", ("wd", "word")),
    "bing.com": _Site("SEARCH", "Bing", ("q",)),
    "duckduckgo.com": _Site("SEARCH", "DuckDuckGo", ("q",)),
    "ecosia.org": _Site("SEARCH", "Ecosia", ("q",)),
    "search.brave.com": _Site("SEARCH", "Brave", ("q",)),
    "search.yahoo.com": _Site("SEARCH", "Yahoo!", ("p",)),
    "seznam.cz": _Site("SEARCH", "Seznam", ("q",)),
    "startpage.com": _Site("SEARCH", "Startpage", ("query",)),
    "yandex.com": _Site("SEARCH", "Yandex", ("text",)),
    "yandex.ru": _Site("SEARCH", "Yandex", ("text",)),
    "mail.aol.com": _Site("EMAIL", "AOL Mail"),
    "mail.google.com": _Site("EMAIL", "Gmail"),
    "mail.yahoo.com": _Site("EMAIL", "Yahoo! Mail"),
    "mail.yandex.ru": _Site("EMAIL", "Yandex.Mail"),
    "outlook.live.com": _Site("EMAIL", "Outlook.com"),
    "outlook.office.com": _Site("EMAIL", "Outlook.com"),
    "facebook.com": _Site("SOCIAL", "Facebook"),
    "instagram.com": _Site("SOCIAL", "Instagram"),
    "linkedin.com": _Site("SOCIAL", "LinkedIn"),
    "news.ycombinator.com": _Site("SOCIAL", "Hacker News"),
    "pinterest.com": _Site("SOCIAL", "Pinterest"),
    "reddit.com": _Site("SOCIAL", "Reddit"),
    "t.co": _Site("SOCIAL", "Twitter"),
    "twitter.com": _Site("SOCIAL", "Twitter"),
    "x.com": _Site("SOCIAL", "Twitter"),
    "youtube.com": _Site("SOCIAL", "YouTube"),
}
# Google has one domain a country: google.de, www.google.co.uk.
_GOOGLE_HOST: Final = re.compile(r"(?:www\.)?google\.(?:[a-z]{2,3}|com?\.[a-z]{2})")
_GOOGLE: Final = _Site("SEARCH", "Google", ("q",))
_UNKNOWN: Final = _Site("UNKNOWN", "")


def referrer(referrer_url: str, page_url: str) -> dict[str, str | None]:
    """``medium, source, term`` of *referrer_url*, seen from *page_url*; no members where it is not a URL."""
    try:
        parts, page = urlsplit(referrer_url.strip()), urlsplit(page_url.strip())
        host, own = parts.hostname, page.hostname
        query = parse_qs(parts.query)
    except ValueError:
        return {}
    if parts.scheme not in ("http", "https") or not host:
        return {}
    if host == own:
        return {"medium": "INTERNAL", "source": None, "term": None}
    site = _site(host)
    terms = [value for name in site.terms for value in query.get(name, ())]
    return {"medium": site.medium, "source": site.source or None, "term": terms[0] if terms else None}


def _site(host: str) -> _Site:
    """The site of *host*: the longest entry that it ends with."""
    labels = host.split(".")
    for start in range(len(labels)):
        found = _SITES.get(".".join(labels[start:]))
        if found is not None:
            return found
    return _GOOGLE if _GOOGLE_HOST.fullmatch(host) else _UNKNOWN
