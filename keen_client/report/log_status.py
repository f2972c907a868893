"""The state of a log at a glance: what waits, how old it is, who is at work."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs

from keen_client._foundation.clock import ms_to_iso
from keen_client.delivery.waiting import Waiting, read_waiting
from keen_client.eventlog.directory import Binding
from keen_client.eventlog.log import EventLog
from keen_client.eventlog.outbox import Backlog
from keen_client.eventlog.reclaim import Reclaimer
from keen_client.eventlog.retention import SIZE_HORIZON, Horizon
from keen_client.eventlog.space import log_size_bytes
from keen_client.eventlog.unverified import retention_of
from keen_client.verify.finality import Finality
from keen_client.verify.presets import Preset

_UNSENT = "('pending', 'inflight', 'unknown', 'replay')"


@attrs.frozen(kw_only=True)
class LogStatus:
    """What ``status`` shows. Times are UTC milliseconds since 1970, None where there is none.

    ``unsure``: dead letters whose earlier attempt's outcome is not known;
    ``given_up``: events that replays resent in vain, which ``backlog`` does not
    count as dead letters. ``horizons``: what soon reaches the end of its retention unsent or
    unverified. ``is_size_near``: the log is so large that final segments go
    before their time, and recording may come to a stop. ``exists``: there is a
    log; where there is none, nobody may have said of which project it would be.
    ``waiting``: why what is unsent waits, as the last sender noted it; None when
    its last request went through.
    """

    project_id: str | None
    base_url: str | None
    path: str
    as_of_ms: int
    backlog: Backlog
    unsure: int
    given_up: int
    oldest_unsent_ms: int | None
    last_accepted_ms: int | None
    last_nightly_ms: int | None
    segments: int
    size_bytes: int
    is_sender_running: bool
    is_nightly_running: bool
    horizons: tuple[Horizon, ...] = ()
    is_size_near: bool = False
    exists: bool = True
    waiting: Waiting | None = None

    @property
    def is_past_horizon(self) -> bool:
        """Whether somebody has to act before events are lost or refused."""
        return bool(self.horizons) or self.is_size_near

    def document(self) -> dict[str, Any]:
        """The JSON document of ``status --json``, without its schema number."""
        return {
            "as_of": ms_to_iso(self.as_of_ms),
            "project_id": self.project_id,
            "base_url": self.base_url,
            "log": self.path,
            "exists": self.exists,
            "pending": self.backlog.pending,
            "inflight": self.backlog.inflight,
            "unknown": self.backlog.unknown,
            "replay": self.backlog.replay,
            "dead_letters": self.backlog.rejected,
            "dead_letters_unsure": self.unsure,
            "given_up": self.given_up,
            "oldest_unsent": _iso(self.oldest_unsent_ms),
            "oldest_unsent_seconds": None
            if self.oldest_unsent_ms is None
            else max(0, self.as_of_ms - self.oldest_unsent_ms) // 1000,
            "delivery_waits": None if self.waiting is None else self.waiting.document(),
            "last_accepted": _iso(self.last_accepted_ms),
            "last_nightly": _iso(self.last_nightly_ms),
            "segments": self.segments,
            "size_bytes": self.size_bytes,
            "sender_running": self.is_sender_running,
            "nightly_running": self.is_nightly_running,
            "horizons": [
                {
                    "segment": f"{horizon.name.day}-{horizon.name.origin}",
                    "days": round(horizon.days, 2),
                    "unsent": horizon.unsent,
                    "unverified": horizon.unverified,
                    "will_go": horizon.will_go,
                }
                for horizon in self.horizons
            ],
            "size_near_limit": self.is_size_near,
            "unreadable": [segment.document() for segment in self.backlog.unreadable],
        }


def read_status(log: EventLog, preset: Preset, now_ms: int) -> LogStatus:
    """Look at *log*; changes nothing in it. *preset* says what counts as final."""
    retention = retention_of(log.config, log.state)
    reclaimer = Reclaimer(log.directory, log.state, log.shelf, retention, log.clock)
    size_bytes = log_size_bytes(log.directory)
    backlog = log.outbox.backlog()
    return LogStatus(
        project_id=log.binding.project_id,
        base_url=log.binding.base_url,
        path=str(log.directory.path),
        as_of_ms=now_ms,
        backlog=backlog,
        unsure=len(log.dead_letters.list("unsure")),
        given_up=log.dead_letters.given_up(),
        oldest_unsent_ms=_oldest_unsent_ms(log),
        last_accepted_ms=_fact_ms(log, "last_accepted_ms"),
        last_nightly_ms=_fact_ms(log, "last_nightly_ms"),
        segments=len(log.shelf.names()),
        size_bytes=size_bytes,
        is_sender_running=log.directory.sender_lock().is_taken_elsewhere(),
        is_nightly_running=log.directory.nightly_lock().is_taken_elsewhere(),
        horizons=tuple(reclaimer.horizons(Finality(log, log.clock, preset))),
        is_size_near=size_bytes >= SIZE_HORIZON * log.config.log_size_max_bytes,
        waiting=read_waiting(log.state) if backlog.unsent else None,
    )


def empty_status(path: Path, binding: Binding | None, now_ms: int) -> LogStatus:
    """What there is to say before the first event: nothing waits, as there is no log at *path* yet."""
    return LogStatus(
        project_id=None if binding is None else binding.project_id,
        base_url=None if binding is None else binding.base_url,
        path=str(path),
        as_of_ms=now_ms,
        backlog=Backlog(),
        unsure=0,
        given_up=0,
        oldest_unsent_ms=None,
        last_accepted_ms=None,
        last_nightly_ms=None,
        segments=0,
        size_bytes=0,
        is_sender_running=False,
        is_nightly_running=False,
        exists=False,
    )


def _oldest_unsent_ms(log: EventLog) -> int | None:
    """When the oldest entry that is not done with was recorded: the first of each segment is its oldest."""
    with log.state.reading() as db:
        first = dict(
            db.execute(f"SELECT origin, min(seq_lo) FROM ranges WHERE state IN {_UNSENT} GROUP BY origin")  # noqa: S608 — our own constant
        )
        cursors = {
            origin: cursor if status in ("open", "sealed") else None
            for origin, cursor, status in db.execute("SELECT origin, cursor, status FROM origins")
        }
    for name in log.shelf.names():
        cursor = cursors.get(name.origin, 0)
        if cursor is not None and name.origin not in first:
            first[name.origin] = cursor + 1
    recorded = [
        entry.recorded_ms for origin, seq in first.items() for entry in log.shelf.page(origin, seq, seq, 1)
    ]
    return min(recorded, default=None)


def _fact_ms(log: EventLog, name: str) -> int | None:
    noted = log.state.fact(name)
    return None if noted is None else int(noted)


def _iso(ms: int | None) -> str | None:
    return None if ms is None else ms_to_iso(ms)
