"""Reclaiming on a real log: journalled, repeatable after a crash at any step, counted."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from keen_client._foundation.clock import MS_PER_DAY, MS_PER_HOUR
from keen_client.errors import EventLogError
from keen_client.eventlog.entry import DeliveryState
from keen_client.eventlog.reclaim import Reclaimer
from keen_client.events.identity import EntryId

MakeTill = Callable[..., Any]


def always(collection: str, hour: int) -> bool:
    return True


def never(collection: str, hour: int) -> bool:
    return False


def reclaimer(till: Any) -> Reclaimer:
    log = till.log
    return Reclaimer(log.directory, log.state, log.shelf, log.config, log.clock)


def drained(make_till: MakeTill, **settings: Any) -> tuple[Any, list[EntryId]]:
    """A log with one sealed, drained segment of three entries, 61 days old, and today's."""
    till = make_till(**settings)
    ids = till.record(3)
    till.send()
    till.roll(61)
    till.drain()
    assert till.status(ids[0].origin) == "drained"
    return till, ids


def files_of(till: Any, origin: str) -> list[Path]:
    return sorted(till.log.directory.segments.glob(f"*{origin}*"))


def row(till: Any, origin: str) -> Any:
    with till.log.state.reading() as db:
        return db.execute(
            "SELECT entries, unverified, done_ms IS NOT NULL FROM reclaims WHERE origin = ?", (origin,)
        ).fetchone()


def test_drained_old_final_segment_is_unlinked_and_journalled(make_till: MakeTill) -> None:
    """Files gone, counts noted, totals and the origin's row stay for ever."""
    till, ids = drained(make_till)
    done = reclaimer(till).reclaim(always)
    assert (done.segments, done.entries, done.unverified, done.kept) == (1, 3, 0, 0)
    assert files_of(till, ids[0].origin) == []
    assert row(till, ids[0].origin) == (3, 0, 1)
    assert till.status(ids[0].origin) == "reclaimed"
    assert till.log.state.counter("reclaimed") == 3
    assert ids[0].origin in till.log.origins()
    assert till.log.shelf.pick(ids) == {}
    assert reclaimer(till).reclaim(always).segments == 0


def test_number_of_a_reclaimed_segment_is_never_given_again(make_till: MakeTill) -> None:
    """Its successor records on; the origin is not made anew."""
    till, ids = drained(make_till)
    reclaimer(till).reclaim(always)
    (after,) = till.record()
    assert after.origin != ids[0].origin


def test_open_segment_and_undrained_one_stay(make_till: MakeTill) -> None:
    """However old and final."""
    till = make_till()
    (old,) = till.record()
    till.roll(61)
    done = reclaimer(till).reclaim(always)
    assert done.segments == 0
    assert files_of(till, old.origin)
    assert all("not sealed and read to its end" in decision.pins for decision in done.decisions)


def test_without_a_final_window_nothing_goes_unless_allowed(make_till: MakeTill) -> None:
    """Then it is counted as unverified."""
    till, ids = drained(make_till)
    assert reclaimer(till).reclaim(never).segments == 0
    till.log.close()
    allowed = make_till(reclaim_unverified=True)
    assert reclaimer(allowed).reclaim(never).unverified == 3
    assert row(allowed, ids[0].origin) == (3, 3, 1)
    assert allowed.log.state.counter("reclaimed_unverified") == 3


def test_dead_letter_survives_its_segment(make_till: MakeTill) -> None:
    """It can still be read, and retried."""
    till = make_till()
    accepted = till.record(2)
    till.send()
    (refused,) = till.record()
    till.send(DeliveryState.REJECTED)
    till.roll(61)
    till.drain()
    done = reclaimer(till).reclaim(always)
    assert (done.segments, done.kept) == (1, 1)
    assert files_of(till, refused.origin) == []
    entry = till.log.shelf.pick([refused, *accepted])
    assert list(entry) == [refused]
    assert till.log.state.counter("reclaimed") == 2
    assert till.log.dead_letters.retry([refused]) == 1
    claim = till.log.outbox.claim(events_max=10, bytes_max=10_000)
    assert [claimed.stamped.entry.id for claimed in claim.entries] == [refused]


def test_disputed_entry_is_kept_with_its_reason(make_till: MakeTill) -> None:
    """Evidence against an acknowledged entry outlives the file; evidence that was ended does not hold it."""
    till, ids = drained(make_till)
    with till.log.state.transaction() as db:
        db.execute("INSERT INTO evidence VALUES (?, ?, 'disputed', 1, 1, 1, 0)", (ids[0].origin, 2))
        db.execute("INSERT INTO evidence VALUES (?, ?, 'absent', 1, 1, 0, 0)", (ids[0].origin, 3))
        db.execute("INSERT INTO evidence VALUES (?, ?, 'present', 1, 1, 1, 1)", (ids[0].origin, 3))
    reclaimer(till).reclaim(always)
    with till.log.state.reading() as db:
        assert db.execute("SELECT seq, reason FROM kept").fetchall() == [(2, "disputed")]


def test_event_of_the_far_future_is_kept(make_till: MakeTill) -> None:
    """It does not pin the day on which it was recorded."""
    till = make_till()
    ids = till.record(2)
    (future,) = till.record(timestamp="2100-01-01T00:00:00Z")
    till.send()
    till.roll(61)
    till.drain()
    done = reclaimer(till).reclaim(lambda collection, hour: hour < 1_000_000)
    assert (done.segments, done.kept) == (1, 1)
    assert list(till.log.shelf.pick([*ids, future])) == [future]


def test_file_that_lost_entries_is_not_reclaimed(make_till: MakeTill) -> None:
    """Doctor and recovery look at it first."""
    till, ids = drained(make_till)
    with till.log.state.transaction() as db:
        db.execute("UPDATE origins SET cursor = 9 WHERE origin = ?", (ids[0].origin,))
    assert reclaimer(till).reclaim(always).segments == 0
    assert files_of(till, ids[0].origin)


@pytest.mark.parametrize("steps", [0, 1, 2, 3])
def test_crash_between_any_two_steps_is_made_good_by_the_next_run(
    make_till: MakeTill, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    """After the intent, after the database, after -wal, after -shm but before done."""
    till, ids = drained(make_till)
    origin = ids[0].origin
    (database,) = files_of(till, origin)
    for suffix in ("-wal", "-shm"):
        Path(f"{database}{suffix}").touch()
    unlink = Path.unlink
    unlinked: list[str] = []

    def crashing(path: Path, *, missing_ok: bool = False) -> None:
        if origin in path.name:
            if len(unlinked) == steps:
                raise KeyboardInterrupt
            unlinked.append(path.name)
        unlink(path, missing_ok=missing_ok)

    monkeypatch.setattr(Path, "unlink", crashing)
    if steps == 3:
        monkeypatch.setattr(Reclaimer, "_note_done", crash_now)
    with pytest.raises(KeyboardInterrupt):
        reclaimer(till).reclaim(always)
    assert unlinked == [f"{database.name}{suffix}" for suffix in ("", "-wal", "-shm")][:steps]
    assert row(till, origin) == (3, 0, 0)
    monkeypatch.undo()
    till.log.close()
    again = reclaimer(make_till())
    assert again.unfinished() == [origin]
    assert again.reclaim(always).segments == 0
    assert again.unfinished() == []
    assert files_of(till, origin) == []


def crash_now(self: Reclaimer, origin: str) -> None:
    raise KeyboardInterrupt


def test_segment_that_changed_since_it_was_looked_at_stays(
    make_till: MakeTill, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody set it aside meanwhile."""
    till, ids = drained(make_till)
    asked: list[int] = []

    def final(collection: str, hour: int) -> bool:
        if not asked:
            with till.log.state.transaction() as db:
                db.execute("UPDATE origins SET status = 'damaged' WHERE origin = ?", (ids[0].origin,))
        asked.append(hour)
        return True

    assert reclaimer(till).reclaim(final).segments == 0
    assert files_of(till, ids[0].origin)


OBSERVE = (
    "INSERT INTO observations (collection, start_ms, end_ms, at_ms, verdict, reason, expected, counted, fingerprint)"
    " VALUES (?, ?, ?, 1, ?, '', 3, 2, 'f')"
)
#: The hour in which the entries were recorded, in UTC milliseconds (noon).
HOUR_MS = 1_795_435_200_000


@pytest.mark.parametrize(
    ("sql", "values", "goes"),
    [
        (OBSERVE, ("purchases", HOUR_MS, HOUR_MS + MS_PER_HOUR, "short"), False),
        (OBSERVE, ("purchases", HOUR_MS, HOUR_MS + MS_PER_HOUR // 60, "settling"), False),
        (OBSERVE, ("purchases", HOUR_MS - HOUR_MS % MS_PER_DAY, HOUR_MS + MS_PER_DAY, "disputed"), False),
        (OBSERVE, ("purchases", HOUR_MS, HOUR_MS + MS_PER_HOUR, "match"), True),
        (OBSERVE, ("purchases", HOUR_MS + MS_PER_HOUR, HOUR_MS + MS_PER_DAY, "short"), True),
        (OBSERVE, ("others", HOUR_MS, HOUR_MS + MS_PER_HOUR, "short"), True),
        ("INSERT INTO evidence VALUES (?, 2, ?, 1, 1, 1, 0)", ("{origin}", "absent"), False),
        ("INSERT INTO evidence VALUES (?, 2, ?, 1, 1, 1, 0)", ("{origin}", "present"), True),
        ("UPDATE ranges SET state = ? WHERE origin = ?", ("pending", "{origin}"), False),
    ],
)
def test_what_another_process_finds_between_the_look_and_the_intent_leaves_the_segment(
    make_till: MakeTill, sql: str, values: tuple[Any, ...], goes: bool
) -> None:
    """A read that is no match, evidence against an entry, a retry: it rests on something else then, and stays."""
    till, ids = drained(make_till)
    origin = ids[0].origin
    looked: list[int] = []

    def final(collection: str, hour: int) -> bool:
        if not looked:
            with till.log.state.transaction() as db:
                db.execute(sql, [origin if value == "{origin}" else value for value in values])
        looked.append(hour)
        return True

    done = reclaimer(till).reclaim(final)
    assert done.segments == int(goes)
    assert bool(files_of(till, origin)) is not goes
    assert till.status(origin) == ("reclaimed" if goes else "drained")
    assert till.log.state.counter("reclaimed") == (3 if goes else 0)


def test_warnings_name_what_is_unsent_and_unverified(make_till: MakeTill, clock: Any) -> None:
    """Within the last week of retention, from the log itself."""
    till = make_till()
    sent = till.record(3)
    till.send()
    unsent = till.record(2)
    clock.turn(54 * 86_400)
    (horizon,) = reclaimer(till).horizons(never)
    assert (horizon.name.origin, horizon.unsent, horizon.unverified) == (sent[0].origin, 2, 3)
    assert round(horizon.days) == 6
    assert unsent[0].origin == sent[0].origin
    assert [found.unverified for found in reclaimer(till).horizons(always)] == [0]


def test_disk_that_refuses_an_unlink_is_told_and_the_next_run_ends_it(
    make_till: MakeTill, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As an error of the log: the intent is journalled, and nothing of it is lost to who asks for it."""
    till, ids = drained(make_till)

    def refuse(path: Path, *, missing_ok: bool = False) -> None:
        raise OSError(errno.EIO, "the disk fails", str(path))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", refuse)
        with pytest.raises(EventLogError, match="goes with the next run"):
            reclaimer(till).reclaim(always)
    assert reclaimer(till).unfinished() == [ids[0].origin]
    assert reclaimer(till).reclaim(always).segments == 0
    assert files_of(till, ids[0].origin) == []


def test_nothing_goes_by_a_clock_that_the_server_contradicts(make_till: MakeTill) -> None:
    """With the clock two months ahead everything is old; it goes when the clocks agree."""
    till, ids = drained(make_till)
    assert reclaimer(till).reclaim(always, clock_agrees=False).segments == 0
    assert files_of(till, ids[0].origin)
    assert reclaimer(till).reclaim(always).segments == 0  # nobody was asked, and the doubt stands
    assert reclaimer(till).reclaim(always, clock_agrees=True).segments == 1


def test_upkeep_reclaims_nothing_unverified_by_a_clock_that_leapt(make_till: MakeTill) -> None:
    """The sender asks no server for the time: after a leap it waits until time has gone on from there."""
    till = make_till(reclaim_unverified=True)
    ids = till.record(3)
    till.send()
    till.log.tend()
    till.roll(61)
    till.drain()
    till.clock.turn(3_600)
    till.log.tend()
    assert till.status(ids[0].origin) == "drained"
    assert till.log.shelf.pick(ids)
    till.clock.turn(3_600)
    till.clock.now_ms -= 61 * MS_PER_DAY
    till.log.tend()
    till.clock.turn(12 * 3_600 + 1)
    till.log.tend()
    assert till.status(ids[0].origin) == "drained"
    till.clock.turn(61 * 86_400)
    till.log.tend()
    till.clock.turn(12 * 3_600)
    till.log.tend()
    assert till.status(ids[0].origin) == "reclaimed"
