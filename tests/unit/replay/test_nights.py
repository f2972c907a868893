"""Nights against a lossy server on a virtual clock: what is sent, when, how often, and what the exit says."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from keen_client import KeenClient, NightlyLockedError, UsageError
from keen_client._foundation.clock import ms_to_datetime
from keen_client.api.cost import ServerClock
from keen_client.api.keen_api import KeenApi
from keen_client.eventlog.reclaim import Reclaimed, Reclaimer
from keen_client.verify.observations import KEPT_MAX, WHOLE_MS, Observations
from keen_client.verify.verdict import Verdict

DAY = ("2026-10-01", "2026-10-02")


def test_standard_suspects_replays_confirms_and_rests(rig: Any) -> None:
    """A fortnight of nights: the first suspects, the second replays, the third confirms; final at ten days; quiet else."""
    rig.record_and_send(40, lose=3)
    lost = 40 - len(rig.there())
    assert lost == 3
    told = []
    for night in range(14):
        rig.advance(hours=24 if night else 26)
        report = rig.nightly()
        states = [str(window.state) for window in report.after.windows]
        told.append((report.exit_status(), len(report.replay.replayed), states))
        if night == 0:
            assert [len(window.missing) for window in report.before.windows] == [3]
            assert report.before.eligible == ()
        if night == 1:
            assert report.before.exit_status() == 4
            assert {intent.tier for intent in report.replay.planned} == {0}
            assert report.replay.run == 1

    quiet: tuple[int, int, list[str]] = (0, 0, [])
    assert told == [
        (4, 0, ["short"]),
        (64, 3, ["replayed"]),
        (0, 0, ["match"]),
        (0, 0, ["match"]),
        *[quiet] * 7,
        (0, 0, ["final"]),
        *[quiet] * 2,
    ]
    there = rig.there()
    assert len(there) == 40
    assert set(there.values()) == {1}


def test_a_night_thins_what_was_seen_of_old_windows(rig: Any) -> None:
    """Read twelve times while young, with all that was seen; a few reads are left when old, and it is still final."""
    rig.record_and_send(5)
    for _ in range(12):
        rig.advance(hours=24)
        rig.client.verify(*DAY)
    stored = Observations(rig.client._core.need_machinery().log.state)
    span = ("purchases", 1_790_812_800_000, 1_790_899_200_000, 3_600_000)
    rig.nightly()
    (young,) = stored.read(*span).values()
    assert len(young) >= 12
    rig.advance(hours=WHOLE_MS / 3_600_000)
    rig.nightly()
    (old,) = stored.read(*span).values()
    assert len(old) <= KEPT_MAX
    assert old[-1] == young[-1]
    (window,) = rig.client.verify(*DAY).windows
    assert window.state is Verdict.FINAL


def test_a_swallowed_replay_is_resent_under_a_new_token_after_eight_days(rig: Any) -> None:
    """Where the server keeps the token and loses the event, the first tier is in vain and the second arrives, once."""
    rig.server.faults.change({"lose-keep-token": {"times": 2}})
    ids = rig.record_and_send(30)
    tiers: dict[int, set[int]] = {}
    for night in range(20):
        rig.advance(hours=24 if night else 26)
        report = rig.nightly()
        if report.replay.replayed:
            tiers[night] = {intent.tier for intent in report.replay.planned}
        if report.exit_status() == 0 and len(rig.there()) == 30:
            break

    assert (tiers[min(tiers)], tiers[max(tiers)]) == ({0}, {1})
    assert max(tiers) - min(tiers) >= 8
    assert rig.there() == dict.fromkeys(map(str, ids), 1)


def test_verify_sends_nothing(rig: Any) -> None:
    """Whatever the server lacks, verification only asks."""
    rig.record_and_send(10, lose=4)
    before = rig.uploads
    for _ in range(3):
        report = rig.client.verify(*DAY, preset="immediate")
        assert len(report.windows[0].missing) == 4
        rig.advance(hours=30)
    rig.client.verify(*DAY)
    assert rig.uploads == before
    assert {path for _, path in rig.requests[-4:]} <= {"extraction", "multi_analysis", "count"}


def test_a_dry_run_plans_and_sends_nothing(rig: Any) -> None:
    """Without `yes` the plan names the events; nothing is sent, no run is made, and doing it later sends just those."""
    rig.nightly("immediate")
    ids = rig.record_and_send(10, lose=2)
    before = rig.uploads
    plan = rig.client.replay(*DAY, preset="immediate")

    assert plan.is_dry_run
    assert (plan.run, plan.replayed) == (None, ())
    planned = [intent.id for intent in plan.planned]
    assert len(planned) == 2
    assert set(planned) == {i for i in ids if str(i) not in rig.there()}
    assert rig.uploads == before
    assert rig.replayed() == []
    assert rig.client.log.backlog().replay == 0

    done = rig.client.replay(*DAY, preset="immediate", yes=True)
    assert list(done.replayed) == planned
    assert done.exit_status() == 64
    assert rig.there() == dict.fromkeys(map(str, ids), 1)
    assert rig.client.replay(*DAY, preset="immediate", yes=True).planned == ()


def test_a_second_night_finds_the_lock(rig: Any) -> None:
    """While another nightly or replay is at work both are refused before anything is asked; verify is not."""
    rig.record_and_send(3)
    other = rig.open()
    asked = len(rig.requests)
    try:
        with other._core.need_machinery().log.directory.nightly_lock().held() as got:
            assert got
            for job in (
                rig.client.nightly,
                lambda: rig.client.replay(*DAY, preset="immediate"),
                lambda: rig.client.replay(*DAY, preset="immediate", yes=True),
            ):
                with pytest.raises(NightlyLockedError, match="nothing was done"):
                    job()
            assert len(rig.requests) == asked
            assert [w.state for w in rig.client.verify(*DAY, preset="immediate").windows] == [Verdict.FINAL]
        assert rig.nightly("immediate").exit_status() == 0
    finally:
        other.close()


def test_the_lock_is_free_after_a_night_that_failed(rig: Any) -> None:
    """An error in the night gives its lock back."""
    with pytest.raises(UsageError):
        rig.client.nightly("2026-10-01", None)
    with pytest.raises(UsageError):
        rig.client.replay("2026-10-01T00:30:00Z", "2026-10-02", preset="immediate")
    assert rig.nightly("immediate").exit_status() == 0


@pytest.mark.parametrize(("lose", "stops"), [(100, False), (101, True)])
def test_a_large_loss_stops_and_says_why(rig: Any, lose: int, stops: bool) -> None:
    """A window lacking more than 100 and more than 5 % is not resent unasked; `max_replay` lifts it up to its number."""
    rig.nightly("immediate")
    rig.record_and_send(150, lose=lose)
    before = rig.uploads

    report = rig.client.replay(*DAY, preset="immediate", yes=True)

    assert bool(report.stopped) == stops
    assert len(report.planned) == lose
    if not stops:
        assert len(report.replayed) == lose
        return
    assert "wrong key" in report.stopped
    assert (rig.uploads, report.run, report.exit_status()) == (before, None, 4)
    again = rig.client.replay(*DAY, preset="immediate", yes=True, max_replay=lose - 1)
    assert str(lose - 1) in again.stopped
    assert rig.uploads == before
    done = rig.client.replay(*DAY, preset="immediate", yes=True, max_replay=lose)
    assert len(done.replayed) == lose
    assert len(rig.there()) == 150


def test_immediate_wants_honoured_tokens(rig: Any) -> None:
    """Without proof that tokens are honoured a resend at once could double an event that is merely late: it stops."""
    rig.record_and_send(10, lose=2)
    before = rig.uploads
    report = rig.client.replay(*DAY, preset="immediate", yes=True)
    assert "tokens" in report.stopped
    assert rig.uploads == before

    rig.server.faults.change({"tokens": "off"})
    night = rig.nightly("immediate")
    assert "tokens" in night.replay.stopped
    assert night.exit_status() == 4
    assert len(rig.there()) == 8


def test_immediate_is_refused_for_a_far_server(tmp_path: Path) -> None:
    """Before anything is asked."""
    with KeenClient("p", "w", "r", log=tmp_path / "log", background=False) as client:
        for job in (client.verify, client.replay):
            with pytest.raises(UsageError, match="immediate"):
                job(*DAY, preset="immediate")


def test_a_late_event_that_turns_up_is_not_resent(rig: Any) -> None:
    """Suspected in the first night, there by the second: it matches, and nothing was sent twice."""
    rig.server.faults.change({"delay": "1:30h"})
    ids = rig.record_and_send(20)
    rig.server.faults.change({"delay": None})
    rig.advance(hours=26)
    assert rig.nightly().exit_status() == 4
    before = rig.uploads
    rig.advance(hours=24)
    night = rig.nightly()
    assert (night.exit_status(), night.replay.planned) == (0, ())
    assert rig.uploads == before
    assert rig.there() == dict.fromkeys(map(str, ids), 1)


def test_an_application_that_holds_the_sender_lock_sends_the_run(rig: Any) -> None:
    """The night writes its intents and waits within bounds; the holder of the lock sends each event once."""
    rig.nightly("immediate")
    ids = rig.record_and_send(10, lose=3)
    application = rig.open()
    try:
        assert application._core.need_machinery().sender.acquire()
        before, at_ms = rig.uploads, rig.clock.wall_ms()

        report = rig.client.replay(*DAY, preset="immediate", yes=True)

        assert (len(report.unsettled), report.replayed) == (3, ())
        assert rig.clock.wall_ms() - at_ms <= 301_000
        assert rig.uploads == before
        assert report.exit_status() == 64
        assert application.flush().acknowledged == 3
    finally:
        application.close()
    assert rig.there() == dict.fromkeys(map(str, ids), 1)


@pytest.mark.parametrize(
    ("fault", "bits"),
    [({"http-500": 1.0}, 32), ({"reject": {"times": 1}}, 16), ({"html-502": 1.0}, 32), ({}, 0)],
)
def test_what_sending_left_behind_is_in_the_exit(rig: Any, fault: dict[str, Any], bits: int) -> None:
    """32 for events that could not be sent or are of unknown outcome, 16 for new dead letters."""
    rig.record(5)

    def inject(what: str, done: int, total: int) -> None:
        # The probe before and the queries after the sending are not to meet the fault.
        if what == "send":
            rig.server.faults.change(fault if not done else dict.fromkeys(fault))

    report = rig.night("immediate", on_progress=inject).run(*DAY)

    assert report.sent.is_drained == (bits != 32)
    assert report.sent.rejected == int(bits == 16)
    assert report.exit_status() == report.after.exit_status() | bits


def test_a_night_tells_its_progress(rig: Any) -> None:
    """Probe, send, verify, in this order, each ending with as much done as there was."""
    rig.record(3)
    steps: list[tuple[str, int, int]] = []
    rig.night("immediate", on_progress=lambda *step: steps.append(step)).run(*DAY)
    names = [name for name, _, _ in steps]
    assert [name for n, name in enumerate(names) if name not in names[:n]][:3] == ["probe", "send", "verify"]
    assert ("send", 1, 1) in steps
    assert ("verify", 1, 1) in steps


def test_nights_without_windows_that_are_due_ask_nothing(rig: Any) -> None:
    """Too early is not a failure: nothing is read, the windows are counted as not due, the exit is 0."""
    rig.record_and_send(5)
    rig.advance(hours=1)
    rig.nightly()  # the probe is sent and read meanwhile
    asked = len(rig.requests)
    rig.advance(hours=1)

    report = rig.nightly()

    assert (report.exit_status(), report.before.windows, report.before.not_due) == (0, (), 1)
    assert len(rig.requests) == asked
    assert ms_to_datetime(rig.clock.wall_ms()) - ms_to_datetime(report.before.as_of_ms) < timedelta(minutes=1)


@pytest.mark.parametrize("minutes", [0, 1])
def test_a_night_on_an_empty_log_is_quiet(rig: Any, minutes: int) -> None:
    """At whatever moment, the very start of an hour too: no window, status 0, and the report says that it is empty."""
    rig.advance(hours=26 + minutes / 60)
    assert (rig.clock.wall_ms() % 3_600_000 == 0) == (minutes == 0)
    report = rig.nightly()
    assert (report.after.windows, report.exit_status()) == ((), 0)
    assert report.after.warnings == ("nothing was recorded yet: the log has no events",)


@pytest.mark.parametrize(("server_ahead_ms", "agrees"), [(0, True), (-61 * 86_400_000, False)])
def test_what_is_reclaimed_is_told_whether_the_servers_clock_agrees(
    rig: Any, monkeypatch: pytest.MonkeyPatch, server_ahead_ms: int, agrees: bool
) -> None:
    """A machine whose clock is two months ahead of the server's must not take its log for old."""
    told: list[bool | None] = []

    def reclaim(self: Reclaimer, is_final: Any, *, clock_agrees: bool | None = None) -> Reclaimed:
        told.append(clock_agrees)
        return Reclaimed()

    now_ms = rig.clock.wall_ms()
    reading = ServerClock(server_ms=now_ms + server_ahead_ms, local_ms=now_ms, elapsed_seconds=0.0)
    monkeypatch.setattr(KeenApi, "server_clock", reading)
    monkeypatch.setattr(Reclaimer, "reclaim", reclaim)
    rig.record_and_send(3)
    rig.nightly()
    assert told == [agrees]
