"""Giving up: what replay runs resent as often as they do by themselves, and queries never showed, is left to a person.

It becomes a dead letter of the name ``GivenUp``, which `dead retry` sends once
more and `dead drop` writes off, and goes on being expected: its window stays
*short*, and names it. Once a read shows it, it is no dead letter any more.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from keen_client.eventlog.dead_letters import GIVEN_UP, bury
from keen_client.eventlog.entry import Entry
from keen_client.eventlog.log import EventLog
from keen_client.verify.report import WindowReport
from keen_client.verify.resends import RESENDS_MAX


def give_up(log: EventLog, entries: Collection[Entry], at_ms: int) -> None:
    """Make dead letters of *entries*, which are expected on, and count them.

    The caller vouches that they are proven absent after their last resend.
    """
    if not entries:
        return
    with log.state.transaction() as db:
        for entry in entries:
            runs = [
                run
                for (run,) in db.execute(
                    "SELECT run FROM run_entries WHERE origin = ? AND seq = ? ORDER BY run",
                    (entry.origin, entry.seq),
                )
            ]
            told = f"absent after it was resent by the replay runs {_listed(runs)}"
            bury(db, entry, GIVEN_UP, told, "dead", at_ms)
        log.state.count("given_up", len(entries))


def warnings_of(windows: Iterable[WindowReport]) -> list[str]:
    """What a person should know, and can do, of the events of *windows* that were given up."""
    count = len({entry_id for window in windows for entry_id in window.given_up})
    if not count:
        return []
    events = "1 event that is" if count == 1 else f"{count:,} events that are"
    told = (
        f"{events} still absent after {RESENDS_MAX} replays will not be resent by any job:"
        " make sure that the read key is restricted by no filter and to no collections, and ask Keen for them"
        " by their ids; then `keen-client dead retry ID` sends one once more,"
        " and `keen-client dead drop ID --yes` writes it off"
    )
    return [told]


def _listed(runs: Iterable[int]) -> str:
    *first, last = (str(run) for run in runs)
    return f"{', '.join(first)} and {last}" if first else last
