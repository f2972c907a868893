"""How a soak goes: its plan, the pace of its writers, and which of them are in a call."""

from __future__ import annotations

import mmap
import random
import signal
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import attrs

from keen_client._foundation.clock import MS_PER_HOUR, ms_to_iso

#: Events are dated over so many hours up to now, and recorded in that order: so there are hours that
#: come to rest while the soak goes on, and nightly jobs have something to compare and to resend.
STORY_HOURS: Final = 48
#: The writers' shares of the run end a little before it does.
_PACE: Final = 0.97
_NAP_SECONDS: Final = 0.02


@attrs.frozen
class Plan:
    """One soak: where it happens, how much in how many seconds, when it began (on both clocks)."""

    directory: Path
    events: int
    seconds: float
    seed: int
    port: int
    began_ms: int
    began_seconds: float

    @property
    def ledgers(self) -> Path:
        """The folder of what the writers write down."""
        return self.directory / "ledgers"

    @property
    def elapsed_seconds(self) -> float:
        """Since the run began."""
        return time.monotonic() - self.began_seconds

    def batch(self, chance: random.Random, least: int, most: int) -> int:
        """How many events a call takes: from *least* to *most*, and few in a small soak."""
        return chance.randint(least, max(least, min(most, self.events // 50)))

    def story_ms(self) -> int:
        """The time of an event that is recorded now: :data:`STORY_HOURS` go by in the length of the run."""
        progress = min(1.0, self.elapsed_seconds / self.seconds)
        return self.began_ms - round((1 - progress) * STORY_HOURS * MS_PER_HOUR)

    def windows(self) -> list[str]:
        """The window options of all that is recorded."""
        first_ms = self.began_ms - STORY_HOURS * MS_PER_HOUR
        last_ms = self.began_ms + round(self.seconds * 1000) + 3 * MS_PER_HOUR
        edges = [ms // MS_PER_HOUR * MS_PER_HOUR for ms in (first_ms, last_ms)]
        return ["--start", ms_to_iso(edges[0]), "--end", ms_to_iso(edges[1])]

    def serve(self, *faults: str, life: int = 0) -> list[str]:
        """The command of the server."""
        options = [option for fault in faults for option in ("--fault", fault)]
        data = str(self.directory / "server")
        chance = str(self.seed * 1_000_003 + life)
        return ["serve", "--json", "--port", str(self.port), "--data", data, "--seed", chance, *options]


class Busy:
    """Which kinds of writers are in a recording call at this moment: a byte for each, shared by all that are forked.

    Without it most kills would meet a writer that waits for its next events.
    """

    def __init__(self, kinds: Iterable[str]) -> None:
        self._places = {name: place for place, name in enumerate(kinds)}
        self._memory = mmap.mmap(-1, len(self._places))

    def __getitem__(self, name: str) -> bool:
        """Whether the writer *name* is in a call; False for what is none of the kinds."""
        return name in self._places and self._memory[self._places[name]] == 1

    def clear(self, name: str) -> None:
        """Say that *name* is in no call."""
        if name in self._places:
            self._memory[self._places[name]] = 0

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Say that *name* is in a call for as long as the block lasts."""
        self._memory[self._places[name]] = 1
        try:
            yield
        finally:
            self.clear(name)


class Pace:
    """How fast one kind of writer goes: its share of the run, spread evenly over it; catches up after a death."""

    def __init__(self, plan: Plan, share: float, have: int) -> None:
        self._plan = plan
        self._goal = share * plan.events
        self._have = have
        self._stopped = False
        signal.signal(signal.SIGTERM, self._stop)

    def _stop(self, _number: int, _frame: object) -> None:
        self._stopped = True

    def next(self, count: int) -> bool:
        """Return True when *count* more events are due, False when the process is to end."""
        while not self._stopped:
            progress = min(1.0, self._plan.elapsed_seconds / (self._plan.seconds * _PACE))
            if self._have < self._goal * progress:
                self._have += count
                return True
            time.sleep(_NAP_SECONDS)
        return False
