"""The terminal report: what was not checked is as loud as what is wrong, and 100 % means everything."""

from __future__ import annotations

from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keen_client._foundation.clock import MS_PER_DAY, MS_PER_HOUR
from keen_client.api.cost import Cost
from keen_client.events.identity import EntryId
from keen_client.report.heat_map import GLYPHS
from keen_client.report.look import Look
from keen_client.report.printable import printable, share, size, span
from keen_client.report.run import plan_lines
from keen_client.report.terminal import result_line, verification_lines
from keen_client.report.window_lines import TOLD_BY_LISTS
from keen_client.verify.judge import describe
from keen_client.verify.locate import Findings
from keen_client.verify.report import Audit, Segment, Share, VerifyReport, WindowReport
from keen_client.verify.segments import segments_of
from keen_client.verify.state import settles_at
from keen_client.verify.verdict import EXIT_BITS, Verdict

DAY_MS = 20_727 * MS_PER_DAY  # 2026-10-01
ORIGIN = "4kq7x2m9pz"


def window(state: Verdict, hour: int = 0, **given: Any) -> WindowReport:
    start_ms = DAY_MS + hour * MS_PER_HOUR
    facts: dict[str, Any] = {"local_count": 10, "server_count": 10, "foreign": 0, **given}
    return WindowReport(
        collection="things", start_ms=start_ms, end_ms=start_ms + MS_PER_HOUR, state=state, **facts
    )


def report(*windows: WindowReport, warnings: tuple[str, ...] = (), **given: Any) -> VerifyReport:
    return VerifyReport(
        **given,
        as_of_ms=DAY_MS + MS_PER_DAY,
        preset="standard",
        windows=windows,
        cost=Cost(requests=6, bytes=212_000),
        warnings=warnings,
    )


def text(found: VerifyReport, look: Look | None = None) -> str:
    return "\n".join(line.plain for line in verification_lines(found, "title", look))


def test_an_unknown_collection_is_the_result() -> None:
    """Alone, beside what matches, and beside what does not: never green, and its bit has its name."""
    alone = text(report(unknown_collections=("purchses",)))
    assert "RESULT  NOT CHECKED: nobody knows of a collection purchses   exit 32 (32 incomplete)" in alone
    beside = text(report(window(Verdict.FINAL), unknown_collections=("a", "b\n")))
    assert (
        "RESULT  NOT CHECKED: of the windows 1 match, but nobody knows of a collection a, b\\n   exit 32"
        in beside
    )
    short = text(report(window(Verdict.SHORT), unknown_collections=("a",)))
    assert (
        "RESULT  MISMATCH: 0 of 1 windows match (0.0 %), 1 NOT CHECKED   exit 36 (4 short, 32 incomplete)"
        in short
    )


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
    told = result_line(found).plain
    assert f"exit {EXIT_BITS[state]} (" in told
    assert str(state) in told
    assert "everything matches" not in told


def test_a_command_that_did_more_than_verify_shows_its_own_status() -> None:
    """Everything matches and events are left to be sent: the line says both, and sounds like no success."""
    told = result_line(report(window(Verdict.FINAL)), 48).plain
    assert told.startswith("RESULT  everything matches: 1 window, but DELIVERY IS NOT DONE   exit 48")
    told = result_line(report(window(Verdict.SHORT)), 4 | 16).plain
    assert told.endswith("exit 20 (4 short, 16 delivery)")


def test_a_night_in_which_nothing_was_due_says_that() -> None:
    """It is not the same as that there are no events."""
    told = text(report(not_due=64))
    assert "RESULT  nothing was due: 64 windows wait for their time   exit 0" in told
    assert "no events in these windows" in text(report())


def test_one_of_a_thing_is_told_in_the_singular() -> None:
    """One window and one request are no windows and no requests."""
    one = attrs.evolve(report(window(Verdict.FINAL), not_due=1), cost=Cost(requests=1, bytes=900))
    told = text(one)
    assert "everything matches: 1 window   exit 0" in told
    assert "1 window not due, and not asked for" in told
    assert "cost 1 request, 900 bytes of answers" in told
    assert "nothing was due: 1 window waits for its time" in text(report(not_due=1))
    assert "and 1 more window: 1 excess" in text(
        report(window(Verdict.SHORT), window(Verdict.EXCESS, 5)), Look(windows_max=1)
    )


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
    assert f"missing 7: {' '.join(map(str, ids))}" in told
    assert f"duplicate 2: {ORIGIN}-1 {ORIGIN}-2" in told


def test_windows_alike_are_told_in_one_line() -> None:
    """A whole day that could not be read is one line with its reason, not twenty-four."""
    windows = [
        window(Verdict.INCOMPLETE, hour, server_count=None, reason="rate limited") for hour in range(24)
    ]
    told = text(report(*windows))
    assert told.count("rate limited") == 1
    assert "(24 windows)" in told


def test_windows_that_only_rest_are_told_in_one_line() -> None:
    """Their reason is the time of the next look, which they share to the minute."""
    windows = [
        window(Verdict.SETTLING, hour, reason=settles_at(due_ms), due_ms=due_ms)
        for hour in range(0, 24, 2)
        for due_ms in [DAY_MS + 2 * MS_PER_DAY + hour]
    ]
    told = text(report(*windows))
    assert (
        "2026-10-01T00:00Z to 2026-10-01T23:00Z (12 windows)  settling  next look 2026-10-03T00:00Z" in told
    )
    assert "it settles at" not in told


def test_a_reason_that_lists_say_is_not_said_twice() -> None:
    """What the lists count is left out; what they do not have is told."""
    one = [EntryId(ORIGIN, 1)]
    said = window(Verdict.EXCESS, duplicate=one, reason="1 there more than once")
    unsaid = window(
        Verdict.EXCESS,
        1,
        duplicate=one,
        reason="1 there more than once, 2 refused or dropped, and there all the same",
    )
    told = text(report(said, unsaid))
    assert told.count("1 there more than once") == 1
    assert "2 refused or dropped" in told


def test_words_left_out_are_words_of_the_judge() -> None:
    """Each is one that a verdict's reason has; another would be told beside its list."""
    ids = {EntryId(ORIGIN, 1)}
    found = Findings(
        missing=ids,
        duplicate=dict.fromkeys(ids, 2),
        corrupt=ids,
        shifted=ids,
        arrived=ids,
        disputed=ids,
        collision=ids,
    )
    assert {part.removeprefix("1 ") for part in describe(found).split(", ")} == TOLD_BY_LISTS


def test_what_an_earlier_read_named_is_marked_with_its_time() -> None:
    """While the window settles they stay named, apart from what this read found, and the result counts them."""
    ids = [EntryId(ORIGIN, 1), EntryId(ORIGIN, 2)]
    settling = window(Verdict.SETTLING, duplicate=ids, seen_earlier=dict.fromkeys(ids, DAY_MS + 61_000))
    told = text(report(settling, window(Verdict.MATCH, 1)))
    assert f"settling  duplicate 2 (seen 2026-10-01T00:01Z): {ORIGIN}-1 {ORIGIN}-2" in told
    assert "2 events WRONG when last seen" in told
    mixed = window(Verdict.DISPUTED, duplicate=ids, seen_earlier={ids[1]: DAY_MS})
    assert f"duplicate 1: {ORIGIN}-1  duplicate 1 (seen 2026-10-01T00:00Z): {ORIGIN}-2" in text(report(mixed))


def test_what_changed_is_told_with_what_it_was() -> None:
    """Newly short, newly matching and newly final windows, each kind in a line; what stayed is not told."""
    found = report(
        window(Verdict.SHORT, 0, was=Verdict.MATCH),
        window(Verdict.MATCH, 1, was=Verdict.REPLAYED),
        window(Verdict.FINAL, 2, was=Verdict.MATCH),
        window(Verdict.FINAL, 3, was=Verdict.MATCH),
        window(Verdict.FINAL, 4, was=Verdict.MATCH),
        window(Verdict.MATCH, 5, was=Verdict.MATCH),
        window(Verdict.MATCH, 6),
    )
    lines = text(found).splitlines()
    at = lines.index("changed since each window was last read:   1 were never read before")
    assert lines[at + 1 : at + 4] == [
        "  now short 1 (was match): things 2026-10-01T00:00Z",
        "  now final 3 (was match): things 2026-10-01T02:00Z, things 2026-10-01T03:00Z and 1 more",
        "  now match 1 (was replayed): things 2026-10-01T01:00Z",
    ]
    assert "short, was match" in text(found)


@pytest.mark.parametrize(
    ("was", "told"),
    [(Verdict.MATCH, "last read: nothing"), (None, "last read: all is new   1 were never read before")],
)
def test_where_nothing_changed_the_report_says_so(was: Verdict | None, told: str) -> None:
    """No line would leave open whether anybody looked."""
    assert told in text(report(window(Verdict.MATCH, was=was)))


def test_amounts_that_were_not_compared_are_shouted() -> None:
    """What a match does not rest on stands beside what it does."""
    audit = Audit(collection="things", exact=("price",), left_out=(("tax", "not a number in every event"),))
    told = text(report(window(Verdict.MATCH), audited=(audit,)))
    assert "amounts compared   things: price" in told
    assert "amounts NOT COMPARED   things: tax (not a number in every event)" in told


def test_of_what_was_not_read_no_amount_was_compared() -> None:
    """Level 0 did not answer: the properties that it would have compared are not claimed."""
    audit = Audit(collection="things", exact=("price",), left_out=(("tax", "why"),))
    told = text(report(window(Verdict.INCOMPLETE, server_count=None), audited=(audit,)))
    assert "amounts compared   none" in told
    assert "price" not in told


def named(window_count: int, ids_each: int) -> list[WindowReport]:
    return [
        window(
            Verdict.SHORT,
            hour,
            missing=[EntryId(ORIGIN, hour * ids_each + n) for n in range(1, ids_each + 1)],
        )
        for hour in range(window_count)
    ]


def test_up_to_the_limit_every_event_in_doubt_is_named() -> None:
    """A hundred are listed, each, and nothing is said to be left out."""
    windows = named(10, 10)
    told = text(report(*windows))
    assert all(f"{entry_id}" in told.split() for window in windows for entry_id in window.missing)
    assert "NOT LISTED" not in told


def test_beyond_the_limit_the_rest_is_counted_with_how_to_list_it() -> None:
    """Of 250 events in doubt 100 are named; 150 are counted, and the commands that list them stand there."""
    told = text(report(*named(10, 25)))
    listed = {word for word in told.split() if word.startswith(f"{ORIGIN}-")}
    assert len(listed) == 100
    assert "missing 25: not listed" in told
    assert "NOT LISTED  150 of 250 events in doubt" in told
    assert "verify --ndjson" in told
    assert "keen-client verify --show things@2026-10-01T04:00:00Z" in told


def test_events_of_windows_that_are_not_told_singly_are_not_listed_either() -> None:
    """The limit on windows hides ids too: they are counted as well."""
    told = text(report(*named(5, 2)), Look(windows_max=3))
    assert "and 2 more windows: 2 short" in told
    assert "NOT LISTED  4 of 10 events in doubt" in told


def test_the_command_that_lists_has_the_windows_of_the_report() -> None:
    """Another width or preset than the default stands in it, or it would find no such window."""
    start_ms = DAY_MS + 15 * 60_000
    narrow = WindowReport(
        collection="odd name",
        start_ms=start_ms,
        end_ms=start_ms + 15 * 60_000,
        state=Verdict.SHORT,
        missing=[EntryId(ORIGIN, 1)],
    )
    found = VerifyReport(as_of_ms=DAY_MS, preset="ledger", windows=[narrow])
    told = text(found, Look(list_max=0))
    assert "keen-client verify --show 'odd name@2026-10-01T00:15:00Z' --window 15m --preset ledger" in told
    assert "keen-client" not in text(found, Look(list_max=0, has_hints=False)).replace("title", "")


def by_segment(*windows: WindowReport) -> VerifyReport:
    days = {ORIGIN: "2026-09-29", "aaaaaaaaaa": "2026-09-30"}
    return report(*windows, segments=segments_of(windows, days))


def shared(mine: Verdict, other: Verdict, hour: int = 0, **given: Any) -> WindowReport:
    shares = (Share("aaaaaaaaaa", 4, 4, other), Share(ORIGIN, 6, 5, mine))
    return window(mine if mine is not Verdict.MATCH else other, hour, shares=shares, **given)


def test_the_segment_whose_events_lack_is_named() -> None:
    """An operator sees: all of it is of the file of that day; the other file is said to be well."""
    lost = [EntryId(ORIGIN, 3)]
    told = text(
        by_segment(
            shared(Verdict.SHORT, Verdict.MATCH, 7, missing=lost), shared(Verdict.MATCH, Verdict.MATCH, 9)
        )
    )
    assert f"2026-09-29-{ORIGIN}" in told
    assert "1 of 2 windows match" in told
    assert "local 12   server 10   missing 1   from 2026-10-01T07:00Z to 2026-10-01T08:00Z" in told
    assert "nothing is wrong in what 1 other segment has here" in told
    assert "2026-09-30-aaaaaaaaaa" not in told


def test_a_segment_that_was_not_checked_is_not_called_well() -> None:
    """Beside an affected segment, one that was not read is said to be so."""
    lost = [EntryId(ORIGIN, 3)]
    told = text(
        by_segment(
            shared(Verdict.SHORT, Verdict.MATCH, 7, missing=lost),
            shared(Verdict.SETTLING, Verdict.SETTLING, 9),
        )
    )
    assert "nothing is wrong" not in told
    assert "what 1 other segment has here is not checked or not settled" in told


def test_a_clean_report_has_no_segments_unless_asked() -> None:
    """--by origin shows one row for each origin, whatever its state, and no map of days."""
    found = by_segment(shared(Verdict.MATCH, Verdict.MATCH), shared(Verdict.FINAL, Verdict.FINAL, 23))
    assert "by segment" not in text(found)
    told = text(found, Look(by="origin"))
    assert "00     06" not in told
    rows = [line for line in told.splitlines() if line.startswith("2026-")]
    assert [row[:21] for row in rows] == [f"2026-09-29-{ORIGIN}", "2026-09-30-aaaaaaaaaa"]
    assert all(row.endswith("match") for row in rows)
    assert "a column: 1 h, from 2026-10-01T00:00Z" in told


@pytest.mark.parametrize(
    ("days", "column"), [(1, "1 h"), (2, "2 h"), (4, "4 h"), (30, "2 d"), (4000, "168 d")]
)
def test_columns_cover_the_windows(days: int, column: str) -> None:
    """However long the scope is, first and last window are on the row."""
    windows = [shared(Verdict.SHORT, Verdict.MATCH, hour) for hour in (0, days * 24 - 1)]
    (row,) = [
        line for line in text(by_segment(*windows)).splitlines() if line.startswith(f"2026-09-29-{ORIGIN}")
    ]
    assert row.count(GLYPHS[Verdict.SHORT].sign) == 2
    assert f"a column: {column}" in text(by_segment(*windows))


def test_many_affected_segments_are_counted() -> None:
    """Beyond the limit they are summed up, not left out."""
    segments = tuple(
        Segment(
            origin=f"{number:010}",
            day="2026-09-29",
            local_count=1,
            server_count=0,
            windows={Verdict.SHORT: 1},
            named={"missing": 1},
        )
        for number in range(12)
    )
    told = text(report(segments=segments))
    assert "and 2 more segments in which something is wrong" in told
    assert "something is wrong in every segment" in told


@given(st.lists(st.sampled_from(Verdict), min_size=1, max_size=200))
def test_nothing_but_everything_is_a_hundred_per_cent(states: list[Verdict]) -> None:
    """However many windows match, one that does not keeps the result from sounding like all."""
    found = report(*(window(state, hour) for hour, state in enumerate(states)))
    told = text(found)
    assert ("everything matches" in told) == (found.exit_status() == 0)
    if found.exit_status():
        assert "100 %" not in told
        assert "100.0" not in told


def test_what_is_wrong_comes_before_what_takes_time() -> None:
    """With more lines than room, settling windows are summed up first, and nothing vanishes."""
    settling = [window(Verdict.SETTLING, hour, due_ms=DAY_MS + hour * MS_PER_HOUR) for hour in range(10)]
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


def test_a_replay_of_nothing_says_so() -> None:
    """Nought of nought is no achievement."""
    assert _plan(planned=0, events=[]) == "REPLAYED  nothing: no event is proven missing"


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
