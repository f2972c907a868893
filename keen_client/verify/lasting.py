"""Lasting differences: what differs in one and the same way as often, and as late, as a match would have to be seen.

Nothing more is to be learned of such a window where all that it lacks is named,
entry by entry, in the evidence: its segment may go, and what is named stays
behind in ``kept``. Verification itself goes on to call it what it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import attrs

from keen_client._foundation.clock import Clock
from keen_client.eventlog.deletions import Deletions
from keen_client.eventlog.entry import Entry
from keen_client.eventlog.log import EventLog
from keen_client.events.identity import EntryId
from keen_client.verify.evidence import Evidence, Kind
from keen_client.verify.observations import Observation, Observations
from keen_client.verify.settle_unknown import unknown_entries
from keen_client.verify.verdict import UNNAMED, Verdict

_DIFFERENCES: Final = frozenset(
    {Verdict.SHORT, Verdict.EXCESS, Verdict.MIXED, Verdict.CORRUPT, Verdict.DISPUTED}
)


@attrs.frozen
class Named:
    """One kind of evidence against one entry; ``last_ms``: the last read that showed it, UTC milliseconds.

    ``is_open``: it is absent, and was not given up: a run may resend it, or a person has to say what is with it.
    """

    kind: Kind
    last_ms: int
    is_open: bool = False


class LastingDifferences(Observations):
    """Observations in which a lasting difference, named in full, reads as a match. For retention alone."""

    def __init__(self, log: EventLog, clock: Clock) -> None:
        super().__init__(log.state)
        self._log = log
        self._clock = clock

    def read(
        self, collection: str, start_ms: int, end_ms: int, width_ms: int
    ) -> dict[int, list[Observation]]:
        """As :meth:`Observations.read`, of the reads up to now."""
        now_ms = self._clock.wall_ms()
        found = {
            start: [one for one in observations if one.at_ms <= now_ms]
            for start, observations in super().read(collection, start_ms, end_ms, width_ms).items()
        }
        differing = {
            start for start, observations in found.items() if observations and may_last(observations[-1])
        }
        if differing:
            named = self._named(collection, start_ms, end_ms, width_ms)
            unknown = {
                _start_of(entry, start_ms, width_ms)
                for entry in unknown_entries(self._log, collection, start_ms, end_ms)
            }
            for start in differing - unknown:
                if is_named(found[start][-1], named.get(start, ())):
                    found[start] = as_matches(found[start])
        return found

    def _named(self, collection: str, start_ms: int, end_ms: int, width_ms: int) -> dict[int, list[Named]]:
        """What the evidence holds against the entries of each window; of those that can be read."""
        rows: list[tuple[EntryId, Kind, int]] = []
        with self._log.state.reading() as db:
            for origin, low, high in self._log.totals.spans(collection, start_ms, end_ms):
                rows += [
                    (EntryId(origin, seq), Kind(kind), last_ms)
                    for seq, kind, last_ms in db.execute(
                        "SELECT seq, kind, last_ms FROM evidence WHERE origin = ? AND seq BETWEEN ? AND ?"
                        " AND kind <> ? AND reads > 0",
                        (origin, low, high, Kind.PRESENT),
                    )
                ]
        entries = self._log.shelf.pick({entry_id for entry_id, _, _ in rows})
        open_ids = self._open(
            entries[entry_id] for entry_id, kind, _ in rows if kind is Kind.ABSENT and entry_id in entries
        )
        named: dict[int, list[Named]] = {}
        for entry_id, kind, last_ms in rows:
            entry = entries.get(entry_id)
            if (
                entry is not None
                and entry.collection == collection
                and start_ms <= entry.timestamp_ms < end_ms
            ):
                is_open = kind is Kind.ABSENT and entry_id in open_ids
                start = _start_of(entry, start_ms, width_ms)
                named.setdefault(start, []).append(Named(kind, last_ms, is_open))
        return named

    def _open(self, absent: Iterable[Entry]) -> set[EntryId]:
        """Those of *absent* that were not given up, or that a deletion may have taken."""
        entries = {entry.id: entry for entry in absent}
        absences = Evidence(self._log.state, self).absences(entries)
        held_back = Deletions(self._log.state).held_back(entries.values())
        return {
            entry_id for entry_id in entries if entry_id in held_back or not absences[entry_id].is_given_up
        }


def may_last(last: Observation) -> bool:
    """Whether a read found a difference, and told of each expected event what is with it. Pure."""
    return (
        last.verdict in _DIFFERENCES
        and last.is_accounted
        and not any(words in last.reason for words in UNNAMED)
    )


def is_named(last: Observation, named: Sequence[Named]) -> bool:
    """Whether the evidence names all that the *last* read found against entries of its window. Pure.

    Excess lacks nothing. Where another event was found under an id of ours, the amounts were not looked at.
    """
    if any(one.is_open or (one.kind is Kind.COLLISION and one.last_ms >= last.at_ms) for one in named):
        return False
    return last.verdict is Verdict.EXCESS or any(
        one.kind is Kind.ABSENT or one.last_ms >= last.at_ms for one in named
    )


def as_matches(observations: Sequence[Observation]) -> list[Observation]:
    """*observations* with those that are as the last one read as matches, and the others as too early. Pure."""
    last = observations[-1]
    return [
        attrs.evolve(one, verdict=Verdict.MATCH if _content(one) == _content(last) else Verdict.SETTLING)
        for one in observations
    ]


def _content(one: Observation) -> tuple[object, ...]:
    return one.verdict, one.reason, one.expected, one.counted, one.fingerprint


def _start_of(entry: Entry, start_ms: int, width_ms: int) -> int:
    return start_ms + (entry.timestamp_ms - start_ms) // width_ms * width_ms
