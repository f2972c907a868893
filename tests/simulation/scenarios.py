"""The scenarios: which faults are on, when, and what has to have come of them."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any, Final

import attrs

from keen_client._foundation.clock import MS_PER_DAY, MS_PER_HOUR
from keen_client.verify.presets import PresetName
from tests.simulation.world import COLLECTIONS

#: What the suite runs with; other seeds: ``python -m tests.simulation --seed N --seeds M``.
SEED: Final = 1
#: The days on which events are recorded and faults are on, and the nights that follow: a fortnight and a day.
#: The nights are those that an event needs whose send was unknown on the last day and that was lost: to be
#: resent, missed twice, resent again, and read.
DAYS: Final = 8
NIGHTS: Final = 7
#: The days that show as much of two faults, or of answers that go wrong.
SHORT_DAYS: Final = 5
#: Until a swallowed resend was tried under another token, and that one settled and was read; the first
#: resend may come a week after the loss where it was not known whether the original was sent.
TIER_NIGHTS: Final = 20


@attrs.frozen(kw_only=True)
class Scenario:
    """One simulated fortnight. Days count from 0; a day's changes take effect at its midnight.

    ``faults`` are on for the whole fortnight, ``changes`` turn some on (or
    off, by None) from a day on. ``events``: recorded in a batch and collection,
    by day where ``heavy`` says so. ``backfill``: on a day, events dated in the
    first hour of an earlier day's. ``preset``: with which the job runs, ``job_hours``: when, in hours from midnight on. ``others``: how many events others write in an hour,
    at the instants of ours or not, and ``impostors``: the days on which some of theirs have ids of ours. ``resurrect`` and ``release``: days on
    which what vanished comes back and what is delayed is shown. ``offset_hours``: what the server's clock is off, from
    a day on. ``max_replay``: what a person allows, from a day on.

    ``days``: how many have events and faults; ``nights``: how many follow without. ``heals``: every event is seen
    exactly once then. ``client_copies``: how many copies of one event may be
    the client's doing: 2 only where a delay outlasts the settle time and
    tokens do not help. ``is_delay_bounded``: nothing is hidden for longer than
    the settle time. ``reached``: counters that have to have moved, and what
    the verifier has to have come to (:mod:`tests.simulation.reached`).
    """

    name: str
    faults: Mapping[str, Any] = attrs.field(factory=dict)
    changes: Mapping[int, Mapping[str, Any]] = attrs.field(factory=dict)
    events: int = 24
    heavy: Mapping[int, int] = attrs.field(factory=dict)
    backfill: Mapping[int, int] = attrs.field(factory=dict)
    preset: PresetName = "standard"
    job_hours: tuple[int, ...] = (27,)
    others: int = 0
    others_at_ours: bool = False
    impostors: frozenset[int] = frozenset()
    resurrect: frozenset[int] = frozenset()
    release: frozenset[int] = frozenset()
    offset_hours: Mapping[int, float] = attrs.field(factory=dict)
    max_replay: Mapping[int, int | None] = attrs.field(factory=dict)
    days: int = DAYS
    nights: int = NIGHTS
    collections: tuple[str, ...] = COLLECTIONS[:1]
    heals: bool = True
    client_copies: int = 1
    is_delay_bounded: bool = True
    reached: frozenset[str] = frozenset()

    @property
    def all_faults(self) -> dict[str, Any]:
        """Every fault that is on at some time, with one of its values."""
        merged = dict(self.faults)
        for change in self.changes.values():
            merged.update({name: value for name, value in change.items() if value is not None})
        return merged


#: Every fault, as it is in a scenario of its own and in one of two.
VALUES: Final[Mapping[str, Any]] = {
    "lose": 0.03,
    "lose-keep-token": 0.03,
    "duplicate": 0.03,
    "null-properties": 0.03,
    "null-timestamp": 0.03,
    "reject": 0.03,
    "cut-after-store": 0.2,
    "partial-reads": 0.02,
    "stale-reads": "1h",
    "http-500": 0.15,
    "html-502": 0.15,
    "lie-count": 0.5,
    "lie-sum": 0.5,
    "missing-interval": 0.5,
    "reordered-rows": 0.5,
    "strings": 0.5,
    "truncated": 0.5,
    "shuffled-sums": 1,
    "delay": "0.2:20h",
    "shift": "0.03:1h",
    "vanish": "0.03:72h",
    "slow": "61s",
    "rate-limit": 1,
    "scan-cap": 50,
    "group-cap": 2,
    "digits": 9,
}
#: What leaves marks that no replay may mend, or that only a later night mends.
_LASTING: Final = frozenset({"duplicate", "null-properties", "null-timestamp", "shift", "vanish"})
#: What happens to answers, and not to events.
_OF_ANSWERS: Final = frozenset(
    {"http-500", "html-502", "slow", "rate-limit", "scan-cap", "group-cap", "digits", "shuffled-sums"}
    | {"lie-count", "lie-sum", "missing-interval", "reordered-rows", "strings", "truncated", "stale-reads"}
)
#: What the other one leaves no occasion for: who is answered after a minute asks once a minute.
_IN_VAIN: Final = {frozenset({"slow", "rate-limit"}): frozenset({"rate-limit"})}
_SWALLOWED: Final = frozenset({"lose-keep-token"})


def of_faults(names: tuple[str, ...]) -> Scenario:
    """The scenario of the faults *names* together; where all are of answers, events are lost besides.

    Otherwise nothing would differ, and few questions would be asked whose answers could go wrong.
    """
    is_full = len(names) == 1 and not _OF_ANSWERS.issuperset(names)
    return Scenario(
        name="+".join(names),
        faults={name: VALUES[name] for name in (*names, *_besides(names))},
        days=DAYS if is_full else SHORT_DAYS,
        nights=TIER_NIGHTS if _SWALLOWED.intersection(names) else NIGHTS,
        collections=COLLECTIONS if names in (("lose",), ("delay",)) else COLLECTIONS[:1],
        heals=_LASTING.isdisjoint(names),
        reached=frozenset(names).difference(_IN_VAIN.get(frozenset(names), ())),
    )


def _besides(names: tuple[str, ...]) -> tuple[str, ...]:
    return ("lose",) if _OF_ANSWERS.issuperset(names) else ()


def _day(number: int) -> str:
    return f"2026-10-{number + 1:02d}"


_CUT: Final = {"cut-after-store": 0.3}

SINGLES: Final[tuple[Scenario, ...]] = (
    Scenario(name="calm", collections=COLLECTIONS),
    *(of_faults((name,)) for name in VALUES),
    Scenario(
        name="forget",
        changes={3: {"forget": f"{_day(3)}T08:00:00Z/{_day(3)}T09:00:00Z"}},
        reached=frozenset({"forget"}),
    ),
    *(
        Scenario(name=f"tokens={mode}", faults={"tokens": mode, **_CUT}, reached=frozenset(_CUT))
        for mode in ("edge", "visible", "off")
    ),
)

TALES: Final[tuple[Scenario, ...]] = (
    Scenario(
        name="trap",
        changes={4: {"lose-keep-token": 0.2}, 5: {"lose-keep-token": None}},
        nights=14,
        collections=COLLECTIONS,
        reached=frozenset({"lose-keep-token"}),
    ),
    Scenario(
        name="week-late",
        faults={"tokens": "off"},
        # So long that nothing of it is seen before it is released.
        changes={3: {"delay": "1:3650d"}, 4: {"delay": None}},
        release=frozenset({10}),
        nights=10,
        heals=False,
        client_copies=2,
        is_delay_bounded=False,
        reached=frozenset({"delay"}),
    ),
    Scenario(
        name="week-late-with-tokens",
        changes={3: {"delay": "1:3650d"}, 4: {"delay": None}},
        release=frozenset({10}),
        nights=7,
        is_delay_bounded=False,
        reached=frozenset({"delay", "eligible"}),
    ),
    Scenario(
        # Two reads six hours apart show nothing of what comes within twenty.
        name="every-six-hours",
        faults={"lose": 0.03, "delay": "0.3:20h"},
        backfill={4: 1},
        job_hours=(10, 15, 21, 27),
        days=SHORT_DAYS,
        reached=frozenset({"lose", "delay"}),
    ),
    Scenario(
        name="a-week-of-delay-under-ledger",
        preset="ledger",
        # Nothing swallows a resend, so only waiting keeps what is late from being there twice.
        faults={"lose": 0.03, "delay": "0.2:168h", "tokens": "off"},
        days=SHORT_DAYS,
        nights=20,
        reached=frozenset({"lose", "delay", "eligible", "state final"}),
    ),
    Scenario(
        name="hours-of-delay-under-fast",
        preset="fast",
        faults={"lose": 0.03, "delay": "0.3:5h", "tokens": "off"},
        job_hours=(10, 15, 21, 27),
        days=SHORT_DAYS,
        reached=frozenset({"lose", "delay", "eligible"}),
    ),
    Scenario(
        name="day-lost",
        changes={5: {"forget": f"{_day(5)}/{_day(6)}"}},
        heavy={5: 150},
        max_replay={9: 2_000},
        reached=frozenset({"forget"}),
    ),
    Scenario(
        name="clock-an-hour-off",
        faults={"lose": 0.05},
        offset_hours={2: 1.0, 7: 0.0},
        reached=frozenset({"lose"}),
    ),
    Scenario(
        name="clock-an-hour-behind",
        faults={"lose": 0.05, "delay": "0.2:20h"},
        offset_hours={3: -1.0, 8: 0.0},
        reached=frozenset({"lose", "delay"}),
    ),
    Scenario(
        name="others-write-too",
        days=SHORT_DAYS,
        faults={"lose": 0.05},
        others=5,
        reached=frozenset({"lose", "foreign", "each event"}),
    ),
    Scenario(
        name="others-write-at-the-same-instants",
        days=SHORT_DAYS,
        faults={"lose": 0.1},
        others=12,
        others_at_ours=True,
        heals=False,
        reached=frozenset({"lose", "disputed", "state disputed"}),
    ),
    Scenario(
        name="lost-and-doubled",
        days=SHORT_DAYS,
        faults={"lose": 0.1, "duplicate": 0.1},
        heals=False,
        reached=frozenset({"lose", "duplicate", "state mixed", "state excess"}),
    ),
    Scenario(
        name="a-clone-runs",
        days=SHORT_DAYS,
        faults={"lose": 0.02},
        impostors=frozenset({1, 3}),
        heals=False,
        reached=frozenset({"collision", "state disputed"}),
    ),
    Scenario(name="back-filled", backfill={8: 3, 12: 0}, faults={"lose": 0.02}, nights=8),
    Scenario(
        name="vanished-before-it-was-seen",
        changes={2: {"vanish": "0.2:1h"}, 3: {"vanish": None}},
        resurrect=frozenset({15}),
        nights=16,
        heals=False,
        client_copies=2,
        is_delay_bounded=False,
        reached=frozenset({"vanish"}),
    ),
    Scenario(
        name="vanished-and-came-back",
        # Nothing swallows a resend, and two nights have missed them when they come back.
        faults={"tokens": "off"},
        changes={2: {"vanish": "0.2:72h"}, 3: {"vanish": None}},
        resurrect=frozenset({18}),
        nights=13,
        reached=frozenset({"vanish", "vanished"}),
    ),
    Scenario(
        name="proxy-and-cut-lines",
        faults={"html-502": 0.2, "cut-after-store": 0.2, "lose": 0.02},
        reached=frozenset({"html-502", "cut-after-store", "lose"}),
    ),
    Scenario(
        name="proxy-and-cut-lines-without-tokens",
        faults={"html-502": 0.2, "cut-after-store": 0.2, "lose": 0.02, "tokens": "off"},
        reached=frozenset({"html-502", "cut-after-store", "lose"}),
    ),
)


def all_pairs() -> list[Scenario]:
    """Every two faults together."""
    return [of_faults(pair) for pair in itertools.combinations(VALUES, 2)]


def by_name(name: str) -> Scenario:
    """The scenario called *name*; any faults joined by ``+`` are one."""
    for scenario in (*SINGLES, *TALES):
        if scenario.name == name:
            return scenario
    return of_faults(tuple(name.split("+")))


def midnight_ms(day: int) -> int:
    """The start of *day* of the simulation, which begins at 2026-10-01T00:00Z."""
    return 1_790_812_800_000 + day * MS_PER_DAY


def hour_ms(day: int, hour: int) -> int:
    """The start of an hour of *day*."""
    return midnight_ms(day) + hour * MS_PER_HOUR
