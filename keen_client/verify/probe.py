"""The token probe: does this server honour uniqueness tokens? Fifteen small events in a collection of its own.

Five pairs of events, the two of a pair under one token, in two requests; in the
second request every other event is a witness, under a token of its own. If
later of the pairs only the first events are there, and the witnesses are, then
it was the tokens that kept the second ones out: a server that loses or delays
events would have lost witnesses too. One may be lost of each kind. Sending and
reading are two calls, so that the server has time in between. Only ``nightly``
and ``doctor`` probe; ``verify`` sends nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Protocol

import orjson

from keen_client._foundation.clock import MS_PER_DAY, MS_PER_MINUTE, Clock, ms_to_iso
from keen_client._foundation.randomness import Randomness
from keen_client.errors import NotFoundError
from keen_client.eventlog.state import State
from keen_client.events.identity import ORIGIN_ALPHABET
from keen_client.queries import Analysis, Filter, Timeframe
from keen_client.verify.answer import record, row_list, whole

PROBE_COLLECTION: Final = "kc_probe"
PAIRS: Final = 5
#: Events of the second request that are no second ones, and how many of them must be there before any was kept out.
WITNESSES: Final = 5
WITNESSES_MIN: Final = 4
#: All events of the probe.
EVENTS: Final = 2 * PAIRS + WITNESSES
#: Pairs of which only the first event must be there before the tokens count as honoured.
SINGLES_MIN: Final = 4
#: Pairs of which both events must be there before the tokens count as not honoured.
DOUBLES_MIN: Final = 2
#: How long an answer holds, from when the events were sent.
VALID_MS: Final = 30 * MS_PER_DAY
#: How long the server is given to show what it was sent.
READY_AFTER_MS: Final = 5 * MS_PER_MINUTE
#: How often in a row a server on this machine is asked that told nothing.
PROBES_MAX: Final = 3

_NAME: Final = "tokens"
_NONCE_CHARS: Final = 20


class ProbeApi(Protocol):
    """What the probe needs of :class:`~keen_client.api.keen_api.KeenApi`."""

    def query(self, analysis: Analysis, *, all_keys: bool = False) -> Any:
        """Run one analysis and return its ``result``."""

    def upload(self, events: Mapping[str, Any]) -> dict[str, Any]:
        """Send ``{collection: [event, ...]}`` at once."""


class TokenProbe:
    """Probes whether tokens are honoured, and remembers the answer in ``state.db``."""

    def __init__(self, state: State, api: ProbeApi, clock: Clock, randomness: Randomness) -> None:
        self._state = state
        self._api = api
        self._clock = clock
        self._randomness = randomness

    @property
    def is_pending(self) -> bool:
        """Whether a probe was sent and waits to be read."""
        return _stored(self._state)[2] is not None

    @property
    def ready_ms(self) -> int | None:
        """From when on the pending probe may be read; None when none is pending."""
        pending = _stored(self._state)[2]
        return None if pending is None else int(pending["ready_ms"])

    def send(self, ready_after_ms: int = READY_AFTER_MS) -> None:
        """Send the pairs; one that is pending already is forgotten.

        Raises:
            ApiError: not all was sent; no probe is pending then.
        """
        now_ms = self._clock.wall_ms()
        nonce = self._randomness.token(ORIGIN_ALPHABET, _NONCE_CHARS)
        # What loses a part of a request should not find all witnesses in the other.
        mixed = [pair for number in range(PAIRS) for pair in (number, PAIRS + number)]
        for copy, pairs in enumerate((range(PAIRS), mixed)):
            events = [
                {
                    "probe": nonce,
                    "pair": pair,
                    "copy": copy,
                    "keen": {"timestamp": ms_to_iso(now_ms), "uniqueness_token": f"{nonce}-{pair}"},
                }
                for pair in pairs
            ]
            self._api.upload({PROBE_COLLECTION: events})
        pending = {"nonce": nonce, "sent_ms": now_ms, "ready_ms": now_ms + ready_after_ms}
        at_ms, answer, _ = _stored(self._state)
        _store(self._state, at_ms, answer, pending)

    def read(self) -> bool | None:
        """Read the pending probe, if it is ready; what is known then. None: not known, probe again.

        Raises:
            ApiError: no usable answer; the probe stays pending.
        """
        now_ms = self._clock.wall_ms()
        at_ms, answer, pending = _stored(self._state)
        if pending is None or now_ms < pending["ready_ms"]:
            return tokens_honoured(self._state, now_ms)
        honoured = judge_pairs(self._count(pending["nonce"], pending["sent_ms"]))
        if honoured is None:
            _store(self._state, at_ms, answer, None)
        else:
            # What was sent then was seen; how the server treats what is sent by now was not.
            _store(self._state, pending["sent_ms"], {"honoured": honoured}, None)
        return tokens_honoured(self._state, now_ms)

    def _count(self, nonce: str, sent_ms: int) -> dict[tuple[int, int], int]:
        """By pair and copy, how many there are; what is not there is left out."""
        query = Analysis(
            analysis_type="count",
            event_collection=PROBE_COLLECTION,
            timeframe=Timeframe(sent_ms - MS_PER_DAY, sent_ms + MS_PER_DAY),
            timezone="UTC",
            filters=[Filter("probe", "eq", nonce)],
            group_by=["pair", "copy"],
        )
        try:
            rows = row_list(self._api.query(query), "the answer")
        except NotFoundError:
            return {}
        counts: dict[tuple[int, int], int] = {}
        for row in rows:
            group = record(row, frozenset({"pair", "copy", "result"}), "a group")
            counts[whole(group["pair"], "a pair"), whole(group["copy"], "a copy")] = whole(
                group["result"], "a count"
            )
        return counts


def judge_pairs(counts: Mapping[tuple[int, int], int]) -> bool | None:
    """From how many events each pair shows, by (pair, copy): honoured, not honoured, or not known. Pure.

    One double may be the server's own, or a count that is off by one: it proves
    nothing either way, and the next probe asks again. So do too few witnesses,
    and too many second events without their first: something was lost. A server
    that does not honour tokens and loses events by chance is taken for one that
    does in 0.26 % of probes at the most, which is where it loses two in five.
    """
    pairs = [(counts.get((pair, 0), 0), counts.get((pair, 1), 0)) for pair in range(PAIRS)]
    doubles = sum(first + second > 1 for first, second in pairs)
    if doubles >= DOUBLES_MIN:
        return False
    singles = sum(second == 0 for first, second in pairs if first)
    witnesses = sum(counts.get((PAIRS + number, 1), 0) > 0 for number in range(WITNESSES))
    return True if not doubles and singles >= SINGLES_MIN and witnesses >= WITNESSES_MIN else None


def tokens_honoured(state: State, now_ms: int) -> bool | None:
    """What a probe sent within the last 30 days saw; None when there was none or it told nothing."""
    at_ms, answer, _ = _stored(state)
    if answer is None or not 0 <= now_ms - at_ms < VALID_MS:
        return None
    honoured = answer.get("honoured")
    return honoured if isinstance(honoured, bool) else None


def _stored(state: State) -> tuple[int, dict[str, Any] | None, dict[str, Any] | None]:
    with state.reading() as db:
        row = db.execute("SELECT at_ms, answer, pending FROM probes WHERE name = ?", (_NAME,)).fetchone()
    if row is None:
        return 0, None, None
    return row[0], orjson.loads(row[1]), None if row[2] is None else orjson.loads(row[2])


def _store(
    state: State, at_ms: int, answer: Mapping[str, Any] | None, pending: Mapping[str, Any] | None
) -> None:
    shown = {"honoured": None} if answer is None else dict(answer)
    row = (
        _NAME,
        at_ms,
        orjson.dumps(shown).decode(),
        None if pending is None else orjson.dumps(pending).decode(),
    )
    state.with_reserve(lambda: _put(state, row))


def _put(state: State, row: tuple[object, ...]) -> None:
    with state.transaction() as db:
        db.execute("INSERT OR REPLACE INTO probes (name, at_ms, answer, pending) VALUES (?, ?, ?, ?)", row)
