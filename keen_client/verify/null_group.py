"""The group null: events without our origin, among which ours may hide that lost their stamps.

An event whose properties were nulled keeps Keen's own members, so its token
names it. Where the token is gone too, its timestamp may still be that of an
event of ours. An event that lost properties *and* timestamp lies in no
timeframe and cannot be told from a lost one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import attrs

from keen_client.errors import NotFoundError
from keen_client.eventlog.entry import Entry
from keen_client.events.identity import EntryId
from keen_client.queries import Analysis, AnyOf, Filter, Timeframe
from keen_client.verify.answer import QueryApi, instant_or_none, refuse, row_list

#: Keen's cap on an extraction.
MEMBERS_MAX: Final = 100_000


@attrs.frozen
class Member:
    """One event without an origin. ``token`` None: it has none."""

    token: str | None
    timestamp_ms: int | None

    @property
    def token_id(self) -> EntryId | None:
        """The id of ours that its token names."""
        if self.token is None:
            return None
        try:
            return EntryId.parse(self.token.partition("~")[0])
        except ValueError:
            return None


@attrs.frozen
class Matched:
    """Which absentees the members of a null group are (``corrupt``), and which they may be (``disputed``)."""

    corrupt: frozenset[EntryId]
    disputed: frozenset[EntryId]


def extract_members(api: QueryApi, collection: str, timeframe: Timeframe, count: int) -> list[Member]:
    """The members of the null group of *timeframe*; *count* of them were counted there before.

    Raises:
        ApiError: no answer, too many, or not what was asked for.
    """
    if count > MEMBERS_MAX:
        refuse(f"{count} events without an origin are more than an extraction returns")
    query = Analysis(
        analysis_type="extraction",
        event_collection=collection,
        timeframe=timeframe,
        filters=[AnyOf([Filter("kc.o", "exists", False), Filter("kc.o", "eq", None)])],
        property_names=["keen.uniqueness_token", "keen.timestamp", "kc.id"],
    )
    try:
        rows = row_list(api.query(query), "the extraction")
    except NotFoundError:
        return []
    if len(rows) < count:
        refuse(f"an extraction shows {len(rows)} events without an origin where {count} were counted")
    return [_member(row) for row in rows]


def _member(row: Any) -> Member:
    keen = row.get("keen") if isinstance(row, dict) else None
    if not isinstance(keen, dict):
        return Member(None, None)
    token = keen.get("uniqueness_token")
    return Member(token if isinstance(token, str) else None, instant_or_none(keen.get("timestamp")))


def match_members(members: list[Member], absent: Mapping[EntryId, Entry]) -> Matched:
    """Match by token, then by timestamp among the absentees that no token named. Pure."""
    corrupt = {
        member.token_id for member in members if member.token_id is not None and member.token_id in absent
    }
    instants = {member.timestamp_ms for member in members if member.token is None}
    disputed = {
        entry_id
        for entry_id, entry in absent.items()
        if entry_id not in corrupt and entry.timestamp_ms in instants
    }
    return Matched(frozenset(corrupt), frozenset(disputed))
