"""The scenarios: what a program does, what goes wrong meanwhile, which figures tell how it went, and our own test of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal

import attrs

from tests.bench.peers.counting_sink import Counts, Trouble

#: How a program ends: killed or terminated in its last call; by itself, without a word to its client; or
#: after a flush and a close, for "stay" not before the runner has seen what arrives without them.
End = Literal["kill", "terminate", "end", "stay", "close"]


@attrs.frozen(kw_only=True)
class Outcome:
    """One program run. ``exit_seconds`` from the last call to the end; None: it was ended by the runner."""

    peer: str
    scenario: str
    calls: int
    raised: int
    error: str
    p50_ms: float
    p99_ms: float
    max_ms: float
    touched_wire: int
    exit_seconds: float | None
    at_exit: Counts
    at_last: Counts
    dead_letters: tuple[str, ...] = ()


@attrs.frozen
class Figure:
    """One line of the table. What it reads of an outcome: a number, or words."""

    title: str
    read: Callable[[Outcome], float | str]
    decimals: int = 0


@attrs.frozen(kw_only=True)
class Scenario:
    """One group of lines. ``all_of`` is how many events could arrive."""

    key: str
    title: str
    events: int
    then: End
    figures: tuple[Figure, ...]
    #: Tests that hold the row for keen_client, in the suite that runs by default.
    tests: tuple[str, ...]
    all_of: int = 0
    trouble: Trouble = attrs.field(factory=Trouble)
    forks: bool = False
    poison: int | None = None
    odd: int | None = None
    #: Nobody listens while the program runs.
    is_refused: bool = False
    #: The program is started again, without events of its own, flushes and closes.
    starts_again: bool = False
    #: How long the runner waits for all to arrive before a program that stays up is told to end.
    patience_seconds: float = 20.0
    #: Microseconds or the moment of a kill matter: nothing else is run beside it.
    runs_alone: bool = False
    call_seconds: float = 30.0

    def __attrs_post_init__(self) -> None:
        """Where nothing else was said, every event could arrive."""
        object.__setattr__(self, "all_of", self.all_of or self.events)


def _exit_seconds(outcome: Outcome) -> float | str:
    return "ended by us after 60 s" if outcome.exit_seconds is None else outcome.exit_seconds


def _what_the_caller_got(outcome: Outcome) -> str:
    return outcome.error.partition(":")[0] or "nothing"


def _named(outcome: Outcome) -> str:
    if outcome.dead_letters:
        return "yes, as " + ", ".join(outcome.dead_letters)
    return "its call raised" if outcome.raised else "no"


_ARRIVED: Final = Figure("arrived", lambda outcome: outcome.at_exit.distinct)
_ARRIVED_LATER: Final = Figure(
    "arrived once the program was started again", lambda outcome: outcome.at_last.distinct
)
_RAISED: Final = Figure("calls that raised", lambda outcome: outcome.raised)
_EXIT: Final = Figure("from the last call to the end, s", _exit_seconds, 1)
_CLOSING: Final = Figure("flush and close took, s", _exit_seconds, 1)

_CRASH: Final = "tests/crash/"
_END: Final = "tests/end_to_end/"

SCENARIOS: Final = (
    Scenario(
        key="calm",
        title="50 events, flush, close; nothing goes wrong (the control)",
        events=50,
        then="close",
        figures=(_ARRIVED,),
        tests=(f"{_END}test_peer_table.py::test_the_runner_measures_this_client_as_it_measures_the_others",),
    ),
    Scenario(
        key="killed",
        title="530 events, then at once SIGKILL",
        events=530,
        then="kill",
        figures=(_ARRIVED, _ARRIVED_LATER),
        tests=(
            f"{_CRASH}test_delivery_killed.py::test_receipts_arrive_when_the_process_dies_while_it_sends",
            f"{_CRASH}test_delivery_killed.py::test_ten_thousand_receipts_of_a_killed_process_arrive",
        ),
        starts_again=True,
        runs_alone=True,
    ),
    Scenario(
        key="terminated",
        title="530 events, then at once SIGTERM, no handler",
        events=530,
        then="terminate",
        figures=(_ARRIVED, _ARRIVED_LATER),
        tests=(f"{_CRASH}test_delivery_killed.py::test_receipts_arrive_when_the_process_is_terminated",),
        starts_again=True,
        runs_alone=True,
    ),
    Scenario(
        key="ended",
        title="530 events, and the script ends without flush or close",
        events=530,
        then="end",
        figures=(_ARRIVED, _EXIT, _ARRIVED_LATER),
        tests=(
            f"{_END}test_exit_without_flush.py::test_exit_without_flush_keeps_every_event_in_the_log",
            f"{_END}test_exit_without_flush.py::test_exit_without_flush_sends_what_the_server_takes_in_time",
        ),
        starts_again=True,
        runs_alone=True,
    ),
    Scenario(
        key="forked",
        title="200 events in a child forked after the client was made",
        events=200,
        then="stay",
        figures=(_ARRIVED, _CLOSING),
        tests=(f"{_CRASH}test_process_kinds.py::test_fork_after_construction_serves_parent_and_child",),
        forks=True,
    ),
    Scenario(
        key="refused",
        title="50 events, nobody listens, and the script ends; the server comes back",
        events=50,
        then="end",
        figures=(_RAISED, _EXIT, _ARRIVED_LATER),
        tests=(
            f"{_END}test_exit_without_flush.py::test_exit_without_flush_keeps_every_event_in_the_log",
            f"{_CRASH}test_process_kinds.py::test_server_that_is_down_at_exit_gets_everything_from_the_next_process",
        ),
        is_refused=True,
        starts_again=True,
    ),
    Scenario(
        key="outage_8",
        title="50 events, 503 for 8 s, then healthy; the program stays up",
        events=50,
        then="stay",
        figures=(_RAISED, _ARRIVED),
        tests=(f"{_END}test_outage.py::test_an_outage_loses_and_doubles_nothing",),
        trouble=Trouble(outage_seconds=8.0),
        patience_seconds=60.0,
    ),
    Scenario(
        key="outage_20",
        title="the same, 503 for 20 s",
        events=50,
        then="stay",
        figures=(_RAISED, _ARRIVED),
        tests=(f"{_END}test_outage.py::test_an_outage_loses_and_doubles_nothing",),
        trouble=Trouble(outage_seconds=20.0),
        patience_seconds=75.0,
    ),
    Scenario(
        key="poison",
        title="20 events in one go, of which the server refuses one",
        events=20,
        all_of=19,
        then="stay",
        figures=(
            Figure("of the 19 others arrived", lambda outcome: outcome.at_exit.distinct),
            Figure("which one was refused can be asked for", _named),
        ),
        tests=(
            f"{_END}test_troubles.py::test_poison_event_is_the_one_dead_letter",
            f"{_END}test_peer_table.py::test_a_refused_event_is_named_and_takes_no_other_with_it",
        ),
        poison=7,
    ),
    Scenario(
        key="odd",
        title="20 events, of which one holds an object that is no JSON",
        events=20,
        all_of=20,
        then="stay",
        figures=(
            _ARRIVED,
            Figure("arrived with all its properties gone", lambda outcome: outcome.at_exit.bare),
            Figure("its caller got", _what_the_caller_got),
        ),
        tests=(
            f"{_END}test_troubles.py::test_an_event_that_is_no_json_is_refused_and_the_others_arrive",
            f"{_END}test_troubles.py::test_bad_event_is_refused_at_the_call",
        ),
        odd=7,
        patience_seconds=12.0,
    ),
    Scenario(
        key="burst",
        title="30,000 events as fast as the calls return, for at most 30 s, at a server that takes 200 ms; flush, close",
        events=30_000,
        then="close",
        figures=(
            Figure("calls made", lambda outcome: outcome.calls),
            Figure(
                "not arrived when the program ended", lambda outcome: outcome.calls - outcome.at_last.distinct
            ),
            _EXIT,
            Figure("a call, median, ms", lambda outcome: outcome.p50_ms, 2),
            Figure("a call, 99th of 100, ms", lambda outcome: outcome.p99_ms, 2),
            Figure("a call, the longest, ms", lambda outcome: outcome.max_ms),
            Figure("calls used the network", lambda outcome: "yes" if outcome.touched_wire else "no"),
        ),
        tests=(f"{_END}test_burst.py::test_a_burst_at_a_slow_server_never_waits_on_the_network",),
        trouble=Trouble(latency_seconds=0.2),
        runs_alone=True,
    ),
    Scenario(
        key="answer_lost",
        title="50 events; the first answer is lost after the server took what was sent",
        events=50,
        then="stay",
        figures=(
            _ARRIVED,
            Figure("sent again, under the same id", lambda outcome: outcome.at_exit.again_same_id),
            Figure("sent again, under none", lambda outcome: outcome.at_exit.again_other_id),
        ),
        tests=(
            f"{_END}test_troubles.py::test_cut_after_store_is_settled_by_a_query_and_never_doubled",
            f"{_END}test_peer_table.py::test_a_lost_answer_brings_no_second_copy",
        ),
        trouble=Trouble(loses_first_answer=True),
        patience_seconds=15.0,
    ),
)
