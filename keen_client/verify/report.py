"""What a verification found, as values and as the document that other programs read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from functools import reduce
from operator import or_
from typing import Any, Final

import attrs

from keen_client._foundation.clock import ms_to_datetime, ms_to_iso
from keen_client.api.cost import Cost
from keen_client.eventlog.unreadable import Unreadable
from keen_client.events.identity import EntryId
from keen_client.verify.verdict import EXIT_BITS, Verdict

SCHEMA: Final = 1

Ids = tuple[EntryId, ...]

#: The lists of ids that a window has, in the order in which they are told.
NAMED: Final = (
    "missing",
    "duplicate",
    "corrupt",
    "shifted",
    "disputed",
    "collision",
    "vanished",
    "given_up",
    "unexpected",
    "strangers",
)


def _sorted(ids: Iterable[EntryId]) -> Ids:
    return tuple(sorted(ids))


@attrs.frozen
class Share:
    """What one origin, which is one segment, has of a window. ``state``: that of the window, or a better one.

    ``server_count`` None: not obtained.
    """

    origin: str
    local_count: int
    server_count: int | None
    state: Verdict


@attrs.frozen(kw_only=True)
class WindowReport:
    """One window of one collection. Times are UTC milliseconds since 1970, and aware UTC without ``_ms``.

    The lists hold ids as receipts have them, by (origin, seq):
    ``receipt.id in window.missing`` asks after one event.

    ``local_count`` is what is expected at the server, ``server_count`` what it
    shows of this log's origins, ``foreign`` the rest; None: not obtained.
    ``reads`` counts the stored observations, this one included. ``missing``
    are absent everywhere; those of them that a replay may resend are
    ``eligible``, those that had been seen before are ``vanished``, those that
    were resent in vain ``given_up``; neither is ever eligible.
    ``unexpected``: refused, dropped or recorded anew, and there all the same.
    ``strangers``: at the server under an origin of this log, and not in the log.
    ``collision``: the server has another event under the id.
    ``disputed``: absent, but a member of the null group could be it.
    ``due_ms``: when the next read would tell more; None: never. ``was``: the
    state to which the read before this one led; None: there was none.
    ``seen_earlier``: those of the lists that this read did not look for, and
    when (UTC milliseconds) a read last showed them so.
    """

    collection: str
    start_ms: int
    end_ms: int
    state: Verdict
    reason: str = ""
    reads: int = 0
    local_count: int | None = None
    server_count: int | None = None
    foreign: int | None = None
    missing: Ids = attrs.field(default=(), converter=_sorted)
    duplicate: Ids = attrs.field(default=(), converter=_sorted)
    corrupt: Ids = attrs.field(default=(), converter=_sorted)
    shifted: Ids = attrs.field(default=(), converter=_sorted)
    collision: Ids = attrs.field(default=(), converter=_sorted)
    disputed: Ids = attrs.field(default=(), converter=_sorted)
    vanished: Ids = attrs.field(default=(), converter=_sorted)
    given_up: Ids = attrs.field(default=(), converter=_sorted)
    unexpected: Ids = attrs.field(default=(), converter=_sorted)
    strangers: Ids = attrs.field(default=(), converter=_sorted)
    eligible: Ids = attrs.field(default=(), converter=_sorted)
    due_ms: int | None = None
    was: Verdict | None = None
    seen_earlier: Mapping[EntryId, int] = attrs.Factory(dict)
    shares: tuple[Share, ...] = ()

    @property
    def start(self) -> datetime:
        """Where the window begins; aware, UTC."""
        return ms_to_datetime(self.start_ms)

    @property
    def end(self) -> datetime:
        """Where it ends, excluded; aware, UTC."""
        return ms_to_datetime(self.end_ms)

    @property
    def due(self) -> datetime | None:
        """When the next read would tell more, aware, UTC; None: never."""
        return None if self.due_ms is None else ms_to_datetime(self.due_ms)

    @property
    def named(self) -> dict[str, Ids]:
        """The lists that are not empty, by name, in the order in which they are told."""
        lists = {name: getattr(self, name) for name in NAMED}
        return {name: ids for name, ids in lists.items() if ids}

    def document(self) -> dict[str, Any]:
        """The member of ``windows``."""
        return {
            "collection": self.collection,
            "start": ms_to_iso(self.start_ms),
            "end": ms_to_iso(self.end_ms),
            "state": str(self.state),
            "reason": self.reason,
            "reads": self.reads,
            "local": {"count": self.local_count},
            "server": {"count": self.server_count},
            "foreign": self.foreign,
            "missing": _texts(self.missing),
            "duplicate": _texts(self.duplicate),
            "corrupt": _texts(self.corrupt),
            "shifted": _texts(self.shifted),
            "collision": _texts(self.collision),
            "disputed": _texts(self.disputed),
            "vanished": _texts(self.vanished),
            "given_up": _texts(self.given_up),
            "unexpected": _texts(self.unexpected),
            "strangers": _texts(self.strangers),
            "due": None if self.due_ms is None else ms_to_iso(self.due_ms),
            "was": None if self.was is None else str(self.was),
            "seen_earlier": [
                {"id": str(entry_id), "at": ms_to_iso(self.seen_earlier[entry_id])}
                for entry_id in sorted(self.seen_earlier)
            ],
        }


@attrs.frozen(kw_only=True)
class Segment:
    """One segment, which is one origin: all that was recorded on ``day`` (UTC) into one file.

    ``windows`` counts the states of its shares; ``named`` the events in doubt
    by the name of the list; ``first_ms`` and ``last_ms`` bound the windows in
    which something of it is not a match (UTC milliseconds, end excluded; None: there is none).
    ``server_count`` is that of the windows for which it was obtained, None where it was for none.
    """

    origin: str
    day: str
    local_count: int
    server_count: int | None
    windows: Mapping[Verdict, int]
    named: Mapping[str, int]
    first_ms: int | None = None
    last_ms: int | None = None

    @property
    def name(self) -> str:
        """As its file is called."""
        return f"{self.day}-{self.origin}"

    def document(self) -> dict[str, Any]:
        """The member of ``segments``."""
        return {
            "segment": self.name,
            "origin": self.origin,
            "day": self.day,
            "local": {"count": self.local_count},
            "server": {"count": self.server_count},
            "states": _told(self.windows),
            "named": {name: self.named[name] for name in NAMED if self.named.get(name)},
            "first": None if self.first_ms is None else ms_to_iso(self.first_ms),
            "last": None if self.last_ms is None else ms_to_iso(self.last_ms),
        }


@attrs.frozen(kw_only=True)
class Audit:
    """Which properties of a collection were compared, and how.

    ``exact``: sums of integers, compared to the last digit; ``rounded``:
    within the bound of floating-point rounding; ``left_out``: not compared,
    with the reason.
    """

    collection: str
    exact: tuple[str, ...] = ()
    rounded: tuple[str, ...] = ()
    left_out: tuple[tuple[str, str], ...] = ()

    def document(self) -> dict[str, Any]:
        """The member of ``audited``."""
        return {
            "collection": self.collection,
            "exact": sorted(self.exact),
            "rounded": sorted(self.rounded),
            "left_out": dict(sorted(self.left_out)),
        }


def merge_audits(audits: Iterable[Audit]) -> tuple[Audit, ...]:
    """One audit for each collection: what was compared in all parts, and why the rest was not in some."""
    merged: dict[str, Audit] = {}
    for audit in audits:
        other = merged.get(audit.collection)
        merged[audit.collection] = audit if other is None else _merged(other, audit)
    return tuple(merged[name] for name in sorted(merged))


def _merged(one: Audit, other: Audit) -> Audit:
    exact = set(one.exact) & set(other.exact)
    compared = {*one.exact, *one.rounded} & {*other.exact, *other.rounded}
    known = {*one.exact, *one.rounded, *other.exact, *other.rounded}
    reasons = {
        **dict.fromkeys(known - compared, "not there in all parts"),
        **dict(one.left_out),
        **dict(other.left_out),
    }
    return Audit(
        collection=one.collection,
        exact=tuple(sorted(exact)),
        rounded=tuple(sorted(compared - exact)),
        left_out=tuple(sorted(reasons.items())),
    )


def _by_start(windows: Iterable[WindowReport]) -> tuple[WindowReport, ...]:
    return tuple(sorted(windows, key=lambda window: (window.start_ms, window.end_ms, window.collection)))


def _by_name(audits: Iterable[Audit]) -> tuple[Audit, ...]:
    return tuple(sorted(audits, key=lambda audit: audit.collection))


def _by_day(segments: Iterable[Segment]) -> tuple[Segment, ...]:
    return tuple(sorted(segments, key=lambda segment: (segment.day, segment.origin)))


@attrs.frozen(kw_only=True)
class VerifyReport:
    """The outcome of one verification. ``as_of_ms``: when it began; ``not_due``: windows not asked for.

    ``not_due_differing``: those of them that differed when they were last
    read, or hold what was resent and not seen since; like all that are not due they set no bit.
    ``past_checking``: windows that cannot be verified and are too old for a
    night to report them each time.
    ``properties``: what the queries had the server scan, as far as the log can
    tell: events times properties touched. ``unknown_collections``: asked for by
    name, and never heard of here or at the server. ``is_unread``: there was no log to
    compare anything with, so nothing was asked; a warning says why.
    ``unreadable``: segments that cannot be read or are gone. What was recorded
    there and not folded may lie in any window, one that is not reported too.
    """

    as_of_ms: int
    preset: str
    windows: tuple[WindowReport, ...] = attrs.field(converter=_by_start)
    not_due: int = 0
    not_due_differing: int = 0
    past_checking: int = 0
    cost: Cost = attrs.Factory(Cost)
    properties: int = 0
    warnings: tuple[str, ...] = ()
    unknown_collections: tuple[str, ...] = ()
    audited: tuple[Audit, ...] = attrs.field(default=(), converter=_by_name)
    segments: tuple[Segment, ...] = attrs.field(default=(), converter=_by_day)
    is_unread: bool = False
    unreadable: tuple[Unreadable, ...] = ()

    @property
    def as_of(self) -> datetime:
        """When the verification began; aware, UTC."""
        return ms_to_datetime(self.as_of_ms)

    @property
    def changes(self) -> Counter[tuple[Verdict, Verdict]]:
        """How many windows went from which state to which other one since each was last read."""
        return Counter(
            (window.was, window.state)
            for window in self.windows
            if window.was is not None and window.was is not window.state
        )

    @property
    def eligible(self) -> Ids:
        """The events that a replay may resend now, by (origin, seq)."""
        return tuple(sorted(entry_id for window in self.windows for entry_id in window.eligible))

    @property
    def common_bits(self) -> int:
        """The bits that no window sets: of incomplete where nothing was read, of unverifiable for unreadable segments."""
        nothing = EXIT_BITS[Verdict.INCOMPLETE] if self.is_unread or self.unknown_collections else 0
        return nothing | (EXIT_BITS[Verdict.UNVERIFIABLE] if self.unreadable else 0)

    def exit_status(self) -> int:
        """The OR of the windows' bits and the common ones; 0 when every window matches, and all segments can be read."""
        return reduce(or_, (EXIT_BITS[window.state] for window in self.windows), self.common_bits)

    def rows(self) -> Iterator[dict[str, Any]]:
        """The rows of ``verify --ndjson``: the windows in their order, then the rest of the document."""
        document = self.document()
        for window in document.pop("windows"):
            yield {"type": "window", **window}
        yield {"type": "summary", **document}

    def document(self) -> dict[str, Any]:
        """The JSON document of ``verify --json``."""
        states = Counter(window.state for window in self.windows)
        changed = Counter(now for _, now in self.changes.elements())
        return {
            "schema": SCHEMA,
            "as_of": ms_to_iso(self.as_of_ms),
            "preset": self.preset,
            "windows": [window.document() for window in self.windows],
            "summary": {
                "windows": len(self.windows),
                "match": states[Verdict.MATCH] + states[Verdict.FINAL],
                "incomplete": states[Verdict.INCOMPLETE],
                "not_due": self.not_due,
                "not_due_differing": self.not_due_differing,
                "past_checking": self.past_checking,
                "missing": sum(len(window.missing) for window in self.windows),
                "duplicate": sum(len(window.duplicate) for window in self.windows),
                "corrupt": sum(len(window.corrupt) for window in self.windows),
                "states": _told(states),
                "changed": _told(changed),
                "first_read": sum(window.was is None and bool(window.reads) for window in self.windows),
            },
            "cost": {
                "requests": self.cost.requests,
                "bytes": self.cost.bytes,
                "properties": self.properties,
            },
            "warnings": list(self.warnings),
            "audited": [audit.document() for audit in self.audited],
            "segments": [segment.document() for segment in self.segments],
            "unreadable": [segment.document() for segment in self.unreadable],
        }


@attrs.frozen(kw_only=True)
class Confirmation:
    """What an id query over the widest timeframe shows of single events, right before a replay.

    Only ``absent`` ones may be resent. ``unreadable``: their entries lie in no
    file that can be read, so nothing was asked about them.
    """

    absent: Ids = attrs.field(default=(), converter=_sorted)
    present: Ids = attrs.field(default=(), converter=_sorted)
    corrupt: Ids = attrs.field(default=(), converter=_sorted)
    shifted: Ids = attrs.field(default=(), converter=_sorted)
    collisions: Ids = attrs.field(default=(), converter=_sorted)
    unreadable: Ids = attrs.field(default=(), converter=_sorted)


def _told(states: Mapping[Verdict, int]) -> dict[str, int]:
    return {str(state): states[state] for state in Verdict if states.get(state)}


def _texts(ids: Iterable[EntryId]) -> list[str]:
    return [str(entry_id) for entry_id in ids]
