"""The full probe: 35 small events in a collection of their own, and a few queries, show what verdicts rest on.

Only ``doctor --probe=full`` makes it, and only after it was agreed to. Sending
and reading are two calls, so that the server has time in between.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import attrs

from keen_client._foundation.clock import MS_PER_DAY, MS_PER_MINUTE, Clock, ms_to_iso
from keen_client._foundation.randomness import Randomness
from keen_client.errors import (
    InvalidRequestError,
    NotFoundError,
    RequestTooLargeError,
    UnreadableResponseError,
)
from keen_client.eventlog.state import State
from keen_client.events.identity import ORIGIN_ALPHABET
from keen_client.queries import Analysis, Filter, Timeframe
from keen_client.verify.answer import instant_ms, record, row_list, whole
from keen_client.verify.features import Features, load, save
from keen_client.verify.probe import PROBE_COLLECTION, READY_AFTER_MS, ProbeApi
from keen_client.verify.sightings import IDS_PER_QUERY_MAX
from keen_client.verify.windows import WINDOWS_PER_QUERY_MAX

#: Sums of three numbers that come to these powers of two: the highest that is exact, with all below it, counts.
POWERS: Final = (33, 40, 48, 53)
#: Events of a group of their own each.
ROWS: Final = 30
#: All events of the probe.
EVENTS: Final = 3 + 2 + ROWS
#: Sub-timeframes and list values that are tried, the largest first.
WINDOWS_TRIED: Final = (WINDOWS_PER_QUERY_MAX, 1_440, 31)
LISTS_TRIED: Final = (IDS_PER_QUERY_MAX, 100)
#: Queries at most.
QUERIES_MAX: Final = 5 + len(WINDOWS_TRIED) + len(LISTS_TRIED)

_NONCE_CHARS: Final = 20


class FullProbe:
    """Sends the events, reads what the server makes of them, and remembers it in ``state.db``."""

    def __init__(self, state: State, api: ProbeApi, clock: Clock, randomness: Randomness) -> None:
        self._state = state
        self._api = api
        self._clock = clock
        self._randomness = randomness

    @property
    def is_pending(self) -> bool:
        """Whether a probe was sent and waits to be read."""
        return load(self._state)[2] is not None

    def send(self, ready_after_ms: int = READY_AFTER_MS) -> None:
        """Send the events; a probe that is pending already is forgotten.

        Raises:
            ApiError: not all was sent; no probe is pending then.
        """
        now_ms = self._clock.wall_ms()
        nonce = self._randomness.token(ORIGIN_ALPHABET, _NONCE_CHARS)
        start_ms = now_ms - now_ms % MS_PER_MINUTE - 2 * MS_PER_MINUTE
        self._api.upload({PROBE_COLLECTION: probe_events(nonce, start_ms)})
        at_ms, answer, _ = load(self._state)
        save(
            self._state,
            at_ms,
            answer,
            {"nonce": nonce, "start_ms": start_ms, "ready_ms": now_ms + ready_after_ms},
        )

    def read(self) -> Features | None:
        """Read the pending probe, if it is ready and all its events are there; None: not yet, or none was sent.

        Raises:
            ApiError: no usable answer; the probe stays pending.
        """
        now_ms = self._clock.wall_ms()
        pending = load(self._state)[2]
        if pending is None or now_ms < pending["ready_ms"]:
            return None
        features = _Questions(self._api, pending["nonce"], pending["start_ms"]).ask()
        if features is not None:
            save(self._state, now_ms, attrs.asdict(features), None)
        return features


def probe_events(nonce: str, start_ms: int) -> list[dict[str, Any]]:
    """The events: three to add up, one at each edge of a minute, and thirty groups. Pure."""

    def event(at_ms: int, **properties: Any) -> dict[str, Any]:
        return {"probe": nonce, **properties, "keen": {"timestamp": ms_to_iso(at_ms)}}

    inside_ms = start_ms + MS_PER_MINUTE // 2
    halves = [
        {f"x{power}": 2 ** (power - 1) for power in POWERS} | {f"y{power}": 2**power for power in POWERS}
    ]
    halves.append({f"x{power}": 2 ** (power - 1) - 1 for power in POWERS})
    halves.append({f"x{power}": 1 for power in POWERS})
    return [
        *(event(inside_ms, kind="sum", **numbers) for numbers in halves),
        event(start_ms, kind="edge", edge="start"),
        event(start_ms + MS_PER_MINUTE, kind="edge", edge="end"),
        *(event(inside_ms, kind="row", row=f"row-{number}") for number in range(ROWS)),
    ]


class _Questions:
    """The queries about one probe."""

    def __init__(self, api: ProbeApi, nonce: str, start_ms: int) -> None:
        self._api = api
        self._nonce = nonce
        self._start_ms = start_ms

    def ask(self) -> Features | None:
        """None: not all of it is there yet."""
        try:
            if whole(self._query("count"), "the count") < EVENTS:
                return None
        except NotFoundError:
            return None
        exact_max, printed_max = self._sums()
        return Features(
            exact_max=exact_max,
            printed_max=printed_max,
            timeframes=self._holds(self._timeframes),
            null_group=self._holds(self._shows_null_group),
            groups=self._holds(self._shows_groups),
            windows_max=next((n for n in WINDOWS_TRIED if self._holds(self._windows, n)), 0),
            list_max=next((n for n in LISTS_TRIED if self._holds(self._list, n)), 0),
        )

    def _holds(self, question: Callable[..., bool], *given: int) -> bool:
        """What *question* finds; False where the server refuses it, or answers it with something else."""
        try:
            return question(*given)
        except (InvalidRequestError, RequestTooLargeError):
            return False
        except UnreadableResponseError as error:
            if error.status:  # a proxy's page, say: it shows nothing of Keen
                raise
            return False

    def _query(self, analysis_type: str, kind: str = "", **members: Any) -> Any:
        wide = Timeframe(self._start_ms - MS_PER_DAY, self._start_ms + MS_PER_DAY)
        kinds = [Filter("kind", "eq", kind)] if kind else []
        more = members.pop("filters", [])
        return self._api.query(
            Analysis(
                analysis_type=analysis_type,
                event_collection=PROBE_COLLECTION,
                timeframe=members.pop("timeframe", wide),
                timezone="UTC",
                filters=[Filter("probe", "eq", self._nonce), *kinds, *more],
                **members,
            )
        )

    def _sums(self) -> tuple[int, int]:
        """Up to where sums are exact, and up to where numbers are printed whole."""
        parts = {
            f"{name}{power}": {"analysis_type": analysis, "target_property": f"{name}{power}"}
            for power in POWERS
            for name, analysis in (("x", "sum"), ("y", "maximum"))
        }
        answer = record(self._query("multi_analysis", "sum", analyses=parts), frozenset(parts), "the sums")
        return (
            _highest(lambda power: answer[f"x{power}"] == 2**power),
            _highest(lambda power: answer[f"y{power}"] == 2**power),
        )

    def _timeframes(self) -> bool:
        rows = self._rows("edge", "edge", timeframe=Timeframe(self._start_ms, self._start_ms + MS_PER_MINUTE))
        return {name: count for name, count in rows.items() if count} == {"start": 1}

    def _shows_null_group(self) -> bool:
        return self._rows("row", "").get(None) == EVENTS - ROWS

    def _shows_groups(self) -> bool:
        rows = self._rows("row", "row")
        return {name: count for name, count in rows.items() if count} == {
            f"row-{number}": 1 for number in range(ROWS)
        }

    def _rows(self, name: str, kind: str, **members: Any) -> dict[Any, int]:
        labels = frozenset({name, "result"})
        rows = row_list(self._query("count", kind, group_by=[name], **members), "the answer")
        return {
            row[name]: whole(row["result"], "a count") for row in (record(r, labels, "a group") for r in rows)
        }

    def _windows(self, count: int) -> bool:
        """Whether so many minutes come back, each with its bounds, the empty ones with a nought."""
        end_ms = self._start_ms + 2 * MS_PER_MINUTE
        starts = range(end_ms - count * MS_PER_MINUTE, end_ms, MS_PER_MINUTE)
        timeframe = Timeframe(starts.start, starts.stop)
        found: dict[int, int] = {}
        for item in row_list(self._query("count", "edge", timeframe=timeframe, interval="minutely"), "it"):
            part = record(item, frozenset({"value", "timeframe"}), "a sub-timeframe")
            bounds = record(part["timeframe"], frozenset({"start", "end"}), "a timeframe")
            start_ms = instant_ms(bounds["start"], "a start")
            if instant_ms(bounds["end"], "an end") == start_ms + MS_PER_MINUTE:
                found[start_ms] = whole(part["value"], "a count")
        return found == {start: int(start >= self._start_ms) for start in starts}

    def _list(self, count: int) -> bool:
        names = [f"row-{number}" for number in range(count)]
        # The thirty that are there stand at both ends, where a list would be cut.
        names = names[15:] + names[:15]
        return bool(whole(self._query("count", filters=[Filter("row", "in", names)]), "the count") == ROWS)


def _highest(is_exact: Callable[[int], Any]) -> int:
    """The largest power up to which all are exact; 2^32, below the smallest, where none is."""
    highest = 2**32
    for power in POWERS:
        if not is_exact(power):
            break
        highest = 2**power
    return highest


def told(features: Features) -> Mapping[str, tuple[bool, str]]:
    """By stable name: whether the server does as documented, and in words what follows."""
    exact, printed = features.exact_max, features.printed_max
    sums_fail = (
        f"sums are not exact beyond {exact:,}"
        + ("" if printed > exact else ", as numbers are not printed whole")
        + ": windows with larger ones are unverifiable"
    )
    full = WINDOWS_PER_QUERY_MAX
    return {
        "sums": (exact >= 2 ** POWERS[-1], "sums are exact up to 2^53" if exact >= 2**53 else sums_fail),
        "timeframes": (
            features.timeframes,
            "timeframes include their start and exclude their end"
            if features.timeframes
            else "timeframes do not include their start and exclude their end: every window is incomplete",
        ),
        "null_group": (
            features.null_group,
            "the group of events without the property is shown"
            if features.null_group
            else "the group of events without the property is not shown: windows that differ are incomplete",
        ),
        "groups": (
            features.groups,
            f"all of {ROWS} groups are shown"
            if features.groups
            else "groups are left out of answers: windows that differ are incomplete",
        ),
        "intervals": (
            features.windows_max >= full,
            f"{features.windows_max:,} sub-timeframes come in one answer, empty ones included"
            if features.windows_max
            else "answers by interval are not whole: what is not whole is incomplete",
        ),
        "lists": (
            features.list_max >= IDS_PER_QUERY_MAX,
            f"filters take lists of {features.list_max}"
            if features.list_max
            else "filters do not take lists: windows that differ are incomplete",
        ),
    }
