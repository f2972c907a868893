"""What goes wrong in one swarm history, drawn from its seed: a subset of all faults, never all of them.

With everything on at once nearly nothing arrives, and one fault hides the
other. Each seed leaves most of them out; together the seeds have every pair.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any, Final

import attrs

from keen_client._foundation.clock import MS_PER_DAY, MS_PER_HOUR, ms_to_iso
from keen_client.delivery.config import DeliveryConfig
from keen_client.eventlog.config import LogConfig
from keen_client.verify.presets import PresetName
from keen_client.verify.windows import WindowName
from tests.simulation.scenarios import hour_ms
from tests.simulation.world import COLLECTIONS

_Draw = Callable[[random.Random], Any]


def _one_of(*values: Any) -> _Draw:
    return lambda chance: chance.choice(values)


def _some_hours(chance: random.Random) -> str:
    start_ms = hour_ms(chance.randrange(2), 0)
    return f"{ms_to_iso(start_ms)}/{ms_to_iso(start_ms + MS_PER_DAY)}"


#: Every fault of the server, and how bad it is: often, since there are few events.
SERVER: Final[Mapping[str, _Draw]] = {
    "lose": _one_of(0.1, 0.3, 0.6),
    "lose-keep-token": _one_of(0.1, 0.3),
    "duplicate": _one_of(0.1, 0.4),
    "null-properties": _one_of(0.1, 0.4),
    "null-timestamp": _one_of(0.1, 0.3),
    "reject": _one_of(0.1, 0.4),
    "cut-after-store": _one_of(0.3, 0.7),
    "partial-reads": _one_of(0.01, 0.05),
    "stale-reads": _one_of("20m", "1h"),
    "http-500": _one_of(0.1, 0.4),
    "html-502": _one_of(0.1, 0.4),
    "lie-count": _one_of(0.2, 0.6),
    "lie-sum": _one_of(0.2, 0.6),
    "missing-interval": _one_of(0.2, 0.6),
    "reordered-rows": _one_of(0.5, 1.0),
    "strings": _one_of(0.5, 1.0),
    "truncated": _one_of(0.2, 0.6),
    "shuffled-sums": _one_of(1.0),
    "delay": _one_of("0.3:4h", "0.7:4h", "0.3:20h"),
    "shift": _one_of("0.2:1h", "0.4:5h"),
    "vanish": _one_of("0.3:30h", "0.3:60h"),
    "slow": _one_of("61s"),
    "rate-limit": _one_of(1, 3),
    "scan-cap": _one_of(2, 5),
    "group-cap": _one_of(1, 2),
    "digits": _one_of(9, 12),
    "forget": _some_hours,
}
#: What may happen to a request on its way: refused before it leaves, answered 429, or lost with nobody knowing where.
LINES: Final = ("down", "busy", "reset")
#: What befalls the client's own machine and its log, and who else writes; see :mod:`tests.simulation.swarm`.
TROUBLES: Final = (
    "crash",
    "power",
    "restore",
    "clone",
    "clock-hour",
    "clock-years",
    "two-jobs",
    "back-fill",
    "retention",
    "short-nights",
    "away",
    "late",
    "others",
    "twins",
    "impostors",
)
#: What leaves marks that no replay may mend.
_LASTING: Final = frozenset({"duplicate", "null-properties", "null-timestamp", "shift", "vanish"})
_LASTING_TROUBLES: Final = frozenset({"restore", "clone", "clock-years", "late", "twins", "impostors"})


@attrs.frozen(kw_only=True)
class Plan:
    """One history. ``lines``: how likely each is; ``tokens``: what the server does with them.

    ``events``: recorded in a batch and collection; ``batches`` a day, on ``days`` days.
    """

    seed: int
    faults: Mapping[str, Any] = attrs.Factory(dict)
    lines: Mapping[str, float] = attrs.Factory(dict)
    troubles: frozenset[str] = frozenset()
    tokens: str = "edge"
    preset: PresetName = "standard"
    window: WindowName = "1h"
    days: int = 2
    batches: int = 1
    events: int = 2
    collections: tuple[str, ...] = COLLECTIONS[:1]
    log_config: LogConfig = attrs.Factory(LogConfig)
    delivery_config: DeliveryConfig = attrs.Factory(DeliveryConfig)
    readers_max: int = 8

    @property
    def all_faults(self) -> Mapping[str, Any]:
        """The server's faults, what it does with tokens included."""
        return {**self.faults, "tokens": self.tokens}

    @property
    def width_ms(self) -> int:
        """The width of the windows that are verified."""
        return MS_PER_DAY if self.window == "1d" else MS_PER_HOUR

    @property
    def is_delay_bounded(self) -> bool:
        """Whether nothing is hidden for longer than the settle time."""
        return "late" not in self.troubles

    @property
    def heals(self) -> bool:
        """Whether in the end every window has to match, and to be final."""
        return _LASTING.isdisjoint(self.faults) and _LASTING_TROUBLES.isdisjoint(self.troubles)

    def __str__(self) -> str:
        """What is on, in one line."""
        parts = [f"{name}={value}" for name, value in {**self.faults, **self.lines}.items()]
        return " ".join([f"tokens={self.tokens}", self.preset, *sorted(self.troubles), *parts])


def draw(seed: int) -> Plan:
    """The plan of *seed*."""
    chance = random.Random(f"plan {seed}")
    names = chance.sample(sorted(SERVER), chance.choice((0, 1, 1, 2, 2, 3, 4, 6)))
    troubles = frozenset(chance.sample(TROUBLES, chance.choice((0, 1, 1, 2, 2, 3))))
    lines = chance.sample(LINES, chance.choice((0, 0, 0, 1, 1, 2)))
    is_durable = chance.random() < (0.4 if "power" in troubles else 0.8)
    return Plan(
        seed=seed,
        faults={name: SERVER[name](chance) for name in names},
        lines={name: chance.choice((0.1, 0.4)) for name in lines},
        troubles=troubles,
        tokens=chance.choice(("edge", "edge", "visible", "off")),
        # The patience of the other one is shorter than the longest delay.
        preset="standard" if "delay" in names else chance.choice(("standard", "fast")),
        # Decades of hours would take their time.
        window="1d" if "clock-years" in troubles else chance.choice(("1d", "1d", "1h")),
        days=chance.choice((1, 2, 2, 3)),
        batches=chance.choice((1, 1, 2)),
        events=chance.choice((1, 2, 3, 5)),
        collections=COLLECTIONS if "short-nights" in troubles else COLLECTIONS[: chance.choice((1, 1, 2))],
        log_config=LogConfig(
            durability="full" if is_durable else "normal",
            retention_days=chance.choice((1, 4)) if "retention" in troubles else 60,
            segment_entries_max=chance.choice((2, 5, 2**21)),
            reserve_bytes=4_096,
        ),
        delivery_config=DeliveryConfig(
            batch_events_max=chance.choice((1, 3, 500)), unknown=chance.choice(("auto", "auto", "query"))
        ),
        readers_max=chance.choice((1, 8)),
    )
