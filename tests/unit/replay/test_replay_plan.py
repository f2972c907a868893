"""The plan: which token a resend uses, and the thresholds at which a replay stops and asks."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from keen_client._foundation.clock import MS_PER_DAY, MS_PER_HOUR
from keen_client.events.identity import EntryId
from keen_client.replay.plan import Intent, ReplayReport, breaker, intents_for
from keen_client.verify.presets import preset
from keen_client.verify.report import VerifyReport, WindowReport
from keen_client.verify.resends import Resends, token_tier
from keen_client.verify.verdict import Verdict

ORIGIN = "0000000000"
NOW = 1_790_812_800_000


def ids(count: int, first: int = 1) -> list[EntryId]:
    return [EntryId(ORIGIN, first + n) for n in range(count)]


def window(
    lacking: Sequence[EntryId], expected: int | None, *, hour: int = 0, state: Verdict = Verdict.SHORT
) -> WindowReport:
    start_ms = NOW + hour * MS_PER_HOUR
    return WindowReport(
        collection="purchases",
        start_ms=start_ms,
        end_ms=start_ms + MS_PER_HOUR,
        state=state,
        local_count=expected,
        missing=lacking,
        eligible=lacking,
    )


def report(*windows: WindowReport) -> VerifyReport:
    return VerifyReport(as_of_ms=NOW, preset="standard", windows=windows)


def stopped(windows: Sequence[WindowReport], max_replay: int | None = None) -> str:
    found = report(*windows)
    return breaker(found, found.eligible, max_replay)


# ---- token tiers --------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["fast", "standard", "ledger"])
@pytest.mark.parametrize(
    ("earlier", "tier"),
    [
        (None, 0),
        (Resends(0, NOW), 0),
        (Resends(0, NOW - 8 * MS_PER_DAY + 1), 0),
        (Resends(0, NOW - 8 * MS_PER_DAY), 1),
        (Resends(1, NOW - 8 * MS_PER_DAY + 1), 1),
        (Resends(1, NOW - 8 * MS_PER_DAY), 2),
    ],
)
def test_a_new_token_only_after_eight_days_of_patience(name: str, earlier: Resends | None, tier: int) -> None:
    """The event's own token first, and again; the next tier's when the last did not help for eight days."""
    assert token_tier(earlier, preset(name), NOW) == tier


def test_immediate_takes_a_new_token_in_the_next_run() -> None:
    """Where nothing is delayed there is nothing to be patient for."""
    assert token_tier(None, preset("immediate"), NOW) == 0
    assert token_tier(Resends(0, NOW), preset("immediate"), NOW) == 1


def test_intents_are_in_the_order_of_ids() -> None:
    """By (origin, seq), each with the tier of its own history."""
    first, second, third = ids(3)
    intents = intents_for(
        [third, first, second], {second: Resends(0, NOW - 9 * MS_PER_DAY)}, preset("standard"), NOW
    )
    assert intents == (Intent(first, 0), Intent(second, 1), Intent(third, 0))


# ---- breakers -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lacking", "expected", "stops"),
    [
        (100, 100, False),  # a whole small window may be lost
        (101, 101, True),
        (101, 2_019, True),
        (101, 2_020, False),  # 5 % exactly
        (500, 10_000, False),
        (501, 10_000, True),
        (101, None, True),
    ],
)
def test_a_window_stops_above_five_percent_and_a_hundred(
    lacking: int, expected: int | None, stops: bool
) -> None:
    """Both have to be exceeded; the reason names the collection and the numbers."""
    reason = stopped([window(ids(lacking), expected)])
    assert bool(reason) == stops
    if stops:
        assert "purchases" in reason
        assert f"{lacking:,}" in reason


@pytest.mark.parametrize(
    ("windows", "lacking", "expected", "stops"),
    [
        (10, 100, 100, False),
        (11, 100, 100, True),  # each window is within its bound, the run is not
        (11, 100, 2_000, False),  # 1,100 of 22,000: 5 % exactly
        (11, 100, 1_999, True),
    ],
)
def test_a_run_stops_above_five_percent_and_a_thousand(
    windows: int, lacking: int, expected: int, stops: bool
) -> None:
    """Many small losses together are a large one."""
    made = [window(ids(lacking, 1 + n * lacking), expected, hour=n) for n in range(windows)]
    assert bool(stopped(made)) == stops


@pytest.mark.parametrize(
    ("most", "stops"), [(5_000, False), (4_000, False), (3_999, True), (0, True), (None, True)]
)
def test_max_replay_lifts_the_breakers_up_to_its_number(most: int | None, stops: bool) -> None:
    """`--max-replay N` allows up to N, share or not, and not one more; without it the breakers hold."""
    reason = stopped([window(ids(4_000), 4_000)], most)
    assert bool(reason) == stops
    if stops and most is not None:
        assert "--max-replay" in reason


def test_nothing_to_resend_is_never_stopped() -> None:
    """An empty plan has no share."""
    assert stopped([]) == ""
    assert stopped([], 0) == ""
    assert stopped([window([], 0, state=Verdict.MATCH)]) == ""


# ---- the report ---------------------------------------------------------------------------


def test_exit_status_tells_what_awaits_confirmation() -> None:
    """Windows all of whose missing were resent: 64; one event left over: still short; others as they were."""
    first, second, third, fourth = ids(4)
    found = report(
        window([first, second], 10),
        window([third, fourth], 10, hour=1),
        window([], 10, hour=2, state=Verdict.SETTLING),
    )
    assert ReplayReport(is_dry_run=True, verification=found, replayed=()).exit_status() == 4 | 32
    whole = ReplayReport(
        is_dry_run=False, verification=found, run=1, replayed=(first, second), unsettled=(third, fourth)
    )
    assert whole.exit_status() == 64 | 32
    part = ReplayReport(is_dry_run=False, verification=found, run=1, replayed=(first, second, third))
    assert part.exit_status() == 64 | 4 | 32
    halted = ReplayReport(is_dry_run=False, verification=found, stopped="too many")
    assert halted.exit_status() == 4 | 32


def test_the_document_lists_what_would_go_under_which_token() -> None:
    """Counts, the list of events with tiers, why it was stopped, and the verification that it rests on."""
    (first,) = ids(1)
    found = report(window([first], 10))
    document = ReplayReport(is_dry_run=True, verification=found, planned=(Intent(first, 2),)).document()
    assert document["schema"] == 1
    assert document["dry_run"] is True
    assert document["run"] is None
    assert document["stopped"] is None
    assert document["events"] == [{"id": str(first), "tier": 2}]
    assert document["verify"] == found.document()
