"""The terminal report: what was not checked is as loud as what is wrong, and 100 % means everything."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keen_client._foundation.clock import MS_PER_DAY, MS_PER_HOUR
from keen_client.api.cost import Cost
from keen_client.events.identity import EntryId
from keen_client.report.printable import printable, share, size, span
from keen_client.report.terminal import Look, plan_lines, result_line, verification_lines
from keen_client.verify.report import VerifyReport, WindowReport
from keen_client.verify.verdict import EXIT_BITS, Verdict

DAY_MS = 20_727 * MS_PER_DAY  # 2026-10-01
ORIGIN = "4kq7x2m9pz"


def window(state: Verdict, hour: int = 0, **given: Any) -> WindowReport:
    start_ms = DAY_MS + hour * MS_PER_HOUR
    facts: dict[str, Any] = {"local_count": 10, "server_count": 10, "foreign": 0, **given}
    return WindowReport(
        collection="things", start_ms=start_ms, end_ms=start_ms + MS_PER_HOUR, state=state, **facts
    )


def report(*windows: WindowReport, warnings: tuple[str, ...] = ()) -> VerifyReport:
    return VerifyReport(
        as_of_ms=DAY_MS + MS_PER_DAY,
        preset="standard",
        windows=windows,
        cost=Cost(requests=6, bytes=212_000),
        warnings=warnings,
    )


def text(found: VerifyReport, look: Look | None = None) -> str:
    return "\n".join(line.plain for line in verification_lines(found, "title", look))


def test_a_clean_report_says_so_and_nothing_else() -> None:
    """When everything matches the result is exit 0 and no window is listed."""
    told = text(report(window(Verdict.FINAL), window(Verdict.MATCH, 1)))
    assert "RESULT  everything matches: 2 windows   exit 0" in told
    assert "local 20   server 20   foreign 0" in told
    assert "cost 6 requests, 212 KB of answers" in told
    assert "settle 24 h" in told


@pytest.mark.parametrize("state", [state for state in Verdict if EXIT_BITS[state]])
def test_each_bit_of_the_exit_status_is_named(state: Verdict) -> None:
    """The result line holds the status, and every bit with the state that set it."""
    found = report(window(Verdict.MATCH), window(state, 1))
    told = result_line(found.windows, found.exit_status()).plain
    assert f"exit {EXIT_BITS[state]} (" in told
    assert str(state) in told
    assert "everything matches" not in told


def test_unchecked_windows_are_shouted() -> None:
    """Where nothing is wrong but something was not read, the result does not sound like a success."""
    found = report(
        window(Verdict.MATCH),
        window(Verdict.INCOMPLETE, 1, server_count=None, reason="no read key"),
        window(Verdict.UNVERIFIABLE, 2, server_count=None, reason="its segment was reclaimed"),
    )
    told = text(found)
    assert "RESULT  NOT CHECKED: 1 of 3 windows match (33.3 %), 2 NOT CHECKED   exit 32" in told
    assert "NOT CHECKED, incomplete  (no read key)" in told
    assert "NOT CHECKED, unverifiable  (its segment was reclaimed)" in told
    assert "server 10 + ?" in told


def test_a_bad_window_shows_its_difference_and_first_ids() -> None:
    """One line a window: by how much, what, and where to begin looking."""
    ids = [EntryId(ORIGIN, seq) for seq in range(1, 8)]
    told = text(report(window(Verdict.MIXED, 4, server_count=5, missing=ids, duplicate=ids[:2])))
    assert "2026-10-01T04:00Z  -5  mixed" in told
    assert f"missing 7: {ORIGIN}-1 {ORIGIN}-2 {ORIGIN}-3 and 4 more" in told
    assert f"duplicate 2: {ORIGIN}-1 {ORIGIN}-2" in told


def test_windows_alike_are_told_in_one_line() -> None:
    """A whole day that could not be read is one line with its reason, not twenty-four."""
    windows = [
        window(Verdict.INCOMPLETE, hour, server_count=None, reason="rate limited") for hour in range(24)
    ]
    told = text(report(*windows))
    assert told.count("rate limited") == 1
    assert "(24 windows)" in told


def test_what_is_wrong_comes_before_what_takes_time() -> None:
    """With more lines than room, settling windows are summed up first, and nothing vanishes."""
    settling = [window(Verdict.SETTLING, hour, due_ms=DAY_MS + hour) for hour in range(10)]
    bad = [window(Verdict.SHORT, hour, missing=[EntryId(ORIGIN, hour)]) for hour in range(10, 14)]
    told = text(report(*settling, *bad), Look(windows_max=5))
    assert told.count("  short") == 4
    assert "and 9 more windows: 9 settling" in told


def test_words_of_the_server_cannot_steer_the_terminal() -> None:
    """Reasons and warnings may quote an answer; no control character of it gets through."""
    found = report(window(Verdict.INCOMPLETE, reason="<\x1b[2J\r\n\u202e>"), warnings=("\x07bell",))
    assert all(line.plain.isprintable() for line in verification_lines(found, "ti\x1btle"))


@given(st.integers(1, 10**12).flatmap(lambda whole: st.tuples(st.integers(0, whole), st.just(whole))))
def test_a_share_is_never_rounded_up(pair: tuple[int, int]) -> None:
    """100 % means everything, and no share is shown as more than it is."""
    part, whole = pair
    told = share(part, whole)
    assert (told == "100 %") == (part == whole)
    shown = float(told.removesuffix(" %"))
    assert shown <= 100 * part / whole + 1e-9


def test_sizes_and_spans_have_units() -> None:
    """A number without a unit means nothing."""
    assert [size(n) for n in (0, 999, 5_200, 2_100_000, 1_840_000_000)] == [
        "0 bytes",
        "999 bytes",
        "5.2 KB",
        "2.1 MB",
        "1.84 GB",
    ]
    assert [span(ms) for ms in (0, 3_000, 300_000, 86_400_000, 8 * 86_400_000)] == [
        "0 s",
        "3 s",
        "5 min",
        "24 h",
        "8 d",
    ]


@given(st.text())
def test_printable_text_is_printable(given_text: str) -> None:
    """Whatever comes in, one line of printable characters goes out; printable text is not touched."""
    told = printable(given_text)
    assert told.isprintable()
    if given_text.isprintable():
        assert told == given_text


def _plan(**facts: object) -> str:
    document = {
        "dry_run": False,
        "run": None,
        "planned": 3,
        "replayed": 0,
        "unsettled": 0,
        "found": [],
        "stopped": None,
        "events": [{"id": f"{ORIGIN}-{n}", "tier": 0} for n in range(1, 4)],
        **facts,
    }
    return "\n".join(line.plain for line in plan_lines(document))


def test_a_dry_run_says_that_nothing_was_sent() -> None:
    """The plan cannot be taken for the deed."""
    told = _plan(dry_run=True)
    assert "3 events would be resent" in told
    assert "nothing was sent" in told


def test_a_stopped_replay_says_why_and_how_to_go_on() -> None:
    """The circuit breaker's reason and the option that lifts it stand together."""
    told = _plan(stopped="a window lacks everything")
    assert "a window lacks everything" in told
    assert "--max-replay 3" in told


def test_a_replay_tells_what_was_found_and_what_is_open() -> None:
    """Events that were there after all, and those not answered yet, are counted apart."""
    told = _plan(run=7, replayed=1, found=[f"{ORIGIN}-2"], unsettled=1)
    assert "REPLAYED  1 of 3 events in run 7" in told
    assert "1 turned out to be there" in told
    assert "1 are with the sender" in told
