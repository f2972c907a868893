"""Sightings: single events as the server shows them, asked for by block, by id or by token.

Events are asked for as groups with a count, not extracted: such an answer is
small, and extractions have caps on what they scan and return.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import pairwise
from typing import Any, Final

import attrs

from keen_client._foundation.clock import MS_PER_DAY
from keen_client.errors import NotFoundError
from keen_client.eventlog.entry import Entry
from keen_client.events.identity import BLOCK_ENTRIES, EntryId
from keen_client.queries import Analysis, AnyOf, Filter, Timeframe
from keen_client.queries.filters import AnyFilter
from keen_client.verify.answer import QueryApi, instant_or_none, record, row_list, whole
from keen_client.verify.parts import REFUSALS, Spans, ask_in_parts

#: Ids that one page of blocks holds, as far as the log knows.
PAGE_IDS_MAX: Final = 10_000
#: Ids and tokens that one query names.
IDS_PER_QUERY_MAX: Final = 500
#: What counts as any time: the widest timeframe that is asked for. Events elsewhere are not found.
HORIZON: Final = Timeframe(946_684_800_000, 4_102_444_800_000)  # 2000-01-01 to 2100-01-01

_TOKEN: Final = "keen.uniqueness_token"  # noqa: S105 — a property's name
_TIMESTAMP: Final = "keen.timestamp"
_STAMPED: Final = ("kc.id", "kc.h", "kc.g", _TIMESTAMP)


@attrs.frozen
class Sighting:
    """*copies* events alike. ``id`` None: it carries no id of ours; ``h``, ``g`` None: lost or no numbers.

    ``timestamp_ms`` UTC; ``token`` only where it was asked for.
    """

    id: EntryId | None
    h: int | None
    g: int | None
    timestamp_ms: int | None
    copies: int
    token: str | None = None

    @property
    def is_whole(self) -> bool:
        """Whether id and both stamps are there."""
        return self.id is not None and self.h is not None and self.g is not None


def sight_origin(
    api: QueryApi, collection: str, timeframe: Timeframe, origin: str, entries: Sequence[Entry]
) -> list[Sighting]:
    """Every event of *origin* in *timeframe*, page by page; *entries* are what the log knows of it, by seq.

    The pages cover all blocks, so events unknown to the log are found too.
    Where the server refuses one, all are asked for in smaller ones.

    Raises:
        ApiError: no answer, or not what was asked for.
    """
    own, page_ids = Filter("kc.o", "eq", origin), PAGE_IDS_MAX
    while True:
        found: list[Sighting] = []
        try:
            for blocks in _pages(entries, page_ids):
                found.extend(_ask(api, collection, timeframe, [own, *blocks], _STAMPED))
        except REFUSALS:
            page_ids = min(page_ids, len(entries)) // 2
            if page_ids < BLOCK_ENTRIES:
                raise
        else:
            return found


def sight_ids(
    api: QueryApi,
    collection: str,
    timeframe: Timeframe,
    tokens: Mapping[EntryId, Sequence[str]],
    control: EntryId | None = None,
    names_max: int = IDS_PER_QUERY_MAX,
) -> dict[EntryId, list[Sighting]]:
    """What *timeframe* shows of each id, or of an event with one of its *tokens*; absent ids have an empty list.

    Every query asks for *control* too, an event that is believed to be there:
    an answer without it shows no absence. It has an empty list where any
    answer lacked it. A query names at most *names_max* ids and as many tokens;
    what the server refuses is asked for in smaller parts, and where it refuses
    a single one, in shorter timeframes, whose answers count as one.

    Raises:
        ApiError: no answer, or not what was asked for.
    """
    found: dict[EntryId, list[Sighting]] = {entry_id: [] for entry_id in tokens}
    by_token = {token: entry_id for entry_id in tokens for token in tokens[entry_id]}
    controls: list[list[Sighting]] = []

    def ask(part: Sequence[EntryId], span: Timeframe) -> list[Sighting]:
        ids = [str(entry_id) for entry_id in (*part, *([] if control is None else [control]))]
        own = [token for entry_id in part for token in tokens[entry_id]]
        named = AnyOf([Filter("kc.id", "in", ids), Filter(_TOKEN, "in", own)])
        return _ask(api, collection, span, [named], (*_STAMPED, _TOKEN))

    def all_answers(spans: Spans) -> list[list[Sighting]]:
        most = min(IDS_PER_QUERY_MAX, names_max) - (control is not None)
        return list(
            ask_in_parts(
                sorted(tokens),
                most,
                lambda part: spans.ask(partial(ask, part)),
                lambda entry_id: max(1, len(tokens[entry_id])),
            )
        )

    try:
        answers = all_answers(Spans(timeframe, is_cut=False))
    except REFUSALS:  # not for the number of ids: for how much it would have to look at
        answers = all_answers(Spans(timeframe))
    for sightings in answers:
        controls.append([])
        for sighting in sightings:
            entry_id = sighting.id if sighting.id in found else by_token.get(sighting.token or "")
            if entry_id is not None:
                found[entry_id].append(sighting)
            elif control is not None and sighting.id == control:
                controls[-1].append(sighting)
    if control is not None:
        found[control] = controls[0] if controls and all(controls) else []
    return found


def days_around(entries: Iterable[Entry]) -> Timeframe:
    """From a day before to a day after the days of *entries*."""
    days = [entry.timestamp_ms // MS_PER_DAY for entry in entries] or [HORIZON.start_ms // MS_PER_DAY]
    return Timeframe((min(days) - 1) * MS_PER_DAY, (max(days) + 2) * MS_PER_DAY)


def _pages(entries: Sequence[Entry], page_ids: int) -> Iterator[list[AnyFilter]]:
    """Filters on ``kc.b`` that cut all blocks into pages; the outer ones have no outer bound.

    With several pages the last one looks for events that have no block at all.
    """
    bounds = sorted({entry.seq // BLOCK_ENTRIES for entry in entries[page_ids::page_ids]})
    if not bounds:
        yield []
        return
    yield [Filter("kc.b", "lt", bounds[0])]
    for low, high in pairwise(bounds):
        yield [Filter("kc.b", "gte", low), Filter("kc.b", "lt", high)]
    yield [Filter("kc.b", "gte", bounds[-1])]
    yield [Filter("kc.b", "eq", None)]


def _ask(
    api: QueryApi,
    collection: str,
    timeframe: Timeframe,
    filters: Sequence[AnyFilter],
    group_by: Sequence[str],
) -> list[Sighting]:
    query = Analysis(
        analysis_type="count",
        event_collection=collection,
        timeframe=timeframe,
        timezone="UTC",
        filters=list(filters),
        group_by=list(group_by),
    )
    try:
        rows = row_list(api.query(query), "the answer")
    except NotFoundError:
        return []
    names = frozenset([*group_by, "result"])
    return [_sighting(record(row, names, "a group")) for row in rows]


def _sighting(row: Mapping[str, Any]) -> Sighting:
    token = row.get(_TOKEN)
    return Sighting(
        _entry_id(row["kc.id"]),
        _stamp(row["kc.h"]),
        _stamp(row["kc.g"]),
        instant_or_none(row[_TIMESTAMP]),
        whole(row["result"], "a count"),
        token if isinstance(token, str) else None,
    )


def _entry_id(value: object) -> EntryId | None:
    try:
        return EntryId.parse(value) if isinstance(value, str) else None
    except ValueError:
        return None


def _stamp(value: object) -> int | None:
    """A stamp, or None for what cannot be one: it was nulled or altered."""
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value // 1:
        return None
    return int(value)
