"""The demo's scenario: a server that loses events, and a night that finds and replaces every one of them.

The order of the acts matters. The probe comes first, against a server that
still behaves, so that tokens are known to be honoured. Then some single events
whose request is cut after the server has stored it: delivery itself has to
settle that. Only then the losses begin, so that what the server counts as lost
is what verification has to find.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import Any, Final

import attrs

from keen_client._foundation.clock import (
    MS_PER_DAY,
    MS_PER_HOUR,
    MS_PER_MINUTE,
    MS_PER_SECOND,
    SystemClock,
    ms_to_datetime,
)
from keen_client.cli.demo_server import ServerProcess
from keen_client.cli.draining import drain
from keen_client.cli.progress import OnProgress
from keen_client.client.settings import Settings
from keen_client.client.sync_client import KeenClient
from keen_client.client.wiring import Machinery
from keen_client.delivery.config import DeliveryConfig
from keen_client.errors import UsageError
from keen_client.eventlog.config import LogConfig
from keen_client.replay.night import Night, NightReport
from keen_client.sample.flights import EVENTS_PER_WEEK, MS_PER_WEEK, SampleEvent, load_flights
from keen_client.transport.secret import Secret
from keen_client.verify.probe import TokenProbe
from keen_client.verify.verdict import Verdict

#: What the server does wrong unless the caller chooses.
DEFAULT_FAULTS: Final = ("lose=0.02", "delay=0.05:2s")
#: Struck exactly once, unless the caller chooses otherwise: stored, and the line dropped before the answer.
CUT: Final = "cut-after-store"
#: Faults by which events vanish, as the server counts them.
LOSSES: Final = ("lose", "lose-keep-token", "forget")

#: Events recorded one by one, each synced before its receipt; the others come in chunks.
SINGLE_EVENTS_MAX: Final = 300
CHUNK_EVENTS: Final = 5_000
#: Up to three weeks of departures are compared hour by hour; more than that day by day, which takes
#: two thirds of the time when there are losses in nearly every hour.
HOURLY_EVENTS_MAX: Final = 3 * EVENTS_PER_WEEK
#: The settle time has to be longer than the longest delay, or delayed events would be resent.
SETTLE_MIN_MS: Final = 3 * MS_PER_SECOND
DELAY_MAX_MS: Final = 30 * MS_PER_SECOND
_PROBE_READS_MAX: Final = 10
_UNIT_MS: Final = {
    "ms": 1,
    "s": MS_PER_SECOND,
    "m": MS_PER_MINUTE,
    "h": MS_PER_HOUR,
    "d": MS_PER_DAY,
}


@attrs.frozen(kw_only=True)
class DemoResult:
    """What the demo came to. ``cost``: requests and bytes of both verifications."""

    recorded: int
    acknowledged: int
    lost_by_server: int
    night: NightReport
    pending: int

    @property
    def matched(self) -> bool:
        """Whether the last verification matches everything, and nothing was left unsent."""
        return self.night.after.exit_status() == 0 and self.pending == 0

    def exit_status(self) -> int:
        """0 only when everything matched; otherwise the bits of the night."""
        return 0 if self.matched else self.night.exit_status() or 1

    def document(self) -> dict[str, Any]:
        """The JSON document of ``demo --json``, without its schema number."""
        before, after = self.night.before, self.night.after
        costs = [before.cost] if after is before else [before.cost, after.cost]
        return {
            "recorded": self.recorded,
            "acknowledged": self.acknowledged,
            "lost_by_server": self.lost_by_server,
            "windows": len(before.windows),
            "windows_short": sum(w.state in (Verdict.SHORT, Verdict.MIXED) for w in before.windows),
            "missing_found": sum(len(window.missing) for window in before.windows),
            "replayed": len(self.night.replay.replayed),
            "missing_after": sum(len(window.missing) for window in after.windows),
            "duplicates_after": sum(len(window.duplicate) for window in after.windows),
            "verify_requests": sum(cost.requests for cost in costs),
            "verify_bytes": sum(cost.bytes for cost in costs),
            "matched": self.matched,
        }


class Demo:
    """Runs the scenario once in *place*. ``tell`` gets a line for each act, ``show`` its progress."""

    def __init__(
        self,
        place: Path,
        *,
        events: int,
        faults: Sequence[str],
        seed: int | None,
        keeps_data: bool,
        tell: Callable[[str], None],
        show: OnProgress,
    ) -> None:
        self._place = place
        self._events = events
        self._faults = dict(_parted(fault) for fault in faults or DEFAULT_FAULTS)
        self._seed = seed
        self._data = place / "server" if keeps_data else None
        self._tell = tell
        self._show = show
        self._clock = SystemClock()
        self.settle_ms: Final = settle_ms_of(self._faults)

    def run(self) -> DemoResult:
        """Tell the whole story.

        Raises:
            MissingExtraError: the local server's packages are not installed.
            UsageError: a fault that does not exist, or a delay too long to wait out.
            KeenError: the server did not start, or went away.
        """
        # How tokens are treated has to hold from the start; all else begins later.
        early = [f"tokens={self._faults.pop('tokens')}"] if "tokens" in self._faults else []
        with ExitStack() as stack:
            server = stack.enter_context(ServerProcess(early, self._seed, self._data))
            server.change_faults(self._faults)  # a wrong one ends the demo here
            server.change_faults(dict.fromkeys(self._faults))
            self._tell(f"a local server answers at {server['url']}")
            settings = Settings(
                project_id=server["project_id"],
                base_url=server["url"],
                log=self._place / "log",
                write_key=Secret(server["write_key"]),
                read_key=Secret(server["read_key"]),
            )
            # Recorders only record; the machinery sends and verifies. It is closed before they are.
            careful = stack.enter_context(_recorder(settings, "full"))
            quick = stack.enter_context(_recorder(settings, "normal"))
            machinery = _machinery(settings)
            stack.callback(machinery.close, 2.0)
            return self._night(server, machinery, careful, quick)

    def _night(
        self, server: ServerProcess, machinery: Machinery, careful: KeenClient, quick: KeenClient
    ) -> DemoResult:
        honoured = self._probe(machinery)
        self._tell(f"probed: the server {'honours' if honoured else 'does NOT honour'} uniqueness tokens")
        window, width_ms = ("1h", MS_PER_HOUR) if self._events <= HOURLY_EVENTS_MAX else ("1d", MS_PER_DAY)
        end_ms = self._clock.wall_ms() // width_ms * width_ms
        weeks = -(-self._events // EVENTS_PER_WEEK)
        story = load_flights(self._events, end_ms)

        singles = min(SINGLE_EVENTS_MAX, max(1, self._events // 10))
        if CUT not in self._faults:
            server.change_faults({CUT: {"times": 1}})
        self._record_singly(careful, islice(story, singles))
        machinery.courier.notify()
        machinery.courier.flush()
        self._tell(
            f"recorded {singles:,} events one by one, each synced, and sent them; "
            "the line was cut once after the server had stored them"
        )

        server.change_faults(self._faults)
        shown = ", ".join(f"{name}={value}" for name, value in self._faults.items())
        self._tell(f"from now on the server misbehaves: {shown}")
        self._record_in_chunks(machinery, quick, story, singles)
        drain(machinery, None, self._show)
        acknowledged = machinery.log.state.counter("acknowledged")
        self._tell(f"recorded {self._events - singles:,} more in chunks; {acknowledged:,} are acknowledged")
        lost = sum(server.counters().get(name, 0) for name in LOSSES)

        self._tell(f"the night: settle {self.settle_ms / MS_PER_SECOND:g} s, verify, replay, verify again")
        night = Night(
            log=machinery.log,
            api=machinery.api,
            sender=machinery.sender,
            clock=machinery.clock,
            preset="immediate",
            settle=f"{-(-self.settle_ms // MS_PER_SECOND)}s",
            hooks=machinery.hooks,
            on_progress=self._show,
        )
        report = night.run(
            ms_to_datetime(end_ms - weeks * MS_PER_WEEK),
            ms_to_datetime(end_ms),
            window=window,
            # The losses are of our own making: that they are many is no sign of a wrong key.
            max_replay=self._events,
        )
        return DemoResult(
            recorded=self._events,
            acknowledged=acknowledged,
            lost_by_server=lost,
            night=report,
            pending=report.sent.pending + report.sent.unknown,
        )

    def _probe(self, machinery: Machinery) -> bool:
        probe = TokenProbe(machinery.log.state, machinery.api, machinery.clock, machinery.randomness)
        probe.send(0)
        for _ in range(_PROBE_READS_MAX):
            honoured = probe.read()
            if honoured is not None:
                return honoured
            self._clock.sleep(0.2)
        return False

    def _record_singly(self, client: KeenClient, story: Iterator[SampleEvent]) -> None:
        for number, event in enumerate(story, start=1):
            client.add_event(event.collection, event.properties, ms_to_datetime(event.timestamp_ms))
            self._show("record", number, self._events)

    def _record_in_chunks(
        self, machinery: Machinery, client: KeenClient, story: Iterator[SampleEvent], done: int
    ) -> None:
        while chunk := list(islice(story, CHUNK_EVENTS)):
            by_collection: dict[str, list[Mapping[str, Any]]] = {}
            for event in chunk:
                body = {**event.properties, "keen": {"timestamp": ms_to_datetime(event.timestamp_ms)}}
                by_collection.setdefault(event.collection, []).append(body)
            client.add_events(by_collection)
            machinery.courier.notify()
            done += len(chunk)
            self._show("record", done, self._events)


def settle_ms_of(faults: Mapping[str, str]) -> int:
    """The settle time that *faults* ask for: longer than the longest delay.

    Raises:
        UsageError: so long a delay is not waited out.
    """
    _, _, text = faults.get("delay", "").partition(":")
    digits = text.rstrip("mshd")
    unit_ms = _UNIT_MS.get(text[len(digits) :])
    delay_ms = (
        int(digits) * unit_ms if digits.isdecimal() and unit_ms else 0
    )  # a wrong one the server refuses
    if delay_ms > DELAY_MAX_MS:
        raise UsageError(
            f"the demo waits out every delay, and {text} is too long; nothing was recorded",
            f"give at most {DELAY_MAX_MS // MS_PER_SECOND}s",
        )
    return max(SETTLE_MIN_MS, delay_ms + MS_PER_SECOND)


def _recorder(settings: Settings, durability: Any) -> KeenClient:
    return KeenClient(
        settings.project_id,
        base_url=settings.base_url,
        log=settings.log,
        durability=durability,
        background=False,
    )


def _machinery(settings: Settings) -> Machinery:
    return Machinery(
        settings,
        log_config=LogConfig(durability="normal"),
        delivery_config=DeliveryConfig(),
        background=True,
    )


def _parted(fault: str) -> tuple[str, str]:
    name, equals, value = fault.partition("=")
    if not equals or not value:
        raise UsageError(
            f"{fault[:60]!r} is not NAME=VALUE; nothing was recorded", "see `keen-client serve --help`"
        )
    return name, value
